//! `aqueduct proxy` as a process: who is let in, to where, what is told of it, and its end.

mod support;

use std::fs;

use serde_json::Value;
use support::targets::{Sender, narrow, udp_echo};
use support::{Running, Server, aqueduct, aqueduct_in, pattern};

/// What a client runs through a proxy to a server that it trusts as well as that.
fn get(proxy: &Server, server: &Server, arguments: &[&str]) -> Vec<String> {
    let trust = proxy.folder().join("both.pem");
    let both = [proxy.cert(), server.cert()].map(|path| fs::read_to_string(path).unwrap());
    fs::write(&trust, both.concat()).unwrap();
    let proxy = proxy.url("");
    let mut all = vec![
        "get",
        "--proxy",
        &proxy,
        "--cacert",
        trust.to_str().unwrap(),
    ];
    all.extend(arguments);
    all.into_iter().map(ToOwned::to_owned).collect()
}

#[test]
fn the_ready_line_is_one_object_of_an_agreed_shape() {
    let proxy = Server::proxy(&[], &["--tcp-template", "/t{?target_host,target_port}"]);
    let ready = proxy.ready.as_object().unwrap();
    let names: Vec<_> = ready.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "ready",
            "url",
            "address",
            "sha256",
            "sha256_base64",
            "spki_sha256_base64",
            "udp",
            "tcp"
        ]
    );
    let address = ready["address"].as_str().unwrap();
    assert_eq!(ready["url"], format!("https://{address}/"));
    let udp = format!("https://{address}/.well-known/masque/udp/{{target_host}}/{{target_port}}/");
    assert_eq!(ready["udp"], udp);
    let tcp = format!("https://{address}/t{{?target_host,target_port}}");
    assert_eq!(ready["tcp"], tcp);
}

/// Where no packet passes that QUIC's smallest fit into, it goes through all the same.
#[test]
fn http3_goes_through_on_a_narrow_path() {
    let proxy = Server::proxy(&[], &["--allow-private"]);
    let server = Server::start(&[]);
    let narrow = format!("https://{}", narrow(proxy.address(), 1250));
    let mut arguments = get(&proxy, &server, &[&server.url("/bytes/300000")]);
    arguments[2] = narrow;
    assert!(aqueduct(arguments).ok().stdout == pattern(300_000));
}

#[test]
fn http3_goes_through_and_each_tunnel_is_told_twice() {
    let mut proxy = Server::proxy(&[], &["--allow-private"]);
    let server = Server::start(&[]);
    let run = aqueduct(get(&proxy, &server, &[&server.url("/bytes/300000")]));
    assert!(run.ok().stdout == pattern(300_000));
    let there = server.address().to_string();
    let opened = proxy.line();
    assert_eq!(opened["event"], "tunnel_opened");
    for (name, value) in [
        ("target", there.as_str()),
        ("to", &there),
        ("kind", "udp"),
        ("protocol", "connect-udp"),
    ] {
        assert_eq!(opened[name], value, "{opened}");
    }
    let ended = proxy.line();
    assert_eq!(ended["event"], "tunnel_ended");
    assert_eq!(ended["client"], opened["client"]);
    assert!(ended["bytes_in"].as_u64().unwrap() > 300_000, "{ended}");
    assert!(ended["packets_in"].as_u64().unwrap() > 200, "{ended}");
    assert!(
        ended["milliseconds"].is_u64() && ended["end"].is_string(),
        "{ended}"
    );
}

#[test]
fn names_are_found_by_the_proxy_and_tls_is_the_targets() {
    let proxy = Server::proxy(&[], &["--allow-private"]);
    let server = Server::start(&[]);
    let local = server.url("/bytes/10").replace("127.0.0.1", "localhost");
    let run = aqueduct(get(&proxy, &server, &[&local]));
    assert_eq!(run.ok().stdout, pattern(10));
    // Nobody here could find that name, and the certificate is not for it.
    let elsewhere = local.replace("localhost", "elsewhere.invalid");
    let there = server.address().to_string();
    let run = aqueduct(get(&proxy, &server, &[&elsewhere, "--connect-to", &there]));
    run.expect(3, "elsewhere.invalid");
    let run = aqueduct(get(&proxy, &server, &[&elsewhere]));
    run.expect(4, "the proxy refuses: 502 Bad Gateway (dns_error)");
}

#[test]
fn a_proxy_is_trusted_by_itself() {
    let proxy = Server::proxy(&[], &["--allow-private"]);
    let server = Server::start(&[]);
    let (url, at, cert) = (server.url("/bytes/1"), proxy.url(""), server.cert());
    let through = [
        "get",
        &url,
        "--cacert",
        cert.to_str().unwrap(),
        "--proxy",
        &at,
    ];
    let with = |more: &[&str]| aqueduct(through.iter().chain(more));
    with(&[]).expect(3, "cannot connect to the proxy 127.0.0.1:");
    let digest = proxy.ready["sha256"].as_str().unwrap();
    with(&["--proxy-cert-hash", digest]).ok();
    with(&["--proxy-cacert", proxy.cert().to_str().unwrap()]).ok();
    with(&["--proxy-insecure"]).expect(0, "warning: --proxy-insecure");
    aqueduct(["get", &url, "--proxy-insecure"]).expect(2, "--proxy");
}

#[test]
fn what_is_not_allowed_is_refused_with_its_reason() {
    let server = Server::start(&[]);
    let url = server.url("/bytes/1");
    let port = server.address().port();
    let refused = "the proxy refuses: 403 Forbidden (destination_ip_prohibited)";
    // By default nothing leads back to this host.
    let mut proxy = Server::proxy(&[], &[]);
    aqueduct(get(&proxy, &server, &[&url])).expect(4, refused);
    let line = proxy.line();
    assert_eq!(line["event"], "tunnel_refused");
    assert_eq!(line["target"], server.address().to_string());
    assert_eq!(
        (&line["status"], &line["kind"]),
        (&403.into(), &"udp".into())
    );
    assert_eq!(line["error"], "destination_ip_prohibited");
    assert!(
        line["reason"].as_str().unwrap().contains("loopback"),
        "{line}"
    );

    let here = format!("127.0.0.1:{port}");
    for (rules, allowed) in [
        (vec!["--allow", here.as_str()], true),
        (vec!["--allow", "127.0.0.0/8:1-2"], false),
        (vec!["--allow-private", "--deny", &here], false),
        (vec!["--allow-private", "--only-allowed"], true),
        (vec!["--allow", "192.0.2.0/24", "--only-allowed"], false),
    ] {
        let proxy = Server::proxy(&[], &rules);
        let run = aqueduct(get(&proxy, &server, &[&url]));
        match allowed {
            true => run.ok(),
            false => run.expect(4, refused),
        };
    }
}

#[test]
fn secrets_come_from_files_and_the_environment() {
    let server = Server::start(&[]);
    let url = server.url("/bytes/1");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (tokens, token) = (file("tokens", "first\nsecond\n"), file("token", "second\n"));
    let password = file("password", "me:open sesame\n");
    let arguments = ["--allow-private", "--bearer-file", &tokens];
    let mut proxy = Server::proxy(&[("AQUEDUCT_BASIC", "me:open sesame")], &arguments);
    let plain = get(&proxy, &server, &[&url]);
    let with = |more: [&str; 2]| aqueduct(plain.iter().map(String::as_str).chain(more));
    aqueduct(&plain).expect(4, "the proxy refuses: 401 Unauthorized");
    assert_eq!(proxy.line()["error"], "http_request_denied");
    with(["--proxy-bearer-file", &token]).ok();
    with(["--proxy-basic-file", &password]).ok();
    for (variable, value, code) in [
        ("AQUEDUCT_PROXY_BEARER", "first", 0),
        ("AQUEDUCT_PROXY_BEARER", "third", 4),
        ("AQUEDUCT_PROXY_BASIC", "me:open sesame", 0),
        ("AQUEDUCT_PROXY_BASIC", "me:", 4),
        ("AQUEDUCT_PROXY_BEARER", "", 2),
        ("AQUEDUCT_PROXY_BASIC", "me", 2),
    ] {
        aqueduct_in(&[(variable, value)], &plain).expect(code, "");
    }
    let both = [
        ("AQUEDUCT_PROXY_BEARER", "first"),
        ("AQUEDUCT_PROXY_BASIC", "a:b"),
    ];
    aqueduct_in(&both, &plain).expect(2, "AQUEDUCT_PROXY_BASIC");
}

#[test]
fn an_open_proxy_is_a_choice() {
    let all = ["proxy", "--listen", "0.0.0.0:0"];
    aqueduct(all).expect(2, "--open");
    let empty = [("AQUEDUCT_BEARER", "")];
    aqueduct_in(&empty, all).expect(2, "nothing in `AQUEDUCT_BEARER`");
    let proxy = Server::proxy(&[("AQUEDUCT_BEARER", "t")], &["--listen", "0.0.0.0:0"]);
    assert!(proxy.address().ip().is_loopback());
    let mut open = Server::proxy(&[], &["--listen", "0.0.0.0:0", "--open"]);
    open.signal("TERM");
    let (_, told) = open.rest();
    assert!(told.contains("warning: --open"), "{told}");
}

#[test]
fn mistakes_are_named() {
    let run = |more: &[&str]| aqueduct(["proxy", "--listen", "127.0.0.1:0"].iter().chain(more));
    for (more, told) in [
        (["--allow", "10.0.0.1/8"], "did you mean `10.0.0.0/8`?"),
        (["--allow", "a b"], "`a b` is neither a name"),
        (["--deny", "*:0"], "`0` is neither a port"),
        (["--udp-template", "/u/{target_host}/"], "`target_port`"),
        (
            ["--tcp-template", "/{target_host}{target_port}"],
            "tell them apart",
        ),
        (["--max-tunnels", "0"], "--max-tunnels"),
        (["--tunnel-idle-timeout", "0"], "at least 1ms"),
    ] {
        run(&more).expect(2, told);
    }
    run(&["--cert", "a.pem"]).expect(2, "--key");
    run(&["--bearer-file", "/no/such/file"]).expect(1, "/no/such/file");
    let taken = Server::proxy(&[], &[]);
    let address = taken.address().to_string();
    aqueduct(["proxy", "--listen", &address]).expect(1, "cannot listen on");
}

#[test]
fn what_is_no_tunnel_is_answered() {
    let proxy = Server::proxy(&[], &["--no-connect"]);
    let run = proxy.run(&["get", &proxy.url("/")]);
    assert!(run.ok().text().contains("MASQUE"), "{}", run.text());
    proxy.run(&["get", &proxy.url("/else")]).expect(4, "404");
    let tunnels = proxy.url("/.well-known/masque/udp/192.0.2.1/53/");
    proxy.run(&["get", &tunnels]).expect(4, "405");
    proxy.run(&["wt", &proxy.url("/")]).expect(4, "");
}

#[test]
fn limits_are_kept_for_each_client_and_for_all() {
    for limit in ["--max-tunnels", "--max-tunnels-per-client"] {
        let proxy = Server::proxy(&[], &["--allow-private", limit, "1"]);
        let there = udp_echo("127.0.0.1").to_string();
        let first = proxy.tunnel(&["--udp", &there]);
        let second = proxy.url("");
        let arguments = ["tunnel", "--proxy", &second, "--udp", &there];
        proxy.run(&arguments).expect(4, "connection_limit_reached");
        Sender::to(first.address()).until_back(b"the first goes on");
    }
}

#[test]
fn tunnels_go_on_while_the_proxy_drains() {
    let mut proxy = Server::proxy(&[], &["--allow-private", "--drain-timeout", "2s"]);
    let there = udp_echo("127.0.0.1").to_string();
    let mut tunnel = proxy.tunnel(&["--udp", &there]);
    let sender = Sender::to(tunnel.address());
    sender.until_back(b"before");
    proxy.signal("TERM");
    assert_eq!(tunnel.line()["event"], "going_away");
    sender.send(b"during");
    assert_eq!(sender.recv(), b"during");
    assert!(proxy.wait().success());
    let events: Vec<Value> = [proxy.line(), proxy.line()].into();
    assert_eq!(events[1]["event"], "tunnel_ended", "{events:?}");
}

#[test]
fn without_json_the_log_is_lines() {
    let mut proxy = Running::start(["proxy", "--listen", "127.0.0.1:0"]);
    let ready = proxy.line();
    let url = ready.split([' ', ',']).nth(1).unwrap();
    let there = [
        "tunnel",
        "--insecure",
        "--proxy",
        url,
        "--udp",
        "10.1.2.3:53",
    ];
    aqueduct(there).expect(4, "403");
    let line = proxy.line();
    assert!(
        line.contains(" refused 127.0.0.1:") && line.contains(" udp 10.1.2.3:53, 403: "),
        "{line}"
    );
    proxy.signal("INT");
    proxy.end().expect(0, "stopped: all tunnels had ended");
}
