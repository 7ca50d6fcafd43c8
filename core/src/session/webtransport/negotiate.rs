//! Which dialect a connection speaks, or why it speaks none.

use crate::config::Config;
use crate::id::Side;
use crate::transport::Caps;
use crate::webtransport::SessionFlow;
use crate::webtransport::dialect::{
    Dialect, Dialects, FlowRule, Negotiated, NegotiationFailure, Requirement,
};
use crate::wire::settings::{SettingId, Settings};

/// The dialects that are announced: those configured, less what the transport
/// cannot do unless its absence is tolerated.
pub(crate) fn offered(config: &Config, caps: Caps) -> Dialects {
    let wanted = &config.webtransport;
    if !wanted.enabled {
        return Dialects::NONE;
    }
    wanted
        .dialects
        .iter()
        .filter(|dialect| {
            !dialect.rules().reset_stream_at
                || caps.reliable_reset
                || wanted.tolerate_missing_reset_stream_at
        })
        .fold(Dialects::NONE, Dialects::with)
}

/// The settings that announce dialects and first limits.
pub(crate) fn settings(config: &Config, offered: Dialects) -> Vec<(SettingId, u64)> {
    let mut settings = Vec::new();
    for dialect in offered.iter() {
        let rules = dialect.rules();
        let value = match dialect {
            //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-14.html#section-5.1
            // More than one session declares flow control.
            Dialect::Draft13 if first_limits(config).is_some() => {
                config.limits.sessions.max(1) as u64
            }
            // Larger values make one client of drafts 07 to 12 wait for flow
            // control that these drafts do not negotiate.
            _ => 1,
        };
        settings.push((rules.setting, value));
    }
    if let Some(flow) = first_limits(config)
        && offers_flow_control(config, offered)
    {
        settings.push((SettingId::WT_INITIAL_MAX_DATA, flow.data));
        settings.push((SettingId::WT_INITIAL_MAX_STREAMS_UNI, flow.streams_uni));
        settings.push((SettingId::WT_INITIAL_MAX_STREAMS_BIDI, flow.streams_bidi));
    }
    settings
}

/// Our first limits. All of them 0 is what a peer without flow control announces.
fn first_limits(config: &Config) -> Option<&SessionFlow> {
    config
        .webtransport
        .flow
        .as_ref()
        .filter(|flow| flow.data > 0 || flow.streams_bidi > 0 || flow.streams_uni > 0)
}

fn offers_flow_control(config: &Config, offered: Dialects) -> bool {
    first_limits(config).is_some() && offered.iter().any(|d| d.rules().flow != FlowRule::Off)
}

/// Whether a side's settings count as consent to flow control.
fn consents(rule: FlowRule, settings: &Settings) -> bool {
    let limits = settings.wt_initial_max_data() > 0
        || settings.wt_initial_max_streams_uni() > 0
        || settings.wt_initial_max_streams_bidi() > 0;
    match rule {
        FlowRule::Off => false,
        FlowRule::Limits => limits,
        FlowRule::SessionsOrLimits => {
            limits
                || settings
                    .get(SettingId::WT_MAX_SESSIONS)
                    .is_some_and(|max| max > 1)
        }
    }
}

/// What is known when a connection's dialect is chosen.
pub(crate) struct Facts<'a> {
    pub(crate) side: Side,
    pub(crate) config: &'a Config,
    pub(crate) offered: Dialects,
    pub(crate) peer: Option<&'a Settings>,
    /// The transport takes datagrams in both directions.
    pub(crate) quic_datagrams: bool,
    pub(crate) caps: Caps,
}

/// Chooses the dialect, or says everything that is missing.
pub(crate) fn negotiate(facts: &Facts<'_>) -> Result<Negotiated, NegotiationFailure> {
    let (us, them) = (facts.side, facts.side.peer());
    let mut failure = NegotiationFailure::default();
    let mut lacks = |side: Side, what: Requirement| failure.missing.push((side, what));
    let Some(peer) = facts.peer else {
        lacks(them, Requirement::Settings);
        return Err(failure);
    };
    let announced = Dialects::announced(peer);
    let common = facts
        .offered
        .iter()
        .find(|dialect| announced.has(*dialect))
        .or_else(|| {
            // A client of drafts 09 to 12 announces nothing and just asks.
            let silent = facts.side == Side::Server && announced == Dialects::NONE;
            facts
                .offered
                .iter()
                .find(|dialect| silent && !dialect.rules().client_announces)
        });
    if common.is_none() {
        // What we could speak if only the transport were richer.
        let could = facts.config.webtransport.dialects.iter().any(|dialect| {
            facts.config.webtransport.enabled
                && announced.has(dialect)
                && !facts.offered.has(dialect)
        });
        if could {
            let theirs = facts.caps.peer_reliable_reset == Some(false);
            lacks(if theirs { them } else { us }, Requirement::ResetStreamAt);
        } else {
            let side = if facts.offered == Dialects::NONE {
                us
            } else {
                them
            };
            lacks(side, Requirement::Dialect);
        }
    }
    let extended_connect = match us {
        Side::Server => facts.config.connect_protocol,
        Side::Client => peer.enable_connect_protocol(),
    };
    let implied = common.is_some_and(|dialect| !dialect.rules().extended_connect);
    if !extended_connect && !implied {
        lacks(Side::Server, Requirement::ExtendedConnect);
    }
    if !facts.config.datagrams {
        lacks(us, Requirement::HttpDatagrams);
    }
    if !peer.h3_datagram() {
        lacks(them, Requirement::HttpDatagrams);
    }
    if !facts.quic_datagrams && facts.config.datagrams {
        lacks(them, Requirement::QuicDatagrams);
    }
    match common {
        Some(dialect) if failure.missing.is_empty() => {
            let rule = dialect.rules().flow;
            //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-5.1
            // On when both sides said so, off in any other case.
            let flow_control =
                offers_flow_control(facts.config, facts.offered) && consents(rule, peer);
            Ok(Negotiated {
                dialect,
                flow_control,
            })
        }
        _ => Err(failure),
    }
}

#[cfg(test)]
mod tests;
