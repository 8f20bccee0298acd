//! Every rule, at its edges, in each form of an address, and that nothing else is denied.

use proptest::prelude::*;

use super::*;

fn policy(allow: &[&str]) -> Policy {
    let allow = allow.iter().map(|text| cidr(text).expect("a range")).collect();
    Policy::new(PolicyConfig { allow, ..PolicyConfig::default() }, Vec::new())
}

fn rule(policy: &Policy, address: &str) -> Option<&'static str> {
    let address: IpAddr = address.parse().expect(address);
    policy.check(SocketAddr::new(address, 80)).err().map(|denial| denial.rule.as_str())
}

#[test]
fn each_rule_holds_at_its_edges_and_not_beyond() {
    let rows: &[(&str, Option<&str>)] = &[
        ("0.0.0.0", Some("this network")),
        ("0.255.255.255", Some("this network")),
        ("1.0.0.0", None),
        ("9.255.255.255", None),
        ("10.0.0.0", Some("private ranges")),
        ("10.255.255.255", Some("private ranges")),
        ("11.0.0.0", None),
        ("100.63.255.255", None),
        ("100.64.0.0", Some("private ranges")),
        ("100.127.255.255", Some("private ranges")),
        ("100.128.0.0", None),
        ("126.255.255.255", None),
        ("127.0.0.0", Some("loopback")),
        ("127.255.255.255", Some("loopback")),
        ("128.0.0.0", None),
        ("169.253.255.255", None),
        ("169.254.0.0", Some("link-local")),
        ("169.254.169.254", Some("link-local")),
        ("169.254.255.255", Some("link-local")),
        ("169.255.0.0", None),
        ("172.15.255.255", None),
        ("172.16.0.0", Some("private ranges")),
        ("172.31.255.255", Some("private ranges")),
        ("172.32.0.0", None),
        ("192.167.255.255", None),
        ("192.168.0.0", Some("private ranges")),
        ("192.168.255.255", Some("private ranges")),
        ("192.169.0.0", None),
        ("223.255.255.255", None),
        ("224.0.0.0", Some("multicast")),
        ("239.255.255.255", Some("multicast")),
        ("240.0.0.0", Some("reserved")),
        ("255.255.255.255", Some("reserved")),
        ("::", Some("this network")),
        ("::1", Some("loopback")),
        ("fbff:ffff::", None),
        ("fc00::", Some("private ranges")),
        ("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("private ranges")),
        ("fd00:ec2::253", Some("private ranges")),
        ("fd00:ec2::254", Some("metadata service")),
        ("fd00:ec2::255", Some("private ranges")),
        ("fe00::", None),
        ("fe7f:ffff::", None),
        ("fe80::", Some("link-local")),
        ("febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("link-local")),
        ("fec0::", None),
        ("feff:ffff::", None),
        ("ff00::", Some("multicast")),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("multicast")),
        ("2606:4700::1111", None),
    ];
    let policy = policy(&[]);
    for (address, expected) in rows {
        assert_eq!(rule(&policy, address), *expected, "{address}");
    }
}

#[test]
fn ipv4_within_ipv6_is_judged_as_ipv4() {
    let none = policy(&[]);
    for prefix in ["::ffff:", "::", "64:ff9b::"] {
        let of = |short: &str| rule(&none, &format!("{prefix}{short}"));
        assert_eq!(of("127.0.0.1"), Some("loopback"), "{prefix}");
        assert_eq!(of("169.254.169.254"), Some("link-local"), "{prefix}");
        assert_eq!(of("10.1.2.3"), Some("private ranges"), "{prefix}");
        assert_eq!(of("255.255.255.255"), Some("reserved"), "{prefix}");
        assert_eq!(of("8.8.8.8"), None, "{prefix}");
        let allowed = policy(&["10.0.0.0/8"]);
        assert_eq!(rule(&allowed, &format!("{prefix}10.1.2.3")), None, "{prefix}");
    }
    assert_eq!(rule(&none, "::ffff:0.0.0.0"), Some("this network"));
    assert_eq!(rule(&none, "::2"), Some("this network"), "0.0.0.2");
}

#[test]
fn an_operator_allows_private_ranges_and_nothing_else() {
    let all = policy(&["0.0.0.0/0", "::/0"]);
    for address in ["10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "fd00::1"] {
        assert_eq!(rule(&all, address), None, "{address}");
    }
    for address in ["127.0.0.1", "::1", "169.254.169.254", "fd00:ec2::254", "0.0.0.0", "fe80::1"] {
        assert!(rule(&all, address).is_some(), "{address}");
    }
    let part = policy(&["10.1.0.0/16", "10.2.0.7"]);
    assert_eq!(rule(&part, "10.1.255.255"), None);
    assert_eq!(rule(&part, "10.2.0.7"), None);
    assert_eq!(rule(&part, "10.2.0.8"), Some("private ranges"));
}

#[test]
fn loopback_is_allowed_by_its_own_word() {
    let config = PolicyConfig { allow_loopback: true, ..PolicyConfig::default() };
    let policy = Policy::new(config, Vec::new());
    for address in ["127.0.0.1", "127.99.1.2", "::1", "::ffff:127.0.0.1"] {
        assert_eq!(rule(&policy, address), None, "{address}");
    }
    for address in ["0.0.0.0", "::", "10.0.0.1"] {
        assert!(rule(&policy, address).is_some(), "{address}");
    }
}

#[test]
fn listeners_of_remuda_are_no_targets() {
    let own = ["203.0.113.5:44210", "0.0.0.0:44211", "[::]:44212"];
    let own = own.iter().map(|text| text.parse().expect("an address")).collect();
    let config = PolicyConfig { own, allow_loopback: true, ..PolicyConfig::default() };
    let local = ["203.0.113.5", "2001:db8::5"].map(|text| text.parse().expect("an address"));
    let policy = Policy::new(config, local.into());
    let own = |text: &str| {
        let denied = policy.check(text.parse().expect("an address")).err();
        denied.map(|denial| denial.rule) == Some(Rule::OwnListener)
    };
    assert!(own("203.0.113.5:44210") && own("[::ffff:203.0.113.5]:44210"));
    assert!(!own("203.0.113.6:44210") && !own("127.0.0.1:44210"));
    assert!(own("203.0.113.5:44211") && own("127.0.0.9:44211") && !own("203.0.113.6:44211"));
    assert!(own("[2001:db8::5]:44212") && own("[::1]:44212") && own("203.0.113.5:44212"));
    assert!(!own("203.0.113.5:443"));
}

#[test]
fn a_denial_names_its_rule_and_what_lifts_it() {
    let said = |address: &str| {
        let address = address.parse().expect("an address");
        policy(&[]).check(SocketAddr::new(address, 80)).expect_err("denied").to_string()
    };
    assert_eq!(
        said("10.1.2.3"),
        "10.1.2.3 is blocked by the rule \"private ranges\"; to allow it, start the worker with \
         --fanout-allow 10.0.0.0/8"
    );
    assert!(said("::ffff:192.168.1.1").ends_with("--fanout-allow 192.168.0.0/16"));
    assert!(said("fd12::1").ends_with("--fanout-allow fc00::/7"));
    assert!(said("127.0.0.1").ends_with("start the worker with --fanout-allow-loopback"));
    assert_eq!(
        said("169.254.169.254"),
        "169.254.169.254 is blocked by the rule \"link-local\", which nothing lifts"
    );
}

#[test]
fn ranges_are_read_strictly() {
    assert_eq!(cidr("10.1.2.3/8").expect("a range").to_string(), "10.0.0.0/8");
    assert_eq!(cidr("fd00::1").expect("a range").to_string(), "fd00::1/128");
    for text in ["", "10", "10.0.0.0/33", "fc00::/129", "10.0.0.0/", "10.0.0.0/-1", "example.com"] {
        let failure = cidr(text).expect_err(text);
        assert!(failure.message.contains(text) && failure.hint.is_some());
    }
}

#[test]
fn port_0_is_no_target() {
    let denial = policy(&[]).check("8.8.8.8:0".parse().expect("an address"));
    assert_eq!(denial.expect_err("denied").rule, Rule::Port);
}

#[test]
fn where_ports_are_named_others_are_denied() {
    let named = ["22", "8000-8002"].map(|text| ports(text).expect("ports")).to_vec();
    let config = PolicyConfig { ports: named, ..PolicyConfig::default() };
    let policy = Policy::new(config, Vec::new());
    let at = |port| policy.check(SocketAddr::from(([9, 9, 9, 9], port)));
    for port in [22, 8000, 8001, 8002] {
        assert_eq!(at(port), Ok(()));
    }
    for port in [1, 21, 23, 7999, 8003, 65535] {
        let denial = at(port).expect_err("denied");
        assert_eq!(denial.rule, Rule::OtherPort(port));
        let remedy = format!("start the worker with {port} among its --fanout-ports");
        assert!(denial.to_string().ends_with(&remedy), "{denial}");
    }
    // An address that nothing allows stays so at an allowed port.
    let metadata = policy.check(SocketAddr::from(([169, 254, 169, 254], 22)));
    assert_eq!(metadata.expect_err("denied").rule, Rule::LinkLocal);
    for wrong in ["0", "70000", "9-8", "x", "", "1-2-3"] {
        assert!(ports(wrong).is_err(), "{wrong}");
    }
}

proptest! {
    /// The standard library's words agree.
    #[test]
    fn public_ipv4_addresses_alone_pass(bits: u32) {
        let address = Ipv4Addr::from_bits(bits);
        let [first, second, ..] = address.octets();
        let shared = first == 100 && (64..128).contains(&second);
        let expected = !(address.is_loopback()
            || address.is_private()
            || address.is_link_local()
            || address.is_multicast()
            || shared
            || first == 0
            || first >= 240);
        prop_assert_eq!(policy(&[]).check(SocketAddr::new(address.into(), 1)).is_ok(), expected);
    }

    /// No form of an address gets by a rule that holds for the address.
    #[test]
    fn forms_of_an_address_are_judged_alike(bits in prop_oneof![any::<u32>(), 0x7f00_0000..0x7f00_ffff_u32, 0x0a00_0000..0x0a00_ffff_u32]) {
        let short = Ipv4Addr::from_bits(bits);
        let policy = policy(&["10.0.0.0/9"]);
        let plain = policy.check_host(short.into()).map_err(|denial| denial.rule);
        let [a, b, c, d] = short.octets();
        let nat = Ipv6Addr::from([0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]);
        for long in [short.to_ipv6_mapped(), nat] {
            let judged = policy.check_host(long.into()).map_err(|denial| denial.rule);
            prop_assert_eq!(judged, plain);
        }
    }

    /// What is allowed is never more than private ranges.
    #[test]
    fn ranges_lift_one_rule_only(bits: u128, allow_bits in 0..=128_u8) {
        let address = IpAddr::from(Ipv6Addr::from_bits(bits));
        let range = Cidr::new(address, allow_bits).expect("at most 128 bits");
        let config = PolicyConfig { allow: vec![range.trunc()], ..PolicyConfig::default() };
        let with = Policy::new(config, Vec::new()).check_host(address);
        match policy(&[]).check_host(address) {
            Ok(()) => prop_assert!(with.is_ok()),
            Err(Denial { rule: Rule::Private, .. }) => {}
            Err(denial) => prop_assert_eq!(with, Err(denial)),
        }
    }
}
