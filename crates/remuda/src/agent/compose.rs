//! Puts the parts of a node together.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use futures_util::future::BoxFuture;
use remuda_api::{ApiConfig, ApiTls, MoreMetrics, Surface};
use remuda_artifact::{Store, StoreConfig};
use remuda_compat_legacy::{Catalogue, Face};
use remuda_control::{Control, ControlConfig};
use remuda_discovery::{
    Finder, Sources,
    lan::{Announcer, Key, Now},
    tracker::{self, TrackerUrl, keep_announced},
};
use remuda_driver_exec::{ExecConfig, exec_class};
use remuda_driver_script::{ScriptConfig, script_classes};
use remuda_driver_wasm::{WasmConfig, wasm_class};
use remuda_fanout::{Admit, Engine, EngineConfig, Shared, policy::PolicyConfig};
use remuda_link::{
    Admission, CertificatesOnly, Endpoint, EndpointConfig, Identity, JoinToken, Limits, Link,
    Router, Secret,
};
use remuda_model::{ClusterId, Generation, LinkUrl, NodeId, Role, Transport};
use remuda_plugin::{Class, ClassTable};
use remuda_runtime::{Supervisor, blocking, metrics::Page};
use remuda_worker::{FilesConfig, StartError, Worker, WorkerConfig};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::{
    Agent, AgentConfig, AgentError, ApiListen, FanoutConfig, RestCommander, STOP_LIMIT, advertise,
    credentials::Credentials,
    data_dir::{DataDir, NodeFile},
    listeners::{self, At},
    live_links::LiveLinks,
    lookout::Lookout,
    member::{self, Member, Ways},
    ports::Ports,
    subnet::Subnet,
};

/// Boxed here, so that all of a node is compiled once, with this crate, and not with every program
/// that starts one.
pub(super) fn start(config: AgentConfig) -> BoxFuture<'static, Result<Agent, AgentError>> {
    Box::pin(async move {
        let supervisor = Supervisor::new();
        let assembled = assemble(config, supervisor.clone()).await;
        if assembled.is_err() && !supervisor.shutdown(STOP_LIMIT).await {
            tracing::warn!("some parts of a node that did not start have not ended in time");
        }
        assembled
    })
}

async fn assemble(mut config: AgentConfig, supervisor: Supervisor) -> Result<Agent, AgentError> {
    let data = Arc::new(DataDir::open(&config.data_dir)?);
    for file in &config.stale_files {
        data.forget(file)?;
    }
    let mut ports = Ports::open(data.path().join("ports.json"))?;
    if let (Some(port), Some(api)) = (config.preferred_api_port, &config.api) {
        ports.prefer(&api_key(api), port);
    }
    let cluster = data.node()?.map(|file| file.cluster);
    let cluster = cluster.or_else(|| config.token.as_ref().map(|token| token.cluster.clone()));
    let finder = finder(&config, cluster.clone());
    let subnet = Subnet::new(&config, cluster, &supervisor);
    let own_tracker = own_tracker(&config, &supervisor).await?;
    if data.controls()?.is_empty() {
        subnet.help(&finder);
    }
    let ways = Ways { finder: &finder, subnet: &subnet, ports: &mut ports };
    let member = member::establish(&data, &config, ways, &supervisor).await?;
    let generation = data.next_generation()?;
    let artifacts = artifacts(&data).await?;
    let classes = classes(&data, &mut config, &artifacts).await?;

    let control = control(&data, &config, &member, (&classes, &artifacts), &supervisor).await?;
    // The authority is kept now.
    member.keep(&data)?;
    let admission: Arc<dyn Admission> = match &control {
        Some(control) => control.admission(),
        None => Arc::new(CertificatesOnly),
    };
    let (endpoint, links) = endpoint(&config, &member, generation, admission, &supervisor)?;
    let parts = (classes, artifacts);
    let worker = worker(&data, &config, &member, generation, parts, &supervisor).await?;
    let credentials = Credentials::open(endpoint.clone(), worker.clone(), &data)?;
    let when = if member.was_added() { At::Last } else { At::Once };
    let door = &endpoint;
    let listening = listeners::open(&config.listen, &mut ports, when, |url| {
        Box::pin(async move { door.listen(&url).await })
    });
    let listening = listening.await?;
    let advertised = advertise::addresses(&config.advertise, &listening, &member.peers(&config));
    endpoint.set_advertise(advertised.clone());
    worker.set_addresses(advertised.clone());

    let mut others = other_protocols(&mut config, control.as_ref());
    credentials.register(&mut others);
    let own = listening.iter().chain(&advertised);
    let engine = fanout(&config, &member.file.node, own, &worker, &supervisor);
    engine.register(&mut others);
    worker.set_diagnosis(diagnosis(&mut config, control.clone(), engine.clone()));
    let mut router = others.clone();
    worker.register(&mut router);
    let router = Arc::new(router);
    let live = LiveLinks::default();
    let served =
        Served { router, control: control.clone(), worker: worker.clone(), live: live.clone() };
    serve_links(links, served, &supervisor);
    let mut known = member.controls.clone();
    // A crowd that was cut off at once shall not come back to one control node.
    fastrand::shuffle(&mut known);
    let (candidates, receiver) = watch::channel(known.clone());
    if let Some(control) = &control {
        control.set_addresses(advertised.clone());
        control.start(endpoint.clone());
        found_or_enlist(control, &member, &receiver).await?;
        let announced = announcer(control, &member, advertised.clone());
        for tracker in config.trackers.iter().chain(&own_tracker) {
            keep_announced(tracker.clone(), announced.clone(), &supervisor);
        }
        let told = if config.advertise.is_empty() { &listening } else { &config.advertise };
        subnet.announce(Announcer { addresses: told.clone(), ..announced });
        let own = own_control(&endpoint).await?;
        candidates.send_modify(|urls| urls.insert(0, own));
    }
    credentials.keep_fresh(candidates.subscribe(), &supervisor);
    let status = worker.status();
    let own = listening.iter().chain(&advertised).cloned().collect();
    let lookout = Lookout { finder, known, status, subnet: subnet.clone(), own };
    lookout.start(control.clone(), candidates, &supervisor);
    worker.find_owner(endpoint.clone(), others, receiver);
    let api = match (&control, &config.api) {
        (Some(control), Some(api)) => {
            let config = api_config(api, &endpoint, (&worker, &engine))?;
            let served = serve_api(control, api, config, &mut ports, &supervisor).await;
            Some(served?)
        }
        _ => None,
    };
    let rest_commander = match (&control, &config.rest_commander) {
        (Some(control), Some(face)) => {
            let node = member.file.node.clone();
            let served = rest_commander(face, (control, node), &config, &endpoint, &supervisor);
            Some(served.await?)
        }
        _ => None,
    };
    let node = member.file.node;
    let drain_limit = config.drain_limit;
    Ok(Agent {
        node,
        endpoint,
        worker,
        control,
        listening,
        links: live,
        api,
        rest_commander,
        drain_limit,
        supervisor,
        _data: data,
    })
}

fn finder(config: &AgentConfig, cluster: Option<ClusterId>) -> Finder {
    Finder::new(Sources {
        join: config.join.clone(),
        name_server: config.dns_server,
        trackers: config.trackers.clone(),
        cluster,
        key: config.token.as_ref().map(|token| Key::of_secret(&token.secret)),
        plaintext: config.allow_plaintext,
        // Unless a name server was given that the system does not know.
        keep_names: config.proxy.is_some() || config.dns_server.is_none(),
    })
}

/// Serves a tracker where the node shall be one; tells where this node finds it.
async fn own_tracker(
    config: &AgentConfig,
    supervisor: &Supervisor,
) -> Result<Option<TrackerUrl>, AgentError> {
    let Some(listen) = config.tracker_listen else { return Ok(None) };
    let served = tracker::serve(listen, supervisor).await;
    let address = served.map_err(|source| AgentError::Tracker { listen, source })?;
    tracing::info!(%address, "serves a tracker: everybody who reaches it may read and write");
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(Some(TrackerUrl::at((ip, address.port()).into())))
}

/// What a control node says of itself to those who look for its cluster.
fn announcer(control: &Control, member: &Member, addresses: Vec<LinkUrl>) -> Announcer {
    let control = control.clone();
    let now = Arc::new(move || {
        let tokens = [Role::Worker, Role::Control].map(|role| control.join_token(role));
        let tokens = tokens.into_iter().flatten();
        let tokens = tokens.filter_map(|text| text.parse::<JoinToken>().ok());
        let keys = tokens.map(|token| Key::of_secret(&token.secret)).collect();
        Now { name: control.cluster_name().unwrap_or_default(), keys }
    });
    let NodeFile { cluster, node, .. } = member.file.clone();
    Announcer { cluster, node, addresses, now }
}

async fn classes(
    data: &DataDir,
    config: &mut AgentConfig,
    artifacts: &Store,
) -> Result<ClassTable, AgentError> {
    let table = ClassTable::default();
    let fix = |class: Arc<dyn Class>| {
        let fixed = table.fix(class).map_err(StartError::from);
        fixed.map_err(AgentError::part("the job classes"))
    };
    std::mem::take(&mut config.classes).into_iter().try_for_each(fix)?;
    if let Some(program) = config.holder_program.clone() {
        let native = native_classes(data, config, artifacts, program).await?;
        native.into_iter().try_for_each(fix)?;
    }
    // Names that it finds taken are not for components.
    let store = artifacts.clone();
    let components =
        WasmConfig::new(data.part("wasm")?, table.clone(), move |digest| store.path(digest));
    let made = wasm_class(components).await;
    fix(made.map_err(AgentError::part("the job class wasm"))?)?;
    Ok(table)
}

/// The classes whose work is done by processes.
async fn native_classes(
    data: &DataDir,
    config: &AgentConfig,
    artifacts: &Store,
    program: PathBuf,
) -> Result<Vec<Arc<dyn Class>>, AgentError> {
    let mut classes = Vec::new();
    let exec = |part: &str| -> Result<ExecConfig, AgentError> {
        Ok(ExecConfig { data_dir: data.part(part)?, program: program.clone() })
    };
    let made = exec_class(exec("holder")?).await;
    classes.push(made.map_err(AgentError::part("the job class exec"))?);
    // The processes of scripts are nobody else's.
    let made = exec_class(exec("script-holder")?).await;
    let held = made.map_err(AgentError::part("the processes of scripts"))?;
    let store = artifacts.clone();
    let scripts = ScriptConfig {
        data_dir: data.part("scripts")?,
        program: program.clone(),
        lookup: Arc::new(move |digest| store.path(digest)),
        exec: held,
        allow_file: config.file_repositories,
    };
    let made = script_classes(scripts).await;
    classes.extend(made.map_err(AgentError::part("the job classes of scripts"))?);
    Ok(classes)
}

/// Content by digest: what is on its way to nodes, and what is run of it.
async fn artifacts(data: &DataDir) -> Result<Store, AgentError> {
    let opened = Store::open(StoreConfig::new(data.part("artifacts")?)).await;
    opened.map_err(AgentError::part("the content kept by digest"))
}

async fn control(
    data: &DataDir,
    config: &AgentConfig,
    member: &Member,
    (classes, artifacts): (&ClassTable, &Store),
    supervisor: &Supervisor,
) -> Result<Option<Control>, AgentError> {
    if !config.roles.is_control() {
        return Ok(None);
    }
    let control = ControlConfig {
        node: member.file.node.clone(),
        data_dir: data.part("control")?,
        addresses: Vec::new(),
        authority: member.authority.clone(),
        classes: classes.all().into_iter().map(|(_, class)| class).collect(),
        artifacts: artifacts.clone(),
        timing: remuda_store::Timing::default(),
    };
    let opened = Control::open_as(config.release, control, supervisor.child()).await;
    opened.map(Some).map_err(AgentError::part("the control side"))
}

/// Takes part in fan-out runs.
fn fanout<'a>(
    config: &AgentConfig,
    node: &NodeId,
    own: impl Iterator<Item = &'a LinkUrl>,
    worker: &Worker,
    supervisor: &Supervisor,
) -> Engine {
    let FanoutConfig { slots, allow, allow_loopback, ports } = config.fanout.clone();
    let api = config.api.as_ref().map(|api| api.address);
    let listeners = own.filter_map(|url| Some(SocketAddr::new(url.host.parse().ok()?, url.port)));
    let face = config.rest_commander.as_ref().map(|face| face.listen);
    let own = listeners.chain(api).chain(config.tracker_listen).chain(face).collect();
    let open = Shared::new(PolicyConfig { allow, allow_loopback, ports, own }).opener();
    let worker = worker.clone();
    let admit: Admit = Arc::new(move |epoch| {
        let worker = worker.clone();
        Box::pin(async move { worker.admit(epoch).await })
    });
    let config = EngineConfig { slots, ..EngineConfig::new(node.clone()) };
    Engine::new(config, open, admit, supervisor.token())
}

fn endpoint(
    config: &AgentConfig,
    member: &Member,
    generation: Generation,
    admission: Arc<dyn Admission>,
    supervisor: &Supervisor,
) -> Result<(Endpoint, mpsc::Receiver<Link>), AgentError> {
    let identity = Identity {
        node: member.file.node.clone(),
        cluster: member.file.cluster.clone(),
        role: member.file.role,
        generation,
        certificate: Some(member.certificate.clone()),
    };
    let endpoint = EndpointConfig {
        identity,
        advertise: Vec::new(),
        allow_plaintext: config.allow_plaintext,
        admission,
        secret: config.token.as_ref().map(|token| Secret::random_key(token.secret)),
        limits: Limits::default(),
    };
    let made = Endpoint::new(endpoint, supervisor.clone());
    let (endpoint, links) = made.map_err(AgentError::part("the endpoint for links"))?;
    endpoint.set_release(config.release);
    endpoint.set_proxy(config.proxy.clone());
    Ok((endpoint, links))
}

async fn worker(
    data: &DataDir,
    config: &AgentConfig,
    member: &Member,
    generation: Generation,
    (classes, artifacts): (ClassTable, Store),
    supervisor: &Supervisor,
) -> Result<Worker, AgentError> {
    let files = FilesConfig {
        roots: config.files.clone(),
        except: vec![data.path().to_owned()],
        artifacts,
    };
    let worker = WorkerConfig {
        node: member.file.node.clone(),
        generation,
        roles: config.roles,
        data_dir: data.part("worker")?,
        labels: config.labels.clone(),
        attributes: attributes(config),
        classes,
        files,
    };
    let started = Worker::start_as(config.release, worker, supervisor.clone()).await;
    started.map_err(AgentError::part("the worker"))
}

/// Facts about this machine.
fn attributes(config: &AgentConfig) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let mut fact = |key: &str, value: &str| facts.insert(key.to_owned(), value.to_owned());
    fact("os", std::env::consts::OS);
    fact("cpu.arch", std::env::consts::ARCH);
    let uname = rustix::system::uname();
    fact("hostname", &uname.nodename().to_string_lossy());
    fact("kernel", &uname.release().to_string_lossy());
    if config.holder_program.is_some() {
        fact("class.exec", "true");
    }
    facts
}

/// The protocols of this node but for those of its worker.
fn other_protocols(config: &mut AgentConfig, control: Option<&Control>) -> Router {
    let mut router = Router::new();
    if let Some(control) = control {
        control.register(&mut router);
    }
    if let Some(setup) = config.router.take() {
        setup(&mut router);
    }
    router
}

/// What the program and the parts of this node say to whoever looks for a fault.
fn diagnosis(
    config: &mut AgentConfig,
    control: Option<Control>,
    engine: Engine,
) -> impl Fn() -> Value + Send + Sync + 'static {
    let program = config.diagnosis.take();
    move || {
        let mut page = Page::new();
        if let Some(control) = &control {
            control.write_metrics(&mut page);
        }
        engine.write_metrics(&mut page);
        json!({
            "program": program.as_ref().map(|read| read()),
            "replica": control.as_ref().map(Control::replica_state),
            "metrics": page.into_text(),
        })
    }
}

/// What a link meets on this node.
struct Served {
    router: Arc<Router>,
    control: Option<Control>,
    worker: Worker,
    live: LiveLinks,
}

/// Serves every link, whoever dialled it, and shows it to the parts that look for peers.
fn serve_links(mut links: mpsc::Receiver<Link>, served: Served, supervisor: &Supervisor) {
    let (stop, nursery) = (supervisor.token(), supervisor.clone());
    supervisor.spawn("links", async move {
        loop {
            let link = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                link = links.recv() => match link {
                    Some(link) => link,
                    None => break,
                },
            };
            served.live.add(link.clone());
            let (router, nurse, its) = (Arc::clone(&served.router), nursery.clone(), link.clone());
            nursery.spawn("link", async move { router.serve(its, &nurse).await });
            if let Some(control) = &served.control {
                control.offer(link.clone());
            }
            served.worker.offer(link);
        }
    });
}

/// Founds the cluster that was made here, once; otherwise finds the other control nodes.
async fn found_or_enlist(
    control: &Control,
    member: &Member,
    controls: &watch::Receiver<Vec<LinkUrl>>,
) -> Result<(), AgentError> {
    if let Some(made) = &member.made {
        let tokens = vec![made.admin_record()];
        let cluster = &made.record;
        match control.bootstrap(cluster.id.clone(), &cluster.name, tokens).await {
            Ok(()) => return Ok(()),
            // Founded at an earlier boot.
            Err(failure) if failure.code == "initialized" => {}
            Err(failure) => return Err(AgentError::part("the cluster")(failure)),
        }
    }
    control.enlist(controls.clone());
    Ok(())
}

/// The way from the worker half of a control node to its control half: memory.
async fn own_control(endpoint: &Endpoint) -> Result<LinkUrl, AgentError> {
    let host = endpoint.identity().node.to_string();
    let url = LinkUrl { host, port: 0, transport: Transport::Mem, path: None };
    let listened = endpoint.listen(&url).await;
    listened.map_err(|source| AgentError::Listen { url, source: Box::new(source) })
}

/// Under which name the port of the API is kept.
fn api_key(api: &ApiListen) -> String {
    format!("api {}", api.address)
}

async fn serve_api(
    control: &Control,
    api: &ApiListen,
    config: ApiConfig,
    ports: &mut Ports,
    supervisor: &Supervisor,
) -> Result<SocketAddr, AgentError> {
    let key = api_key(api);
    let mut last = None;
    for port in ports.candidates(&key, api.address.port()) {
        let listen = SocketAddr::new(api.address.ip(), port);
        let config = ApiConfig { listen, ..config.clone() };
        match remuda_api::serve(config, control.clone(), supervisor.clone()).await {
            Ok(address) => {
                ports.keep(&key, address.port())?;
                return Ok(address);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(AgentError::Api(last.expect("at least one port was tried")))
}

fn api_config(
    api: &ApiListen,
    endpoint: &Endpoint,
    (worker, engine): (&Worker, &Engine),
) -> Result<ApiConfig, AgentError> {
    let (worker, engine) = (worker.clone(), engine.clone());
    let more_metrics = MoreMetrics::new(move |page| {
        engine.write_metrics(page);
        worker.write_metrics(page);
    });
    Ok(ApiConfig {
        tls: api_tls(api, endpoint)?,
        insecure: api.insecure,
        names: api.hosts.clone(),
        open_metrics: api.open_metrics,
        more_metrics: Some(more_metrics),
        ..ApiConfig::new(api.address)
    })
}

/// Answers as REST Commander did, on an address of its own under the terms of the API.
async fn rest_commander(
    face: &RestCommander,
    (control, node): (&Control, NodeId),
    config: &AgentConfig,
    endpoint: &Endpoint,
    supervisor: &Supervisor,
) -> Result<SocketAddr, AgentError> {
    let dir = face.dir.clone();
    let read = blocking(move || Catalogue::load(&dir)).await;
    let catalogue = read.map_err(AgentError::part("the face of REST Commander"))?;
    let catalogue =
        catalogue.map_err(|source| AgentError::RestCommander { dir: face.dir.clone(), source })?;
    let api = ApiListen {
        address: face.listen,
        insecure: config.api.as_ref().is_some_and(|api| api.insecure),
        hosts: config.api.as_ref().map(|api| api.hosts.clone()).unwrap_or_default(),
        open_metrics: false,
    };
    let terms = ApiConfig {
        tls: api_tls(&api, endpoint)?,
        insecure: api.insecure,
        names: api.hosts,
        ..ApiConfig::new(api.address)
    };
    let surface = Surface {
        name: "the face of REST Commander",
        router: Face::new(control.clone(), node, catalogue).into_router(),
        scope: remuda_compat_legacy::scope_of,
    };
    let served = remuda_api::serve_surface(terms, control.clone(), supervisor.clone(), surface);
    let address = served.await.map_err(AgentError::Api)?;
    tracing::info!(%address, "answers as REST Commander did");
    Ok(address)
}

/// Beyond loopback the API shows the certificate of the node, whose CA clients know or pin.
fn api_tls(api: &ApiListen, endpoint: &Endpoint) -> Result<Option<ApiTls>, AgentError> {
    if api.insecure || api.address.ip().to_canonical().is_loopback() {
        return Ok(None);
    }
    let endpoint = endpoint.clone();
    let current = move || {
        let own = endpoint.identity().certificate?;
        Some((vec![own.certificate, own.ca], own.key.to_vec()))
    };
    ApiTls::live(current).map(Some).map_err(AgentError::part("TLS of the API"))
}
