//! Ours on tokio: handles under a lock, a task that drives the endpoint.

use std::sync::Arc;

use aqueduct_tokio::protocol::endpoint::Target;
use aqueduct_tokio::protocol::webtransport::ConnectRequest;
use aqueduct_tokio::rustls::ClientConfig;
use aqueduct_tokio::{Connection, Endpoint, RecvStream, SendStream, Session};
use bytes::Bytes;
use http::{Response, Uri};

use crate::contestants::{bound, ours};
use crate::load::awaited::{self, Dial, Http, In, Link, Out};
use crate::load::body;
use crate::setup::{NAME, Res, Setup, size_of_path};

pub async fn serve(setup: &Setup) -> Res<()> {
    let endpoint = Endpoint::with_socket(ours::server(setup)?, bound(setup, true)?)?;
    while let Some(connection) = endpoint.accept().await {
        let sessions = connection.clone();
        tokio::spawn(async move {
            while let Some(request) = sessions.accept_session().await {
                tokio::spawn(async move {
                    if let Ok(session) = request.accept() {
                        awaited::serve(session.clone());
                        session.closed().await;
                    }
                });
            }
        });
        tokio::spawn(async move {
            while let Some((head, mut request)) = connection.accept_request().await {
                tokio::spawn(async move {
                    let body = body(size_of_path(head.uri().path()));
                    // Who asked may have gone.
                    let _ = request.send_whole(Response::new(body)).await;
                });
            }
        });
    }
    Ok(())
}

#[derive(Clone)]
pub struct Client {
    endpoint: Endpoint,
    tls: Arc<ClientConfig>,
    setup: Setup,
}

impl Client {
    pub fn new(setup: &Setup) -> Res<Self> {
        Ok(Self {
            endpoint: Endpoint::with_socket(ours::client()?, bound(setup, false)?)?,
            tls: setup.client_tls(b"h3")?,
            setup: setup.clone(),
        })
    }
}

impl Dial for Client {
    type Link = Session;
    type Http = Connection;

    async fn link(&self) -> Res<Session> {
        let connection = self.http().await?;
        Ok(connection
            .open_session(ConnectRequest::new(self.setup.uri(0)))
            .await?)
    }

    async fn further(&self, link: &Session) -> Res<Session> {
        let request = ConnectRequest::new(self.setup.uri(0));
        Ok(link.connection().open_session(request).await?)
    }

    async fn http(&self) -> Res<Connection> {
        let target = Target::new(self.setup.addr, NAME, self.tls.clone()).http(ours::config());
        Ok(self.endpoint.connect_with(target)?.await?)
    }
}

impl Http for Connection {
    async fn get(&mut self, uri: Uri) -> Res<usize> {
        let (mut stream, mut got) = (Self::get(self, uri).await?, 0);
        stream.recv_response().await?;
        while let Some(data) = stream.recv_data().await? {
            got += data.len();
        }
        Ok(got)
    }
}

impl Link for Session {
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
        Ok(self.send_datagram_wait(&data).await?)
    }

    async fn recv_datagram(&self) -> Res<Bytes> {
        Ok(self.recv_datagram().await?)
    }
}

impl Out for SendStream {
    async fn write(&mut self, data: Bytes) -> Res<()> {
        Ok(self.write_chunk(data).await?)
    }

    async fn finish(&mut self) -> Res<()> {
        Ok(Self::finish(self)?)
    }

    async fn finish_with(&mut self, data: Bytes) -> Res<()> {
        Ok(Self::finish_with(self, data).await?)
    }
}

impl In for RecvStream {
    async fn chunk(&mut self) -> Res<Option<Bytes>> {
        Ok(self.read_chunk(usize::MAX).await?)
    }
}
