//! `aqueduct quic connect`.

use aqueduct_tokio::protocol::id::Dir;
use aqueduct_tokio::protocol::quic::Config;

use super::pipe::{Pipe, Plan};
use super::talk::{self, Input, Talk};
use super::{for_a_reader, shown};
use crate::args::QuicConnect;
use crate::client::{Dialer, Spoken};
use crate::exit::{Context as _, Exit, Failure};
use crate::identity::Identity;
use crate::output::{Output, unprinted};
use crate::record::Recording;
use crate::signals::Interrupt;

/// Connects, talks, and takes its leave.
pub(super) async fn run(
    options: &QuicConnect,
    recording: &Recording,
    output: Output,
) -> Result<Exit, Failure> {
    let silence = &options.silence;
    let mut dialer = Dialer::new(&options.connect, recording, output)?
        .raw(silence.idle_timeout, silence.keep_alive);
    if let (Some(cert), Some(key)) = (&options.cert, &options.key) {
        dialer = dialer.identity(&Identity::load(cert, key)?)?;
    }
    let mut interrupt = Interrupt::listen().doing(|| "cannot listen for signals".to_owned())?;
    let done = interrupt.or(visit(&dialer, options, output)).await;
    // What is dropped closes its connection.
    dialer.leave().await;
    done.map(|()| Exit::Ok)
}

async fn visit(dialer: &Dialer, options: &QuicConnect, output: Output) -> Result<(), Failure> {
    let plan = Plan {
        open: match (options.uni, options.accept) {
            (true, _) => Some(Dir::Uni),
            (false, true) => None,
            (false, false) => Some(Dir::Bi),
        },
        accept: options.accept,
        datagrams: options.talk.datagrams,
        stop: options.talk.stop,
    };
    let spoken = Spoken {
        names: options.alpn.clone(),
        config: Config::new().datagrams(plan.datagrams),
    };
    let dialed = dialer.dial_quic(&options.target, &spoken, move |connection| async move {
        let (pipe, mut ends) = Pipe::new(plan);
        let mut run = connection.run_with(for_a_reader(), |_| pipe);
        let about = talk::connected(&mut ends.told, &mut run).await?;
        Ok((run, ends, about))
    });
    let (run, ends, about) = dialed.await?;
    if options.show {
        let (text, fields) = shown::connection(run.connection(), about.as_deref());
        match output.is_json() {
            true => output.result("connected", "", fields).map_err(unprinted)?,
            false => output.remark(&text),
        }
    }
    let talk = Talk {
        plan,
        options: &options.talk,
        output,
        mailbox: run.mailbox(),
        waits_for_close: plan.open == Some(Dir::Uni),
    };
    // Whoever drops this closes the connection, and a signal does.
    let mut work = tokio::task::JoinSet::new();
    work.spawn(async move { drop(run.await) });
    talk.run(ends, &mut Input::new()).await
}
