//! Answers requests, and echoes the streams and datagrams of sessions.
use aqueduct_tokio::protocol::{config::Config, endpoint::EndpointConfig};
use aqueduct_tokio::tls::{self, Identity};
use aqueduct_tokio::{Connection, Endpoint, RecvStream, SendStream, Session, http};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    // Clients, browsers too, know it by its hash. `Identity::from_pem` reads a real one.
    let identity = Identity::self_signed(["localhost"], std::time::SystemTime::now())?;
    println!("the certificate's hash: {}", identity.hash());
    let tls = tls::server_config(identity.chain, identity.key)?;
    let config = EndpointConfig::server(tls.into(), Config::default())?;
    serve(Endpoint::server(config, ([127, 0, 0, 1], 4433).into())?).await;
    Ok(())
}

pub(crate) async fn serve(endpoint: Endpoint) {
    while let Some(connection) = endpoint.accept().await {
        tokio::spawn(requests(connection.clone()));
        tokio::spawn(sessions(connection));
    }
}

async fn requests(connection: Connection) {
    while let Some((request, mut stream)) = connection.accept_request().await {
        tokio::spawn(async move {
            // Work for a request that its client gives up ends at once.
            let cancelled = stream.cancelled();
            let answer = tokio::select! {
                answer = answer(&request) => answer,
                Some(_) = cancelled => return Ok(()),
            };
            stream.send_response(http::Response::new(()))?;
            stream.send_data(answer.into()).await?;
            stream.finish()
        });
    }
}

async fn answer(request: &http::Request<()>) -> String {
    format!("you asked for {}", request.uri())
}

async fn sessions(connection: Connection) {
    while let Some(request) = connection.accept_session().await {
        let Ok(session) = request.accept() else {
            continue;
        };
        tokio::spawn(datagrams(session.clone()));
        tokio::spawn(async move {
            while let Ok((send, recv)) = session.accept_bi().await {
                tokio::spawn(echo(send, recv));
            }
        });
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
