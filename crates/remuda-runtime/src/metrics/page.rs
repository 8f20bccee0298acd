//! A page of metrics in the text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write as _};

use super::{Counter, Latency};

/// A page of metrics. Each family is written once, with all its samples.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    #[cfg(debug_assertions)]
    names: std::collections::BTreeSet<&'static str>,
}

/// One family of a page, whose samples follow.
#[derive(Debug)]
pub struct Family<'a> {
    page: &'a mut Page,
    name: &'static str,
}

impl Page {
    /// An empty page.
    pub fn new() -> Self {
        Self::default()
    }

    /// Something that only grows; its name ends with `_total`.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        debug_assert!(name.ends_with("_total"), "{name} is a counter");
        self.family(name, "counter", help)
    }

    /// Something that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        debug_assert!(!name.ends_with("_total"), "{name} is a gauge");
        self.family(name, "gauge", help)
    }

    /// How long things take; its name ends with `_seconds`.
    pub fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        debug_assert!(name.ends_with("_seconds"), "{name} is a time");
        self.family(name, "histogram", help)
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        #[cfg(debug_assertions)]
        assert!(self.names.insert(name), "{name} is on the page already");
        // Help texts are ours: they have no line feeds and no backslashes.
        line(&mut self.text, format_args!("# HELP {name} {help}"));
        line(&mut self.text, format_args!("# TYPE {name} {kind}"));
        Family { page: self, name }
    }

    /// The page as it is sent.
    pub fn into_text(self) -> String {
        self.text
    }
}

impl Family<'_> {
    /// One number without labels.
    pub fn value(self, value: impl Display) {
        self.sample(&[], value);
    }

    /// One number under its labels.
    pub fn sample(self, labels: &[(&str, &str)], value: impl Display) -> Self {
        let text = &mut self.page.text;
        text.push_str(self.name);
        push_labels(text, labels, None);
        line(text, format_args!(" {value}"));
        self
    }

    /// A counter under its labels, left out while it is zero: for labels with many values.
    pub fn counted(self, labels: &[(&str, &str)], counter: &Counter) -> Self {
        match counter.get() {
            0 => self,
            count => self.sample(labels, count),
        }
    }

    /// A histogram under its labels.
    pub fn latency(self, labels: &[(&str, &str)], latency: &Latency) -> Self {
        let text = &mut self.page.text;
        let mut count = 0;
        for (bound, upto) in latency.cumulated() {
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
            text.push_str(self.name);
            text.push_str("_bucket");
            push_labels(text, labels, Some(("le", &bound)));
            line(text, format_args!(" {upto}"));
            count = upto;
        }
        for (suffix, value) in [("_sum", latency.sum().to_string()), ("_count", count.to_string())]
        {
            text.push_str(self.name);
            text.push_str(suffix);
            push_labels(text, labels, None);
            line(text, format_args!(" {value}"));
        }
        self
    }
}

fn push_labels(text: &mut String, labels: &[(&str, &str)], last: Option<(&str, &str)>) {
    let mut separator = '{';
    for (name, value) in labels.iter().copied().chain(last) {
        text.push(separator);
        text.push_str(name);
        text.push_str("=\"");
        for char in value.chars() {
            match char {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                _ => text.push(char),
            }
        }
        text.push('"');
        separator = ',';
    }
    if separator == ',' {
        text.push('}');
    }
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing into a string cannot fail.
    let _never = writeln!(text, "{words}").is_err();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_page_looks_as_prometheus_expects() {
        let mut page = Page::new();
        page.gauge("remuda_up", "Whether it is up.").value(1);
        let (some, none) = (Counter::new(), Counter::new());
        some.add(3);
        page.counter("remuda_calls_total", "Calls.")
            .counted(&[("to", "a\"b\\c\nd"), ("how", "x")], &some)
            .counted(&[("to", "nobody")], &none);
        assert_eq!(
            page.into_text(),
            "# HELP remuda_up Whether it is up.\n# TYPE remuda_up gauge\nremuda_up 1\n\
             # HELP remuda_calls_total Calls.\n# TYPE remuda_calls_total counter\n\
             remuda_calls_total{to=\"a\\\"b\\\\c\\nd\",how=\"x\"} 3\n"
        );
    }

    #[test]
    fn a_histogram_ends_with_everything() {
        let latency = Latency::new();
        latency.took(Duration::from_micros(75));
        latency.took(Duration::from_mins(1));
        let mut page = Page::new();
        page.histogram("remuda_x_seconds", "X.").latency(&[("a", "b")], &latency);
        let text = page.into_text();
        for line in [
            "remuda_x_seconds_bucket{a=\"b\",le=\"0.00005\"} 0",
            "remuda_x_seconds_bucket{a=\"b\",le=\"0.0001\"} 1",
            "remuda_x_seconds_bucket{a=\"b\",le=\"30\"} 1",
            "remuda_x_seconds_bucket{a=\"b\",le=\"+Inf\"} 2",
            "remuda_x_seconds_sum{a=\"b\"} 60.000075",
            "remuda_x_seconds_count{a=\"b\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
