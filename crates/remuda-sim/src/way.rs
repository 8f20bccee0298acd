//! A link between a worker and a control node, perhaps through another one: ordered streams that
//! wait while nothing passes, and ends that notice late that the other one is gone.

use std::{rc::Rc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};

use crate::{
    executor::{ETERNAL, Life},
    fleet,
    net::{Host, Net},
    world::{self, spawn_on, world},
};

/// How often a message that cannot pass is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Worker,
    Control,
}

/// A link.
pub(crate) struct Way {
    pub(crate) worker: (Host, Life),
    pub(crate) control: (Host, Life),
    /// The control node that passes on.
    pub(crate) via: Option<(Host, Life)>,
    /// Whether each end knows that the link is gone.
    gone: [watch::Sender<bool>; 2],
}

fn lives((host, life): (Host, Life)) -> bool {
    fleet::life(host) == Some(life)
}

impl Way {
    /// A link that is up, and the keepers of its ends.
    pub(crate) fn open(
        worker: (Host, Life),
        control: (Host, Life),
        via: Option<(Host, Life)>,
    ) -> Rc<Self> {
        let gone = [watch::Sender::new(false), watch::Sender::new(false)];
        let way = Rc::new(Self { worker, control, via, gone });
        spawn_on(worker.1, Rc::clone(&way).keep(End::Worker));
        spawn_on(control.1, Rc::clone(&way).keep(End::Control));
        way
    }

    fn flag(&self, end: End) -> &watch::Sender<bool> {
        let [worker, control] = &self.gone;
        if end == End::Worker { worker } else { control }
    }

    pub(crate) fn is_gone(&self, end: End) -> bool {
        *self.flag(end).borrow()
    }

    /// Waits until this end knows that the link is gone.
    pub(crate) async fn gone(&self, end: End) {
        let mut flag = self.flag(end).subscribe();
        // The sender is part of this value.
        drop(flag.wait_for(|gone| *gone).await);
    }

    /// Ends the link at this end; the other one learns it from its next message.
    pub(crate) fn close(&self, end: End) {
        self.flag(end).send_replace(true);
    }

    fn hops(&self, from: End) -> Vec<(Host, Life)> {
        let mut hops: Vec<_> =
            [Some(self.worker), self.via, Some(self.control)].into_iter().flatten().collect();
        if from == End::Control {
            hops.reverse();
        }
        hops
    }

    /// Lets a message go to the other end; it waits where it cannot pass. Tells whether it arrives.
    pub(crate) async fn carry(&self, from: End) -> bool {
        let to = if from == End::Worker { End::Control } else { End::Worker };
        for pair in self.hops(from).windows(2) {
            let [a, b] = pair else { return false };
            sleep(world::net(Net::delay)).await;
            while !world::net(|net| net.passes(a.0, b.0)) {
                if self.is_gone(to) || !lives(*b) || (self.is_gone(from) && !lives(*a)) {
                    return false;
                }
                sleep(AGAIN).await;
            }
            if !lives(*b) {
                return false;
            }
        }
        !self.is_gone(to)
    }

    /// Asks the other end again and again whether it is there.
    async fn keep(self: Rc<Self>, end: End) {
        let dead_after = world().scenario.dead_after;
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = self.gone(end) => return,
                () = sleep(dead_after / 3) => (),
            }
            let asked = async {
                let other = if end == End::Worker { End::Control } else { End::Worker };
                // Whoever answers that it knows no such link ends it as well.
                let there = self.carry(end).await;
                let back = self.hops(other).windows(2).all(|pair| {
                    let [a, b] = pair else { return false };
                    world::net(|net| net.passes(a.0, b.0))
                });
                (there, back)
            };
            match timeout(dead_after / 3, asked).await {
                Ok((true, true)) => heard = Instant::now(),
                Ok((false, true)) => break,
                Ok((_, false)) | Err(_) if heard.elapsed() > dead_after => break,
                Ok((_, false)) | Err(_) => (),
            }
        }
        self.close(end);
    }

    /// A stream of messages towards the other end, in order. It ends with the sender, or when the
    /// other end knows that the link is gone.
    pub(crate) fn stream<T: 'static>(
        self: &Rc<Self>,
        from: End,
    ) -> (mpsc::UnboundedSender<T>, mpsc::UnboundedReceiver<T>) {
        let (sender, mut sent) = mpsc::unbounded_channel();
        let (deliver, receiver) = mpsc::unbounded_channel();
        let way = Rc::clone(self);
        let to = if from == End::Worker { End::Control } else { End::Worker };
        spawn_on(ETERNAL, async move {
            let work = async {
                while let Some(message) = sent.recv().await {
                    if !way.carry(from).await || deliver.send(message).is_err() {
                        return;
                    }
                }
                // The end of the stream travels too.
                way.carry(from).await;
            };
            tokio::select! {
                biased;
                () = way.gone(to) => (),
                () = work => (),
            }
        });
        (sender, receiver)
    }
}
