//! h3-webtransport, which has servers only; the clients are wtransport's.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes};
use h3::quic::{BidiStream as _, RecvStream as _, SendStream as _, SendStreamUnframed};
use h3_datagram::datagram_handler::{DatagramReader, DatagramSender};
use h3_quinn::datagram::{RecvDatagramHandler, SendDatagramHandler};
use h3_webtransport::server::{AcceptedBi, WebTransportSession};
use h3_webtransport::stream::{RecvStream, SendStream};

use crate::contestants::quinn::endpoint;
pub use crate::contestants::wtransport::Client;
use crate::load::awaited::{self, In, Link, Out};
use crate::setup::{Res, Setup};

type Quic = h3_quinn::Connection;
type Session = WebTransportSession<Quic, Bytes>;

pub async fn serve(setup: &Setup) -> Res<()> {
    let endpoint = endpoint(setup, b"h3", true)?;
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let quic = Quic::new(incoming.await?);
            let mut connection = h3::server::builder()
                .enable_webtransport(true)
                .enable_extended_connect(true)
                .enable_datagram(true)
                .max_webtransport_sessions(1)
                .build(quic)
                .await?;
            let Some(resolver) = connection.accept().await? else {
                return Ok(());
            };
            let (request, stream) = resolver.resolve_request().await?;
            let session = Session::accept(request, stream, connection).await?;
            awaited::serve(Served(Arc::new(Parts {
                reader: tokio::sync::Mutex::new(session.datagram_reader()),
                sender: Mutex::new(session.datagram_sender()),
                session,
            })));
            Res::Ok(())
        });
    }
    Ok(())
}

/// A session, and the handles of its datagrams.
struct Parts {
    session: Session,
    reader: tokio::sync::Mutex<DatagramReader<RecvDatagramHandler>>,
    sender: Mutex<DatagramSender<SendDatagramHandler, Bytes>>,
}

#[derive(Clone)]
struct Served(Arc<Parts>);

struct Sending<S>(SendStream<S, Bytes>);
struct Receiving<S>(RecvStream<S, Bytes>);

impl Link for Served {
    type Send = Sending<h3_quinn::SendStream<Bytes>>;
    type Recv = Receiving<h3_quinn::RecvStream>;

    async fn open_uni(&self) -> Res<Self::Send> {
        Ok(Sending(
            self.0.session.open_uni(self.0.session.session_id()).await?,
        ))
    }

    async fn open_bi(&self) -> Res<(Self::Send, Self::Recv)> {
        let stream = self.0.session.open_bi(self.0.session.session_id()).await?;
        let (send, recv) = stream.split();
        Ok((Sending(send), Receiving(recv)))
    }

    async fn accept_uni(&self) -> Res<Self::Recv> {
        let (_, stream) = self.0.session.accept_uni().await?.ok_or("it is over")?;
        Ok(Receiving(stream))
    }

    async fn accept_bi(&self) -> Res<(Self::Send, Self::Recv)> {
        match self.0.session.accept_bi().await?.ok_or("it is over")? {
            AcceptedBi::BidiStream(_, stream) => {
                let (send, recv) = stream.split();
                Ok((Sending(send), Receiving(recv)))
            }
            AcceptedBi::Request(..) => Err("a request in a session".into()),
        }
    }

    async fn send_datagram(&self, data: Bytes) -> Res<()> {
        let mut sender = self.0.sender.lock().map_err(|_| "a panic")?;
        Ok(sender.send_datagram(data)?)
    }

    async fn recv_datagram(&self) -> Res<Bytes> {
        Ok(self
            .0
            .reader
            .lock()
            .await
            .read_datagram()
            .await?
            .into_payload())
    }
}

impl<S: SendStreamUnframed<Bytes> + Send + 'static> Out for Sending<S>
where
    S: h3::quic::SendStream<Bytes>,
{
    async fn write(&mut self, mut data: Bytes) -> Res<()> {
        while data.has_remaining() {
            poll_fn(|cx| self.0.poll_send(cx, &mut data)).await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Res<()> {
        Ok(poll_fn(|cx| self.0.poll_finish(cx)).await?)
    }
}

impl<S: h3::quic::RecvStream + Send + 'static> In for Receiving<S> {
    async fn chunk(&mut self) -> Res<Option<Bytes>> {
        let data = poll_fn(|cx| self.0.poll_data(cx)).await?;
        Ok(data.map(|mut data| data.copy_to_bytes(data.remaining())))
    }
}
