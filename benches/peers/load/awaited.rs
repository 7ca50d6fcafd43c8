//! The works for contestants that are awaited, on a runtime of one thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http::Uri;
use tokio::spawn;
use tokio::time::{MissedTickBehavior, interval};

use crate::count::{Count, add};
use crate::load::{CHUNK, HUNDRED, TICK, datagram, first};
use crate::measure::{die, ready, took};
use crate::setup::{Res, Setup};
use crate::works::{ECHO, IN_FLIGHT, Load, SILENT, SINK};

/// A connection, or a session where there are sessions.
pub trait Link: Clone + Send + Sync + 'static {
    type Send: Out;
    type Recv: In;
    fn open_uni(&self) -> impl Future<Output = Res<Self::Send>> + Send;
    fn open_bi(&self) -> impl Future<Output = Res<(Self::Send, Self::Recv)>> + Send;
    fn accept_uni(&self) -> impl Future<Output = Res<Self::Recv>> + Send;
    fn accept_bi(&self) -> impl Future<Output = Res<(Self::Send, Self::Recv)>> + Send;
    /// Waits for room, where the contestant can.
    fn send_datagram(&self, data: Bytes) -> impl Future<Output = Res<()>> + Send;
    fn recv_datagram(&self) -> impl Future<Output = Res<Bytes>> + Send;
}

pub trait Out: Send + 'static {
    fn write(&mut self, data: Bytes) -> impl Future<Output = Res<()>> + Send;
    fn finish(&mut self) -> impl Future<Output = Res<()>> + Send;
    /// Both, in one call where there is one.
    fn finish_with(&mut self, data: Bytes) -> impl Future<Output = Res<()>> + Send {
        async {
            self.write(data).await?;
            self.finish().await
        }
    }
}

pub trait In: Send + 'static {
    /// `None` at the end.
    fn chunk(&mut self) -> impl Future<Output = Res<Option<Bytes>>> + Send;
}

/// A connection for requests.
pub trait Http: Clone + Send + 'static {
    /// The bytes of the answer's content.
    fn get(&mut self, uri: Uri) -> impl Future<Output = Res<usize>> + Send;
}

/// A client.
pub trait Dial: Clone + Send + Sync + 'static {
    type Link: Link;
    type Http: Http;
    /// With a session, if the contestant has those.
    fn link(&self) -> impl Future<Output = Res<Self::Link>> + Send;
    /// Another session on the connection of one.
    fn further(&self, _: &Self::Link) -> impl Future<Output = Res<Self::Link>> + Send {
        async { missing() }
    }
    /// Without a session, where the contestant has those.
    fn http(&self) -> impl Future<Output = Res<Self::Http>> + Send {
        async { missing() }
    }
}

fn missing<T>() -> Res<T> {
    Err("the contestant does not have that".into())
}

/// What a contestant has instead of links, or of requests.
#[derive(Clone, Copy)]
pub enum None {}

impl Link for None {
    type Send = Self;
    type Recv = Self;
    async fn open_uni(&self) -> Res<Self> {
        match *self {}
    }
    async fn open_bi(&self) -> Res<(Self, Self)> {
        match *self {}
    }
    async fn accept_uni(&self) -> Res<Self> {
        match *self {}
    }
    async fn accept_bi(&self) -> Res<(Self, Self)> {
        match *self {}
    }
    async fn send_datagram(&self, _: Bytes) -> Res<()> {
        match *self {}
    }
    async fn recv_datagram(&self) -> Res<Bytes> {
        match *self {}
    }
}

impl Out for None {
    async fn write(&mut self, _: Bytes) -> Res<()> {
        match *self {}
    }
    async fn finish(&mut self) -> Res<()> {
        match *self {}
    }
}

impl In for None {
    async fn chunk(&mut self) -> Res<Option<Bytes>> {
        match *self {}
    }
}

impl Http for None {
    async fn get(&mut self, _: Uri) -> Res<usize> {
        match *self {}
    }
}

/// Runs on one thread, as all do.
pub fn block_on(work: impl Future<Output = Res<()>>) -> Res<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}

/// A task that may not fail.
fn must(work: impl Future<Output = Res<()>> + Send + 'static) {
    spawn(async {
        if let Err(error) = work.await {
            die(error);
        }
    });
}

// ---- server --------------------------------------------------------------------------

/// Takes everything, and gives back what is to be given back, until the link is over.
pub fn serve<L: Link>(link: L) {
    let uni = link.clone();
    spawn(async move {
        while let Ok(mut stream) = uni.accept_uni().await {
            spawn(async move {
                while let Ok(Some(chunk)) = stream.chunk().await {
                    add(Count::Bytes, chunk.len());
                }
                add(Count::Streams, 1);
            });
        }
    });
    let datagrams = link.clone();
    spawn(async move {
        while let Ok(datagram) = datagrams.recv_datagram().await {
            add(Count::Datagrams, 1);
            if datagram.first() == Some(&ECHO) && datagrams.send_datagram(datagram).await.is_err() {
                break;
            }
        }
    });
    spawn(async move {
        while let Ok((send, recv)) = link.accept_bi().await {
            spawn(give_back(send, recv));
        }
    });
}

pub async fn give_back(mut send: impl Out, mut recv: impl In) {
    let mut mode = Option::None;
    while let Ok(Some(chunk)) = recv.chunk().await {
        add(Count::Bytes, chunk.len());
        match *mode.get_or_insert(chunk[0]) {
            ECHO if send.write(chunk).await.is_err() => return,
            SILENT => std::future::pending().await,
            _ => {}
        }
    }
    add(Count::Streams, 1);
    let _ = send.finish().await;
}

// ---- client --------------------------------------------------------------------------

pub async fn run<D: Dial>(dial: D, load: Load, setup: &Setup) -> Res<()> {
    match load {
        Load::Bulk => {
            // A session ends with its last handle.
            let link = dial.link().await?;
            let mut stream = link.open_uni().await?;
            ready();
            loop {
                stream.write(CHUNK).await?;
            }
        }
        Load::BulkEcho => {
            let link = dial.link().await?;
            let (mut send, mut recv) = link.open_bi().await?;
            must(async move {
                send.write(first(ECHO)).await?;
                loop {
                    send.write(CHUNK).await?;
                }
            });
            ready();
            while let Some(chunk) = recv.chunk().await? {
                add(Count::Bytes, chunk.len());
            }
            Ok(())
        }
        Load::Streams { silent } => {
            let link = dial.link().await?;
            let mut kept = Option::None;
            if silent {
                let (mut send, recv) = link.open_bi().await?;
                send.write(first(SILENT)).await?;
                send.write(CHUNK).await?;
                kept = Some((send, recv));
            }
            ready();
            loop {
                let mut stream = link.open_uni().await?;
                stream.finish_with(HUNDRED).await?;
                if silent && kept.is_none() {
                    return Ok(());
                }
            }
        }
        Load::Echo { size, sessions } => echo(dial, size, sessions).await,
        Load::Flood { size } => {
            let (link, datagram) = (dial.link().await?, Bytes::from(datagram(SINK, size)));
            ready();
            loop {
                link.send_datagram(datagram.clone()).await?;
                // Where sending does not wait, the driver has to have its turn.
                tokio::task::consume_budget().await;
            }
        }
        Load::Get { size, at_once } => {
            let http = dial.http().await?;
            for _ in 0..at_once {
                let (mut http, uri) = (http.clone(), setup.uri(size));
                must(async move {
                    loop {
                        let since = Instant::now();
                        let got = http.get(uri.clone()).await?;
                        if got != size {
                            return Err(format!("{got} bytes of {size}").into());
                        }
                        add(Count::Done, 1);
                        took(since);
                    }
                });
            }
            ready();
            std::future::pending().await
        }
        Load::Starts { session, at_once } => {
            for _ in 0..at_once {
                let dial = dial.clone();
                must(async move {
                    loop {
                        start(&dial, session).await?;
                        add(Count::Done, 1);
                        ready();
                    }
                });
            }
            std::future::pending().await
        }
        Load::Idle { session, count } => {
            let (mut links, mut https) = (Vec::new(), Vec::new());
            for _ in 0..count {
                match session {
                    true => links.push(dial.link().await?),
                    false => https.push(dial.http().await?),
                }
                add(Count::Done, 1);
            }
            ready();
            std::future::pending().await
        }
    }
}

/// A connection, which its end closes.
async fn start<D: Dial>(dial: &D, session: bool) -> Res<()> {
    match session {
        true => drop(dial.link().await?),
        false => drop(dial.http().await?),
    }
    Ok(())
}

async fn echo<D: Dial>(dial: D, size: usize, sessions: usize) -> Res<()> {
    let datagram = Bytes::from(datagram(ECHO, size));
    let mut links = vec![dial.link().await?];
    while links.len() < sessions {
        links.push(dial.further(&links[0]).await?);
    }
    let heard = Arc::new(AtomicU64::new(0));
    for link in &links {
        let (link, datagram, heard) = (link.clone(), datagram.clone(), heard.clone());
        must(async move {
            loop {
                link.recv_datagram().await?;
                heard.fetch_add(1, Ordering::Relaxed);
                add(Count::Datagrams, 1);
                link.send_datagram(datagram.clone()).await?;
            }
        });
    }
    ready();
    // An echo that has died, all its datagrams lost, begins again.
    let (mut tick, mut before) = (interval(TICK), u64::MAX);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        let now = heard.load(Ordering::Relaxed);
        if now == before || before == u64::MAX {
            for at in 0..IN_FLIGHT {
                links[at % links.len()]
                    .send_datagram(datagram.clone())
                    .await?;
            }
        }
        before = now;
    }
}
