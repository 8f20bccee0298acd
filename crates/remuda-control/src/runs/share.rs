//! One worker's share of a run: the stream to it, and what it says.

use std::time::Duration;

use remuda_link::{StreamError, code};
use remuda_model::{ErrorKind, Failure, NodeId};
use remuda_wire::message::{
    RUN,
    run::{FromWorker, Open, ToWorker},
};
use tokio::{sync::mpsc, time::timeout};

use crate::{
    Control,
    proxies::{NOT_HERE, not_connected},
};

/// The longest message of a worker: a batch of records, or one large one.
const MAX_MESSAGE: usize = 64 << 20;
/// How long a message may take to be sent.
const SEND: Duration = Duration::from_secs(30);
/// How long a worker may say nothing at all; it tells its pace more often.
const SILENT: Duration = Duration::from_mins(1);

/// What comes of a worker.
#[derive(Debug)]
pub(super) enum Heard {
    /// It says this.
    Said(FromWorker),
    /// It takes no part any more.
    Gone(Failure),
}

/// Says to the actor of the run what comes of a worker.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    pub(super) node: NodeId,
    /// Tells this share from an earlier one of the same worker.
    pub(super) number: u64,
    pub(super) to: mpsc::Sender<(NodeId, u64, Heard)>,
}

impl Teller {
    async fn tell(&self, heard: Heard) -> bool {
        self.to.send((self.node.clone(), self.number, heard)).await.is_ok()
    }
}

/// Keeps the stream to a worker until `orders` ends, which lets go of what the worker still has, or
/// the worker is lost.
pub(super) async fn keep(
    control: Control,
    open: Open,
    mut orders: mpsc::Receiver<ToWorker>,
    teller: Teller,
) {
    let kept = tokio::select! {
        kept = exchange(&control, open, &mut orders, &teller) => kept,
        // The run has ended, or the node shuts down.
        () = teller.to.closed() => return,
    };
    if let Err(failure) = kept {
        teller.tell(Heard::Gone(failure)).await;
    }
}

async fn exchange(
    control: &Control,
    open: Open,
    orders: &mut mpsc::Receiver<ToWorker>,
    teller: &Teller,
) -> Result<(), Failure> {
    let node = &teller.node;
    let stream = control.open_stream(node, RUN).await?;
    let (mut send, mut recv) = stream.split();
    let first = ToWorker::Open(open);
    timeout(SEND, send.send(&first))
        .await
        .map_err(|_elapsed| not_connected(node))?
        .map_err(|error| lost(node, &error))?;
    let said = async {
        loop {
            let message = timeout(SILENT, recv.recv::<FromWorker>(MAX_MESSAGE)).await;
            let message = message.map_err(|_elapsed| {
                Failure::new(ErrorKind::TimedOut, format!("node `{node}` says nothing"))
            })?;
            match message.map_err(|error| lost(node, &error))? {
                Some(FromWorker::Failed(failure)) => return Err(failure),
                Some(said) => {
                    if !teller.tell(Heard::Said(said)).await {
                        return Ok(());
                    }
                }
                None => return Err(lost(node, &StreamError::Truncated)),
            }
        }
    };
    let ordered = async {
        while let Some(order) = orders.recv().await {
            timeout(SEND, send.send(&order))
                .await
                .map_err(|_elapsed| not_connected(node))?
                .map_err(|error| lost(node, &error))?;
        }
        send.reset(code::CANCELLED, "the run goes on without this node");
        Ok(())
    };
    tokio::select! {
        said = said => said,
        ordered = ordered => ordered,
    }
}

fn lost(node: &NodeId, error: &StreamError) -> Failure {
    match error {
        StreamError::Reset { code: NOT_HERE, .. } => not_connected(node),
        StreamError::Reset { code: code::UNKNOWN_PROTOCOL | code::FORBIDDEN, message } => {
            let text = format!("node `{node}` takes no part in runs: {message}");
            Failure::new(ErrorKind::Unavailable, text)
                .code("no_runs")
                .hint("it, or a control node on the way, may run an older version")
        }
        error => {
            let text = format!("node `{node}` was lost: {error}");
            Failure::new(ErrorKind::Unavailable, text).code("worker_lost")
        }
    }
}
