//! Questions after a request, until the target says that it is done.
//!
//! What to make of an answer is a function; only [`run`] asks.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode, header};
use remuda_model::run::TroubleKind;
use remuda_run::check::{PollPlan, Progress};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{Ask, Talk, redirect::same_server, speaks_of_body};
use crate::contact::{Draft, Stop};

/// Sends the request, then asks until the target is done. The last answer stays in the draft.
pub(super) async fn run(
    poll: &PollPlan,
    talk: &Talk<'_>,
    first: &Ask,
    draft: &mut Draft,
) -> Result<(), Stop> {
    let status = request(talk, first, draft).await?;
    talk.judge(&first.method, status)?;
    let answer = parse(draft.body.as_slice())?;
    let question = question(poll, talk, first, &answer)?;
    let mut course = Course::new(poll, Instant::now());
    let mut seen = Seen::from(poll.progress(&answer));
    loop {
        if let Some(end) = course.next(seen, Instant::now()) {
            return end;
        }
        sleep(Duration::from_millis(poll.interval_ms)).await;
        seen = match request(talk, &question, draft).await {
            Ok(status) => {
                let judged = talk.judge(&question.method, status);
                match parse(draft.body.as_slice()) {
                    Ok(answer) => Seen::from(poll.progress(&answer)).with(judged),
                    Err(stop) => Seen::Wrong(judged.err().unwrap_or(stop)),
                }
            }
            Err(stop) if stop.passes => Seen::Wrong(stop),
            Err(stop) => return Err(stop),
        };
    }
}

/// What is asked again and again.
fn question(poll: &PollPlan, talk: &Talk<'_>, first: &Ask, answer: &Value) -> Result<Ask, Stop> {
    let job = poll.job(answer);
    if poll.needs_job() && job.is_none() {
        return Err(Stop::new(TroubleKind::Protocol, "its answer does not name the job"));
    }
    let job = job.unwrap_or_default();
    let url = talk.visit.fill(|values| poll.url(&first.url, values, &job))?;
    let same = same_server(&first.url, &url) && (url.tls || !first.url.tls);
    let headers = first.headers.iter().filter(|(name, _, own)| {
        !speaks_of_body(name) && (same || !(*own || *name == header::HOST))
    });
    Ok(Ask {
        url,
        method: Method::GET,
        headers: headers.cloned().collect(),
        body: Bytes::new(),
        tls_name: first.tls_name.clone().filter(|_| same),
    })
}

/// One request within the time for one.
async fn request(talk: &Talk<'_>, ask: &Ask, draft: &mut Draft) -> Result<StatusCode, Stop> {
    let limit = talk.visit.one_request();
    timeout(limit, talk.send(ask, draft)).await.unwrap_or_else(|_late| {
        let message = format!("no whole answer in {} ms", limit.as_millis());
        Err(Stop::passing(TroubleKind::Timeout, message))
    })
}

fn parse(body: &[u8]) -> Result<Value, Stop> {
    serde_json::from_slice(body).map_err(|error| {
        Stop::new(TroubleKind::Protocol, format!("its answer is no JSON: {error}"))
    })
}

/// What a question brought.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Done,
    Failed(String),
    /// Not done; the field has this value.
    At(String),
    Wrong(Stop),
}

impl From<Progress> for Seen {
    fn from(progress: Progress) -> Self {
        match progress {
            Progress::Success => Self::Done,
            Progress::Failure(value) => Self::Failed(shortened(&value)),
            Progress::Running(value) => Self::At(shortened(&value)),
            Progress::Missing => {
                let message = "its answer does not say how far the job is";
                Self::Wrong(Stop::new(TroubleKind::Protocol, message))
            }
        }
    }
}

impl Seen {
    /// The same, given whether the status was as expected: a failure counts whatever the status is.
    fn with(self, status: Result<(), Stop>) -> Self {
        match (self, status) {
            (Self::Failed(value), _) => Self::Failed(value),
            (_, Err(stop)) => Self::Wrong(stop),
            (seen, Ok(())) => seen,
        }
    }
}

/// How the job of a target goes.
#[derive(Debug)]
struct Course {
    stuck: Duration,
    max_errors: u32,
    value: Option<String>,
    changed: Instant,
    errors: u32,
}

impl Course {
    fn new(poll: &PollPlan, now: Instant) -> Self {
        Self {
            stuck: Duration::from_millis(poll.stuck_ms),
            max_errors: poll.max_errors,
            value: None,
            changed: now,
            errors: 0,
        }
    }

    /// Takes what a question brought; how it ends, if it does.
    fn next(&mut self, seen: Seen, now: Instant) -> Option<Result<(), Stop>> {
        match seen {
            Seen::Done => return Some(Ok(())),
            Seen::Failed(value) => {
                let message = format!("its job failed: it says `{value}`");
                return Some(Err(Stop::new(TroubleKind::Job, message)));
            }
            Seen::At(value) => {
                self.errors = 0;
                if self.value.as_ref() != Some(&value) {
                    self.value = Some(value);
                    self.changed = now;
                }
            }
            Seen::Wrong(mut stop) => {
                self.errors += 1;
                if self.errors > self.max_errors {
                    let words = format!("{} questions in a row went wrong", self.errors);
                    stop.trouble.message = format!("{words}: {}", stop.trouble.message);
                    return Some(Err(Stop { passes: false, ..stop }));
                }
            }
        }
        if now.saturating_duration_since(self.changed) < self.stuck {
            return None;
        }
        let ms = self.stuck.as_millis();
        let at = self.value.as_ref().map_or(String::new(), |value| format!(": it says `{value}`"));
        let message = format!("its job made no progress in {ms} ms{at}");
        Some(Err(Stop::new(TroubleKind::Stuck, message)))
    }
}

/// A value for people.
fn shortened(value: &str) -> String {
    const MOST: usize = 200;
    match value.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course() -> (Course, Instant) {
        let now = Instant::now();
        let stuck = Duration::from_secs(10);
        (Course { stuck, max_errors: 2, value: None, changed: now, errors: 0 }, now)
    }

    fn wrong() -> Seen {
        Seen::Wrong(Stop::passing(TroubleKind::Closed, "closed"))
    }

    #[test]
    fn only_errors_in_a_row_count() {
        let (mut course, now) = course();
        for round in 0..5 {
            assert_eq!(course.next(wrong(), now), None);
            assert_eq!(course.next(wrong(), now), None);
            assert_eq!(course.next(Seen::At(round.to_string()), now), None);
        }
        assert_eq!(course.next(wrong(), now), None);
        assert_eq!(course.next(wrong(), now), None);
        let stop = course.next(wrong(), now).expect("an end").expect_err("trouble");
        assert_eq!(stop.trouble.message, "3 questions in a row went wrong: closed");
        assert!(!stop.passes, "the job was given");
    }

    #[test]
    fn a_value_that_stays_is_stuck_and_one_that_changes_is_not() {
        let (mut course, start) = course();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(course.next(Seen::At("1".to_owned()), at(9)), None);
        assert_eq!(course.next(Seen::At("1".to_owned()), at(18)), None);
        assert_eq!(course.next(Seen::At("2".to_owned()), at(19)), None);
        assert_eq!(course.next(wrong(), at(28)), None);
        let stop = course.next(Seen::At("2".to_owned()), at(29)).expect("an end");
        assert_eq!(stop.expect_err("trouble").trouble.kind, TroubleKind::Stuck);
    }

    #[test]
    fn success_needs_the_expected_status_and_failure_does_not() {
        let stop = Stop::new(TroubleKind::Status, "500");
        assert_eq!(Seen::Done.with(Err(stop.clone())), Seen::Wrong(stop.clone()));
        let failed = Seen::Failed("-1".to_owned());
        assert_eq!(failed.clone().with(Err(stop)), failed);
        assert_eq!(Seen::Done.with(Ok(())), Seen::Done);
    }

    #[test]
    fn long_values_are_cut_at_a_letter() {
        assert_eq!(shortened(&"ü".repeat(500)).chars().count(), 201);
    }
}
