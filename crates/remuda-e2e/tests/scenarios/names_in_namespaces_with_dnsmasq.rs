//! Answers of a name server that change (M18).

use remuda_e2e::{Lab, Lan, NameServer};

use crate::herd::on_machines;

/// The records of a cluster whose only control node is at this place.
fn records(transport: &str, host: &str, port: u16) -> [String; 3] {
    let (service, word) = match transport {
        "tls" => ("_tcp", "T"),
        _ => ("_ws", "W"),
    };
    [
        format!("naptr-record=herd.example,100,100,s,NKS+D2{word},,_nks.{service}.herd.example"),
        format!("srv-host=_nks.{service}.herd.example,c1.herd.example,{port},10,10"),
        format!("host-record=c1.herd.example,{host}"),
    ]
}

fn serve(lan: &Lan, records: &[String]) -> NameServer {
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    NameServer::start_at(&lan.place("names"), &lan.address("names"), &records)
}

#[test]
fn m18_a_worker_follows_changed_answers_of_each_kind() {
    on_machines(|| async {
        let mut lan = Lan::new();
        for machine in ["names", "m1", "m2", "w1"] {
            lan.add(machine);
        }
        let mut lab = Lab::empty();
        let mut server = None;
        // Another port (SRV), another machine (A), another service (NAPTR).
        let places =
            [("m1", "tls", 7001), ("m1", "tls", 7002), ("m2", "tls", 7002), ("m2", "wss", 7443)];
        let mut pid = None;
        for (machine, transport, port) in places {
            if pid.is_some() {
                assert_eq!(lab.node_mut("c1").terminate().await, Some(0));
            }
            drop(server.take());
            let host = lan.address(machine);
            server = Some(serve(&lan, &records(transport, &host, port)));
            let listen = format!("remuda://{host}:{port};transport={transport}");
            let listen = ["--listen", &listen, "--lan", "off"];
            lab.bootstrap(&lan.place(machine), &listen).await;
            if pid.is_none() {
                let (token, names) = (lab.join_token("worker"), lan.address("names"));
                let join = ["--join", "nkcluster://herd.example", "--dns-server", &names];
                let join = [&join[..], &["--token", &token, "--listen", "", "--lan", "off"]];
                lab.add_at(&lan.place("w1"), "w1", &join.concat()).await;
                pid = lab.node("w1").pid();
            }
            // All that the worker had learnt before is wrong now.
            lab.wait_only_ready("c1", &["c1", "w1"]).await;
            let asked = lab.cli("c1", &["request", "w1", "node", "\"status\""]).await;
            assert_eq!(asked.stdout.trim(), "\"ready\"", "{asked:?}");
        }
        assert_eq!(lab.node("w1").pid(), pid, "the same agent all the time");
    });
}
