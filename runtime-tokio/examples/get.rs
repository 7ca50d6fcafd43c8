//! Asks for a page, of a server with this certificate.
use aqueduct_tokio::tls::Trust;
use aqueduct_tokio::{Client, ClientBuilder, client};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let uri = args.next().ok_or("which URI?")?;
    let hash = args.next().ok_or("which hash?")?;
    let client = client(ClientBuilder::new(Trust::hashes([hash.parse()?])))?;
    println!("{}", get(&client, &uri).await?);
    client.drain();
    client.closed().await;
    Ok(())
}

pub(crate) async fn get(client: &Client, uri: &str) -> Result<String, Failure> {
    let response = client.get(uri).await?;
    let content = response.into_body().bytes(1 << 20).await?;
    Ok(String::from_utf8(content.into())?)
}
