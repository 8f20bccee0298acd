//! Shows a run while it goes on.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use remuda::client::{Client, dto::RecordQuery};
use remuda_model::{
    ErrorKind, Failure,
    run::{Outcome, RunState, RunView},
};
use tokio::time::{MissedTickBehavior, interval};

use super::{
    results::{Form, record},
    show,
};
use crate::{
    args::RunArgs,
    error::{PARTIAL, Stop},
    output::{Printer, Stream, note},
    signals::Signals,
};

const TEMPLATE: &str = "{wide_bar} {pos}/{len} {msg}";
/// How often progress is asked for, and how often it is told where there is no terminal.
const ASK: Duration = Duration::from_millis(500);
const TELL_EVERY: u32 = 20;
/// Up to so many targets each has its line, and of more so many that went wrong.
const FEW: u32 = 50;
const SHOWN: u32 = 20;

/// Prints records as they come, to the end of the run. Ctrl-C cancels it.
pub(super) async fn follow(client: &Client, view: &RunView, args: &RunArgs) -> Result<(), Stop> {
    let mut signals = Signals::listen()?;
    let all = args.all || args.format.json || args.body || view.targets <= FEW;
    let form = Form::new(args.format, false, false, args.body, args.raw);
    let bar = Bar::new(view.targets);
    let shown = async {
        let query = RecordQuery { follow: true, ..RecordQuery::default() };
        let mut records = client.run_records(&view.id, &query).await?;
        let mut wrong = 0;
        while let Some(one) = records.next().await? {
            wrong += u32::from(one.outcome != Outcome::Ok);
            if all || (one.outcome != Outcome::Ok && wrong <= SHOWN) {
                bar.aside(|| record(&one, form))?;
            }
        }
        if !all && wrong > SHOWN {
            let (more, run) = (wrong - SHOWN, &view.id);
            bar.aside(|| note(&format!("{more} more: `remuda fanout results {run}`")));
        }
        Ok::<_, Stop>(())
    };
    let told = async {
        let mut tick = interval(ASK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked = 0;
        loop {
            tick.tick().await;
            // A control node that is away for a moment is asked again.
            if let Ok(view) = client.run(&view.id).await {
                bar.show(&view, asked % TELL_EVERY == TELL_EVERY - 1);
            }
            asked += 1;
        }
    };
    let shown = tokio::select! {
        shown = shown => shown,
        () = told => Ok(()),
        asked = signals.next() => {
            drop(bar);
            let cancelled = client.cancel_run(&view.id).await?;
            note(&format!("cancelled with {} of {} done", cancelled.done, cancelled.targets));
            return Err(Stop::Exit(asked.exit_code()));
        }
    };
    drop(bar);
    if let Err(Stop::Report(report)) = shown {
        note(&format!("the run goes on: `remuda fanout show {}`", view.id));
        return Err(Stop::Report(report));
    }
    shown?;
    let view = client.run(&view.id).await?;
    if !args.format.json {
        show::summary(Printer::aside(), &view)?;
    }
    outcome(&view)
}

/// What the run means for the exit code.
fn outcome(view: &RunView) -> Result<(), Stop> {
    let well = view.counts.get(&Outcome::Ok).copied().unwrap_or(0);
    if view.state == RunState::Cancelled {
        let text = format!("run {} was cancelled", view.id);
        return Err(Failure::new(ErrorKind::Failed, text).into());
    }
    if well == view.targets { Ok(()) } else { Err(Stop::Exit(PARTIAL)) }
}

/// Progress on a terminal; now and then a line elsewhere.
struct Bar {
    bar: ProgressBar,
    terminal: bool,
}

impl Bar {
    fn new(targets: u32) -> Self {
        let terminal = Stream::Stderr.is_terminal();
        let target =
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(targets.into()), target);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        Self { bar, terminal }
    }

    fn show(&self, view: &RunView, tell: bool) {
        let text = show::progress(view);
        self.bar.set_position(view.done.into());
        self.bar.set_message(text.clone());
        if !self.terminal && tell {
            note(&format!("{} of {}, {text}", view.done, view.targets));
        }
    }

    /// Prints something without the bar in its way.
    fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
