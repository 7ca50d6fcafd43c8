//! `aqueduct proxy`: tunnels for UDP and TCP, for others, where rules allow it.

mod access;
mod connection;
mod ready;

use std::sync::Arc;
use std::time::Duration;

use aqueduct_tokio::ServerGroup;
use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::{EndpointConfig, TransportSettings};
use aqueduct_tokio::protocol::webtransport::dialect::Dialects;
use aqueduct_tokio::proxy::{GateConfig, ProxyOptions, Rule, TargetPolicy};

use crate::args::Proxy;
use crate::exit::{Context as _, Exit, Failure};
use crate::identities::Identities;
use crate::output::{Output, unprinted};
use crate::record::Recording;
use crate::secrets::{self, Source};
use crate::signals::{Signal, Signals};
use crate::{tls, units};
use access::Access;

/// How long the last packets may take to leave after everything is closed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a connection may ask for beside its tunnels.
const BESIDE: u32 = 100;

/// Where --allow-private leads.
const PRIVATE: [&str; 7] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "fc00::/7",
    "::1",
];

/// What every connection and request of the proxy shares.
#[derive(Debug)]
struct Site {
    proxy: aqueduct_tokio::proxy::Proxy,
    access: Access,
}

/// Serves until a signal comes.
pub async fn run(options: &Proxy, recording: &Recording, output: Output) -> Result<Exit, Failure> {
    // From here on a signal drains, also while the proxy is being set up.
    let mut signals = Signals::listen().doing(|| "cannot listen for signals".to_owned())?;
    let gate = gate(options)?;
    if gate.credentials.is_none() && options.open && !options.listen.ip().is_loopback() {
        output.warning("--open: everybody who finds this proxy can use it, in your name");
    }
    let mut certificates = Identities::load(&options.certified)?;
    let endpoint = endpoint(options, &certificates, recording)?;
    // Before the line that says so: scripts read the file when they see the line.
    certificates.publish(&options.certified)?;
    let facts = ready::Facts {
        listening: endpoint.local_addr(),
        fingerprints: certificates.fingerprints(),
        udp: gate.udp.as_ref().map(ToString::to_string),
        tcp: gate.tcp.as_ref().map(ToString::to_string),
    };
    let access = Access::new(&gate, output);
    let proxy = aqueduct_tokio::proxy::Proxy::with_options(gate, service(options));
    let site = Arc::new(Site { proxy, access });
    certificates.warn(false, output);
    facts.print(output).map_err(unprinted)?;

    let accept = async {
        while let Some(connection) = endpoint.accept().await {
            tokio::spawn(connection::run(connection, site.clone()));
        }
    };
    tokio::pin!(accept);
    let signal = loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Hangup => if certificates.reload(&options.certified, output) {
                    certificates.warn(false, output);
                    certificates.tell_reloaded(output);
                },
                signal => break signal,
            },
            // It ends only when the socket failed.
            () = &mut accept => {
                return Err(Failure::new(Exit::Failure, "the UDP socket failed (-v tells more)"));
            }
        }
    };
    let limit = units::duration(options.drain_timeout);
    output.remark(&format!(
        "{signal}: no new tunnels, and an end to all within {limit}; again to stop at once"
    ));
    let finished = drain(
        &endpoint,
        &site,
        options.drain_timeout,
        &mut signals,
        accept,
    )
    .await;
    output.remark(if finished {
        "stopped: all tunnels had ended"
    } else {
        "stopped: the tunnels that were left were closed"
    });
    Ok(Exit::Ok)
}

/// Lets nobody in, waits until all are gone, and closes what is left then. Whether there was
/// nothing left.
async fn drain(
    endpoint: &ServerGroup,
    site: &Site,
    limit: Duration,
    signals: &mut Signals,
    accept: impl Future<Output = ()>,
) -> bool {
    site.proxy.gate().set_draining(true);
    // What the core would close at the deadline is closed from here, a moment before.
    endpoint.drain(limit + LAST_WORDS);
    let finished = tokio::select! {
        () = endpoint.wait_idle() => return true,
        // Who has no tunnel any more may keep its connection.
        () = emptied(site) => true,
        _ = signals.end() => false,
        () = tokio::time::sleep(limit) => false,
        // Whoever connects now is told to go; it ends when the sockets do.
        () = async { accept.await; std::future::pending().await } => false,
    };
    endpoint.close(Code::H3_NO_ERROR, "shutting down");
    if tokio::time::timeout(LAST_WORDS, endpoint.wait_idle())
        .await
        .is_err()
    {
        tracing::debug!("some connections did not end in time");
    }
    finished
}

/// Waits until there have been no tunnels for a moment, in which what they said last gets
/// there.
async fn emptied(site: &Site) {
    let mut quiet = 0;
    while quiet < 5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let stats = site.proxy.gate().stats();
        quiet = match stats.pending + stats.active {
            0 => quiet + 1,
            _ => 0,
        };
    }
}

/// Who gets tunnels, and to where.
fn gate(options: &Proxy) -> Result<GateConfig, Failure> {
    let credentials = secrets::taken(
        Source {
            option: "--bearer-file",
            file: options.bearer_file.as_deref(),
            variable: "AQUEDUCT_BEARER",
        },
        Source {
            option: "--basic-file",
            file: options.basic_file.as_deref(),
            variable: "AQUEDUCT_BASIC",
        },
    )?;
    if credentials.is_none() && !options.listen.ip().is_loopback() && !options.open {
        let why = format!(
            "others than this host can reach {}, and nothing is asked of them: name tokens with \
             --bearer-file or AQUEDUCT_BEARER, or passwords with --basic-file or AQUEDUCT_BASIC; \
             or serve everybody with --open",
            options.listen
        );
        return Err(Failure::new(Exit::Usage, why));
    }
    let mut gate = GateConfig::default();
    gate.policy = policy(options)?;
    gate.credentials = credentials;
    gate.classic = !options.no_connect;
    gate.max_tunnels = options.max_tunnels as usize;
    gate.name = options.name.as_str().into();
    if let Some(template) = &options.udp_template {
        gate.udp = Some(template.clone());
    }
    if let Some(template) = &options.tcp_template {
        gate.tcp = Some(template.clone());
    }
    Ok(gate)
}

fn policy(options: &Proxy) -> Result<TargetPolicy, Failure> {
    let mut policy = TargetPolicy::default().only_allowed(options.only_allowed);
    if options.allow_private {
        for rule in PRIVATE {
            let rule: Rule = rule.parse().doing(|| format!("`{rule}` is no rule"))?;
            policy = policy.allow(rule);
        }
    }
    for rule in &options.allow {
        policy = policy.allow(rule.clone());
    }
    for rule in &options.deny {
        policy = policy.deny(rule.clone());
    }
    let own = options.listen.ip();
    // Loopback has rules of its own, and of all addresses the one that was reached is known.
    let is_one = !own.is_loopback() && !own.is_unspecified();
    Ok(policy.own(is_one.then_some(own)))
}

/// How targets are reached, and for how long.
fn service(options: &Proxy) -> ProxyOptions {
    let mut service = ProxyOptions::default();
    service.idle_timeout = options.tunnel_idle_timeout;
    service.max_per_client = options.max_tunnels_per_client as usize;
    service.keep_unreachable = options.keep_unreachable;
    service
}

fn endpoint(
    options: &Proxy,
    certificates: &Identities,
    recording: &Recording,
) -> Result<ServerGroup, Failure> {
    let doing = || format!("cannot listen on {}", options.listen);
    let tls = Arc::new(tls::server_config(certificates.tls())?);
    // One connection may have all tunnels of a client.
    let tunnels = options.max_tunnels_per_client.min(options.max_tunnels);
    let requests = tunnels.saturating_add(BESIDE);
    let mut http = Config::default();
    http.limits.open_requests = requests as usize;
    // Of each request the head is kept while it is under way.
    http.limits.head_bytes = http.limits.head_bytes.max(requests as usize * 4096);
    http.webtransport.dialects = Dialects::NONE;
    let mut transport = TransportSettings::default();
    transport.idle_timeout = Some(options.idle_timeout);
    transport.max_streams_bidi = requests.into();
    // As many as there may be may stand unread, and the others go on.
    let unread = u64::from(requests) * transport.stream_receive_window / 7;
    transport.receive_window = transport
        .receive_window
        .max(unread + transport.initial_receive_window);
    let mut config = EndpointConfig::server(tls, http)
        .and_then(|config| config.transport(transport))
        .doing(doing)?;
    if let Some(path) = &options.reset_key {
        config = config
            .reset_key(crate::reset_key::read(path)?)
            .doing(doing)?;
    }
    #[cfg(feature = "qlog")]
    let config = crate::qlog::Traces::begin(&options.qlog)?.of(config);
    let config = recording.of(config);
    ServerGroup::bind(config, options.listen, options.workers.into()).doing(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_networks_are_rules() {
        for rule in PRIVATE {
            let parsed: Rule = rule.parse().unwrap();
            assert_eq!(parsed.to_string(), rule);
        }
    }
}
