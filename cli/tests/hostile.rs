//! What a peer writes does not become what a terminal obeys, in any output of the program.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use aqueduct_cli::identity::Identity;
use aqueduct_cli::tls::{Certificates, server_config};
use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::EndpointConfig;
use aqueduct_tokio::protocol::escape::{LIMIT, escaped, is_visible};
use aqueduct_tokio::protocol::webtransport::ConnectRequest;
use aqueduct_tokio::{Connection, Endpoint};
use bytes::Bytes;
use http::{HeaderValue, Response};
use support::{Run, Server, aqueduct};

/// Colours, the clipboard, a line of its own, C1, direction, no width; and longer than is shown.
fn evil() -> String {
    let unit = "\u{1b}[31m\u{1b}]52;c;QQ==\u{7}\r\nerror: forged\u{9b}2J\u{202e}\u{200b}\u{feff}";
    unit.repeat(10)
}

/// What of it a field can carry.
fn evil_value() -> String {
    evil().replace(|char| char < ' ', "")
}

#[track_caller]
fn check(text: &str, told: &str) {
    for line in text.lines() {
        assert!(line.chars().all(is_visible), "{line:?}");
        assert!(!line.starts_with("error: forged"), "{line:?}");
    }
    assert!(text.contains(told), "`{told}` is not in: {text}");
}

/// A server that answers `/fields` with such a field and trailers, and closes otherwise.
fn stranger() -> SocketAddr {
    let identity = Identity::self_signed(SystemTime::now()).unwrap();
    let tls = Arc::new(server_config(&Certificates::new(&[identity]).unwrap()).unwrap());
    let config = EndpointConfig::server(tls, Config::default()).unwrap();
    let server = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = server.local_addr();
    tokio::spawn(async move {
        while let Some(connection) = server.accept().await {
            tokio::spawn(answer(connection));
        }
    });
    address
}

async fn answer(connection: Connection) {
    loop {
        tokio::select! {
            request = connection.accept_request() => {
                let Some((head, mut stream)) = request else { return };
                if head.uri().path() != "/fields" {
                    return connection.close(Code::H3_NO_ERROR, Bytes::from(evil()));
                }
                let value = HeaderValue::from_bytes(evil_value().as_bytes()).unwrap();
                let mut head = Response::new(());
                head.headers_mut().insert("x-evil", value.clone());
                stream.send_response(head).unwrap();
                let mut trailers = http::HeaderMap::new();
                trailers.insert("x-late", value);
                stream.send_trailers(&trailers).unwrap();
            }
            request = connection.accept_session() => {
                let Some(request) = request else { return };
                if request.uri().path() != "/session" {
                    return connection.close(Code::H3_NO_ERROR, Bytes::from(evil()));
                }
                let session = request.accept().unwrap();
                session.close(7, &evil()).unwrap();
            }
        }
    }
}

async fn run(arguments: Vec<String>) -> Run {
    let run = tokio::task::spawn_blocking(move || aqueduct(arguments));
    run.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_servers_fields_and_reasons_are_shown_escaped_and_cut() {
    let address = stranger();
    let with = |command: &[&str], path: &str| {
        let url = format!("https://{address}{path}");
        let all = command.iter().map(|&word| word.to_owned());
        run(all.chain([url, "--insecure".to_owned()]).collect())
    };
    let value = escaped(&evil_value()).to_string();
    assert!(value.len() <= LIMIT && value.ends_with('…'), "{value}");
    let run = with(&["get", "-i"], "/fields").await;
    check(&run.ok().stderr, &format!("x-evil: {value}\n"));
    check(&run.stderr, &format!("x-late: {value}\n"));

    // Programs get all of it, in characters that can be seen.
    let run = with(&["get", "--json"], "/fields").await;
    check(&run.ok().text(), r"\u202e\u200b\ufeff");
    let [line] = &run.json()[..] else { panic!() };
    assert_eq!(
        line["fields"][0],
        serde_json::json!(["x-evil", evil_value()])
    );

    let reason = escaped(&evil()).to_string();
    for command in ["get", "wt"] {
        let run = with(&[command, "-vv"], "/close").await;
        check(&run.expect(1, "closed by the peer").stderr, &reason);
        let run = with(&[command, "--json"], "/close").await;
        check(&run.text(), r"\\u{1b}[31m\\u{1b}]52");
        assert_eq!(run.json()[0]["event"], "error");
    }
    let run = with(&["wt"], "/session").await;
    check(&run.expect(1, "code 7").stderr, &reason);
    let run = with(&["probe"], "/close").await;
    check(&run.text(), &reason);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clients_paths_and_reasons_are_told_escaped_and_cut() {
    let mut server = Server::unread(&["-vv"]);
    let root = server.url("");
    let client = server.connect().await;
    let connection = client.connection();
    let request = ConnectRequest::new(server.url("/echo").parse().unwrap());
    let session = connection.open_session(request).await.unwrap();
    session.close(7, &evil()).unwrap();
    // In JSON the text is what it was, cut.
    let mut told = |event: &str, name: &str, whole: &str| {
        let line = loop {
            let line = server.line();
            if line["event"] == event {
                break line;
            }
        };
        let text = line[name].as_str().unwrap().trim_end_matches('…');
        assert!(whole.starts_with(text) && text.len() > LIMIT - 4, "{line}");
    };
    told("session_closed", "reason", &evil());
    // What the parser of URLs lets through.
    let path = format!("/{}", "\u{9b}2J\u{202e}\u{200b}".repeat(30));
    let request = ConnectRequest::new(format!("{root}{path}").parse().unwrap());
    connection.open_session(request).await.unwrap_err();
    // As a URI has it: a path is percent-encoded before anybody sees it.
    let encoded: String = path
        .bytes()
        .map(|byte| match byte {
            0x80.. => format!("%{byte:02X}"),
            _ => char::from(byte).to_string(),
        })
        .collect();
    told("session_rejected", "path", &encoded);
    connection.close(Code::H3_NO_ERROR, Bytes::from(evil()));
    client.close().await;
    server.signal("TERM");
    assert!(server.wait().success());
    let (stdout, stderr) = server.rest();
    assert_eq!(stdout, "");
    let reason = escaped(&evil()).to_string();
    check(&stderr, reason.split_at(100).0);
    check(&stderr, r#"path="/%C2%9B2J%E2%80%AE%E2%80%8B%C2"#);
}
