//! Holds JSON against the schemas of the document: just as much of JSON Schema as it uses.

use serde_json::Value;

/// What is wrong with a value by a schema, if anything.
pub(super) fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let rules = schema.as_object().ok_or("a schema is an object")?;
    for (rule, says) in rules {
        let verdict = match rule.as_str() {
            "$ref" => check(document, resolve(document, says)?, value),
            "type" => check_type(says, value),
            "enum" => says
                .as_array()
                .is_some_and(|allowed| allowed.contains(value))
                .then_some(())
                .ok_or_else(|| format!("{value} is none of {says}")),
            "oneOf" => {
                let choices = says.as_array().ok_or("`oneOf` is an array")?;
                let fit = choices.iter().filter(|choice| check(document, choice, value).is_ok());
                match fit.count() {
                    1 => Ok(()),
                    n => Err(format!("{value} fits {n} of {says}")),
                }
            }
            "allOf" => says
                .as_array()
                .ok_or("`allOf` is an array")?
                .iter()
                .try_for_each(|part| check(document, part, value)),
            "properties" => check_properties(document, schema, says, value),
            "required" => check_required(says, value),
            "additionalProperties" if says.is_object() => {
                let none = Value::Null;
                check_properties(document, schema, &none, value)
            }
            "items" if says.is_object() => value
                .as_array()
                .into_iter()
                .flatten()
                .try_for_each(|item| check(document, says, item)),
            "minItems"
            | "maxItems"
            | "minimum"
            | "maximum"
            | "format"
            | "description"
            | "example"
            | "additionalProperties"
            | "propertyNames"
            | "contentEncoding"
            | "default"
            | "title" => Ok(()),
            other => Err(format!("the rule `{other}` is not known here")),
        };
        verdict.map_err(|error| format!("{rule}: {error}"))?;
    }
    Ok(())
}

/// What a reference refers to.
pub(super) fn resolve<'a>(document: &'a Value, reference: &Value) -> Result<&'a Value, String> {
    let path = reference.as_str().and_then(|text| text.strip_prefix('#'));
    path.and_then(|path| document.pointer(path)).ok_or(format!("{reference} leads nowhere"))
}

fn check_type(says: &Value, value: &Value) -> Result<(), String> {
    let fits = |name: &Value| match name.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("null") => value.is_null(),
        _ => false,
    };
    let fits = match says {
        Value::Array(names) => names.iter().any(fits),
        name => fits(name),
    };
    fits.then_some(()).ok_or_else(|| format!("{value} is no {says}"))
}

fn check_properties(
    document: &Value,
    schema: &Value,
    known: &Value,
    value: &Value,
) -> Result<(), String> {
    let others = schema.get("additionalProperties").filter(|others| others.is_object());
    for (name, value) in value.as_object().into_iter().flatten() {
        let rules =
            known.get(name).or(others).ok_or_else(|| format!("`{name}` is not described"))?;
        check(document, rules, value).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}

fn check_required(says: &Value, value: &Value) -> Result<(), String> {
    let names = says.as_array().into_iter().flatten().filter_map(Value::as_str);
    match names.into_iter().find(|name| value.is_object() && value.get(name).is_none()) {
        Some(name) => Err(format!("`{name}` is missing")),
        None => Ok(()),
    }
}
