//! A whole node: the control side with its API, and a worker that reaches it through memory.

use std::time::Duration;

use remuda_control::Consistency;
use remuda_link::{Endpoint, EndpointConfig, Identity, Limits, Router};
use remuda_model::{ClusterId, Generation, Labels, LinkUrl, NodeStatus, Role, Roles, Transport};
use remuda_plugin::{ClassTable, erase};
use remuda_runtime::Supervisor;
use remuda_worker::{FilesConfig, Worker, WorkerConfig};
use tokio::sync::watch;

use super::{
    fixture::{DEADLINE, Server},
    played::Played,
};

/// A cluster of one node, `c1`, that is ready for work.
pub(super) struct Node {
    pub(super) server: Server,
    /// The tasks that have ended, each with the grace it was given if it was stopped.
    ended: watch::Receiver<Vec<Option<Duration>>>,
    worker: Supervisor,
}

impl Node {
    pub(super) async fn start() -> Self {
        let server = Server::start().await;
        let (control, supervisor) = (server.control.clone(), server.supervisor.clone());
        let identity = Identity {
            node: "c1".parse().expect("valid"),
            cluster: ClusterId::random(),
            role: Role::Control,
            generation: Generation(1),
            certificate: None,
        };
        let endpoint = EndpointConfig {
            identity,
            advertise: Vec::new(),
            allow_plaintext: true,
            admission: control.admission(),
            secret: None,
            limits: Limits::default(),
        };
        let (endpoint, mut links) =
            Endpoint::new(endpoint, supervisor.clone()).expect("an endpoint");
        let any = LinkUrl { host: "x".into(), port: 0, transport: Transport::Mem, path: None };
        let url = endpoint.listen(&any).await.expect("listens");

        let (sender, ended) = watch::channel(Vec::new());
        let played = Played { dir: server.dir.path().join("output"), ended: sender };
        let classes = ClassTable::default();
        classes.fix(erase(played)).expect("the only class");
        let worker = WorkerConfig {
            node: "c1".parse().expect("valid"),
            generation: Generation(1),
            roles: Roles::CONTROL,
            data_dir: server.dir.path().join("worker"),
            labels: Labels::default(),
            attributes: [].into(),
            classes,
            files: FilesConfig {
                roots: vec![server.dir.path().to_owned()],
                except: vec![server.dir.path().join("worker")],
                artifacts: control.artifacts().clone(),
            },
        };
        let worker_supervisor = Supervisor::new();
        let worker = Worker::start(worker, worker_supervisor.clone()).await.expect("a worker");
        let mut router = Router::new();
        worker.register(&mut router);
        control.register(&mut router);
        let (nursery, its_control, its_worker) =
            (supervisor.clone(), control.clone(), worker.clone());
        supervisor.spawn("links", async move {
            let stop = nursery.token();
            loop {
                let link = tokio::select! {
                    () = stop.cancelled() => return,
                    link = links.recv() => link,
                };
                let Some(link) = link else { return };
                its_control.offer(link.clone());
                its_worker.offer(link.clone());
                let (router, nurse) = (router.clone(), nursery.clone());
                nursery.spawn("link", async move { router.serve(link, &nurse).await });
            }
        });
        control.start(endpoint.clone());
        let (_, candidates) = watch::channel(vec![url]);
        worker.find_owner(endpoint, Router::new(), candidates);
        let me = "c1".parse().expect("valid");
        let ready = async {
            while !control
                .node(&me, Consistency::Stale)
                .await
                .is_ok_and(|node| node.status == NodeStatus::Ready)
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, ready).await.expect("ready in time");
        Self { server, ended, worker: worker_supervisor }
    }

    /// Ends the worker while its owner still listens, then the rest.
    pub(super) async fn stop(self) {
        assert!(self.worker.shutdown(DEADLINE).await, "all tasks end");
        self.server.stop().await;
    }

    /// Waits until a task has ended; tells the grace it was given if it was stopped.
    pub(super) async fn ended(&mut self) -> Option<Duration> {
        let ended = self.ended.wait_for(|ended| !ended.is_empty());
        let ended = tokio::time::timeout(DEADLINE, ended).await.expect("in time");
        ended.expect("a worker")[0]
    }
}
