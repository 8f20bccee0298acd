//! The side of the agent: follows the record of a task and reports what is in it.

use remuda_model::{TaskEnd, TaskId};
use remuda_plugin::{
    EventSink, Work,
    output::{OutputLog, OutputPiece, OutputReader, OutputState, recorded_len},
};
use tokio::{net::unix::pipe, sync::watch};

use super::Report;
use crate::task_dir::TaskDir;

/// Lets a task run to its end and reports its events, from where the agent before this one stopped.
/// All of them are reported when the task has ended.
///
/// # Cancel safety
///
/// When the future is dropped, some events may be reported once more by the next one.
pub(crate) async fn relay(dir: TaskDir, task: TaskId, events: EventSink, work: Work) -> TaskEnd {
    let state = OutputState { len: length(&dir).await, end: None };
    let (sender, receiver) = watch::channel(state);
    let log = OutputLog { dir: dir.record(), state: receiver };
    let reader = log.read_from(dir.cursor().await, true);
    let life = async {
        let end = tokio::select! {
            end = work => end,
            () = listen(&dir, &sender) => unreachable!("listens for ever"),
        };
        let len = length(&dir).await;
        sender.send_replace(OutputState { len, end: Some(end.clone()) });
        end
    };
    let (end, ()) = tokio::join!(life, report(reader, &dir, &task, &events));
    end
}

async fn length(dir: &TaskDir) -> u64 {
    let record = dir.record();
    let length = tokio::task::spawn_blocking(move || recorded_len(&record)).await;
    length.ok().and_then(Result::ok).unwrap_or_default()
}

/// Hears how long the record is, for ever.
async fn listen(dir: &TaskDir, state: &watch::Sender<OutputState>) {
    let bell = pipe::OpenOptions::new().read_write(true).open_receiver(dir.bell());
    let mut lengths = [0; 8 * 512];
    while let Ok(bell) = &bell
        && bell.readable().await.is_ok()
    {
        // Whole lengths: less than a page is written at once.
        if let Ok(n) = bell.try_read(&mut lengths)
            && let Some(last) = lengths[..n].as_chunks::<8>().0.last()
        {
            let len = u64::from_le_bytes(*last);
            state.send_if_modified(|state| {
                let grows = len > state.len;
                state.len = state.len.max(len);
                grows
            });
        }
        // The task could ring without end.
        tokio::task::yield_now().await;
    }
    // Then everything is reported at the end.
    std::future::pending::<()>().await;
}

async fn report(mut reader: OutputReader, dir: &TaskDir, task: &TaskId, events: &EventSink) {
    let mut lines = Vec::new();
    loop {
        match reader.next().await {
            Ok(OutputPiece::Data { bytes, next, .. }) => {
                lines.extend_from_slice(&bytes);
                while let Some(end) = lines.iter().position(|&byte| byte == b'\n') {
                    // What was torn by a crash is nothing.
                    if let Ok(report) = serde_json::from_slice::<Report>(&lines[..end]) {
                        events.emit(Some(task.clone()), &report).await;
                    }
                    lines.drain(..=end);
                }
                // The task could write there itself, without an end.
                if lines.len() > Report::MAX_JSON {
                    lines.clear();
                }
                if lines.is_empty() {
                    dir.set_cursor(next).await;
                }
            }
            Ok(OutputPiece::Dropped { bytes }) => {
                lines.clear();
                events.emit(Some(task.clone()), &Report::Lost(bytes)).await;
            }
            Ok(OutputPiece::End(_)) => return,
            Ok(OutputPiece::UpToDate) => {}
            Err(error) => {
                tracing::warn!(%task, %error, "the events of a task cannot be read");
                return;
            }
        }
    }
}
