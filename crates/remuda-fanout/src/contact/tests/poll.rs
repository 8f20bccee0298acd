//! Agents that take a job and do it later.

use std::sync::atomic::{AtomicU32, Ordering};

use remuda_model::run::{Header, Poll};

use super::*;

fn job(server: SocketAddr) -> Http {
    let mut http = get(format!("http://{server}/submitJob"));
    http.method = "POST".to_owned();
    http.headers = vec![Header { name: "authorization".to_owned(), value: "k".to_owned() }];
    http.poll = Some(Poll {
        url: "/status/{{job}}".to_owned(),
        job: Some("/status".to_owned()),
        done: "/progress".to_owned(),
        success: vec!["100".to_owned()],
        failure: vec!["-1".to_owned()],
        interval_ms: Some(100),
        stuck_ms: None,
        max_errors: Some(2),
        total_ms: None,
    });
    http
}

/// An agent that answers the nth request with what a function makes of it.
async fn agent(answer: impl Fn(u32, &str) -> String + Clone + Send + 'static) -> SocketAddr {
    let n = Arc::new(AtomicU32::new(0));
    answering(move |asked| answer(n.fetch_add(1, Ordering::SeqCst), asked)).await
}

fn progress(n: i32) -> String {
    reply("200 OK", "", &format!("{{\"status\":\"/status/u-1\",\"progress\":{n}}}"))
}

async fn run(http: Http) -> Attempt {
    attempt(Command::Http(http)).await
}

#[tokio::test]
async fn a_job_is_asked_for_until_it_is_done() {
    let server = agent(|n, asked| match n {
        0 if asked.starts_with("POST /submitJob ") && asked.contains("authorization: k") => {
            progress(0)
        }
        1..=2 if asked.starts_with("GET /status/u-1 ") && asked.contains("authorization: k") => {
            progress(30 * i32::try_from(n).expect("small"))
        }
        3 => reply("200 OK", "", "{\"progress\":100,\"result\":\"fine\"}"),
        _ => reply("400 Bad Request", "", asked),
    })
    .await;
    let done = run(job(server)).await;
    assert_eq!((done.record.outcome, done.record.status), (Outcome::Ok, Some(200)), "{done:?}");
    assert_eq!(done.body(), "{\"progress\":100,\"result\":\"fine\"}");
}

#[tokio::test]
async fn a_job_may_be_done_at_once() {
    let server =
        agent(|_, _| reply("200 OK", "", "{\"progress\":100,\"status\":\"/status/done\"}")).await;
    assert_eq!(run(job(server)).await.record.outcome, Outcome::Ok);
}

#[tokio::test]
async fn a_job_may_fail_with_any_status() {
    let server = agent(|n, _| match n {
        0 => progress(0),
        _ => reply("500 Failed", "", "{\"progress\":-1,\"errorMsg\":\"no disk\"}"),
    })
    .await;
    let done = run(job(server)).await;
    assert_eq!((done.record.outcome, done.kind()), (Outcome::Unexpected, Some(TroubleKind::Job)));
    assert!(done.body().contains("no disk"));
    assert_eq!(done.again, Again::No);
}

#[tokio::test]
async fn errors_in_a_row_end_it_and_others_do_not() {
    // One answer after every second error.
    let server = agent(|n, _| match n {
        9 => progress(100),
        n if n % 3 == 0 => progress(i32::try_from(n).expect("small")),
        _ => reply("500 Busy", "", "no JSON"),
    })
    .await;
    assert_eq!(run(job(server)).await.record.outcome, Outcome::Ok);
    let server = agent(|n, _| if n == 0 { progress(0) } else { String::new() }).await;
    let done = run(job(server)).await;
    assert_eq!((done.record.outcome, done.kind()), (Outcome::Failed, Some(TroubleKind::Closed)));
    assert!(done.message().starts_with("3 questions in a row went wrong: "), "{}", done.message());
    assert_eq!(done.again, Again::No, "the job was submitted");
}

#[tokio::test]
async fn a_job_without_progress_is_stuck() {
    let server = agent(|_, _| progress(40)).await;
    let mut http = job(server);
    http.poll.as_mut().expect("polls").stuck_ms = Some(250);
    let done = run(http).await;
    assert_eq!((done.record.outcome, done.kind()), (Outcome::TimedOut, Some(TroubleKind::Stuck)));
    assert!(done.message().ends_with("it says `40`"), "{}", done.message());
}

#[tokio::test]
async fn a_job_that_goes_on_for_ever_ends_by_its_total() {
    let server = agent(|n, _| progress(i32::try_from(n).expect("small"))).await;
    let mut http = job(server);
    let poll = http.poll.as_mut().expect("polls");
    (poll.total_ms, poll.success) = (Some(400), vec!["done".to_owned()]);
    let done = run(http).await;
    assert_eq!((done.record.outcome, done.kind()), (Outcome::TimedOut, Some(TroubleKind::Timeout)));
    assert_eq!(done.again, Again::No);
}

#[tokio::test]
async fn an_answer_without_a_job_ends_it_at_once() {
    for body in ["{\"progress\":0}", "{\"status\":\"/\",\"progress\":0}", "no JSON", "{"] {
        let server = agent(move |_, _| reply("200 OK", "", body)).await;
        let done = run(job(server)).await;
        assert_eq!(done.kind(), Some(TroubleKind::Protocol), "{body}: {done:?}");
    }
    let server = agent(|_, _| reply("401 Unauthorized", "", "{}")).await;
    assert_eq!(run(job(server)).await.kind(), Some(TroubleKind::Status));
}

#[tokio::test]
async fn a_job_elsewhere_gets_no_credentials() {
    let elsewhere = answering(|asked| {
        reply("200 OK", "", &format!("{{\"progress\":100,\"asked\":{asked:?}}}"))
    })
    .await;
    let server = agent(|_, _| progress(0)).await;
    let mut http = job(server);
    http.poll.as_mut().expect("polls").url = format!("http://{elsewhere}/{{{{job}}}}");
    let done = run(http).await;
    assert!(done.body().contains("GET /u-1 "), "{done:?}");
    assert!(!done.body().contains("authorization"), "{done:?}");
}
