//! From text to condition, by recursive descent with a bounded depth.

use super::{Condition, MAX_DEPTH, MAX_TEXT, ParseSelectorError};
use crate::cursor::{Cursor, Wrong, is_space};

pub(super) fn condition(text: &str) -> Result<Condition, ParseSelectorError> {
    // The length in bytes bounds the length in characters, and costs nothing to know.
    if text.len() > MAX_TEXT && text.chars().count() > MAX_TEXT {
        return Err(error((MAX_TEXT + 1, "longer than 4096 characters")));
    }
    let mut cursor = Cursor::new(text);
    let condition = any(&mut cursor, 0).map_err(error)?;
    if cursor.is_at_end() {
        return Ok(condition);
    }
    Err(error((cursor.at(), "expected `&&`, `||` or the end")))
}

fn error((at, reason): Wrong) -> ParseSelectorError {
    ParseSelectorError { at, reason: reason.to_owned() }
}

fn any(cursor: &mut Cursor<'_>, depth: usize) -> Result<Condition, Wrong> {
    let mut parts = vec![all(cursor, depth)?];
    while cursor.eat("||") {
        parts.push(all(cursor, depth)?);
    }
    Ok(alone(parts).unwrap_or_else(Condition::Any))
}

fn all(cursor: &mut Cursor<'_>, depth: usize) -> Result<Condition, Wrong> {
    let mut parts = vec![unary(cursor, depth)?];
    while cursor.eat("&&") {
        parts.push(unary(cursor, depth)?);
    }
    Ok(alone(parts).unwrap_or_else(Condition::All))
}

/// The only part, or all of them back.
fn alone(mut parts: Vec<Condition>) -> Result<Condition, Vec<Condition>> {
    match parts.pop() {
        Some(only) if parts.is_empty() => Ok(only),
        Some(last) => {
            parts.push(last);
            Err(parts)
        }
        None => Err(parts),
    }
}

/// One operand and the white space around it.
fn unary(cursor: &mut Cursor<'_>, depth: usize) -> Result<Condition, Wrong> {
    cursor.skip_space();
    if depth == MAX_DEPTH {
        return Err((cursor.at(), "nested more than 64 levels deep"));
    }
    let condition = if cursor.eat("!") {
        Condition::Not(Box::new(unary(cursor, depth + 1)?))
    } else if cursor.eat("(") {
        let inner = any(cursor, depth + 1)?;
        expect(cursor, ")", "expected `)`, `&&` or `||`")?;
        inner
    } else {
        term(cursor)?
    };
    cursor.skip_space();
    Ok(condition)
}

fn term(cursor: &mut Cursor<'_>) -> Result<Condition, Wrong> {
    let key = word(cursor, "expected a key, `!` or `(`")?;
    cursor.skip_space();
    if cursor.eat("==") {
        return Ok(Condition::In(key, vec![operand(cursor)?]));
    }
    if cursor.eat("!=") {
        return Ok(not(Condition::In(key, vec![operand(cursor)?])));
    }
    if cursor.peek() == Some('=') {
        return Err((cursor.at(), "expected `==`"));
    }
    let start = cursor.at();
    match cursor.take_while(is_bare) {
        "" => Ok(Condition::Has(key)),
        "in" => Ok(Condition::In(key, list(cursor)?)),
        "not" => {
            cursor.skip_space();
            let start = cursor.at();
            if cursor.take_while(is_bare) != "in" {
                return Err((start, "expected `in` after `not`"));
            }
            Ok(not(Condition::In(key, list(cursor)?)))
        }
        _ => Err((start, "expected `==`, `!=`, `in`, `not in`, `&&`, `||` or the end")),
    }
}

fn not(condition: Condition) -> Condition {
    Condition::Not(Box::new(condition))
}

fn operand(cursor: &mut Cursor<'_>) -> Result<String, Wrong> {
    cursor.skip_space();
    word(cursor, "expected a value; one with special characters stands in double quotes")
}

fn list(cursor: &mut Cursor<'_>) -> Result<Vec<String>, Wrong> {
    cursor.skip_space();
    expect(cursor, "(", "expected `(` and a list of values")?;
    let mut values = Vec::new();
    loop {
        values.push(operand(cursor)?);
        cursor.skip_space();
        if cursor.eat(")") {
            return Ok(values);
        }
        expect(cursor, ",", "expected `,` or `)`")?;
    }
}

fn word(cursor: &mut Cursor<'_>, missing: &'static str) -> Result<String, Wrong> {
    if cursor.peek() == Some('"') {
        return cursor.quoted();
    }
    let start = cursor.at();
    match cursor.take_while(is_bare) {
        "" => Err((start, missing)),
        word => Ok(word.to_owned()),
    }
}

fn expect(cursor: &mut Cursor<'_>, word: &str, reason: &'static str) -> Result<(), Wrong> {
    let at = cursor.at();
    if cursor.eat(word) { Ok(()) } else { Err((at, reason)) }
}

fn is_bare(char: char) -> bool {
    !is_space(char) && !char.is_control() && !"()!=&|,;\"".contains(char)
}
