//! A client that comes back: the server it talks to goes away in the middle, and
//! the work goes on with another one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqueduct_tokio::error::{
    OpenSessionError, OpenStreamError, ReadError, RequestError, WriteError,
};
use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::{EndpointConfig, Target};
use aqueduct_tokio::protocol::error::CloseReason;
use aqueduct_tokio::protocol::id::Side;
use aqueduct_tokio::protocol::testing::cert::Identity;
use aqueduct_tokio::protocol::webtransport::ConnectRequest;
use aqueduct_tokio::protocol::webtransport::SessionClose;
use aqueduct_tokio::{Connection, Endpoint, Session};

use crate::harness::{ANY, within};

type Log = Arc<Mutex<Vec<u8>>>;

/// Notes the number on each stream once, and sends it back.
async fn serve(endpoint: Endpoint, log: Log) {
    while let Some(connection) = endpoint.accept().await {
        let log = log.clone();
        tokio::spawn(async move {
            while let Some(request) = connection.accept_session().await {
                let session = request.accept().expect("still wanted");
                tokio::spawn(note(session, log.clone()));
            }
        });
    }
}

async fn note(session: Session, log: Log) {
    while let Ok((mut send, mut recv)) = session.accept_bi().await {
        let number = recv.read_to_end(1).await.expect("a number");
        {
            let mut log = log.lock().expect("no panic");
            if log.last() != number.first() {
                log.extend(&number);
            }
        }
        // A client that has gone asks again.
        let _ = send.write_chunk(number).await;
        let _ = send.finish();
    }
}

fn server(log: &Log) -> Endpoint {
    let tls = Identity::localhost().server();
    let config = EndpointConfig::server(tls.into(), Config::default()).expect("suits");
    let endpoint = Endpoint::server(config, ANY).expect("binds");
    tokio::spawn(serve(endpoint.clone(), log.clone()));
    endpoint
}

/// Why one visit to a server ended.
#[derive(Debug)]
struct Failed {
    retryable: bool,
    why: String,
}

macro_rules! failures {
    ($($error:ty),*) => { $(
        impl From<$error> for Failed {
            fn from(error: $error) -> Self {
                Self { retryable: error.is_retryable(), why: error.to_string() }
            }
        }
    )* };
}

failures!(
    CloseReason,
    OpenSessionError,
    OpenStreamError,
    RequestError,
    WriteError,
    ReadError,
    SessionClose
);

async fn connect(endpoint: &Endpoint, to: SocketAddr) -> Result<Connection, CloseReason> {
    let target = Target::new(to, "localhost", Identity::localhost().client_arc());
    endpoint.connect_with(target).expect("begins").await
}

/// Has numbers noted from `next` on, until all are or the server goes away.
async fn work(endpoint: &Endpoint, to: SocketAddr, next: &mut u8, end: u8) -> Result<(), Failed> {
    let connection = connect(endpoint, to).await?;
    let visit = visit(&connection, next, end).await;
    if let Err(failed) = visit {
        // A server that goes away says so before it closes its sessions, with code 0.
        let told = tokio::time::timeout(Duration::ZERO, connection.draining()).await;
        let retryable = failed.retryable || told == Ok(Some(Side::Server));
        return Err(Failed {
            retryable,
            ..failed
        });
    }
    connection.drain(Duration::from_secs(1));
    connection.closed().await;
    Ok(())
}

async fn visit(connection: &Connection, next: &mut u8, end: u8) -> Result<(), Failed> {
    let request = ConnectRequest::new("https://localhost/".parse().expect("a URI"));
    let session = connection.open_session(request).await?;
    while *next < end {
        let (mut send, mut recv) = session.open_bi().await?;
        send.write_all(&[*next]).await?;
        send.finish()?;
        assert_eq!(recv.read_to_end(1).await?[..], [*next]);
        *next += 1;
    }
    session.close(0, "done").expect("open");
    Ok(())
}

#[tokio::test]
async fn a_client_goes_on_elsewhere_when_its_server_goes_away() {
    // Rows B20, B36
    within(async {
        let log = Log::default();
        let servers = [server(&log), server(&log)];
        let client = Endpoint::client(ANY).expect("binds");
        let (mut next, mut failures) = (0, Vec::new());
        let going = tokio::spawn({
            let (first, log) = (servers[0].clone(), log.clone());
            async move {
                while log.lock().expect("no panic").len() < 10 {
                    tokio::task::yield_now().await;
                }
                // GOAWAY, and the end of the connection right behind it: with 190 round
                // trips to go, the client cannot be through before.
                first.drain(Duration::ZERO);
            }
        });
        // A server that works goes on being asked; one that failed is the last choice.
        let mut choice = servers.iter().cycle();
        let mut to = choice.next().expect("two servers").local_addr();
        while let Err(failed) = work(&client, to, &mut next, 200).await {
            assert!(failed.retryable, "{failed:?}");
            failures.push(failed.why);
            assert!(failures.len() < 10, "{failures:?}");
            to = choice.next().expect("two servers").local_addr();
        }
        going.await.expect("no panic");
        assert!(!failures.is_empty(), "the first server went away");
        let all: Vec<u8> = (0..200).collect();
        assert_eq!(*log.lock().expect("no panic"), all, "each once, in order");
        client.wait_idle().await;
        assert_eq!(client.open_connections(), 0);
    })
    .await;
}

#[tokio::test]
async fn what_is_final_is_not_tried_again() {
    // Row B36
    within(async {
        let log = Log::default();
        let server = server(&log);
        let client = Endpoint::client(ANY).expect("binds");
        let stranger = Arc::new(Identity::new(9, &["localhost"]).client());
        let target = Target::new(server.local_addr(), "localhost", stranger);
        let connecting = client.connect_with(target).expect("begins");
        let reason = connecting.await.expect_err("not trusted");
        assert!(!reason.is_retryable(), "{reason}");

        // A server that is gone may come back; one that takes no more is not.
        server.drain(Duration::ZERO);
        server.wait_idle().await;
        let refused = connect(&client, server.local_addr()).await;
        let refused = refused.expect_err("it takes no more");
        assert!(refused.is_retryable(), "{refused}");
        client.close(Code::H3_NO_ERROR, "");
        client.wait_idle().await;
        assert_eq!(client.open_connections(), 0);
    })
    .await;
}
