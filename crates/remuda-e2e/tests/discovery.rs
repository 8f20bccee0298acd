//! How nodes find their cluster.

mod namespaces_with_dnsmasq {
    use remuda_e2e::{Lab, NameServer, Namespace, pair};

    fn listen(namespace: &Namespace, port: u16) -> String {
        format!("remuda://{}:{port}", namespace.address())
    }

    /// A worker in `place` that knows a name, a name server and a token.
    async fn join_by_name(lab: &mut Lab, place: &Namespace, server: &NameServer, name: &str) {
        let token = lab.join_token("worker");
        let known = ["--join", name, "--dns-server", server.address(), "--token", &token];
        let listen = ["--listen", ""];
        lab.add_at(&place.place(), "w1", &[&known[..], &listen[..]].concat()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_name_alone_leads_to_the_cluster_by_naptr_and_srv_records() {
        let (near, far) = pair();
        let mut lab = Lab::found(&near.place(), &["--listen", &listen(&near, 7101)]).await;
        // As NkCLUSTER's documentation has them: secure WebSocket first, then TLS, then what is plain.
        // Nobody listens for WebSockets here.
        let server = NameServer::start(
            &near,
            &[
                "naptr-record=herd.example,100,100,s,NKS+D2W,,_nks._ws.herd.example",
                "naptr-record=herd.example,100,200,s,NKS+D2T,,_nks._tcp.herd.example",
                "naptr-record=herd.example,100,300,s,NK+D2W,,_nk._ws.herd.example",
                "naptr-record=herd.example,100,400,s,NK+D2T,,_nk._tcp.herd.example",
                "srv-host=_nks._ws.herd.example,gone.herd.example,443,10,10",
                "srv-host=_nks._tcp.herd.example,gone.herd.example,7109,10,90",
                "srv-host=_nks._tcp.herd.example,c1.herd.example,7101,20,10",
                "host-record=gone.herd.example,10.77.0.1",
                "host-record=c1.herd.example,10.77.0.1",
            ],
        );
        join_by_name(&mut lab, &far, &server, "nkcluster://herd.example").await;
        lab.wait_only_ready("c1", &["c1", "w1"]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_transport_alone_asks_for_its_service() {
        let (near, far) = pair();
        let mut lab =
            Lab::found(&near.place(), &["--listen", "remuda://10.77.0.1:7102;transport=quic"])
                .await;
        let server = NameServer::start(
            &near,
            &[
                "srv-host=_remuda._quic.herd.example,c1.herd.example,7102,10,10",
                "host-record=c1.herd.example,10.77.0.1",
            ],
        );
        join_by_name(&mut lab, &far, &server, "herd.example;transport=quic").await;
        lab.wait_only_ready("c1", &["c1", "w1"]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_worker_follows_the_answers_when_they_change() {
        let (near, far) = pair();
        let mut lab = Lab::found(&near.place(), &["--listen", &listen(&near, 7103)]).await;
        let records =
            |port: u16| format!("srv-host=_remuda._tls.herd.example,c1.example,{port},1,1");
        let host = "host-record=c1.example,10.77.0.1";
        let server = NameServer::start(&near, &[&records(7103), host]);
        join_by_name(&mut lab, &far, &server, "herd.example").await;
        lab.wait_only_ready("c1", &["c1", "w1"]).await;

        assert_eq!(lab.node_mut("c1").terminate().await, Some(0));
        drop(server);
        let _server = NameServer::start(&near, &[&records(7104), host]);
        // The same node, elsewhere: all that the worker had learnt is wrong now.
        lab.bootstrap(&near.place(), &["--listen", &listen(&near, 7104)]).await;
        lab.wait_only_ready("c1", &["c1", "w1"]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_name_that_is_partly_wrong_ends_no_attempt_to_join() {
        let (near, far) = pair();
        let mut lab = Lab::found(&near.place(), &["--listen", &listen(&near, 7107)]).await;
        let liar = Lab::found(&near.place(), &["--listen", &listen(&near, 7108)]).await;
        let host = "host-record=c1.example,10.77.0.1";
        let wrong = "srv-host=_remuda._tls.herd.example,c1.example,7108,1,1";
        // One is another cluster's, and nobody listens at the other yet.
        let nobody = "srv-host=_remuda._tls.herd.example,c1.example,7109,1,1";
        let server = NameServer::start(&near, &[wrong, nobody, host]);
        let token = lab.join_token("worker");
        let known = ["--join", "herd.example", "--dns-server", server.address()];
        let known = [&known[..], &["--token", &token, "--listen", "", "--lan", "off"]].concat();
        let node = lab.prepare_at(&far.place(), "w1", &known);
        node.start();
        node.log_says("cannot join yet").await;
        drop(server);
        let right = "srv-host=_remuda._tls.herd.example,c1.example,7107,1,1";
        let _server = NameServer::start(&near, &[wrong, right, host]);
        lab.node_mut("w1").ready().await;
        lab.wait_only_ready("c1", &["c1", "w1"]).await;
        liar.wait_only_ready("c1", &["c1"]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn poisoned_answers_cost_attempts_and_nothing_else() {
        let (near, far) = pair();
        let mut lab = Lab::found(&near.place(), &["--listen", &listen(&near, 7105)]).await;
        // Another cluster, at the better address.
        let liar = Lab::found(&near.place(), &["--listen", &listen(&near, 7106)]).await;
        let mut records = vec![
            "srv-host=_remuda._tls.herd.example,c1.example,7106,1,1".to_owned(),
            "srv-host=_remuda._tls.herd.example,c1.example,0,1,1".to_owned(),
            "srv-host=_remuda._tls.herd.example,c1.example,7105,9,1".to_owned(),
            "host-record=c1.example,10.77.0.1".to_owned(),
        ];
        records.extend(
            (7200..7240)
                .map(|port| format!("srv-host=_remuda._tls.herd.example,c1.example,{port},2,1")),
        );
        let records: Vec<_> = records.iter().map(String::as_str).collect();
        let server = NameServer::start(&near, &records);
        join_by_name(&mut lab, &far, &server, "herd.example").await;
        lab.wait_only_ready("c1", &["c1", "w1"]).await;
        liar.wait_only_ready("c1", &["c1"]).await;
    }
}

mod subnets_of_namespaces {
    use std::{
        net::UdpSocket,
        sync::atomic::{AtomicBool, Ordering},
        thread,
        time::{Duration, Instant},
    };

    use remuda_discovery::lan::{Announcement, Key, PORT};
    use remuda_e2e::{Lab, Lan, PATIENCE, id, in_private_network};
    use remuda_link::JoinToken;
    use tokio::runtime::Handle;

    const ALL: [&str; 2] = ["--listen", "remuda://all"];

    /// Machines on one switch, and a cluster of one control node on the first.
    async fn found(machines: &[&str]) -> (Lan, Lab) {
        let mut lan = Lan::new();
        for machine in machines {
            lan.add(machine);
        }
        let lab = Lab::found(&lan.place(machines[0]), &ALL).await;
        (lan, lab)
    }

    /// Starts a node that knows nothing but a token.
    async fn add(lan: &Lan, lab: &mut Lab, machine: &str, name: &str, extra: &[&str]) {
        let role = if extra.contains(&"--control") { "control" } else { "worker" };
        let token = lab.join_token(role);
        lab.add_at(&lan.place(machine), name, &[&["--token", &token], extra].concat()).await;
    }

    async fn a_token_alone() {
        let (lan, mut lab) = found(&["m1", "m2", "m3"]).await;
        add(&lan, &mut lab, "m2", "c2", &[&["--control"], &ALL[..]].concat()).await;
        add(&lan, &mut lab, "m3", "w1", &["--listen", ""]).await;
        // Several nodes of one machine share the port: beside a worker, and beside a control node.
        add(&lan, &mut lab, "m3", "w2", &["--listen", ""]).await;
        add(&lan, &mut lab, "m1", "w3", &["--listen", ""]).await;
        lab.wait_only_ready("c1", &["c1", "c2", "w1", "w2", "w3"]).await;
        // Without any control node that it has ever known.
        lab.node_mut("w1").kill9();
        lab.node_mut("w1").start();
        lab.wait_only_ready("c2", &["c1", "c2", "w1", "w2", "w3"]).await;
    }

    #[test]
    fn a_token_alone_leads_to_the_cluster_of_the_subnet() {
        in_private_network(|| Handle::current().block_on(a_token_alone()));
    }

    async fn an_address_of_nobody() {
        let (lan, mut lab) = found(&["m1", "m2"]).await;
        add(&lan, &mut lab, "m2", "w1", &["--listen", "", "--join", "127.0.0.1:9"]).await;
        lab.wait_only_ready("c1", &["c1", "w1"]).await;
    }

    #[test]
    fn addresses_that_lead_nowhere_do_not_keep_it_from_the_subnet() {
        in_private_network(|| Handle::current().block_on(an_address_of_nobody()));
    }

    async fn two_clusters() {
        let (lan, mut first) = found(&["m1", "m2", "m3"]).await;
        let mut second = Lab::found(&lan.place("m2"), &ALL).await;
        add(&lan, &mut first, "m3", "w1", &["--listen", ""]).await;
        add(&lan, &mut second, "m3", "w2", &["--listen", ""]).await;
        first.wait_only_ready("c1", &["c1", "w1"]).await;
        second.wait_only_ready("c1", &["c1", "w2"]).await;
    }

    #[test]
    fn each_finds_its_own_of_two_clusters() {
        in_private_network(|| Handle::current().block_on(two_clusters()));
    }

    async fn a_control_node_that_moves() {
        let (lan, mut lab) = found(&["m1", "m2", "m3"]).await;
        add(&lan, &mut lab, "m3", "w1", &["--listen", ""]).await;
        assert_eq!(lab.node_mut("c1").terminate().await, Some(0));
        lab.bootstrap(&lan.place("m2"), &ALL).await;
        lab.wait_only_ready("c1", &["c1", "w1"]).await;
    }

    #[test]
    fn a_control_node_that_moves_is_found_again() {
        in_private_network(|| Handle::current().block_on(a_control_node_that_moves()));
    }

    /// Proposes control nodes that are none, in the name of the cluster, until it is told to stop;
    /// returns how many times.
    fn lie(token: &JoinToken, stop: &AtomicBool) -> u64 {
        let socket = UdpSocket::bind("10.77.0.254:0").expect("the test's own address");
        socket.set_broadcast(true).expect("a socket");
        let mut said = 0;
        let mut liar = Announcement {
            cluster: token.cluster.clone(),
            name: "herd".to_owned(),
            node: id("liar"),
            addresses: Vec::new(),
            interval_s: 60,
            at_s: remuda_runtime::wall_ms() / 1000,
        };
        let end = Instant::now() + PATIENCE;
        while !stop.load(Ordering::Relaxed) && Instant::now() < end {
            said += 1;
            liar.node = id(&format!("liar-{}", said % 5000));
            // Nobody is there; somebody is there who is no node; a machine that refuses.
            let host = ["10.77.0.99", "10.77.0.254", "10.77.0.2"]
                [usize::try_from(said % 3).expect("small")];
            let url = format!("remuda://{host}:{}", 2000 + said % 1000);
            liar.addresses = vec![url.parse().expect("a URL")];
            let sealed_by_another = Key::of_secret(&[7; 32]);
            let bytes = liar.to_datagram(&[sealed_by_another]);
            // A full queue loses some.
            drop(socket.send_to(&bytes, ("10.77.0.255", PORT)));
        }
        said
    }

    async fn lies() {
        let (lan, mut lab) = found(&["m1", "m2"]).await;
        let token: JoinToken = lab.join_token("worker").parse().expect("a token");
        let stop = AtomicBool::new(false);
        let said = thread::scope(|scope| {
            let liar = scope.spawn(|| lie(&token, &stop));
            let join = add(&lan, &mut lab, "m2", "w1", &["--listen", ""]);
            tokio::task::block_in_place(|| Handle::current().block_on(join));
            stop.store(true, Ordering::Relaxed);
            liar.join().expect("it ends")
        });
        lab.wait_only_ready("c1", &["c1", "w1"]).await;
        assert!(said > 1000, "{said}");
    }

    #[test]
    fn a_flood_of_lies_keeps_nobody_from_joining() {
        in_private_network(|| Handle::current().block_on(lies()));
    }

    async fn no_answer_goes_to_whoever_asks() {
        let (_lan, lab) = found(&["m1"]).await;
        let group = UdpSocket::bind(("0.0.0.0", PORT)).expect("the port is free here");
        let own = "10.77.0.254".parse().expect("an address");
        group.join_multicast_v4(&remuda_discovery::lan::GROUP, &own).expect("joined");
        let asker = UdpSocket::bind("10.77.0.254:0").expect("the test's own address");
        for socket in [&group, &asker] {
            socket.set_read_timeout(Some(Duration::from_millis(1500))).expect("a socket");
        }
        let token: JoinToken = lab.join_token("worker").parse().expect("a token");
        let question = remuda_discovery::lan::question(Some(&token.cluster));
        for _ in 0..100 {
            asker.send_to(&question, ("10.77.0.1", PORT)).expect("sent");
        }
        let mut buffer = [0; 2000];
        let mut heard = 0;
        while let Ok((length, _)) = group.recv_from(&mut buffer) {
            heard += length;
            if heard > 4000 {
                break;
            }
        }
        assert!(asker.recv_from(&mut buffer).is_err(), "an answer to the asker");
        assert!((1..4000).contains(&heard), "{heard} bytes for 100 questions");
    }

    #[test]
    fn questions_make_no_traffic_to_whoever_seems_to_ask() {
        in_private_network(|| Handle::current().block_on(no_answer_goes_to_whoever_asks()));
    }
}

mod trackers_of_namespaces {
    use std::process::Stdio;

    use remuda_e2e::{Lab, Lan, Place, in_private_network, remuda};
    use serde_json::Value;
    use tokio::{process::Child, runtime::Handle};

    /// `remuda tracker` on a machine; it ends when this is dropped.
    fn serve(place: &Place, listen: &str) -> Child {
        let mut command = place.command(remuda());
        command.args(["tracker", "--listen", listen]).stdin(Stdio::null()).stderr(Stdio::null());
        tokio::process::Command::from(command).kill_on_drop(true).spawn().expect("it runs")
    }

    async fn a_tracker() {
        let mut lan = Lan::new();
        for machine in ["m1", "m2", "m3"] {
            lan.add(machine);
        }
        let _tracker = serve(&lan.place("m3"), "0.0.0.0:44201");
        let known = ["--lan", "off", "--tracker", "http://10.77.0.3"];
        let open = ["--listen", "remuda://all"];
        let mut lab = Lab::found(&lan.place("m1"), &[&known[..], &open].concat()).await;
        let token = lab.join_token("worker");
        let arguments = [&known[..], &["--token", &token, "--listen", ""]].concat();
        lab.add_at(&lan.place("m2"), "w1", &arguments).await;
        lab.wait_only_ready("c1", &["c1", "w1"]).await;

        let discover = ["discover", "--tracker", "http://10.77.0.3", "--token", &token, "--json"];
        let found = lab.cli("c1", &discover).await;
        let found: Value = serde_json::from_str(&found.stdout).expect("JSON");
        let listed =
            found.as_array().expect("a list").iter().filter(|one| one["source"] != "subnet");
        let listed: Vec<_> = listed.map(|one| (&one["node"], &one["seal"])).collect();
        assert_eq!(listed, [(&"c1".into(), &true.into())], "{found}");

        // It is taken down when it ends, and elsewhere found again.
        assert_eq!(lab.node_mut("c1").terminate().await, Some(0));
        lab.bootstrap(&lan.place("m2"), &[&known[..], &open].concat()).await;
        lab.wait_only_ready("c1", &["c1", "w1"]).await;
    }

    #[test]
    fn a_tracker_leads_to_the_cluster() {
        in_private_network(|| Handle::current().block_on(a_tracker()));
    }

    async fn a_control_node_as_tracker() {
        let mut lan = Lan::new();
        for machine in ["m1", "m2"] {
            lan.add(machine);
        }
        let url = "http://10.77.0.1:4242";
        let serve = ["--tracker-listen", "0.0.0.0:4242", "--tracker", url, "--lan", "off"];
        let open = ["--listen", "remuda://all"];
        let mut lab = Lab::found(&lan.place("m1"), &[&serve[..], &open].concat()).await;
        let token = lab.join_token("worker");
        let known = ["--token", &token, "--tracker", url, "--lan", "off", "--listen", ""];
        lab.add_at(&lan.place("m2"), "w1", &known).await;
        lab.wait_only_ready("c1", &["c1", "w1"]).await;
    }

    #[test]
    fn every_control_node_can_be_a_tracker() {
        in_private_network(|| Handle::current().block_on(a_control_node_as_tracker()));
    }
}

mod firewalls_between_namespaces {
    use remuda_e2e::{Inside, Lab, Lan, Place, in_private_network};
    use tokio::runtime::Handle;

    const WSS: &str = "remuda://10.77.0.1:443;transport=wss";

    /// Two control nodes. The first listens on port 443, for `wss`.
    async fn found(lan: &mut Lan) -> Lab {
        for machine in ["m1", "m2", "router"] {
            lan.add(machine);
        }
        let doors = ["--listen", &format!("{WSS},remuda://10.77.0.1:1973"), "--lan", "off"];
        let mut lab = Lab::found(&lan.place("m1"), &doors).await;
        let token = lab.join_token("control");
        let join = ["--control", "--join", "10.77.0.1", "--token", &token, "--lan", "off"];
        let listen = ["--listen", "remuda://10.77.0.2:1973"];
        lab.add_at(&lan.place("m2"), "c2", &[&join[..], &listen].concat()).await;
        lab
    }

    /// Workers until each control node owns one, used by way of both.
    async fn use_workers(lab: &mut Lab, place: &Place, extra: &[&str]) {
        let token = lab.join_token("worker");
        let join = ["--join", WSS, "--token", &token, "--listen", "", "--lan", "off"];
        let workers = ["w1", "w2", "w3", "w4"];
        for name in workers {
            lab.add_at(place, name, &[&join[..], extra].concat()).await;
        }
        lab.wait_only_ready("c2", &[&["c1", "c2"], &workers[..]].concat()).await;
        for at in ["c1", "c2"] {
            let ended = lab.cli(at, &["exec", "--all", "--", "hostname"]).await;
            assert_eq!(ended.code, Some(0), "at {at}: {ended:#?}");
            assert!(ended.stderr.contains("6 ok, 0 failed"), "{ended:#?}");
        }
    }

    async fn only_port_443() {
        let mut lan = Lan::new();
        let mut lab = found(&mut lan).await;
        let inside = Inside::behind(&lan, "router", &["ip daddr 10.77.0.1 tcp dport 443"]);
        use_workers(&mut lab, &inside.place(), &[]).await;
    }

    #[test]
    fn a_worker_behind_a_router_needs_one_port_of_one_control_node() {
        in_private_network(|| Handle::current().block_on(only_port_443()));
    }

    async fn only_a_proxy() {
        let mut lan = Lan::new();
        let mut lab = found(&mut lan).await;
        let mut inside = Inside::behind(&lan, "router", &[]);
        let proxy = inside.start_proxy();
        let place = inside.place().with("HTTPS_PROXY", &proxy);
        use_workers(&mut lab, &place, &[]).await;
        // The proxy lets nobody out to other ports, and says so.
        let token = lab.join_token("worker");
        let elsewhere = "remuda://10.77.0.1:1973;transport=wss";
        let join = ["--join", elsewhere, "--token", &token, "--listen", "", "--lan", "off"];
        let node = lab.prepare_at(&place, "w9", &join);
        node.start();
        node.log_says("no way through the proxy").await;
    }

    #[test]
    fn a_worker_that_has_only_tinyproxy_gets_out_by_it() {
        in_private_network(|| Handle::current().block_on(only_a_proxy()));
    }
}
