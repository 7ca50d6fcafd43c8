//! Asks the first server for a page, and for its echo in a session.
use std::time::Duration;

use aqueduct_async_std::protocol::webtransport::ConnectRequest;
use aqueduct_async_std::tls::{self, CertificateHash, Trust};
use aqueduct_async_std::{Connection, Endpoint};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let hash: CertificateHash = std::env::args().nth(1).ok_or("which hash?")?.parse()?;
    // `Trust::certificates` and `Trust::roots` are for certificates that are signed.
    let tls = tls::client_config(Trust::hashes([hash]))?;
    let spawn = |driver| smol::spawn(driver).detach();
    let endpoint = Endpoint::client(([127, 0, 0, 1], 0).into(), spawn)?;
    smol::block_on(async {
        let to = ([127, 0, 0, 1], 4433).into();
        let connection = endpoint.connect(to, "localhost", tls.into())?.await?;
        talk(&connection).await?;
        connection.drain(Duration::from_secs(1));
        endpoint.wait_idle().await;
        Ok(())
    })
}

pub(crate) async fn talk(connection: &Connection) -> Result<(), Failure> {
    let mut stream = connection.get("https://localhost/".parse()?).await?;
    println!("{}", stream.recv_response().await?.status());
    println!("{} bytes", stream.read_to_end(1 << 20).await?.len());

    let request = ConnectRequest::new("https://localhost/echo".parse()?);
    let session = connection.open_session(request).await?;
    let (mut send, mut recv) = session.open_bi().await?;
    send.write_all(b"hello").await?;
    send.finish()?;
    println!("{:?}", recv.read_to_end(100).await?);
    session.close(0, "bye")?;
    Ok(())
}
