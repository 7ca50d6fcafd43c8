//! The chat room of the examples: its queues, and the program with two terminals.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::{EndpointConfig, TransportSettings};
use aqueduct_tokio::protocol::id::Side;
use aqueduct_tokio::protocol::testing::cert::Identity;
use aqueduct_tokio::protocol::webtransport::ConnectRequest;
use aqueduct_tokio::protocol::webtransport::SessionClose;
use aqueduct_tokio::{Endpoint, Session};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::harness::{ANY, target, within};
use crate::room::{self, Room};

async fn enter(server: &Endpoint, window: u64) -> (Endpoint, Session) {
    let client = Endpoint::client(ANY).expect("binds");
    let mut target = target(server);
    let mut transport = TransportSettings::default();
    transport.stream_receive_window = window;
    target.transport = Some(transport);
    let connecting = client.connect_with(target).expect("begins");
    let connection = connecting.await.expect("shakes hands");
    let request = ConnectRequest::new("https://localhost/chat".parse().expect("a URI"));
    let session = connection.open_session(request).await;
    (client, session.expect("is accepted"))
}

#[tokio::test]
async fn a_member_who_does_not_read_delays_nobody() {
    within(async {
        let tls = Identity::localhost().server();
        let config = EndpointConfig::server(tls.into(), Config::default()).expect("suits");
        let server = Endpoint::server(config, ANY).expect("binds");
        let room = Arc::new(Room::default());
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Some(connection) = accepting.accept().await {
                let room = room.clone();
                tokio::spawn(async move {
                    while let Some(request) = connection.accept_session().await {
                        let session = request.accept().expect("still wanted");
                        tokio::spawn(room::member(session, room.clone()));
                    }
                });
            }
        });

        let (_client, sleeper) = enter(&server, 2000).await;
        let (mut send, _never_read) = sleeper.open_bi().await.expect("opens");
        send.write_all(b"sleeper\n").await.expect("room");

        let (_client, talker) = enter(&server, 1 << 20).await;
        let (mut send, recv) = talker.open_bi().await.expect("opens");
        send.write_all(b"talker\n").await.expect("room");
        let mut lines = BufReader::new(recv).lines();
        let mut gone = false;
        let text = "x".repeat(900);
        for number in 0..200 {
            let line = format!("{number} {text}");
            let sent = format!("{line}\n");
            send.write_all(sent.as_bytes()).await.expect("room");
            loop {
                let got = lines.next_line().await.expect("open").expect("open");
                gone |= got == "* sleeper is gone";
                if got == format!("talker: {line}") {
                    break;
                }
            }
        }
        let closed = SessionClose::Closed {
            by: Side::Server,
            code: 2,
            reason: "you do not keep up".into(),
        };
        assert_eq!(sleeper.closed().await, closed);
        assert!(gone, "everybody is told");
    })
    .await;
}

/// The example, which is built with the tests.
fn program() -> PathBuf {
    let mut path = std::env::current_exe().expect("this test has a path");
    path.pop();
    path.pop();
    path.push("examples");
    path.push(format!("chat{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is not built", path.display());
    path
}

struct Terminal {
    child: Child,
    keyboard: Option<ChildStdin>,
    screen: Lines<BufReader<ChildStdout>>,
}

impl Terminal {
    fn new(args: &[&str]) -> Self {
        let mut child = Command::new(program())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("starts");
        let screen = child.stdout.take().expect("piped");
        Self {
            keyboard: child.stdin.take(),
            screen: BufReader::new(screen).lines(),
            child,
        }
    }

    async fn shows(&mut self, text: &str) -> String {
        let mut before = Vec::new();
        loop {
            match self.screen.next_line().await.expect("text") {
                Some(line) if line.contains(text) => return line,
                Some(line) => before.push(line),
                None => panic!("the end instead of {text:?}, after {before:?}"),
            }
        }
    }

    async fn says(&mut self, line: &str) {
        let keyboard = self.keyboard.as_mut().expect("open");
        let line = format!("{line}\n");
        keyboard.write_all(line.as_bytes()).await.expect("listens");
    }
}

#[tokio::test]
async fn two_terminals_chat() {
    within(async {
        let any = "127.0.0.1:0";
        let mut server = Terminal::new(&["--listen", any, "--page", any]);
        let join = server.shows("join: ").await;
        let words: Vec<&str> = join.split_whitespace().skip(1).collect();
        let terminal = |name| Terminal::new(&[&words[..], &["--name", name]].concat());
        let mut ann = terminal("Ann");
        ann.shows("* Ann is here").await;
        let mut bob = terminal("Bob");
        bob.shows("* Bob is here").await;
        ann.shows("* Bob is here").await;
        ann.says("hello, Bob").await;
        bob.shows("Ann: hello, Bob").await;
        bob.says("hello, Ann").await;
        ann.shows("Bob: hello, Ann").await;

        // What is typed last arrives before the end.
        ann.says("bye").await;
        ann.keyboard = None;
        bob.shows("Ann: bye").await;
        bob.shows("* Ann is gone").await;
        assert!(ann.child.wait().await.expect("ends").success());

        // A certificate that is not the right one is final.
        let mut wrong = words.clone();
        let zeros = "0".repeat(64);
        wrong[3] = &zeros;
        let mut stranger = Terminal::new(&wrong);
        assert!(!stranger.child.wait().await.expect("ends").success());
    })
    .await;
}
