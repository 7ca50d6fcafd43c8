//! s2n-quic: QUIC's streams, on tokio. Its crypto is aws-lc, and it looks for no datagrams.

use bytes::Bytes;
use s2n_quic::client::Connect;
use s2n_quic::connection::Handle;
use s2n_quic::provider::io::tokio::{Builder, Provider};
use s2n_quic::provider::limits::Limits;
use s2n_quic::provider::tls::rustls;
use s2n_quic::stream::{ReceiveStream, SendStream};
use s2n_quic::{Client as Endpoint, Server};

use crate::contestants::bound;
use crate::count::{Count, add};
use crate::load::awaited::{self, Dial, In, Link, Out};
use crate::setup::{IDLE, MTU, NAME, Res, STREAM_WINDOW, STREAMS, Setup, WINDOW};

const ALPN: [&str; 1] = ["raw"];

fn io(setup: &Setup, server: bool) -> Res<Provider> {
    let socket = bound(setup, server)?;
    let builder = Builder::default().with_rx_socket(socket)?;
    Ok(builder
        .with_max_mtu(MTU + 28)?
        .with_initial_mtu(MTU + 28)?
        .build()?)
}

fn limits() -> Res<Limits> {
    Ok(Limits::new()
        .with_max_idle_timeout(IDLE)?
        .with_data_window(WINDOW.into())?
        .with_bidirectional_local_data_window(STREAM_WINDOW.into())?
        .with_bidirectional_remote_data_window(STREAM_WINDOW.into())?
        .with_unidirectional_data_window(STREAM_WINDOW.into())?
        .with_max_open_remote_bidirectional_streams(STREAMS.into())?
        .with_max_open_local_bidirectional_streams(STREAMS.into())?
        .with_max_open_remote_unidirectional_streams(STREAMS.into())?
        .with_max_open_local_unidirectional_streams(STREAMS.into())?
        .with_max_send_buffer_size(WINDOW)?)
}

pub async fn serve(setup: &Setup) -> Res<()> {
    let tls = rustls::Server::builder()
        .with_certificate(&*setup.file("cert.pem"), &*setup.file("key.pem"))?
        .with_application_protocols(ALPN.iter())?
        .build()?;
    let builder = Server::builder().with_tls(tls)?.with_io(io(setup, true)?)?;
    let mut server = builder.with_limits(limits()?)?.start()?;
    while let Some(connection) = server.accept().await {
        let (_, acceptor) = connection.split();
        let (mut both, mut uni) = acceptor.split();
        tokio::spawn(async move {
            while let Ok(Some(mut stream)) = uni.accept_receive_stream().await {
                tokio::spawn(async move {
                    while let Ok(Some(chunk)) = stream.receive().await {
                        add(Count::Bytes, chunk.len());
                    }
                    add(Count::Streams, 1);
                });
            }
        });
        tokio::spawn(async move {
            while let Ok(Some(stream)) = both.accept_bidirectional_stream().await {
                let (recv, send) = stream.split();
                tokio::spawn(awaited::give_back(send, recv));
            }
        });
    }
    Ok(())
}

#[derive(Clone)]
pub struct Client(Endpoint, Setup);

impl Client {
    pub fn new(setup: &Setup) -> Res<Self> {
        let tls = rustls::Client::builder()
            .with_certificate(&*setup.file("cert.pem"))?
            .with_application_protocols(ALPN.iter())?
            .build()?;
        let builder = Endpoint::builder()
            .with_tls(tls)?
            .with_io(io(setup, false)?)?;
        Ok(Self(
            builder.with_limits(limits()?)?.start()?,
            setup.clone(),
        ))
    }
}

impl Dial for Client {
    type Link = Handle;
    type Http = awaited::None;

    async fn link(&self) -> Res<Handle> {
        let to = Connect::new(self.1.addr).with_server_name(NAME);
        let (handle, _) = self.0.connect(to).await?.split();
        Ok(handle)
    }
}

impl Link for Handle {
    type Send = SendStream;
    type Recv = ReceiveStream;

    async fn open_uni(&self) -> Res<SendStream> {
        Ok(self.clone().open_send_stream().await?)
    }

    async fn open_bi(&self) -> Res<(SendStream, ReceiveStream)> {
        let (recv, send) = self.clone().open_bidirectional_stream().await?.split();
        Ok((send, recv))
    }

    async fn accept_uni(&self) -> Res<ReceiveStream> {
        Err("a server takes them from its acceptor".into())
    }

    async fn accept_bi(&self) -> Res<(SendStream, ReceiveStream)> {
        Err("a server takes them from its acceptor".into())
    }

    async fn send_datagram(&self, _: Bytes) -> Res<()> {
        Err("s2n-quic has no datagrams".into())
    }

    async fn recv_datagram(&self) -> Res<Bytes> {
        Err("s2n-quic has no datagrams".into())
    }
}

impl Out for SendStream {
    async fn write(&mut self, data: Bytes) -> Res<()> {
        Ok(self.send(data).await?)
    }

    async fn finish(&mut self) -> Res<()> {
        Ok(Self::finish(self)?)
    }
}

impl In for ReceiveStream {
    async fn chunk(&mut self) -> Res<Option<Bytes>> {
        Ok(self.receive().await?)
    }
}
