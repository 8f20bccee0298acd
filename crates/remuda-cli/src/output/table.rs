//! Tables and blocks of fields for people.

use comfy_table::{ContentArrangement, presets};

use super::escape::escape_line;

/// Rows of text under a header, two spaces between columns.
#[derive(Debug)]
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(header: [&'static str; N]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; an empty cell shows as `-`.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        let cell = |text: String| if text.is_empty() { "-".to_owned() } else { escape_line(&text) };
        self.rows.push(cells.map(cell).to_vec());
    }

    pub(crate) fn render(self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(self.header);
        table.add_rows(self.rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        lines.join("\n")
    }
}

/// Names and values below each other, the values aligned; absent values are left out.
pub(crate) fn fields<const N: usize>(fields: [(&str, Option<String>); N]) -> String {
    let present: Vec<_> =
        fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let width = present.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| {
        let value = if value.is_empty() { "-".to_owned() } else { escape_line(value) };
        format!("{name:width$}  {value}\n")
    };
    present.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_cells_stay_on_their_line() {
        let mut table = Table::new(["NODE", "LABELS", "CPU"]);
        table.row(["dev1".to_owned(), String::new(), "2".to_owned()]);
        table.row(["a-longer-name".to_owned(), "x\n\u{1b}[2J".to_owned(), "16".to_owned()]);
        assert_eq!(
            table.render(),
            "NODE           LABELS      CPU\n\
             dev1           -           2\n\
             a-longer-name  x\\n\\x1b[2J  16"
        );
    }

    #[test]
    fn absent_fields_leave_no_line() {
        let text =
            fields([("a", Some("1".to_owned())), ("bb", None), ("ccc", Some(String::new()))]);
        assert_eq!(text, "a    1\nccc  -\n");
    }
}
