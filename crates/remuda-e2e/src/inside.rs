//! A network behind a router: it gets out as the router lets it, and nobody gets in.

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
};

use tempfile::TempDir;

use crate::{
    Lan, Place,
    network::{CABLE, Namespace, require, run},
};

/// The router's end of the cable to the inside.
const INNER: &str = "inner";
const GATEWAY: &str = "10.88.0.1";
const MACHINE: &str = "10.88.0.2";
/// The port of the router's proxy.
const PROXY_PORT: u16 = 3128;

/// A machine whose only way out is a router, which is a machine of a [`Lan`]. Nobody outside knows its
/// address.
#[derive(Debug)]
pub struct Inside {
    namespace: Namespace,
    router: Place,
    proxy: Option<(Child, TempDir)>,
}

impl Inside {
    /// Puts a machine behind a router, which translates addresses and lets new connections out to
    /// these destinations only, in the words of nft, such as `ip daddr 10.77.0.1 tcp dport 443`.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn behind(lan: &Lan, router: &str, allowed: &[&str]) -> Self {
        let namespace = Namespace::make("inside", MACHINE.to_owned());
        let gate = lan.namespace(router);
        let cable = ["link", "add", INNER, "netns", gate, "type", "veth", "peer", "name", CABLE];
        run("ip", &[cable.as_slice(), &["netns", namespace.name()]].concat());
        namespace.connect();
        let on_gate = |words: &[&str]| run("ip", &[&["-n", gate], words].concat());
        on_gate(&["address", "add", &format!("{GATEWAY}/24"), "dev", INNER]);
        on_gate(&["link", "set", INNER, "up"]);
        run("ip", &["-n", namespace.name(), "route", "add", "default", "via", GATEWAY]);
        let in_gate = |words: &[&str]| run("ip", &[&["netns", "exec", gate], words].concat());
        in_gate(&["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
        let allowed: Vec<_> =
            allowed.iter().map(|what| format!("iifname {INNER} {what} accept")).collect();
        let rules = format!(
            "table inet router {{
                chain forward {{
                    type filter hook forward priority 0; policy drop
                    ct state established,related accept
                    {}
                }}
                chain out {{
                    type nat hook postrouting priority 100
                    oifname {CABLE} masquerade
                }}
            }}",
            allowed.join("\n")
        );
        require("nft", "nftables");
        in_gate(&["nft", &rules]);
        Self { namespace, router: lan.place(router), proxy: None }
    }

    /// Starts an HTTP proxy on the router that lets the inside out to port 443.
    ///
    /// # Panics
    ///
    /// When tinyproxy is missing or does not start.
    pub fn start_proxy(&mut self) -> String {
        require("tinyproxy", "tinyproxy-bin");
        let dir = tempfile::tempdir().expect("a folder");
        let config = dir.path().join("tinyproxy.conf");
        let text = format!(
            "Port {PROXY_PORT}\nListen {GATEWAY}\nTimeout 600\nMaxClients 20\nConnectPort 443\n"
        );
        fs::write(&config, text).expect("written");
        let mut command = self.router.command(Path::new("tinyproxy"));
        command.args(["-d", "-c"]).arg(&config);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.proxy = Some((quiet.spawn().expect("tinyproxy starts"), dir));
        format!("http://{GATEWAY}:{PROXY_PORT}")
    }

    /// For processes inside.
    pub fn place(&self) -> Place {
        self.namespace.place()
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Some((proxy, _)) = &mut self.proxy {
            drop(proxy.kill());
            drop(proxy.wait());
        }
    }
}
