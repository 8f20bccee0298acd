//! A real name server (dnsmasq) with the records that a test wants.

use std::{
    path::Path,
    process::{Child, Stdio},
};

use crate::{Namespace, Place, network::require};

/// How long its answers may be kept, in seconds.
const TIME_TO_LIVE: u32 = 1;

/// A name server on port 53 of a machine; it ends when this is dropped.
#[derive(Debug)]
pub struct NameServer {
    child: Child,
    address: String,
}

impl NameServer {
    /// Starts one that knows these records and nothing else, in the words of dnsmasq's options
    /// `naptr-record`, `srv-host` and `host-record`.
    ///
    /// # Panics
    ///
    /// When dnsmasq is missing or does not start.
    pub fn start(machine: &Namespace, records: &[&str]) -> Self {
        Self::start_at(&machine.place(), machine.address(), records)
    }

    /// The same on a machine that has this address.
    ///
    /// # Panics
    ///
    /// When dnsmasq is missing or does not start.
    pub fn start_at(place: &Place, address: &str, records: &[&str]) -> Self {
        require("dnsmasq", "dnsmasq-base");
        let mut command = place.command(Path::new("dnsmasq"));
        command.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
        ]);
        command.args(["--pid-file=", "--user=root", "--bind-interfaces", "--cache-size=0"]);
        command
            .args([format!("--listen-address={address}"), format!("--local-ttl={TIME_TO_LIVE}")]);
        command.args(records.iter().map(|record| format!("--{record}")));
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = quiet.spawn().expect("dnsmasq starts");
        Self { child, address: address.to_owned() }
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
