//! quinn: QUIC without HTTP, on tokio.

use bytes::Bytes;
use quinn::{Connection, Endpoint, RecvStream, SendStream, default_runtime};

use crate::contestants::bound;
use crate::load::awaited::{self, Dial, In, Link, Out};
use crate::setup::{self, NAME, Res, Setup};

const ALPN: &[u8] = b"raw";

/// An endpoint with everyone's settings.
pub fn endpoint(setup: &Setup, alpn: &[u8], server: bool) -> Res<Endpoint> {
    let (socket, config) = (bound(setup, server)?, setup::endpoint());
    let runtime = default_runtime().ok_or("no runtime")?;
    let config_of_server = server
        .then(|| setup::quic_server(setup, alpn))
        .transpose()?;
    let mut endpoint = Endpoint::new(config, config_of_server, socket, runtime)?;
    if !server {
        endpoint.set_default_client_config(setup::quic_client(setup, alpn)?);
    }
    Ok(endpoint)
}

pub async fn serve(setup: &Setup) -> Res<()> {
    let endpoint = endpoint(setup, ALPN, true)?;
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            if let Ok(connection) = incoming.await {
                awaited::serve(connection);
            }
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
    type Link = Connection;
    type Http = Connection;

    async fn link(&self) -> Res<Connection> {
        Ok(self.0.connect(self.1.addr, NAME)?.await?)
    }

    async fn http(&self) -> Res<Connection> {
        self.link().await
    }
}

impl awaited::Http for Connection {
    async fn get(&mut self, _: http::Uri) -> Res<usize> {
        Err("quinn has no requests".into())
    }
}

impl Link for Connection {
    type Send = SendStream;
    type Recv = RecvStream;

    async fn open_uni(&self) -> Res<SendStream> {
        Ok(self.open_uni().await?)
    }

    async fn open_bi(&self) -> Res<(SendStream, RecvStream)> {
        Ok(self.open_bi().await?)
    }

    async fn accept_uni(&self) -> Res<RecvStream> {
        Ok(self.accept_uni().await?)
    }

    async fn accept_bi(&self) -> Res<(SendStream, RecvStream)> {
        Ok(self.accept_bi().await?)
    }

    async fn send_datagram(&self, data: Bytes) -> Res<()> {
        Ok(self.send_datagram_wait(data).await?)
    }

    async fn recv_datagram(&self) -> Res<Bytes> {
        Ok(self.read_datagram().await?)
    }
}

impl Out for SendStream {
    async fn write(&mut self, data: Bytes) -> Res<()> {
        Ok(self.write_chunk(data).await?)
    }

    async fn finish(&mut self) -> Res<()> {
        Ok(self.finish()?)
    }
}

impl In for RecvStream {
    async fn chunk(&mut self) -> Res<Option<Bytes>> {
        Ok(self
            .read_chunk(usize::MAX, true)
            .await?
            .map(|chunk| chunk.bytes))
    }
}
