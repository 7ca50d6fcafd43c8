//! h3 on quinn: requests.

use bytes::{Buf, Bytes};
use h3::client::SendRequest;
use h3_quinn::{Connection, OpenStreams};
use http::{Request, Response, Uri};
use quinn::Endpoint;

use crate::contestants::quinn::endpoint;
use crate::load::awaited::{self, Dial, Http};
use crate::load::body;
use crate::setup::{NAME, Res, Setup, size_of_path};

const ALPN: &[u8] = b"h3";

pub async fn serve(setup: &Setup) -> Res<()> {
    let endpoint = endpoint(setup, ALPN, true)?;
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let connection = Connection::new(incoming.await?);
            let mut connection = h3::server::Connection::<_, Bytes>::new(connection).await?;
            while let Some(resolver) = connection.accept().await? {
                tokio::spawn(async move {
                    let (request, mut stream) = resolver.resolve_request().await?;
                    let body = body(size_of_path(request.uri().path()));
                    stream.send_response(Response::new(())).await?;
                    stream.send_data(body).await?;
                    stream.finish().await?;
                    Res::Ok(())
                });
            }
            Res::Ok(())
        });
    }
    Ok(())
}

#[derive(Clone)]
pub struct Client(Endpoint, Setup);

impl Client {
    pub fn new(setup: &Setup) -> Res<Self> {
        Ok(Self(endpoint(setup, ALPN, false)?, setup.clone()))
    }
}

impl Dial for Client {
    type Link = awaited::None;
    type Http = SendRequest<OpenStreams, Bytes>;

    async fn link(&self) -> Res<awaited::None> {
        Err("h3-quinn has no sessions".into())
    }

    async fn http(&self) -> Res<Self::Http> {
        let connection = Connection::new(self.0.connect(self.1.addr, NAME)?.await?);
        let (mut driver, requests) = h3::client::new(connection).await?;
        // It ends with the last handle.
        tokio::spawn(async move { driver.wait_idle().await });
        Ok(requests)
    }
}

impl Http for SendRequest<OpenStreams, Bytes> {
    async fn get(&mut self, uri: Uri) -> Res<usize> {
        let mut stream = self.send_request(Request::get(uri).body(())?).await?;
        stream.finish().await?;
        stream.recv_response().await?;
        let mut got = 0;
        while let Some(data) = stream.recv_data().await? {
            got += data.remaining();
        }
        Ok(got)
    }
}
