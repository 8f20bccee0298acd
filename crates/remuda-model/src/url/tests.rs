//! The accept and reject rows of NkCLUSTER's URLs, as far as they apply, and round trips.

use proptest::prelude::*;

use super::*;

fn shown(text: &str) -> String {
    text.parse::<LinkUrl>().unwrap_or_else(|error| panic!("{error}")).to_string()
}

#[test]
fn what_is_accepted() {
    for (text, expected) in [
        ("remuda://host", "remuda://host:1973"),
        ("remuda://host:1", "remuda://host:1"),
        ("host", "remuda://host:1973"),
        ("host:99", "remuda://host:99"),
        ("10.0.0.1:0", "remuda://10.0.0.1:0"),
        ("[::1]", "remuda://[::1]:1973"),
        ("remuda", "remuda://remuda:1973"),
        ("remuda:7", "remuda://remuda:7"),
        ("remuda:10.0.0.1:7", "remuda://10.0.0.1:7"),
        ("nkcluster://all;transport=tls", "remuda://0.0.0.0:1973"),
        ("nkcluster://all6;transport=tcp", "remuda://[::]:1972;transport=tcp"),
        ("NKCLUSTER://Host.Example;transport=WSS", "remuda://host.example:1975;transport=wss"),
        ("remuda://[2001:DB8:0::1]:9;transport=quic", "remuda://[2001:db8::1]:9;transport=quic"),
        ("<nkcluster:localhost:1234>;transport=wss", "remuda://localhost:1234;transport=wss"),
        ("<remuda://h;transport=ws>", "remuda://h:1974;transport=ws"),
        ("remuda://h/link;transport=wss", "remuda://h:1975/link;transport=wss"),
        ("remuda://h:443/a/b/;transport=ws", "remuda://h:443/a/b;transport=ws"),
        ("remuda://h/", "remuda://h:1973"),
        ("remuda://h?transport=quic", "remuda://h:1973;transport=quic"),
        (" remuda : // h : 8 ; transport = \"tcp\" \n", "remuda://h:8;transport=tcp"),
        ("remuda://x:7;transport=mem", "remuda://x:7;transport=mem"),
        ("nkcluster://h;transport=sctp", "remuda://h:9899;transport=sctp"),
    ] {
        assert_eq!(shown(text), expected, "{text:?}");
    }
}

#[test]
fn what_is_refused_and_why() {
    for (text, reason) in [
        ("", "the host is missing"),
        ("remuda://", "the host is missing"),
        ("*", "the host is missing"),
        ("sip://h", "unknown scheme `sip`"),
        ("remuda://h:", "bad port ``"),
        ("remuda://h:65536", "bad port `65536`"),
        ("remuda://h:+1", "bad port ``"),
        ("remuda://h:1x", "bad port `1x`"),
        ("::1", "the host is missing"),
        ("fe80:0::1", "IPv6 address stands in brackets"),
        ("[::1", "it ends too early"),
        ("[zz]", "no IPv6 address"),
        ("300.1.1.1", "no IPv4 address"),
        ("a..b", "no host name"),
        ("-a", "no host name"),
        ("a b", "unexpected 'b' at character 3"),
        ("a,b", "unexpected ','"),
        ("u:p@h", "user and password"),
        ("remuda://u@h", "user and password"),
        ("h;transport=ftp", "unknown transport `ftp`"),
        ("h;transport", "`transport` needs a value"),
        ("h;transport=tls;transport=tls", "given twice"),
        ("<h;transport=tls>;transport=tcp", "given twice"),
        ("h;password=x", "option `password`"),
        ("h;tls_depth=2", "unknown option `tls_depth`"),
        ("h;", "name of an option is missing"),
        ("h/link", "a path needs"),
        ("<h", "it ends too early"),
        ("h;transport=\"tls", "never closed"),
    ] {
        let error = text.parse::<LinkUrl>().expect_err(text);
        assert!(error.reason.contains(reason), "{text:?}: {error}");
    }
}

#[test]
fn lists() {
    let list = |text: &str| {
        LinkUrl::parse_list(text)
            .map(|urls| urls.iter().map(LinkUrl::to_string).collect::<Vec<_>>())
    };
    assert_eq!(list(" ").unwrap(), Vec::<String>::new());
    assert_eq!(
        list("a , <b;transport=ws>,\n nkcluster://c;transport=\"tcp\"").unwrap(),
        ["remuda://a:1973", "remuda://b:1974;transport=ws", "remuda://c:1972;transport=tcp"]
    );
    for bad in ["a,", ",a", "a,,b", "a;b", &vec!["a"; MAX_URLS + 1].join(",")] {
        assert!(list(bad).is_err(), "{bad:?}");
    }
    assert!(list(&"a".repeat(MAX_TEXT + 1)).unwrap_err().text.len() <= 80);
}

#[test]
fn sockets_get_what_they_parse() {
    let url: LinkUrl = "[::1]:80".parse().unwrap();
    assert_eq!(url.authority(), "[::1]:80");
    assert!(url.authority().parse::<std::net::SocketAddr>().is_ok());
}

fn any_url() -> impl Strategy<Value = LinkUrl> {
    let host = prop_oneof![
        "[a-z][a-z0-9-]{0,8}(\\.[a-z0-9]{1,4}){0,2}"
            .prop_filter("a word with a meaning", |host| !["all", "all6"].contains(&host.as_str())),
        any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|address| address.to_string()),
    ];
    let transport = prop::sample::select(vec!["tls", "tcp", "ws", "wss", "quic", "mem", "sctp"]);
    (host, any::<u16>(), transport, prop::option::of("(/[a-z]{1,4}){1,3}")).prop_map(
        |(host, port, transport, path)| {
            let transport: Transport = transport.parse().unwrap();
            let path = path.filter(|_| matches!(transport, Transport::Ws | Transport::Wss));
            LinkUrl { host, port, transport, path }
        },
    )
}

#[test]
fn what_an_address_to_join_leaves_open_stays_open() {
    for (text, port, transport) in [
        ("cluster.example", None, None),
        ("cluster.example:1973", Some(1973), None),
        ("cluster.example;transport=wss", None, Some(Transport::Wss)),
        ("remuda://[::1]:7;transport=quic", Some(7), Some(Transport::Quic)),
    ] {
        let url: JoinUrl = text.parse().expect(text);
        assert_eq!((url.port, url.transport), (port, transport), "{text}");
        assert_eq!(url.to_string().parse(), Ok(url), "{text}");
    }
    let open: JoinUrl = "cluster.example".parse().expect("a name");
    assert!(open.is_name());
    assert_eq!(LinkUrl::from(open), "cluster.example:1973".parse().expect("a name"));
    assert!(!"10.0.0.1".parse::<JoinUrl>().expect("an address").is_name());
}

proptest! {
    #[test]
    fn what_is_shown_is_read_back(urls in prop::collection::vec(any_url(), 1..4)) {
        let shown: Vec<_> = urls.iter().map(LinkUrl::to_string).collect();
        prop_assert_eq!(LinkUrl::parse_list(&shown.join(",")), Ok(urls));
    }

    #[test]
    fn any_text_is_refused_or_read_back(
        text in r#"(remuda|nkcluster)?(:|://)?[a-z0-9.:/;=<>?,"\[\] ]{0,16}(;transport=ws)?|.{0,30}"#,
    ) {
        if let Ok(url) = text.parse::<LinkUrl>() {
            prop_assert_eq!(url.to_string().parse(), Ok(url));
        }
        if let Ok(url) = text.parse::<JoinUrl>() {
            prop_assert_eq!(url.to_string().parse(), Ok(url));
        }
    }
}

#[test]
fn what_was_read_is_read_again_when_it_is_printed() {
    for text in ["4emua/:@/1hd?transport=ws", "h/@;transport=wss", "h:1/a@b:c;transport=ws"] {
        let url: LinkUrl = text.parse().expect(text);
        assert_eq!(url.to_string().parse(), Ok(url), "{text}");
    }
    for text in ["user:word@h", "user@h/x;transport=ws", "remuda://u:p@h:1"] {
        assert!(text.parse::<LinkUrl>().is_err(), "{text}");
    }
}
