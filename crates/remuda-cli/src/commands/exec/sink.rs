//! Where the output of a remote command goes.

use std::sync::Arc;

use indicatif::ProgressBar;
use remuda::client::dto::OutputLine;
use remuda_model::NodeId;
use serde::Serialize;

use crate::{
    args::{Format, Raw},
    error::PrintError,
    output::{Escaper, LinePrefixer, Printer, Stream, note},
};

/// Writes the output of one command.
pub(crate) struct Sink {
    printer: Printer,
    stdout: Channel,
    stderr: Channel,
    /// Of several nodes: which one, and the bar that must not be in the way.
    node: Option<(NodeId, Arc<ProgressBar>)>,
}

/// One of the two outputs.
struct Channel {
    /// Present on a terminal, unless the user trusts the nodes.
    escaper: Option<Escaper>,
    /// Present for several nodes.
    lines: Option<LinePrefixer>,
}

/// A line of JSON.
#[derive(Serialize)]
struct JsonLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a NodeId>,
    #[serde(flatten)]
    line: &'a OutputLine,
}

impl Sink {
    /// For one node: bytes as they come.
    pub(crate) fn plain(format: Format, raw: Raw) -> Self {
        let channel = |stream| Channel::new(stream, raw, None);
        Self {
            printer: Printer::new(format),
            stdout: channel(Stream::Stdout),
            stderr: channel(Stream::Stderr),
            node: None,
        }
    }

    /// For one of several nodes: whole lines behind its name.
    pub(super) fn prefixed(
        format: Format,
        raw: Raw,
        node: &NodeId,
        width: usize,
        bar: Arc<ProgressBar>,
    ) -> Self {
        let prefix = format!("{:width$} | ", node.as_str());
        let channel = |stream| Channel::new(stream, raw, Some(prefix.clone()));
        Self {
            printer: Printer::new(format),
            stdout: channel(Stream::Stdout),
            stderr: channel(Stream::Stderr),
            node: Some((node.clone(), bar)),
        }
    }

    /// Takes one line of the API's stream.
    pub(crate) fn line(&mut self, line: &OutputLine) -> Result<(), PrintError> {
        if self.printer.is_json() {
            let node = self.node.as_ref().map(|(node, _bar)| node);
            return self.quietly(|printer| printer.json_line(&JsonLine { node, line }));
        }
        match line {
            OutputLine::Stdout { data, .. } => {
                let text = self.stdout.push(data);
                self.quietly(|_printer| Stream::Stdout.write(&text))
            }
            OutputLine::Stderr { data, .. } => {
                let text = self.stderr.push(data);
                self.quietly(|_printer| Stream::Stderr.write(&text))
            }
            OutputLine::Dropped { bytes } => self.quietly(|_printer| {
                note(&format!("[{bytes} bytes of output were not kept]"));
                Ok(())
            }),
            OutputLine::Started { .. }
            | OutputLine::End { .. }
            | OutputLine::UpToDate
            | OutputLine::Failed { .. } => Ok(()),
        }
    }

    /// Writes what still waits for its end.
    pub(crate) fn finish(&mut self) -> Result<(), PrintError> {
        let (stdout, stderr) = (self.stdout.finish(), self.stderr.finish());
        self.quietly(|_printer| {
            Stream::Stdout.write(&stdout)?;
            Stream::Stderr.write(&stderr)
        })
    }

    /// Writes while the progress bar is off the screen.
    fn quietly(
        &self,
        write: impl FnOnce(Printer) -> Result<(), PrintError>,
    ) -> Result<(), PrintError> {
        match &self.node {
            Some((_node, bar)) => bar.suspend(|| write(self.printer)),
            None => write(self.printer),
        }
    }
}

impl Channel {
    fn new(stream: Stream, raw: Raw, prefix: Option<String>) -> Self {
        let escaper = (!raw.raw && stream.is_terminal()).then(Escaper::default);
        Self { escaper, lines: prefix.map(LinePrefixer::new) }
    }

    fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        match &mut self.escaper {
            Some(escaper) => escaper.push(bytes, &mut text),
            None => text.extend_from_slice(bytes),
        }
        match &mut self.lines {
            Some(lines) => lines.push(&text),
            None => text,
        }
    }

    fn finish(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Some(escaper) = &mut self.escaper {
            escaper.finish(&mut text);
        }
        match &mut self.lines {
            Some(lines) => {
                let mut out = lines.push(&text);
                out.append(&mut lines.finish());
                out
            }
            None => text,
        }
    }
}
