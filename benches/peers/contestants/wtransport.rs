//! wtransport: a session on a connection of its own, by quinn.

use std::sync::Arc;

use bytes::Bytes;
use wtransport::endpoint::endpoint_side;
use wtransport::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig};

use crate::contestants::bound;
use crate::load::awaited::{self, Dial, In, Link, Out};
use crate::setup::{self, Res, Setup};

pub async fn serve(setup: &Setup) -> Res<()> {
    let config = ServerConfig::builder()
        .with_bind_socket(bound(setup, true)?)
        .build_with_quic_config(setup::quic_server(setup, b"h3")?);
    let endpoint = Endpoint::server(config)?;
    loop {
        let incoming = endpoint.accept().await;
        tokio::spawn(async move {
            awaited::serve(incoming.await?.accept().await?);
            Res::Ok(())
        });
    }
}

#[derive(Clone)]
pub struct Client(Arc<Endpoint<endpoint_side::Client>>, String);

impl Client {
    pub fn new(setup: &Setup) -> Res<Self> {
        let config = ClientConfig::builder()
            .with_bind_socket(bound(setup, false)?)
            .build_with_quic_config(setup::quic_client(setup, b"h3")?);
        // An address, so that no name is looked up.
        Ok(Self(
            Endpoint::client(config)?.into(),
            format!("https://{}/", setup.addr),
        ))
    }
}

impl Dial for Client {
    type Link = Connection;
    type Http = awaited::None;

    async fn link(&self) -> Res<Connection> {
        Ok(self.0.connect(self.1.as_str()).await?)
    }
}

impl Link for Connection {
    type Send = SendStream;
    type Recv = RecvStream;

    async fn open_uni(&self) -> Res<SendStream> {
        Ok(Self::open_uni(self).await?.await?)
    }

    async fn open_bi(&self) -> Res<(SendStream, RecvStream)> {
        Ok(Self::open_bi(self).await?.await?)
    }

    async fn accept_uni(&self) -> Res<RecvStream> {
        Ok(Self::accept_uni(self).await?)
    }

    async fn accept_bi(&self) -> Res<(SendStream, RecvStream)> {
        Ok(Self::accept_bi(self).await?)
    }

    async fn send_datagram(&self, data: Bytes) -> Res<()> {
        // It does not wait: what waits for long is dropped.
        Ok(Self::send_datagram(self, data)?)
    }

    async fn recv_datagram(&self) -> Res<Bytes> {
        Ok(self.receive_datagram().await?.payload())
    }
}

impl Out for SendStream {
    async fn write(&mut self, data: Bytes) -> Res<()> {
        Ok(self.quic_stream_mut().write_chunk(data).await?)
    }

    async fn finish(&mut self) -> Res<()> {
        // Its own waits for the acknowledgement.
        Ok(self.quic_stream_mut().finish()?)
    }
}

impl In for RecvStream {
    async fn chunk(&mut self) -> Res<Option<Bytes>> {
        let chunk = self.quic_stream_mut().read_chunk(usize::MAX, true).await?;
        Ok(chunk.map(|chunk| chunk.bytes))
    }
}
