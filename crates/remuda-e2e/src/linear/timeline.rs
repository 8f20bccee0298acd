//! A picture of a violation: one line for each client, one bar for each operation.

use std::fmt::{Debug, Write as _};

use super::{Operation, Violation};

/// How many operations around the one that fits nowhere are shown.
const SHOWN: usize = 60;
const LINE: u64 = 26;
const WIDTH: u64 = 1600;

/// Draws the operations around the one that fits nowhere, as SVG: green ones have found their place,
/// the red one has not, grey ones come later, open ones have no known outcome.
pub fn timeline<O: Debug, R: Debug>(history: &[Operation<O, R>], violation: &Violation) -> String {
    let mut shown: Vec<usize> = (0..history.len()).collect();
    let middle = history[violation.stuck].call;
    shown.sort_by_key(|index| history[*index].call.abs_diff(middle));
    shown.truncate(SHOWN);
    if !shown.contains(&violation.stuck) {
        shown.push(violation.stuck);
    }
    let mut clients: Vec<u32> = shown.iter().map(|index| history[*index].client).collect();
    clients.sort_unstable();
    clients.dedup();
    let start = shown.iter().map(|index| history[*index].call).min().unwrap_or(0);
    let last = |index: &usize| history[*index].answer.as_ref().map_or(0, |(end, _)| *end);
    let end = shown.iter().map(last).max().unwrap_or(0).max(start + 1);
    let x = |time: u64| 80 + (time.saturating_sub(start)).min(end - start) * WIDTH / (end - start);
    let height = LINE * (u64::try_from(clients.len()).unwrap_or(0) + 1);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{height}\" \
         font-family=\"monospace\" font-size=\"11\">\n",
        WIDTH + 100
    );
    for index in shown {
        let operation = &history[index];
        let line = clients.iter().position(|client| *client == operation.client).unwrap_or(0);
        let y = LINE * u64::try_from(line).unwrap_or(0) + 4;
        let from = x(operation.call);
        let to = operation.answer.as_ref().map_or(80 + WIDTH, |(end, _)| x(*end));
        let colour = if index == violation.stuck {
            "#e66"
        } else if operation.answer.is_none() {
            "none"
        } else if violation.prefix.contains(&index) {
            "#9d9"
        } else {
            "#ddd"
        };
        let answer = operation.answer.as_ref().map(|(_, out)| out);
        let words = escape(&format!("{}: {:?} → {answer:?}", operation.client, operation.op));
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<g><title>{words}</title><rect x=\"{from}\" y=\"{y}\" width=\"{}\" height=\"18\" \
             fill=\"{colour}\" stroke=\"#555\"/><text x=\"{}\" y=\"{}\">{}</text></g>",
            (to.saturating_sub(from)).max(2),
            from + 2,
            y + 13,
            escape(&format!("{:?}", operation.op)),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operation_that_fits_nowhere_is_red_and_words_are_escaped() {
        let op = |client, call, op: &str, answer: Option<(u64, u8)>| Operation {
            client,
            call,
            op: op.to_owned(),
            answer,
        };
        let history =
            [op(1, 0, "a<b", Some((5, 0))), op(2, 6, "c", Some((9, 1))), op(3, 1, "d", None)];
        let svg = timeline(&history, &Violation { prefix: vec![0], stuck: 1 });
        assert_eq!(svg.matches("<rect").count(), 3);
        assert_eq!(svg.matches("#e66").count(), 1);
        assert!(svg.contains("a&lt;b") && !svg.contains("a<b"), "{svg}");
    }
}
