//! `aqueduct tunnel` as a process: packets, connections and SOCKS5 through `aqueduct proxy`.

mod support;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use support::targets::{
    Sender, connect, exchange, nobody, nobody_udp, tcp, tcp_backwards, udp_echo,
};
use support::{Server, aqueduct, pattern};

fn proxy() -> Server {
    Server::proxy(&[], &["--allow-private"])
}

fn backwards(data: &[u8]) -> Vec<u8> {
    data.iter().rev().copied().collect()
}

#[test]
fn packets_of_several_programs_come_back_to_each() {
    let mut proxy = proxy();
    for on in ["127.0.0.1", "::1"] {
        let there = udp_echo(on).to_string();
        let tunnel = proxy.tunnel(&["--udp", &there]);
        assert_eq!(
            (&tunnel.ready["ready"], &tunnel.ready["kind"]),
            (&true.into(), &"udp".into())
        );
        assert_eq!(tunnel.ready["target"], there);
        let one = Sender::to(tunnel.address());
        let other = Sender::to(tunnel.address());
        one.until_back(b"one");
        other.until_back(b"other");
        for len in [0, 1, 1000, 1200] {
            let (a, b) = (vec![b'a'; len], vec![b'b'; len]);
            one.until_back(&a);
            other.until_back(&b);
        }
        // What is too large for the way is lost, and nothing else.
        one.send(&[7; 9000]);
        one.until_back(b"after it");
        let opened = [proxy.line(), proxy.line()];
        assert!(
            opened.iter().all(|line| line["event"] == "tunnel_opened"),
            "{opened:?}"
        );
        tunnel.signal("TERM");
        let ended = [proxy.line(), proxy.line()];
        assert!(
            ended.iter().all(|line| line["event"] == "tunnel_ended"),
            "{ended:?}"
        );
    }
}

#[test]
fn connections_end_in_one_direction_at_a_time() {
    let proxy = proxy();
    let there = tcp_backwards("127.0.0.1").to_string();
    for more in [&[][..], &["--connect"]] {
        let tunnel = proxy.tunnel(&[&["--tcp", &there], more].concat());
        for len in [0, 1, 1 << 20] {
            let data = pattern(len);
            let got = exchange(connect(tunnel.address()), &data);
            assert!(got == backwards(&data), "{len} with {more:?}");
        }
    }
}

#[test]
fn a_reset_is_a_reset_on_either_side() {
    let proxy = proxy();
    let (tell, told) = std::sync::mpsc::channel();
    let there = tcp("127.0.0.1", move |mut stream| {
        let mut first = [0];
        stream.read_exact(&mut first).unwrap();
        if first == *b"r" {
            // What is unread makes it a reset.
            return drop(stream);
        }
        stream.write_all(b"k").unwrap();
        let error = stream.read(&mut first).map_err(|error| error.kind());
        tell.send(error).unwrap();
    });
    let tunnel = proxy.tunnel(&["--tcp", &there.to_string()]);
    let mut stream = connect(tunnel.address());
    stream.write_all(b"rest").unwrap();
    let error = stream.read(&mut [0]).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    let mut stream = connect(tunnel.address());
    stream.write_all(b"w").unwrap();
    // It is there.
    stream.read_exact(&mut [0]).unwrap();
    drop(resetting(stream));
    assert_eq!(told.recv().unwrap(), Err(ErrorKind::ConnectionReset));
    // Where nobody listens no connection is what it looks like.
    let tunnel = proxy.tunnel(&["--tcp", &nobody().to_string()]);
    let error = connect(tunnel.address())
        .read(&mut [0])
        .expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

/// One that is reset when it is dropped.
fn resetting(stream: TcpStream) -> tokio::net::TcpStream {
    stream.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    stream.set_zero_linger().unwrap();
    stream
}

#[test]
fn connect_takes_the_place_of_what_a_proxy_does_not_know() {
    let elsewhere = "/else/{target_host}/{target_port}/";
    let mut proxy = Server::proxy(&[], &["--allow-private", "--tcp-template", elsewhere]);
    let there = tcp_backwards("127.0.0.1").to_string();
    let tunnel = proxy.tunnel(&["--tcp", &there]);
    for _ in 0..2 {
        assert_eq!(exchange(connect(tunnel.address()), b"abc"), b"cba");
    }
    // It is asked for once by what is not known.
    let mut protocols = Vec::new();
    while protocols.len() < 3 {
        let line = proxy.line();
        if line["event"] != "tunnel_ended" {
            protocols.push(line["protocol"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(protocols, ["connect-tcp", "connect", "connect"]);
    // And a template tells where it is.
    let template = proxy.url(elsewhere);
    let cert = proxy.cert();
    drop(tunnel);
    let trust = ["--cacert", cert.to_str().unwrap()];
    let arguments = ["tunnel", "--json", "--proxy", &template, "--tcp", &there];
    let mut tunnel = support::Running::start(arguments.iter().chain(&trust));
    let ready: serde_json::Value = serde_json::from_str(&tunnel.line()).unwrap();
    let address: SocketAddr = ready["address"].as_str().unwrap().parse().unwrap();
    assert_eq!(exchange(connect(address), b"abc"), b"cba");
    while proxy.line()["protocol"] != "connect-tcp" {}
    tunnel.signal("TERM");
    tunnel.end().ok();
}

#[test]
fn the_connection_to_the_proxy_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(path("cert"), made.cert.pem()).unwrap();
    std::fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (path("cert"), path("key"));
    let mut listen = "127.0.0.1:0".to_owned();
    let start = |listen: &str| {
        let identity = ["--cert", &cert, "--key", &key, "--listen", listen];
        Server::proxy(&[], &[&["--allow-private"][..], &identity].concat())
    };
    let mut first = start(&listen);
    listen = first.address().to_string();
    let there = udp_echo("127.0.0.1").to_string();
    let mut tunnel = first.tunnel(&["--udp", &there]);
    let sender = Sender::to(tunnel.address());
    sender.until_back(b"through the first");
    // The second stops it at once.
    first.signal("TERM");
    first.signal("TERM");
    first.wait();
    let _second = start(&listen);
    sender.until_back(b"through the second");
    let mut events = Vec::new();
    while events.last().is_none_or(|event| event != "connected") {
        events.push(tunnel.line()["event"].clone());
    }
}

#[test]
fn what_cannot_begin_is_said_and_has_an_exit_code() {
    let proxy = proxy();
    let url = proxy.url("");
    let run = |more: &[&str]| {
        let all = ["tunnel", "--proxy", &url]
            .into_iter()
            .chain(more.iter().copied());
        proxy.run(&all.collect::<Vec<_>>())
    };
    run(&["--udp", "169.254.1.1:53"]).expect(4, "403 Forbidden (destination_ip_prohibited)");
    run(&["--udp", "nowhere.invalid:53"]).expect(4, "502 Bad Gateway (dns_error)");
    run(&["--udp", "127.0.0.1"]).expect(2, "port is not a number");
    run(&[]).expect(2, "--udp <HOST:PORT>");
    run(&["--udp", "a:1", "--tcp", "a:1"]).expect(2, "cannot be used with");
    run(&["--socks", "0.0.0.0:0"]).expect(2, "--open");
    let address = proxy.address().to_string();
    let taken = udp_echo("127.0.0.1").to_string();
    run(&["--udp", &address, "--local", &taken]).expect(1, "cannot listen on");
    let to = ["--udp", "127.0.0.1:9"];
    let through = |url: &str| aqueduct(["tunnel", "--proxy", url].iter().chain(&to));
    through(&url).expect(3, "cannot connect to the proxy");
    through("https://a.example/path").expect(2, "says nothing of the target");
    through("https://a.example/{target_host}").expect(2, "`target_port`");
    through("http://a.example").expect(2, "https");
}

/// Whoever is not let in hears of it before anything is said to be ready.
#[test]
fn who_is_not_let_in_is_told_before_anything_is_ready() {
    let secret = [("AQUEDUCT_BEARER", "secret")];
    let mut proxy = Server::proxy(&secret, &["--allow-private"]);
    let url = proxy.url("");
    let tcp = tcp_backwards("127.0.0.1").to_string();
    let udp = udp_echo("127.0.0.1").to_string();
    for what in [["--socks", "127.0.0.1:0"], ["--tcp", &tcp], ["--udp", &udp]] {
        let refused = proxy.run(&[&["tunnel", "--proxy", &url], &what[..]].concat());
        refused.expect(4, "401 Unauthorized (http_request_denied)");
        let line = proxy.line();
        assert_eq!(
            (&line["event"], &line["status"]),
            (&"tunnel_refused".into(), &401.into())
        );
    }
    let token = proxy.folder().join("token");
    std::fs::write(&token, "secret").unwrap();
    let shown = ["--bearer-file", token.to_str().unwrap()];
    let run = |more: &[&str]| {
        let all = [&["tunnel", "--proxy", &url], more, &shown].concat();
        proxy.run(&all)
    };
    run(&["--tcp", "169.254.1.1:80"]).expect(4, "403 Forbidden (destination_ip_prohibited)");
    let tunnel = proxy.tunnel(&[&["--tcp", &tcp][..], &shown].concat());
    assert_eq!(exchange(connect(tunnel.address()), b"abc"), b"cba");
    let tunnel = proxy.tunnel(&[&["--socks", "127.0.0.1:0"][..], &shown].concat());
    socks(tunnel.address());
}

/// A port that nobody listens on is asked for ever less often, and what is not sent is counted.
#[test]
fn many_packets_to_a_dead_port_open_few_tunnels() {
    let mut proxy = proxy();
    let mut tunnel = proxy.tunnel(&["--udp", &nobody_udp().to_string()]);
    let senders: Vec<_> = (0..10).map(|_| Sender::to(tunnel.address())).collect();
    let begun = Instant::now();
    let mut sent = 0;
    while begun.elapsed() < Duration::from_millis(1200) {
        senders[sent % senders.len()].send(b"is anybody there?");
        sent += 1;
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut dropped = 0;
    while dropped < 100 {
        let line = tunnel.line();
        match line["event"].as_str().unwrap() {
            "packets_dropped" => dropped += line["count"].as_u64().unwrap(),
            event => assert_eq!(event, "tunnel_failed", "{line}"),
        }
    }
    tunnel.signal("TERM");
    proxy.signal("TERM");
    proxy.wait();
    let (lines, _) = proxy.rest();
    let opened = lines.matches("tunnel_opened").count();
    // All of the first ten may find out for themselves, and again after the first pause.
    assert!(
        (1..=20).contains(&opened),
        "{opened} tunnels for {sent} packets"
    );
}

// ---- SOCKS5, by hand

/// A client that has said that it shows nothing.
#[track_caller]
fn socks(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    stream.write_all(&[5, 2, 2, 0]).unwrap();
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [5, 0]);
    stream
}

/// An address as SOCKS has it.
fn at(address: SocketAddr) -> Vec<u8> {
    let mut out = match address {
        SocketAddr::V4(v4) => [&[1][..], &v4.ip().octets()].concat(),
        SocketAddr::V6(v6) => [&[4][..], &v6.ip().octets()].concat(),
    };
    out.extend(address.port().to_be_bytes());
    out
}

fn name(name: &str, port: u16) -> Vec<u8> {
    let mut out = vec![3, name.len() as u8];
    out.extend(name.as_bytes());
    out.extend(port.to_be_bytes());
    out
}

/// Asks for something; the code of the answer, and the port in it.
#[track_caller]
fn command(stream: &mut TcpStream, command: u8, address: &[u8]) -> (u8, u16) {
    stream
        .write_all(&[&[5, command, 0], address].concat())
        .unwrap();
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).unwrap();
    let [5, code, 0, 1, .., high, low] = answer else {
        panic!("{answer:?}");
    };
    (code, u16::from_be_bytes([high, low]))
}

const CONNECT: u8 = 1;
const BIND: u8 = 2;
const ASSOCIATE: u8 = 3;

#[test]
fn socks_connects_by_addresses_and_names() {
    let proxy = proxy();
    let tunnel = proxy.tunnel(&["--socks", "127.0.0.1:0"]);
    let (v4, v6) = (tcp_backwards("127.0.0.1"), tcp_backwards("::1"));
    for address in [
        at(v4),
        at(v6),
        name("127.0.0.1", v4.port()),
        name("localhost", v4.port()),
    ] {
        let mut stream = socks(tunnel.address());
        assert_eq!(command(&mut stream, CONNECT, &address).0, 0, "{address:?}");
        let data = pattern(100_000);
        assert!(exchange(stream, &data) == backwards(&data), "{address:?}");
    }
    for (asked, address, code) in [
        (CONNECT, at(nobody()), 5),
        (CONNECT, at("169.254.1.1:80".parse().unwrap()), 2),
        (CONNECT, name("nowhere.invalid", 80), 4),
        (CONNECT, name("no name", 80), 4),
        (CONNECT, at("127.0.0.1:0".parse().unwrap()), 4),
        (BIND, at(v4), 7),
    ] {
        let mut stream = socks(tunnel.address());
        assert_eq!(command(&mut stream, asked, &address).0, code, "{address:?}");
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    // Who wants to show something, and no less.
    let mut stream = connect(tunnel.address());
    stream.write_all(&[5, 1, 2]).unwrap();
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [5, 0xff]);
}

#[test]
fn socks_carries_packets_as_long_as_its_connection_lasts() {
    let mut proxy = proxy();
    let tunnel = proxy.tunnel(&["--socks", "127.0.0.1:0"]);
    let (v4, v6) = (udp_echo("127.0.0.1"), udp_echo("::1"));
    let mut stream = socks(tunnel.address());
    let zeros = at("0.0.0.0:0".parse().unwrap());
    let (code, port) = command(&mut stream, ASSOCIATE, &zeros);
    assert_eq!(code, 0);
    let sender = Sender::to(SocketAddr::new(tunnel.address().ip(), port));
    let packet = |fragment: u8, address: &[u8], payload: &[u8]| {
        [&[0, 0, fragment], address, payload].concat()
    };
    for address in [at(v4), at(v6), name("localhost", v4.port())] {
        // A fragment is dropped.
        sender.send(&packet(1, &address, b"part"));
        sender.until_back(&packet(0, &address, b"whole"));
    }
    let stranger = Sender::to(SocketAddr::new(tunnel.address().ip(), port));
    stranger.send(&packet(0, &at(v4), b"of a stranger's"));
    sender.until_back(&packet(0, &at(v4), b"still here"));
    assert_ne!(stranger.local_addr(), sender.local_addr());
    let opened: Vec<_> = (0..3).map(|_| proxy.line()["target"].clone()).collect();
    let localhost = format!("localhost:{}", v4.port());
    assert_eq!(opened, [v4.to_string(), v6.to_string(), localhost]);
    drop(stream);
    for _ in 0..3 {
        let line = proxy.line();
        assert_eq!(line["event"], "tunnel_ended");
        // One fragment less, none of the stranger's.
        assert!(line["packets_out"].as_u64().unwrap() <= 3, "{line}");
    }
}
