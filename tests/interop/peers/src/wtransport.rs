//! The `wtransport` crate. It hands wire codes of streams to its users as they are, closes a session
//! by closing the connection, and knows no application protocols.

use std::net::SocketAddr;

use wtransport::endpoint::endpoint_side;
use wtransport::endpoint::{IncomingSession, SessionRequest};
use wtransport::error::{ConnectingError, ConnectionError, StreamReadError, StreamWriteError};
use wtransport::tls::Sha256Digest;
use wtransport::{ClientConfig, Connection, Endpoint, Identity, ServerConfig, VarInt};

use crate::codes::{from_http, to_http};
use crate::peer::{self, Arguments, Connected, Cut, End, Result};

pub(crate) enum Wtransport {}

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn wire(code: u32) -> Result<VarInt> {
    VarInt::try_from_u64(to_http(code)).map_err(|_| "a code that fits no varint".into())
}

impl peer::Stack for Wtransport {
    type Session = Open;
    type Server = Listening;

    async fn connect(arguments: &Arguments) -> Result<Connected<Open>> {
        let hash = arguments.hash.as_slice().try_into()?;
        let config = ClientConfig::builder()
            .with_bind_address(loopback())
            .with_server_certificate_hashes([Sha256Digest::new(hash)])
            .build();
        let endpoint = Endpoint::client(config)?;
        match endpoint.connect(arguments.url()?).await {
            Ok(connection) => Ok(Connected::Session(Open(connection))),
            Err(ConnectingError::SessionRejected) => Ok(Connected::Rejected(None)),
            Err(error) => Err(error.into()),
        }
    }

    async fn listen(arguments: &Arguments) -> Result<Listening> {
        let identity = Identity::load_pemfiles(&arguments.cert, &arguments.key).await?;
        let config = ServerConfig::builder()
            .with_bind_address(loopback())
            .with_identity(identity)
            .build();
        Ok(Listening(Endpoint::server(config)?))
    }
}

pub(crate) struct Listening(Endpoint<endpoint_side::Server>);

impl peer::Server for Listening {
    type Session = Open;
    type Request = SessionRequest;

    fn address(&self) -> Result<SocketAddr> {
        Ok(self.0.local_addr()?)
    }

    async fn accept(&mut self) -> Result<SessionRequest> {
        let incoming: IncomingSession = self.0.accept().await;
        Ok(incoming.await?)
    }
}

impl peer::Request for SessionRequest {
    type Session = Open;

    fn target(&self) -> String {
        self.path().to_owned()
    }

    fn protocols(&self) -> Option<Vec<String>> {
        None
    }

    async fn accept(self, _protocol: Option<String>) -> Result<Open> {
        Ok(Open(SessionRequest::accept(self).await?))
    }

    async fn reject(self, status: u16) -> Result<()> {
        match status {
            403 => self.forbidden().await,
            404 => self.not_found().await,
            429 => self.too_many_requests().await,
            other => return Err(format!("wtransport cannot reject with {other}").into()),
        }
        Ok(())
    }
}

#[derive(Clone)]
pub(crate) struct Open(Connection);

impl peer::Session for Open {
    type Send = wtransport::SendStream;
    type Recv = wtransport::RecvStream;

    fn protocol(&self) -> Option<String> {
        None
    }

    async fn open_bi(&self) -> Result<(Self::Send, Self::Recv)> {
        Ok(self.0.open_bi().await?.await?)
    }

    async fn open_uni(&self) -> Result<Self::Send> {
        Ok(self.0.open_uni().await?.await?)
    }

    async fn accept_bi(&self) -> Result<(Self::Send, Self::Recv)> {
        Ok(self.0.accept_bi().await?)
    }

    async fn accept_uni(&self) -> Result<Self::Recv> {
        Ok(self.0.accept_uni().await?)
    }

    fn send_datagram(&self, payload: &[u8]) -> Result<()> {
        Ok(self.0.send_datagram(payload)?)
    }

    async fn recv_datagram(&self) -> Result<Vec<u8>> {
        Ok(self.0.receive_datagram().await?.payload().to_vec())
    }

    async fn close(&self, code: u32, reason: &str) -> Result<()> {
        self.0.close(VarInt::from_u32(code), reason.as_bytes());
        self.0.closed().await;
        // The packet that says so leaves with the endpoint's next turn.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        Ok(())
    }

    async fn closed(&self) -> End {
        // Waiting for a stream tells of the capsule; `closed` tells of the connection's end only.
        let error = match self.0.accept_uni().await {
            Err(error) => error,
            Ok(_) => self.0.closed().await,
        };
        match error {
            ConnectionError::ApplicationClosed(close) => End::Closed(
                close.code().into_inner(),
                String::from_utf8_lossy(close.reason()).into_owned(),
            ),
            other => End::Other(other.to_string()),
        }
    }
}

impl peer::SendHalf for wtransport::SendStream {
    async fn write_all(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        Self::write_all(self, bytes).await.map_err(written)
    }

    async fn finish(&mut self) -> Result<(), Cut> {
        Self::finish(self).await.map_err(written)
    }

    fn reset(&mut self, code: u32) -> Result<()> {
        Ok(Self::reset(self, wire(code)?)?)
    }

    async fn stopped(&mut self) -> Result<Option<u32>> {
        match Self::stopped(self).await {
            StreamWriteError::Stopped(code) => Ok(from_http(code.into_inner())),
            other => Err(other.into()),
        }
    }
}

fn written(error: StreamWriteError) -> Cut {
    match error {
        StreamWriteError::Stopped(code) => Cut::Code(from_http(code.into_inner())),
        other => Cut::Other(other.into()),
    }
}

impl peer::RecvHalf for wtransport::RecvStream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Cut> {
        Self::read(self, buffer).await.map_err(|error| match error {
            StreamReadError::Reset(code) => Cut::Code(from_http(code.into_inner())),
            other => Cut::Other(other.into()),
        })
    }

    fn stop(self, code: u32) -> Result<()> {
        Self::stop(self, wire(code)?);
        Ok(())
    }
}
