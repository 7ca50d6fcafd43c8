//! What is drawn on a terminal, by `script` of Debian's bsdutils and of util-linux elsewhere.
#![cfg(target_os = "linux")]

mod support;

use std::process::{Command, Stdio};

use support::Server;

/// What comes on a terminal that is 100 columns wide, where `aqueduct get` writes all it has.
fn on_terminal(server: &Server, arguments: &[&str]) -> String {
    let program = env!("CARGO_BIN_EXE_aqueduct");
    let cert = server.cert();
    let words = ["get", "--cacert", cert.to_str().unwrap()];
    let command: Vec<_> = words.iter().chain(arguments).copied().collect();
    let command = format!("stty cols 100; exec {program} {}", command.join(" "));
    let output = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(server.folder())
        .env("TERM", "xterm")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .expect("script is there");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn each_transfer_has_a_bar_that_vanishes() {
    let server = Server::start(&[]);
    let urls = ["/bytes/20000001", "/bytes/10000002"].map(|path| server.url(path));
    let text = on_terminal(&server, &["-Z", "-O", &urls[0], &urls[1]]);
    for words in [
        "20000001 ",
        " of 19.07 MiB",
        "10000002 ",
        " of 9.54 MiB",
        "left",
    ] {
        assert!(text.contains(words), "`{words}` is not in {text:?}");
    }
    // Not as the library has it before it is told.
    assert!(!text.contains('░') && !text.contains(" 0/"), "{text:?}");
    // At the end there are remarks and no bars.
    let clear = "\u{1b}[2K";
    let (_, last) = text.rsplit_once(clear).unwrap();
    assert!(!last.contains('━'), "{last:?}");
    assert_eq!(text.matches(" MiB in `").count(), 2, "{text:?}");
}

#[test]
fn a_body_on_the_terminal_is_alone_there() {
    let server = Server::start(&[]);
    let text = on_terminal(
        &server,
        &[&server.url("/bytes/0"), &server.url("/trailers")],
    );
    assert_eq!(text, "body");
    let upload = server.folder().join("upload");
    std::fs::write(&upload, vec![b'x'; 3_000_000]).unwrap();
    let text = on_terminal(&server, &["-T", "upload", &server.url("/sha256")]);
    let (digest, rest) = text.split_at(64);
    assert!(digest.bytes().all(|it| it.is_ascii_hexdigit()), "{text:?}");
    assert_eq!(rest, " 3000000\r\n");
}
