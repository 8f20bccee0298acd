//! `httpheader.conf`: sets of headers with a name.

use std::collections::BTreeMap;

use super::{Lines, WrongLine};

const FILE: &str = "httpheader.conf";

/// Reads the sets of headers of a file, by their ids. A later one of the same id counts.
pub(crate) fn headers(text: &str) -> Result<BTreeMap<String, Vec<(String, String)>>, WrongLine> {
    let mut sets = BTreeMap::new();
    let mut lines = Lines::new(FILE, text);
    while let Some((_, id)) = lines.head() {
        let mut set = Vec::new();
        let mut list = lines.list("HTTP_HEADER_LIST_START", "HTTP_HEADER_LIST_END")?.into_iter();
        while let Some((line, name)) = list.next() {
            let (_, value) = list.next().ok_or_else(|| {
                WrongLine::new(FILE, line, format!("header `{name}` has no line with its value"))
            })?;
            set.push((name, value));
        }
        sets.insert(id.to_owned(), set);
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_alternate() {
        let text = "A\n```HTTP_HEADER_LIST_START\ncontent-type\n```text/xml;charset=UTF-8\nAccept\n\
                    ```*/*\n```HTTP_HEADER_LIST_END\n\nB\nHTTP_HEADER_LIST_START\nHTTP_HEADER_LIST_END";
        let sets = headers(text).expect("headers");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            sets["A"],
            [pair("content-type", "text/xml;charset=UTF-8"), pair("Accept", "*/*")]
        );
        assert!(sets["B"].is_empty());
        let error = headers("A\nHTTP_HEADER_LIST_START\nx\nHTTP_HEADER_LIST_END").expect_err("odd");
        assert_eq!(
            error.to_string(),
            "httpheader.conf, line 3: header `x` has no line with its value"
        );
        let error = headers("A\nx\n").expect_err("no list");
        assert_eq!(error.line, 2);
    }
}
