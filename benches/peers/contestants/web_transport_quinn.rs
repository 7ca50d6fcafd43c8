//! web-transport-quinn: a session on a connection of its own, by quinn.

use bytes::Bytes;
use quinn::Endpoint;
use web_transport_quinn::proto::ConnectRequest;
use web_transport_quinn::{ALPN, RecvStream, SendStream, Server, Session};

use crate::contestants::quinn::endpoint;
use crate::load::awaited::{self, Dial, In, Link, Out};
use crate::setup::{NAME, Res, Setup};

pub async fn serve(setup: &Setup) -> Res<()> {
    let mut server = Server::new(endpoint(setup, ALPN.as_bytes(), true)?);
    while let Some(request) = server.accept().await {
        tokio::spawn(async move {
            if let Ok(session) = request.ok().await {
                awaited::serve(session);
            }
        });
    }
    Ok(())
}

#[derive(Clone)]
pub struct Client(Endpoint, Setup);

impl Client {
    pub fn new(setup: &Setup) -> Res<Self> {
        Ok(Self(
            endpoint(setup, ALPN.as_bytes(), false)?,
            setup.clone(),
        ))
    }
}

impl Dial for Client {
    type Link = Session;
    type Http = awaited::None;

    async fn link(&self) -> Res<Session> {
        let connection = self.0.connect(self.1.addr, NAME)?.await?;
        let url = self.1.uri(0).to_string().parse::<url::Url>()?;
        Ok(Session::connect(connection, ConnectRequest::new(url)).await?)
    }
}

impl Link for Session {
    type Send = SendStream;
    type Recv = RecvStream;

    async fn open_uni(&self) -> Res<SendStream> {
        Ok(Self::open_uni(self).await?)
    }

    async fn open_bi(&self) -> Res<(SendStream, RecvStream)> {
        Ok(Self::open_bi(self).await?)
    }

    async fn accept_uni(&self) -> Res<RecvStream> {
        Ok(Self::accept_uni(self).await?)
    }

    async fn accept_bi(&self) -> Res<(SendStream, RecvStream)> {
        Ok(Self::accept_bi(self).await?)
    }

    async fn send_datagram(&self, data: Bytes) -> Res<()> {
        Ok(Self::send_datagram_wait(self, data).await?)
    }

    async fn recv_datagram(&self) -> Res<Bytes> {
        Ok(Self::read_datagram(self).await?)
    }
}

impl Out for SendStream {
    async fn write(&mut self, data: Bytes) -> Res<()> {
        Ok(self.write_chunk(data).await?)
    }

    async fn finish(&mut self) -> Res<()> {
        Ok(Self::finish(self)?)
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
