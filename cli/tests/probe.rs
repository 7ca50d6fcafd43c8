//! `aqueduct probe` as a process.

mod support;

use std::net::UdpSocket;

use support::{Server, aqueduct};

#[test]
fn a_probe_names_what_the_server_speaks() {
    let server = Server::start(&[]);
    let run = server.run(&["probe", &server.url("/echo"), "--json"]);
    let [found] = &run.ok().json()[..] else {
        panic!("{}", run.text())
    };
    assert_eq!(
        (&found["event"], &found["alpn"]),
        (&"probe".into(), &"h3".into())
    );
    assert_eq!(found["sha256"], server.ready["sha256"]);
    assert_eq!(found["settings"]["ENABLE_CONNECT_PROTOCOL"], 1);
    assert_eq!(
        found["webtransport_drafts"],
        serde_json::json!(["02-05", "07-12", "13-14", "15-16"])
    );
    assert_eq!(found["transport_parameters"]["max_idle_timeout"], 30_000);
    assert_eq!(found["transport_parameters"]["reset_stream_at"], true);
    assert!(found["rtt_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(found["session_tickets"], true);
    assert_eq!(found["session"]["opened"], true);
    assert!(found["session"]["max_datagram_size"].as_u64().unwrap() > 1000);
}

#[test]
fn why_a_session_would_be_refused_is_said() {
    let server = Server::start(&[]);
    let run = server.run(&["probe", &server.url("/nothing")]);
    let text = run.ok().text();
    assert!(text.contains("refused: the server answered 404"), "{text}");
    for word in [
        "initial_max_data",
        "H3_DATAGRAM",
        "drafts 02-05, 07-12",
        "for GREASE",
        "session tickets are given",
    ] {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

#[test]
fn an_untrusted_certificate_is_told_of_and_so_is_the_rest() {
    let server = Server::start(&[]);
    let run = aqueduct(["probe", "--json", &server.url("/echo")]);
    let found = &run.expect(3, "").json()[0];
    assert_eq!(found["certificate"]["trusted"], false);
    assert_eq!(found["certificate"]["objection"], "it is self-signed");
    assert_eq!(found["certificate"]["browser_by_hash"], true);
    assert_eq!(found["session"]["opened"], true);

    let run = aqueduct(["probe", &server.url("/echo")]);
    let text = run.expect(3, "").text();
    for word in [
        "no: it is self-signed (--cacert",
        "for localhost, 127.0.0.1, ::1, from 2",
    ] {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

#[test]
fn what_cannot_be_probed_has_an_exit_code() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    aqueduct(["probe", &url, "--insecure", "--connect-timeout", "300ms"]).expect(1, "no answer");
}

#[cfg(target_os = "linux")]
#[test]
fn a_packet_that_the_system_does_not_send_is_told_from_silence() {
    // Nobody may broadcast without asking for it.
    let to = ["--connect-to", "255.255.255.255:4433"];
    let probe = [
        "probe",
        "https://localhost/",
        "--insecure",
        "--connect-timeout",
        "2s",
    ];
    let run = aqueduct(probe.iter().chain(&to));
    run.expect(1, "the system does not send to it (");
    assert!(!run.stderr.contains("listening"), "{}", run.stderr);
}
