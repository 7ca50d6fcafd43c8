//! `aqueduct quic listen`.

use std::sync::Arc;

use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::endpoint::{EndpointConfig, TransportSettings};
use aqueduct_tokio::protocol::id::Dir;
use aqueduct_tokio::protocol::quic::Config;
use aqueduct_tokio::{Endpoint, QuicConnection};
use serde_json::json;

use super::echo::Echo;
use super::pipe::{Pipe, Plan};
use super::shown::Peer;
use super::talk::{self, Input, Talk};
use super::{LAST_WORDS, for_a_reader};
use crate::args::QuicListen;
use crate::exit::{Context as _, Exit, Failure};
use crate::identities::Identities;
use crate::output::{Output, unprinted};
use crate::serve::ready::reachable;
use crate::signals::{Signal, Signals};
use crate::tls;

/// Takes connections until a signal comes, or one has been there with `--once`.
pub(super) async fn run(options: &QuicListen, output: Output) -> Result<Exit, Failure> {
    let mut signals = Signals::listen().doing(|| "cannot listen for signals".to_owned())?;
    let mut certificates = Identities::load(&options.certified)?;
    let endpoint = endpoint(options, &certificates)?;
    certificates.publish(&options.certified)?;
    certificates.warn(false, output);
    ready(options, &endpoint, &certificates, output)?;
    let done = {
        let mut work = std::pin::pin!(take(&endpoint, options, output));
        loop {
            tokio::select! {
                biased;
                done = &mut work => break done.map(|()| Exit::Ok),
                signal = signals.next() => match signal {
                    Signal::Hangup => {
                        if certificates.reload(&options.certified, output) {
                            certificates.tell_reloaded(output);
                        }
                    }
                    signal if options.once => {
                        let what = format!("{signal} came before it was done");
                        break Err(Failure::new(signal.exit(), what));
                    }
                    signal => {
                        output.remark(&format!("{signal}: connections are closed"));
                        break Ok(Exit::Ok);
                    }
                },
            }
        }
    };
    endpoint.close(Code::new(0), "");
    // Nothing depends on what the clients make of the last packets.
    let _ = tokio::time::timeout(LAST_WORDS, endpoint.wait_idle()).await;
    done
}

fn endpoint(options: &QuicListen, certificates: &Identities) -> Result<Endpoint, Failure> {
    let doing = || format!("cannot listen on {}", options.listen);
    let tls = Arc::new(tls::server_config(certificates.tls())?);
    let config = Config::new().datagrams(options.talk.datagrams || options.echo);
    let mut transport = TransportSettings::default();
    transport.idle_timeout = Some(options.silence.idle_timeout);
    transport.keep_alive = options.silence.keep_alive;
    if !options.echo {
        // It is as good as a client: one connection, and its data.
        let client = TransportSettings::client();
        transport.stream_receive_window = client.stream_receive_window;
        transport.receive_window = client.receive_window;
        transport.initial_receive_window = client.initial_receive_window;
    }
    let names = options.alpn.iter().map(String::as_str);
    let config = EndpointConfig::quic_server(tls, names, config)
        .and_then(|config| config.transport(transport))
        .doing(doing)?;
    Endpoint::server(config, options.listen).doing(doing)
}

/// One line: standard output is what comes, so that people read it elsewhere.
fn ready(
    options: &QuicListen,
    endpoint: &Endpoint,
    certificates: &Identities,
    output: Output,
) -> Result<(), Failure> {
    let address = reachable(endpoint.local_addr());
    let print = certificates.fingerprints().certificate;
    let names = options.alpn.join(", ");
    output.remark(&format!(
        "listening on {address} for {names}, certificate SHA-256 {}",
        print.to_hex()
    ));
    if !output.is_json() {
        return Ok(());
    }
    let fields = json!({
        "ready": true,
        "address": address.to_string(),
        "alpn": options.alpn,
        "sha256": print.to_hex(),
        "sha256_base64": print.to_base64(),
    });
    output.object("", &fields).map_err(unprinted)
}

async fn take(endpoint: &Endpoint, options: &QuicListen, output: Output) -> Result<(), Failure> {
    let mut input = Input::new();
    while let Some(connection) = endpoint.accept_quic().await {
        if options.echo {
            let run = connection.run(Echo::new(output));
            tokio::spawn(async move { drop(run.await) });
            continue;
        }
        match serve(connection, options, &mut input, output).await {
            Ok(true) if options.once => return Ok(()),
            Ok(_) => {}
            Err(failure) if options.once => return Err(failure),
            Err(failure) => output.failure(&failure),
        }
    }
    Err(Failure::new(
        Exit::Failure,
        "the UDP socket failed (-v tells more)",
    ))
}

/// One connection to its end; whether there was one.
async fn serve(
    connection: QuicConnection,
    options: &QuicListen,
    input: &mut Input,
    output: Output,
) -> Result<bool, Failure> {
    let plan = Plan {
        open: match (options.open, options.uni) {
            (_, true) => Some(Dir::Uni),
            (true, false) => Some(Dir::Bi),
            (false, false) => None,
        },
        accept: !options.open,
        datagrams: options.talk.datagrams,
        stop: options.talk.stop,
    };
    let (pipe, mut ends) = Pipe::new(plan);
    let mut run = connection.run_with(for_a_reader(), |_| pipe);
    let about = match talk::connected(&mut ends.told, &mut run).await {
        Ok(about) => about,
        Err(reason) => {
            let remote = run.connection().remote_address();
            let remote = remote.map(|remote| remote.to_string());
            let whose = remote.as_deref().unwrap_or("a client");
            let why = super::ended(&reason);
            output.remark(&format!(
                "no connection came of a handshake with {whose}: {why}"
            ));
            if output.is_json() {
                let fields = json!({ "remote": remote, "why": why });
                output.event("refused", fields).map_err(unprinted)?;
            }
            return Ok(false);
        }
    };
    let peer = Peer::of(about.as_deref());
    output.remark(&format!("{peer} has connected"));
    if output.is_json() {
        output
            .event("connected", peer.to_json())
            .map_err(unprinted)?;
    }
    let talk = Talk {
        plan,
        options: &options.talk,
        output,
        mailbox: run.mailbox(),
        waits_for_close: true,
    };
    // Whoever drops this closes the connection, and a signal does.
    let mut work = tokio::task::JoinSet::new();
    work.spawn(async move { drop(run.await) });
    talk.run(ends, input).await.map(|()| true)
}
