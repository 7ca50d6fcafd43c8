//! The `web-transport-quinn` crate of moq-dev. It has one session on a connection, maps stream codes,
//! and negotiates application protocols.

use std::net::SocketAddr;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use url::Url;
use web_transport_quinn as wtq;
use wtq::proto::{ConnectError as Proto, ConnectRequest, ConnectResponse};
use wtq::{
    ClientBuilder, ClientError, ConnectError, ReadError, ServerBuilder, SessionError,
    WebTransportError, WriteError,
};

use crate::peer::{self, Arguments, Connected, Cut, End, Result};

pub(crate) enum WebTransportQuinn {}

impl peer::Stack for WebTransportQuinn {
    type Session = wtq::Session;
    type Server = wtq::Server;

    async fn connect(arguments: &Arguments) -> Result<Connected<wtq::Session>> {
        let client =
            ClientBuilder::new().with_server_certificate_hashes(vec![arguments.hash.clone()])?;
        let url = Url::parse(arguments.url()?)?;
        let request = ConnectRequest::new(url).with_protocols(arguments.protocols.clone());
        match client.connect(request).await {
            Ok(session) => Ok(Connected::Session(session)),
            Err(ClientError::HttpError(ConnectError::ProtoError(Proto::WrongStatus(Some(
                status,
            ))))) => Ok(Connected::Rejected(Some(status.as_u16()))),
            Err(error) => Err(error.into()),
        }
    }

    async fn listen(arguments: &Arguments) -> Result<wtq::Server> {
        let chain = CertificateDer::pem_file_iter(&arguments.cert)?.collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&arguments.key)?;
        let server = ServerBuilder::new().with_addr(([127, 0, 0, 1], 0).into());
        Ok(server.with_certificate(chain, key)?)
    }
}

impl peer::Server for wtq::Server {
    type Session = wtq::Session;
    type Request = wtq::Request;

    fn address(&self) -> Result<SocketAddr> {
        Ok(self.local_addr()?)
    }

    async fn accept(&mut self) -> Result<wtq::Request> {
        Ok(Self::accept(self).await.ok_or("the endpoint is closed")?)
    }
}

impl peer::Request for wtq::Request {
    type Session = wtq::Session;

    fn target(&self) -> String {
        let url = &self.url;
        match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        }
    }

    fn protocols(&self) -> Option<Vec<String>> {
        Some(self.protocols.clone())
    }

    async fn accept(self, protocol: Option<String>) -> Result<wtq::Session> {
        let answer = match protocol {
            Some(protocol) => ConnectResponse::OK.with_protocol(protocol),
            None => ConnectResponse::OK,
        };
        Ok(self.respond(answer).await?)
    }

    async fn reject(self, status: u16) -> Result<()> {
        // The crate's own `reject` drops the control stream before the answer is read, which is an
        // error of the connection to whoever notices.
        let answer = ConnectResponse::new(wtq::http::StatusCode::from_u16(status)?);
        self.respond(answer).await?.closed().await;
        Ok(())
    }
}

impl peer::Session for wtq::Session {
    type Send = wtq::SendStream;
    type Recv = wtq::RecvStream;

    fn protocol(&self) -> Option<String> {
        Self::protocol(self).map(str::to_owned)
    }

    async fn open_bi(&self) -> Result<(Self::Send, Self::Recv)> {
        Ok(Self::open_bi(self).await?)
    }

    async fn open_uni(&self) -> Result<Self::Send> {
        Ok(Self::open_uni(self).await?)
    }

    async fn accept_bi(&self) -> Result<(Self::Send, Self::Recv)> {
        Ok(Self::accept_bi(self).await?)
    }

    async fn accept_uni(&self) -> Result<Self::Recv> {
        Ok(Self::accept_uni(self).await?)
    }

    fn send_datagram(&self, payload: &[u8]) -> Result<()> {
        Ok(Self::send_datagram(self, payload.to_vec().into())?)
    }

    async fn recv_datagram(&self) -> Result<Vec<u8>> {
        Ok(self.read_datagram().await?.to_vec())
    }

    async fn close(&self, code: u32, reason: &str) -> Result<()> {
        Self::close(self, code, reason.as_bytes());
        Self::closed(self).await;
        Ok(())
    }

    async fn closed(&self) -> End {
        match Self::closed(self).await {
            SessionError::WebTransportError(WebTransportError::Closed(code, reason)) => {
                End::Closed(code.into(), reason)
            }
            other => End::Other(other.to_string()),
        }
    }
}

impl peer::SendHalf for wtq::SendStream {
    async fn write_all(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        Self::write_all(self, bytes)
            .await
            .map_err(|error| match error {
                WriteError::Stopped(code) => Cut::Code(Some(code)),
                WriteError::InvalidStopped(_) => Cut::Code(None),
                other => Cut::Other(other.into()),
            })
    }

    async fn finish(&mut self) -> Result<(), Cut> {
        Self::finish(self).map_err(|error| Cut::Other(error.into()))
    }

    fn reset(&mut self, code: u32) -> Result<()> {
        Ok(Self::reset(self, code)?)
    }

    async fn stopped(&mut self) -> Result<Option<u32>> {
        Ok(Self::stopped(self).await?)
    }
}

impl peer::RecvHalf for wtq::RecvStream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Cut> {
        Self::read(self, buffer).await.map_err(|error| match error {
            ReadError::Reset(code) => Cut::Code(Some(code)),
            ReadError::InvalidReset(_) => Cut::Code(None),
            other => Cut::Other(other.into()),
        })
    }

    fn stop(mut self, code: u32) -> Result<()> {
        Ok(Self::stop(&mut self, code)?)
    }
}
