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
