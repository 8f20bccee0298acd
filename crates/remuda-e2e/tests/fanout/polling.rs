//! Agents that take a job and do it later, and all the ways in which that ends.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use remuda_model::run::{Outcome, TroubleKind};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    crowd::{Act, hosts, read, say},
    field::{cluster, fanout, finished, json, listed, said, written},
};

/// How the job of an agent goes.
#[derive(Clone, Copy, Debug)]
enum Course {
    /// Done at the fourth question.
    Steady,
    /// Done when it is given.
    AtOnce,
    /// Done at the ninth question, with two errors before each third one.
    Falters,
    /// Fails at the second question.
    Fails,
    /// Stands still.
    Stuck,
    /// Goes on for ever.
    Endless,
    /// Every question is answered by an error.
    Errs,
    /// Every question is answered by nothing.
    Leaves,
    /// The job is not taken.
    Refuses,
    /// The job is taken and has no name.
    Nameless,
}

const COURSES: [Course; 10] = [
    Course::Steady,
    Course::AtOnce,
    Course::Falters,
    Course::Fails,
    Course::Stuck,
    Course::Endless,
    Course::Errs,
    Course::Leaves,
    Course::Refuses,
    Course::Nameless,
];

/// What is to be said of a target.
struct Wanted {
    outcome: Outcome,
    trouble: Option<(TroubleKind, &'static str)>,
    /// How often it is asked how far it is, where that is sure.
    questions: Option<u32>,
    /// What its last answer has.
    body: &'static str,
}

impl Course {
    fn of(host: Ipv4Addr) -> Self {
        COURSES[usize::from(host.octets()[3]) % COURSES.len()]
    }

    fn wanted(self) -> Wanted {
        let (outcome, trouble, questions, body) = match self {
            Self::Steady => (Outcome::Ok, None, Some(4), "\"progress\":100"),
            Self::AtOnce => (Outcome::Ok, None, Some(0), "\"progress\":100"),
            Self::Falters => (Outcome::Ok, None, Some(9), "\"progress\":100"),
            Self::Fails => {
                let why = (TroubleKind::Job, "its job failed: it says `-1`");
                (Outcome::Unexpected, Some(why), Some(2), "no disk")
            }
            Self::Stuck => {
                let why = (TroubleKind::Stuck, "no progress in 3000 ms: it says `40`");
                (Outcome::TimedOut, Some(why), None, "\"progress\":40")
            }
            Self::Endless => {
                let why = (TroubleKind::Timeout, "not done in 9000 ms");
                (Outcome::TimedOut, Some(why), None, "")
            }
            Self::Errs => {
                let why = (TroubleKind::Status, "3 questions in a row went wrong: it answered 500");
                (Outcome::Unexpected, Some(why), Some(3), "busy")
            }
            Self::Leaves => {
                let why = (TroubleKind::Closed, "3 questions in a row went wrong");
                (Outcome::Failed, Some(why), Some(3), "")
            }
            Self::Refuses => {
                let why = (TroubleKind::Status, "it answered 503");
                (Outcome::Unexpected, Some(why), Some(0), "full")
            }
            Self::Nameless => {
                let why = (TroubleKind::Protocol, "does not name the job");
                (Outcome::Failed, Some(why), Some(0), "\"progress\":0")
            }
        };
        Wanted { outcome, trouble, questions, body }
    }

    /// The answer to the job.
    fn takes(self, host: Ipv4Addr) -> Act {
        match self {
            Self::Refuses => Act::Answer(503, b"full".to_vec()),
            Self::Nameless => Act::ok("{\"progress\":0}"),
            Self::AtOnce => Act::ok(&format!("{{\"job\":\"j-{host}\",\"progress\":100}}")),
            _ => Act::ok(&format!("{{\"job\":\"j-{host}\",\"progress\":0}}")),
        }
    }

    /// The answer to the nth question.
    fn says(self, n: u32) -> Act {
        let at = |progress: u32| Act::ok(&format!("{{\"progress\":{progress}}}"));
        match self {
            Self::Fails if n == 2 => {
                Act::Answer(500, b"{\"progress\":-1,\"error\":\"no disk\"}".to_vec())
            }
            Self::Fails => at(50),
            Self::Stuck => at(40),
            Self::Endless => at(1000 + n),
            Self::Errs => Act::Answer(500, b"busy".to_vec()),
            Self::Leaves => Act::Close,
            Self::Falters if !n.is_multiple_of(3) => Act::Answer(500, b"busy".to_vec()),
            Self::Falters if n < 9 => at(n),
            Self::Steady if n < 4 => at(25 * n),
            _ => at(100),
        }
    }
}

/// How often an agent was asked.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    /// To do the job.
    jobs: u32,
    /// How far it is.
    questions: u32,
    /// Something else.
    others: u32,
}

/// Agents at all addresses of this machine, at one port.
struct Agents {
    port: u16,
    asked: Arc<Mutex<BTreeMap<Ipv4Addr, Asked>>>,
    serving: JoinHandle<()>,
}

impl Agents {
    async fn start() -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
        let port = listener.local_addr().expect("it listens").port();
        let asked = Arc::default();
        let serving = tokio::spawn(serve(listener, Arc::clone(&asked)));
        Self { port, asked, serving }
    }

    fn asked(&self) -> MutexGuard<'_, BTreeMap<Ipv4Addr, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, asked: Arc<Mutex<BTreeMap<Ipv4Addr, Asked>>>) {
    while let Ok((socket, _)) = listener.accept().await {
        let asked = Arc::clone(&asked);
        // Whoever contacts an agent may leave at any time.
        tokio::spawn(async move { drop(answer(socket, &asked).await) });
    }
}

async fn answer(
    mut socket: TcpStream,
    asked: &Mutex<BTreeMap<Ipv4Addr, Asked>>,
) -> std::io::Result<()> {
    let IpAddr::V4(host) = socket.local_addr()?.ip() else { return Ok(()) };
    let request = read(&mut socket).await?;
    let act = {
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = asked.entry(host).or_default();
        // Each request has the key, also each question.
        let is_ours = request.contains("x-key: k3y\r\n");
        if is_ours && request.starts_with("POST /install HTTP/1.1\r\n") {
            asked.jobs += 1;
            Course::of(host).takes(host)
        } else if is_ours && request.starts_with(&format!("GET /status/j-{host} HTTP/1.1\r\n")) {
            asked.questions += 1;
            Course::of(host).says(asked.questions)
        } else {
            asked.others += 1;
            Act::Answer(404, request.into_bytes())
        }
    };
    say(&mut socket, &act).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_which_a_job_ends_has_its_name() {
    let lab = cluster(1, 2).await;
    let agents = Agents::start().await;
    let all = hosts(100);
    let targets = listed(&lab, "hosts.txt", &all);
    let url = format!("http://{{{{host}}}}:{}/install", agents.port);
    let key = format!("key={}", written(&lab, "key", "k3y\n"));
    let arguments = [
        &["http", "POST", &url, "--targets", &targets, "--id", "jobs", "--data", "{}"][..],
        &["-H", "X-Key: {{secrets.key}}", "--secret", &key, "--on", "node!=c1", "--fixed"],
        &["--poll", "/status/{{job}}", "--job", "/job", "--done", "/progress"],
        // A job is given once, however often an attempt may be made again.
        &["--success", "100", "--failure", "-1", "--poll-errors", "2", "--retries", "2"],
        &["--poll-every", "200ms", "--stuck-after", "3s", "--done-within", "9s"],
    ]
    .concat();
    let ended = fanout(&lab, "c1", &arguments).await;
    assert_eq!(ended.code, Some(7), "{ended:#?}");
    assert!(ended.stdout.contains("protocol: its answer does not name the job"), "{ended:#?}");
    assert!(ended.stderr.contains("30 ok, 30 unexpected, 20 failed, 20 timed_out"), "{ended:#?}");

    let kept = finished(&lab.client("c1"), &"jobs".parse().expect("an id")).await;
    let asked = agents.asked().clone();
    let mut troubles = BTreeMap::new();
    for record in &kept {
        let host: Ipv4Addr = record.host.parse().expect("an address");
        let (course, asked) = (Course::of(host), asked[&host]);
        let wanted = course.wanted();
        let trouble = record.trouble.as_ref();
        assert_eq!(record.outcome, wanted.outcome, "{course:?}: {record:?}");
        let (kind, words) = wanted.trouble.unzip();
        assert_eq!(trouble.map(|trouble| trouble.kind), kind, "{course:?}: {record:?}");
        if let (Some(trouble), Some(words)) = (trouble, words) {
            assert!(trouble.message.contains(words), "no `{words}`: {course:?}: {record:?}");
            *troubles.entry(trouble.kind.as_str().to_owned()).or_insert(0_u64) += 1;
        }
        assert!(record.body.contains(wanted.body), "{course:?}: {record:?}");
        assert_eq!((record.attempts, asked.jobs, asked.others), (1, 1, 0), "{course:?}");
        let sure = wanted.questions.unwrap_or(asked.questions);
        assert_eq!(asked.questions, sure, "{course:?}: {record:?}");
        assert!(!record.body.contains("k3y"), "{record:?}");
    }

    let groups = json(&lab, "c1", &["group", "jobs", "--by", "trouble"]).await;
    let found = groups["list"].as_array().expect("groups").iter().filter_map(|group| {
        Some((group["value"].as_str()?.to_owned(), group["count"].as_u64().expect("a number")))
    });
    let found: BTreeMap<_, _> = found.filter(|(kind, _)| troubles.contains_key(kind)).collect();
    assert_eq!(found, troubles);
    let stuck = ["results", "jobs", "--outcome", "timed_out", "--hosts"];
    assert_eq!(said(&lab, "c1", &stuck).await.lines().count(), 20);
    // Nobody is asked once the run is over.
    let later = agents.asked().values().map(|asked| asked.questions).sum::<u32>();
    assert_eq!(later, asked.values().map(|asked| asked.questions).sum::<u32>());
}
