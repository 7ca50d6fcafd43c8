use clap::CommandFactory as _;
use http::Method;

use super::*;

fn parse_line(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("aqueduct").chain(line.split_whitespace()))
}

#[test]
fn the_definition_is_sound_and_help_has_examples_and_exit_codes() {
    Cli::command().debug_assert();
    let help = Cli::command().render_long_help().to_string();
    assert!(
        help.contains("Examples:") && help.contains("Exit codes:"),
        "{help}"
    );
    let mut command = Cli::command();
    let mut commands = 0;
    for command in command.get_subcommands_mut() {
        let name = command.get_name().to_owned();
        let help = command.render_help().to_string();
        assert!(help.contains("Examples:"), "{name}: {help}");
        assert!(help.contains(&format!("aqueduct {name}")), "{name}: {help}");
        commands += 1;
    }
    assert_eq!(
        commands, 9,
        "serve, get, wt, bench, probe, proxy, tunnel, quic, replay"
    );
}

#[test]
fn serve_is_a_demonstration_unless_it_has_a_root() {
    let serve = |line: &str| match parse_line(line).unwrap().command {
        Command::Serve(serve) => serve,
        other => panic!("{other:?}"),
    };
    let plain = serve("serve");
    assert_eq!(plain.listen.to_string(), "127.0.0.1:4433");
    assert!(plain.demo_enabled());
    assert_eq!(plain.drain_timeout, Duration::from_secs(5));
    assert!(!serve("serve --root /srv").demo_enabled());
    assert!(serve("serve --root /srv --demo").demo_enabled());
    assert!(parse_line("serve --cert c.pem").is_err());
    assert!(parse_line("serve --allow-origin https://a.example:8443").is_ok());
    assert!(parse_line("serve --allow-origin *").is_ok());
    assert!(parse_line("serve --allow-origin a.example").is_err());
    assert!(parse_line("serve --allow-origin https://a.example/path").is_err());
}

#[test]
fn get_derives_its_method_and_pairs_outputs_with_urls() {
    let get = |line: &str| match parse_line(line).unwrap().command {
        Command::Get(get) => get,
        other => panic!("{other:?}"),
    };
    assert_eq!(get("get https://a/").method(), Method::GET);
    assert_eq!(get("get https://a/ -d x").method(), Method::POST);
    assert_eq!(get("get https://a/ -d @f -X PUT").method(), Method::PUT);
    assert_eq!(
        get("get https://a/ -d @f").data,
        Some(Data::File("f".into()))
    );
    assert_eq!(get("get https://a/ -H x:y").header[0].1, "y");
    assert!(get("get https://a/ https://a/b").check(false).is_ok());
    assert!(
        get("get https://a/ https://a/b -o a -o b")
            .check(false)
            .is_ok()
    );
    assert!(get("get https://a/ https://a/b -o a").check(false).is_err());
    assert!(
        get("get https://a/ https://a/b -d @-")
            .check(false)
            .is_err()
    );
    assert!(parse_line("get").is_err());
    assert!(parse_line("get https://a/ -H novalue").is_err());
}

#[test]
fn trust_options_exclude_each_other() {
    let hash = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
    let trust = |line: &str| match parse_line(line).unwrap().command {
        Command::Get(get) => get.connect.trust(),
        Command::Wt(wt) => wt.connect.trust(),
        Command::Probe(probe) => probe.connect.trust(),
        other => panic!("{other:?}"),
    };
    assert_eq!(trust("get https://a/"), Trust::System);
    assert_eq!(trust("probe https://a/ --insecure"), Trust::Insecure);
    assert_eq!(
        trust("get https://a/ --cacert f"),
        Trust::CaFile("f".into())
    );
    let pins = Trust::Pins(vec![Sha256Digest::of(b"abc")]);
    assert_eq!(
        trust(&format!("wt https://a/ --cert-hash {hash} ping")),
        pins
    );
    assert_eq!(
        trust(&format!("wt https://a/ ping --cert-hash {hash}")),
        pins
    );
    for line in [
        "get https://a/ --insecure --cacert f".to_owned(),
        format!("get https://a/ --insecure --cert-hash {hash}"),
        format!("get https://a/ --cacert f --cert-hash {hash}"),
        "get https://a/ --cert-hash abcd".to_owned(),
    ] {
        let error = parse_line(&line).unwrap_err();
        assert_eq!(
            error.exit_code(),
            i32::from(exit::Exit::Usage as u8),
            "{line}"
        );
    }
}

#[test]
fn wt_echoes_unless_told_otherwise() {
    let wt = |line: &str| match parse_line(line).unwrap().command {
        Command::Wt(wt) => wt,
        other => panic!("{other:?}"),
    };
    assert!(wt("wt https://a/echo").action.is_none());
    let WtCommand::Echo(echo) = wt("wt https://a/echo echo").action.unwrap() else {
        panic!()
    };
    let default = WtEcho::default();
    assert_eq!(format!("{echo:?}"), format!("{default:?}"));
    let WtCommand::Ping(ping) = wt("wt https://a/echo ping --count 3 -v").action.unwrap() else {
        panic!()
    };
    assert_eq!(ping.count, 3);
    assert!(parse_line("wt https://a/echo ping --size 8").is_err());
    assert!(parse_line("wt https://a/echo throughput --bytes 256MiB --streams 0").is_err());
}

#[test]
fn targets_are_https_urls_with_a_host() {
    let target = |text: &str| text.parse::<Target>();
    let full = target("https://[::1]:4433/a?b").unwrap();
    assert_eq!((full.host(), full.port()), ("::1", 4433));
    assert_eq!(full.uri().path_and_query().unwrap(), "/a?b");
    let bare = target("example.com").unwrap();
    assert_eq!(
        (bare.host(), bare.port(), bare.uri().path()),
        ("example.com", 443, "/")
    );
    assert_eq!(target("[::1]").unwrap().port(), 443);
    let query = target("https://host?x=1").unwrap();
    assert_eq!(query.uri().path_and_query().unwrap(), "/?x=1");
    let options = target("host").unwrap().uri_for(&Method::OPTIONS);
    assert_eq!(options.path(), "*");
    assert_eq!(
        target("[fe80::1%25eth0]").unwrap().resolvable(),
        "fe80::1%eth0"
    );
    for bad in [
        "http://a/",
        "https:///x",
        "https://u:p@a/",
        "https://a:0/",
        "https://a:99999/",
        "https://a b/",
    ] {
        assert!(target(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_proxy_has_rules_and_paths() {
    let proxy = |line: &str| match parse_line(line).unwrap().command {
        Command::Proxy(proxy) => proxy,
        other => panic!("{other:?}"),
    };
    let plain = proxy("proxy");
    assert_eq!(plain.listen.to_string(), "127.0.0.1:4433");
    assert_eq!(
        (plain.max_tunnels, plain.max_tunnels_per_client),
        (1000, 100)
    );
    assert!(plain.udp_template.is_none() && !plain.open);
    let full = proxy("proxy --allow *.a.example:443 --allow [2001:db8::]/32:1-9 --deny 10.0.0.0/8");
    assert_eq!(full.allow[1].to_string(), "[2001:db8::]/32:1-9");
    assert_eq!(full.deny.len(), 1);
    for wrong in [
        "proxy --allow",
        "proxy --allow a:0",
        "proxy --deny 10.1.0.0/8",
        "proxy --udp-template /{target_host}",
        "proxy --tcp-template x/{target_host}/{target_port}",
        "proxy --max-tunnels 0",
    ] {
        assert!(parse_line(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_tunnel_has_one_use_and_a_proxy() {
    let tunnel = |line: &str| match parse_line(line).unwrap().command {
        Command::Tunnel(tunnel) => tunnel,
        other => panic!("{other:?}"),
    };
    let udp = tunnel("tunnel --proxy a.example --udp b.example:53");
    assert_eq!(udp.udp.unwrap().to_string(), "b.example:53");
    assert_eq!(udp.local.to_string(), "127.0.0.1:0");
    let socks = tunnel("tunnel --proxy https://a.example --socks [::1]:1080");
    assert!(socks.check().is_ok());
    let others = "tunnel --proxy a.example --socks 192.0.2.1:1080";
    assert!(tunnel(others).check().unwrap_err().contains("--open"));
    assert!(tunnel(&format!("{others} --open")).check().is_ok());
    for wrong in [
        "tunnel --udp a:1",
        "tunnel --proxy a.example",
        "tunnel --proxy a.example --udp a:1 --tcp a:1",
        "tunnel --proxy a.example --socks 127.0.0.1:1 --local 127.0.0.1:2",
        "tunnel --proxy a.example --udp a",
        "tunnel --proxy a.example --udp a:1 --bearer-file a --basic-file b",
    ] {
        assert!(parse_line(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_proxy_is_a_url_without_a_path_or_a_template() {
    use aqueduct_tokio::proxy::TunnelKind::{Tcp, Udp};
    let url = |text: &str| text.parse::<ProxyUrl>();
    for text in ["a.example:8443", "https://a.example:8443/"] {
        let origin = url(text).unwrap();
        assert_eq!(origin.origin().port(), 8443);
        let template = origin.template(Tcp, Udp).to_string();
        assert!(
            template.contains("a.example:8443/.well-known/masque/tcp/"),
            "{template}"
        );
    }
    let text = "https://a.example/m{?target_host,target_port}";
    let template = url(text).unwrap();
    assert_eq!(template.origin().host(), "a.example");
    // It is for one kind.
    assert_eq!(template.template(Udp, Udp).to_string(), text);
    assert!(
        template
            .template(Tcp, Udp)
            .to_string()
            .contains("/.well-known/")
    );
    for (wrong, told) in [
        ("https://a.example/path", "says nothing of the target"),
        ("https://a.example?q", "says nothing of the target"),
        ("https://a.example/{target_host}", "`target_port`"),
        ("a.example/{target_host}/{target_port}", "https://"),
        ("http://a.example", "https"),
    ] {
        let error = url(wrong).unwrap_err();
        assert!(error.contains(told), "{wrong}: {error}");
    }
}

#[test]
fn the_proxy_of_get_is_trusted_as_told() {
    let via = |line: &str| match parse_line(line).unwrap().command {
        Command::Get(get) => get.via,
        other => panic!("{other:?}"),
    };
    let get = "get https://a/ --proxy https://p";
    assert_eq!(via(get).trust(), None);
    let own = via(&format!("{get} --insecure --proxy-cacert f"));
    assert_eq!(own.trust(), Some(Trust::CaFile("f".into())));
    assert_eq!(
        via(&format!("{get} --proxy-insecure")).trust(),
        Some(Trust::Insecure)
    );
    for wrong in [
        "get https://a/ --proxy-cacert f".to_owned(),
        format!("{get} --proxy-cacert f --proxy-insecure"),
        format!("{get} --proxy-bearer-file f --proxy-basic-file f"),
    ] {
        assert!(parse_line(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_resolve_names_is_a_host_that_a_url_can_have() {
    let address = |resolve: &str, url: &str| {
        let line = format!("get {url} --resolve {resolve}");
        let Command::Get(get) = parse_line(&line)
            .map_err(|error| error.to_string())?
            .command
        else {
            panic!("{line}");
        };
        Ok::<_, String>(get.connect.address_of(&get.urls[0]))
    };
    let there: SocketAddr = "192.0.2.1:444".parse().unwrap();
    for (resolve, url, found) in [
        ("A.example:444:192.0.2.1", "https://a.example:444", true),
        ("+a.example:444:192.0.2.1", "https://a.example:444", true),
        ("*:444:192.0.2.1", "https://a.example:444", true),
        ("*:444:192.0.2.1", "https://a.example:445", false),
        ("[::1]:444:192.0.2.1", "https://[::1]:444", true),
        ("b.example:444:192.0.2.1", "https://a.example:444", false),
    ] {
        let expected = found.then_some(there);
        assert_eq!(address(resolve, url).unwrap(), expected, "{resolve} {url}");
    }
    for wrong in [
        "a:0:192.0.2.1",
        "*.a:443:192.0.2.1",
        "a/b:443:192.0.2.1",
        "u@a:443:192.0.2.1",
        ":443:192.0.2.1",
        "a:443:192.0.2.1:5",
    ] {
        assert!(address(wrong, "https://a.example").is_err(), "{wrong}");
    }
}
