//! Asks for a page, of a server with this certificate.
use aqueduct_async_std::tls::Trust;
use aqueduct_async_std::{Client, ClientBuilder, client};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let uri = args.next().ok_or("which URI?")?;
    let hash = args.next().ok_or("which hash?")?;
    let builder = ClientBuilder::new(Trust::hashes([hash.parse()?]));
    smol::block_on(async {
        // With async-std it is `|task| drop(async_std::task::spawn(task))`.
        let client = client(builder, |task| smol::spawn(task).detach())?;
        println!("{}", get(&client, &uri).await?);
        client.drain();
        client.closed().await;
        Ok(())
    })
}

pub(crate) async fn get(client: &Client, uri: &str) -> Result<String, Failure> {
    let response = client.get(uri).await?;
    let content = response.into_body().bytes(1 << 20).await?;
    Ok(String::from_utf8(content.into())?)
}
