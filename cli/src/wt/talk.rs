//! `aqueduct wt talk`: standard input goes into the session, and what comes is printed.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use aqueduct_tokio::protocol::webtransport::SessionClose;
use aqueduct_tokio::{RecvStream, SendStream, Session};
use bytes::{Bytes, BytesMut};
use data_encoding::BASE64;
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::args::{Carrier, WtTalk};
use crate::chunks::CHUNK;
use crate::client::{datagram_failed, read_failed, session_closed, stream_failed, write_failed};
use crate::exit::{Context as _, Failure};
use crate::output::{Output, unprinted, visible};
use crate::silence::silence;

/// The longest line; the rest of a longer one is another.
const LINE: u64 = 1 << 20;

/// Talks until standard input has ended and nothing more comes, or the session is closed.
pub(super) async fn run(
    session: &Session,
    options: &WtTalk,
    output: Output,
) -> Result<(), Failure> {
    let printer = Printer::new(options, output);
    let mut heard = printer.heard.subscribe();
    let talk = async {
        let input = BufReader::with_capacity(CHUNK, tokio::io::stdin());
        let replies = say(session, options, &printer, input).await?;
        // What was asked on a stream is answered on it: when all are whole there is no more to
        // wait for.
        let answered = async {
            match replies {
                Some(replies) => all(replies).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            answered = answered => answered,
            () = silence(&mut heard, options.quiet, None) => Ok(()),
        }
    };
    tokio::select! {
        // What has come is printed before its end is told.
        biased;
        ended = listen(session, &printer) => ended,
        done = talk => done,
    }
}

/// Sends `input` to its end; answers what reads the replies, if they come on the same streams.
async fn say(
    session: &Session,
    options: &WtTalk,
    printer: &Arc<Printer>,
    mut input: impl AsyncBufRead + Unpin,
) -> Result<Option<JoinSet<Result<(), Failure>>>, Failure> {
    let mut replies = JoinSet::new();
    let two_way = options.by == Carrier::Bidi;
    let mut stream = None;
    if !options.each_line && options.by != Carrier::Datagram {
        stream = Some(open(session, options.by, printer, &mut replies).await?);
    }
    let lines = options.each_line || options.by == Carrier::Datagram && !options.bytes;
    while let Some(piece) = next(&mut input, lines, session, options.by).await? {
        match &mut stream {
            Some(stream) => write(stream, piece).await?,
            None if options.by == Carrier::Datagram => datagram(session, &piece).await?,
            None => {
                let mut own = open(session, options.by, printer, &mut replies).await?;
                write(&mut own, piece).await?;
                own.finish().map_err(unsent)?;
            }
        }
        // Those that are whole are done with.
        while let Some(reply) = replies.try_join_next() {
            over(reply)?;
        }
    }
    if let Some(stream) = &mut stream {
        stream.finish().map_err(unsent)?;
    }
    Ok(two_way.then_some(replies))
}

/// The next line without its end, or as many bytes as there are.
async fn next(
    input: &mut (impl AsyncBufRead + Unpin),
    lines: bool,
    session: &Session,
    by: Carrier,
) -> Result<Option<Bytes>, Failure> {
    let doing = || "cannot read standard input".to_owned();
    if lines {
        let mut line = Vec::new();
        let mut limited = input.take(LINE);
        let count = limited.read_until(b'\n', &mut line).await.doing(doing)?;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        return Ok((count > 0).then(|| line.into()));
    }
    let most = match by {
        Carrier::Datagram => session.max_datagram_size().unwrap_or(CHUNK).max(1),
        _ => CHUNK,
    };
    let mut chunk = BytesMut::with_capacity(most);
    let count = input
        .take(most as u64)
        .read_buf(&mut chunk)
        .await
        .doing(doing)?;
    Ok((count > 0).then(|| chunk.freeze()))
}

async fn open(
    session: &Session,
    by: Carrier,
    printer: &Arc<Printer>,
    replies: &mut JoinSet<Result<(), Failure>>,
) -> Result<SendStream, Failure> {
    let failed = |error| stream_failed("cannot open a stream".to_owned(), error);
    if by == Carrier::Uni {
        return session.open_uni().await.map_err(failed);
    }
    let (send, recv) = session.open_bi().await.map_err(failed)?;
    replies.spawn(printer.clone().stream("bidi", recv));
    Ok(send)
}

async fn write(stream: &mut SendStream, piece: Bytes) -> Result<(), Failure> {
    stream.write_chunk(piece).await.map_err(unsent)
}

fn unsent(error: aqueduct_tokio::error::WriteError) -> Failure {
    write_failed("cannot send".to_owned(), error)
}

async fn datagram(session: &Session, piece: &[u8]) -> Result<(), Failure> {
    let sent = session.send_datagram_wait(piece).await;
    sent.map_err(|error| datagram_failed(session, piece.len(), error))
}

/// Prints what comes by itself until the session is over. That the server closes it without a code
/// is an end like another.
async fn listen(session: &Session, printer: &Arc<Printer>) -> Result<(), Failure> {
    let mut streams = JoinSet::new();
    let close = loop {
        tokio::select! {
            accepted = session.accept_bi() => match accepted {
                Ok((mut send, recv)) => {
                    // There is nothing to say on it. The server may not want to hear that.
                    let _ = send.finish();
                    streams.spawn(printer.clone().stream("bidi", recv));
                }
                Err(close) => break close,
            },
            accepted = session.accept_uni() => match accepted {
                Ok(recv) => drop(streams.spawn(printer.clone().stream("uni", recv))),
                Err(close) => break close,
            },
            received = session.recv_datagram() => match received {
                Ok(payload) => printer.message("datagram", &payload).await?,
                Err(close) => break close,
            },
            Some(done) = streams.join_next() => over(done)?,
        }
    };
    match close {
        SessionClose::Closed { code: 0, .. } => {
            printer.output.remark(&close.to_string());
            Ok(())
        }
        close => Err(session_closed("the session is over".to_owned(), &close)),
    }
}

async fn all(mut streams: JoinSet<Result<(), Failure>>) -> Result<(), Failure> {
    while let Some(done) = streams.join_next().await {
        over(done)?;
    }
    Ok(())
}

fn over(done: Result<Result<(), Failure>, tokio::task::JoinError>) -> Result<(), Failure> {
    done.doing(|| "a stream broke down".to_owned())?
}

/// Prints pieces of what comes, one at a time.
struct Printer {
    output: Output,
    /// As they are, or each message as a line.
    bytes: bool,
    each_line: bool,
    /// What a terminal would obey is escaped.
    terminal: bool,
    stdout: Mutex<tokio::io::Stdout>,
    /// When something came last.
    heard: watch::Sender<Instant>,
}

impl Printer {
    fn new(options: &WtTalk, output: Output) -> Arc<Self> {
        Arc::new(Self {
            output,
            bytes: options.bytes,
            each_line: options.each_line,
            terminal: io::stdout().is_terminal(),
            stdout: Mutex::new(tokio::io::stdout()),
            heard: watch::Sender::new(Instant::now()),
        })
    }

    /// Prints a stream as it comes, or lines when there is one on each: such a line was sent without
    /// its end, and comes back so.
    async fn stream(
        self: Arc<Self>,
        by: &'static str,
        mut recv: RecvStream,
    ) -> Result<(), Failure> {
        let mut held = None;
        loop {
            let read = recv.read_chunk(CHUNK).await;
            let chunk =
                read.map_err(|error| read_failed("cannot read a stream".to_owned(), error))?;
            if self.each_line {
                // The end goes out with the last piece, so that nothing comes between.
                let Some(piece) = std::mem::replace(&mut held, chunk.clone()) else {
                    match chunk {
                        Some(_) => continue,
                        None => return Ok(()),
                    }
                };
                self.print(by, &piece, chunk.is_none()).await?;
            } else if let Some(chunk) = &chunk {
                self.print(by, chunk, false).await?;
            }
            if chunk.is_none() {
                return Ok(());
            }
        }
    }

    async fn message(&self, by: &'static str, payload: &[u8]) -> Result<(), Failure> {
        self.print(by, payload, !self.bytes).await
    }

    async fn print(&self, by: &'static str, piece: &[u8], line: bool) -> Result<(), Failure> {
        self.heard.send_replace(Instant::now());
        if self.output.is_json() {
            let fields = received(by, piece);
            return self
                .output
                .result("received", "", fields)
                .map_err(unprinted);
        }
        let mut shown = match self.terminal {
            true => visible(&String::from_utf8_lossy(piece)).into_bytes(),
            false => piece.to_vec(),
        };
        if line {
            shown.push(b'\n');
        }
        let mut stdout = self.stdout.lock().await;
        let written = async {
            stdout.write_all(&shown).await?;
            stdout.flush().await
        };
        written.await.map_err(unprinted)
    }
}

/// A piece of what came: text where it is text, else base64.
fn received(by: &str, piece: &[u8]) -> Value {
    match std::str::from_utf8(piece) {
        Ok(text) => json!({ "by": by, "bytes": piece.len(), "text": text }),
        Err(_) => json!({ "by": by, "bytes": piece.len(), "base64": BASE64.encode(piece) }),
    }
}
