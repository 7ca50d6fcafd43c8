//! Answers requests, and echoes the streams and datagrams of sessions.
use aqueduct_async_std::protocol::{config::Config, endpoint::EndpointConfig};
use aqueduct_async_std::tls::{self, Identity};
use aqueduct_async_std::{Connection, Endpoint, RecvStream, SendStream, Session, http};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    // Clients, browsers too, know it by its hash. `Identity::from_pem` reads a real one.
    let identity = Identity::self_signed(["localhost"], std::time::SystemTime::now())?;
    println!("the certificate's hash: {}", identity.hash());
    let tls = tls::server_config(identity.chain, identity.key)?;
    let config = EndpointConfig::server(tls.into(), Config::default())?;
    // On async-std: |driver| { async_std::task::spawn(driver); }
    let spawn = |driver| smol::spawn(driver).detach();
    let endpoint = Endpoint::server(config, ([127, 0, 0, 1], 4433).into(), spawn)?;
    smol::block_on(serve(endpoint));
    Ok(())
}

pub(crate) async fn serve(endpoint: Endpoint) {
    while let Some(connection) = endpoint.accept().await {
        smol::spawn(requests(connection.clone())).detach();
        smol::spawn(sessions(connection)).detach();
    }
}

async fn requests(connection: Connection) {
    while let Some((request, mut stream)) = connection.accept_request().await {
        smol::spawn(async move {
            let answer = format!("you asked for {}", request.uri());
            stream.send_response(http::Response::new(()))?;
            stream.send_data(answer.into()).await?;
            stream.finish()
        })
        .detach();
    }
}

async fn sessions(connection: Connection) {
    while let Some(request) = connection.accept_session().await {
        let Ok(session) = request.accept() else {
            continue;
        };
        smol::spawn(datagrams(session.clone())).detach();
        smol::spawn(async move {
            while let Ok((send, recv)) = session.accept_bi().await {
                smol::spawn(echo(send, recv)).detach();
            }
        })
        .detach();
    }
}

async fn datagrams(session: Session) {
    while let Ok(datagram) = session.recv_datagram().await {
        session.send_datagram_wait(&datagram).await.ok();
    }
}

async fn echo(mut send: SendStream, mut recv: RecvStream) -> Result<(), Failure> {
    while let Some(chunk) = recv.read_chunk(65_536).await? {
        send.write_chunk(chunk).await?;
    }
    Ok(send.finish()?)
}
