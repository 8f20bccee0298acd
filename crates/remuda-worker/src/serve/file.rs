//! Takes files from control nodes and gives files to them.

use std::{io, sync::Arc, time::Duration};

use remuda_artifact::FileReader;
use remuda_link::{RecvHalf, SendHalf, Stream, StreamError, code};
use remuda_model::{ErrorKind, Failure};
use remuda_wire::message::file::{Call, File, Head, Put, Said};
use tokio::time::{Instant, timeout};

use crate::{
    agent::Agent,
    failures,
    files::{Arrival, unreadable},
};

/// The longest first message: a path has at most 4 KiB.
const MAX_HEADER: usize = 16 << 10;
/// How long a caller may take to send it.
const READ_LIMIT: Duration = Duration::from_secs(30);
/// How long a caller may take to send more.
const IDLE: Duration = Duration::from_mins(1);
/// How often, and after how many bytes, the caller is told how much is here.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Answers one call.
pub(super) async fn serve(agent: Arc<Agent>, stream: Stream) {
    let (send, mut recv) = stream.split();
    let Ok(Ok(Some(call))) = timeout(READ_LIMIT, recv.recv::<Call>(MAX_HEADER)).await else {
        return;
    };
    let served = async {
        match call {
            Call::Put(put) => take(&agent, put, send, recv).await,
            Call::Stat { path } => stat(&agent, path, send).await,
            Call::Get { path, offset, tag } => give(&agent, path, offset, tag, send).await,
        }
    };
    if let Err(error) = served.await {
        tracing::debug!(%error, "a file broke off");
    }
}

async fn take(
    agent: &Agent,
    put: Put,
    mut send: SendHalf,
    mut recv: RecvHalf,
) -> Result<(), StreamError> {
    let size = put.size;
    let begun = async {
        agent.gate.admit(put.epoch).await?;
        agent.tasks.check_takes_requests()?;
        let permit = agent.files.begin_transfer()?;
        Ok::<_, Failure>((permit, agent.files.receive(put).await?))
    };
    let (_permit, path, arrival) = match begun.await {
        Ok((permit, (path, arrival))) => (permit, path, arrival),
        Err(failure) => return say(send, &mut recv, Said::Failed(failure)).await,
    };
    let Some(mut arrival) = arrival else {
        return say(send, &mut recv, Said::Done { was_there: true, path }).await;
    };
    send.send(&Said::Begin { offset: arrival.held() }).await?;
    let came = tokio::select! {
        biased;
        () = agent.stop.cancelled() => Err(Stop::Failed(failures::shutting_down())),
        came = content(&mut arrival, size, &mut send, &mut recv) => came,
    };
    match came {
        Ok(()) => match arrival.finish().await {
            Ok(()) => say(send, &mut recv, Said::Done { was_there: false, path }).await,
            Err(failure) => say(send, &mut recv, Said::Failed(failure)).await,
        },
        Err(Stop::Gone(error)) => {
            arrival.pause().await;
            Err(error)
        }
        Err(Stop::Failed(failure)) => {
            // What somebody may go on with stays.
            if failure.kind == ErrorKind::Unavailable {
                arrival.pause().await;
            } else {
                arrival.discard().await;
            }
            say(send, &mut recv, Said::Failed(failure)).await
        }
    }
}

/// Why a file does not come.
enum Stop {
    Gone(StreamError),
    Failed(Failure),
}

/// Takes content up to its end.
async fn content(
    arrival: &mut Arrival,
    size: u64,
    send: &mut SendHalf,
    recv: &mut RecvHalf,
) -> Result<(), Stop> {
    let mut told = Instant::now();
    while arrival.held() < size {
        let chunk = timeout(IDLE, recv.read_chunk()).await.map_err(|_elapsed| {
            let text = format!("no more came for {} s", IDLE.as_secs());
            Stop::Failed(Failure::new(ErrorKind::Unavailable, text).code("sender_silent"))
        })?;
        let Some(bytes) = chunk.map_err(Stop::Gone)? else { break };
        arrival.write(bytes).await.map_err(Stop::Failed)?;
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            send.send(&Said::Progress { held: arrival.held() }).await.map_err(Stop::Gone)?;
        }
    }
    Ok(())
}

/// Says the last word; what still comes is not wanted.
async fn say(mut send: SendHalf, recv: &mut RecvHalf, said: Said) -> Result<(), StreamError> {
    recv.stop(code::REFUSED, "no more is wanted");
    send.send(&said).await?;
    send.finish()
}

async fn stat(agent: &Agent, path: String, mut send: SendHalf) -> Result<(), StreamError> {
    let stat = tokio::select! {
        biased;
        // Nobody waits any more; the file may be long.
        gone = send.stopped() => return Err(gone),
        stat = agent.files.stat(path) => stat,
    };
    let head: Head = stat.map(|(info, digest)| File {
        size: info.size,
        mode: info.mode,
        tag: info.tag,
        digest: Some(digest),
    });
    send.send(&head).await?;
    send.finish()
}

async fn give(
    agent: &Agent,
    path: String,
    offset: u64,
    tag: Option<String>,
    mut send: SendHalf,
) -> Result<(), StreamError> {
    let opened = async {
        let permit = agent.files.begin_transfer()?;
        let (mut file, info) = agent.files.read(path).await?;
        if tag.is_some_and(|tag| tag != info.tag) {
            return Err(changed());
        }
        if offset > info.size {
            let size = info.size;
            return Err(Failure::invalid(format!("the file has {size} bytes, not {offset}")));
        }
        io::Seek::seek(&mut file, io::SeekFrom::Start(offset)).map_err(|e| unreadable(&e))?;
        Ok((permit, file, info))
    };
    let (_permit, file, info) = match opened.await {
        Ok(opened) => opened,
        Err(failure) => {
            send.send::<Head>(&Err(failure)).await?;
            return send.finish();
        }
    };
    let (size, mode, tag) = (info.size, info.mode, info.tag);
    send.send::<Head>(&Ok(File { size, mode, tag, digest: None })).await?;
    let mut left = size - offset;
    let mut reader = FileReader::new(file, left);
    loop {
        match reader.next().await {
            Ok(Some(bytes)) => {
                left -= bytes.len() as u64;
                // Whoever takes nothing must not keep others from their files.
                let taken = tokio::select! {
                    biased;
                    () = agent.stop.cancelled() => None,
                    taken = timeout(IDLE, send.write(bytes)) => taken.ok(),
                };
                let Some(taken) = taken else {
                    send.reset(code::REFUSED, "the file is not taken, or the agent shuts down");
                    return Ok(());
                };
                taken?;
            }
            Ok(None) if left == 0 => return send.finish(),
            Ok(None) => {
                send.reset(code::REFUSED, "the file became shorter");
                return Ok(());
            }
            Err(error) => {
                send.reset(code::REFUSED, &unreadable(&error).to_string());
                return Ok(());
            }
        }
    }
}

fn changed() -> Failure {
    Failure::new(ErrorKind::Conflict, "the file has changed meanwhile")
        .code("file_changed")
        .hint("begin again")
}
