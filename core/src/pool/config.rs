//! What a pool is made with, and which origins have settings of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::Origin;
use crate::uri::UriError;

/// How connections to an origin are used.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct OriginConfig {
    /// Connections at once, those that are being made included, those that are draining
    /// not. Default 1: streams of one connection do not wait for each other.
    pub max_connections: usize,
    /// Requests at once on each connection, as far as the peer's MAX_STREAMS goes.
    /// Default 100.
    pub max_streams: u64,
    /// Checkouts that wait at once. Default 1,000.
    pub max_waiters: usize,
    /// How long a checkout waits if it does not say. Default 5 s.
    pub checkout_timeout: Duration,
    /// How long it may take to connect. Default 5 s.
    pub connect_timeout: Duration,
    /// After how long without a request a connection is retired. Default 30 s.
    pub idle_timeout: Duration,
    /// After how long without any news of it a connection is to be kept alive, by a PING of
    /// QUIC's, as long as it is used or may be used again: until it is retired
    /// ([`Self::idle_timeout`]). It is less than that, and helps where it is less than
    /// QUIC's own idle timeout. Default never.
    pub keep_alive: Option<Duration>,
    /// How long nothing is tried after a first failure to connect; each further one
    /// doubles it. Default 250 ms.
    pub min_back_off: Duration,
    /// The most that it becomes. Default 30 s.
    pub max_back_off: Duration,
}

impl Default for OriginConfig {
    fn default() -> Self {
        Self {
            max_connections: 1,
            max_streams: 100,
            max_waiters: 1_000,
            checkout_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            keep_alive: None,
            min_back_off: Duration::from_millis(250),
            max_back_off: Duration::from_secs(30),
        }
    }
}

impl OriginConfig {
    fn check(&self) -> Result<(), Contradiction> {
        let keep_alive = self.keep_alive.unwrap_or(Duration::MAX);
        for (wrong, why) in [
            (self.max_connections == 0, Contradiction::NoConnections),
            (self.max_streams == 0, Contradiction::NoStreams),
            (self.max_waiters == 0, Contradiction::NoWaiters),
            (self.checkout_timeout.is_zero(), Contradiction::NoTime),
            (self.connect_timeout.is_zero(), Contradiction::NoTime),
            (keep_alive.is_zero(), Contradiction::NoTime),
            (self.min_back_off.is_zero(), Contradiction::NoBackOff),
            (
                self.max_back_off < self.min_back_off,
                Contradiction::BackOffShrinks,
            ),
            (
                self.keep_alive.is_some() && keep_alive >= self.idle_timeout,
                Contradiction::KeepAliveAfterIdle,
            ),
        ] {
            if wrong {
                return Err(why);
            }
        }
        Ok(())
    }
}

/// What a pool is made with.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PoolConfig {
    /// Bounds over all origins.
    pub limits: PoolLimits,
    /// What each origin has.
    pub rules: Rules,
    /// From which the spread of back-offs follows, so that clients of a server that
    /// restarts do not all come back at once. Any number that differs between them.
    pub seed: u64,
}

/// Bounds over all origins of a pool.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PoolLimits {
    /// Connections at once, draining ones included. When there are as many, the one that
    /// is idle for the longest time makes place; when none is idle, checkouts wait.
    /// Default 1,000.
    pub max_connections: usize,
    /// Checkouts that wait at once. Default 10,000.
    pub max_waiters: usize,
    /// Origins that are known for nothing but a back-off. Default 1,000.
    pub max_back_offs: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            max_connections: 1_000,
            max_waiters: 10_000,
            max_back_offs: 1_000,
        }
    }
}

/// Why a setting can mean nothing.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum Contradiction {
    /// `max_connections` is 0.
    #[error("no connections are allowed")]
    NoConnections,
    /// `max_streams` is 0.
    #[error("no requests are allowed on a connection")]
    NoStreams,
    /// `max_waiters` is 0: the first request has to wait for its connection.
    #[error("nobody may wait, not even for the first connection")]
    NoWaiters,
    /// A time in which something is to happen is zero.
    #[error("a timeout is zero")]
    NoTime,
    /// `min_back_off` is zero: a dead server is asked again at once, without end.
    #[error("there is no back-off")]
    NoBackOff,
    /// `max_back_off` is less than `min_back_off`.
    #[error("the longest back-off is shorter than the first")]
    BackOffShrinks,
    /// `keep_alive` is not less than `idle_timeout`: the connection is gone by then.
    #[error("an idle connection is retired before it is kept alive")]
    KeepAliveAfterIdle,
    /// An origin may have more connections than all together, or more that wait.
    #[error("one origin may have more than all together")]
    MoreThanAll,
}

/// Why a configuration is refused.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum PoolConfigError {
    /// The settings contradict each other or themselves.
    #[error("{of}: {why}")]
    Contradiction {
        /// Whose they are: a pattern, or `default`.
        of: Box<str>,
        /// What is wrong.
        why: Contradiction,
    },
    /// The pattern is not `https://host` or `https://*.host`, each with or without a port.
    #[error("`{pattern}` is no pattern of an origin: {why}")]
    Pattern {
        /// As it was given.
        pattern: Box<str>,
        /// What is wrong.
        why: UriError,
    },
    /// `*` stands for one whole label, the first, of a name that has others.
    #[error("`{0}`: `*` stands for the first label of a name alone")]
    Wildcard(Box<str>),
    /// The pattern has more than a host and a port.
    #[error("`{0}` has more than a host and a port")]
    NotAnOrigin(Box<str>),
    /// There is a rule for the same origins already.
    #[error("`{0}` has a rule already")]
    Twice(Box<str>),
}

/// Which origin has which settings (row D15): those of its own, else those of the
/// wildcard for its first label, else the default. Scheme and port have to match.
///
/// ```
/// # use aqueduct_core::pool::{Origin, OriginConfig, Rules};
/// let mut many = OriginConfig::default();
/// many.max_connections = 4;
/// let rules = Rules::new(OriginConfig::default())?.rule("https://*.example.com", many)?;
/// let of = |uri: &str| rules.of(&uri.parse::<Origin>().unwrap()).max_connections;
/// assert_eq!(of("https://a.example.com"), 4);
/// assert_eq!(of("https://a.b.example.com"), 1, "one label");
/// assert_eq!(of("https://a.example.com:8443"), 1, "another port");
/// # Ok::<(), aqueduct_core::pool::PoolConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rules {
    default: Arc<OriginConfig>,
    exact: BTreeMap<Place, Arc<OriginConfig>>,
    /// By what follows `*.`.
    wildcard: BTreeMap<Place, Arc<OriginConfig>>,
}

type Place = (Box<str>, u16);

impl Rules {
    /// One set of settings for all.
    ///
    /// # Errors
    /// [`PoolConfigError::Contradiction`].
    pub fn new(default: OriginConfig) -> Result<Self, PoolConfigError> {
        checked(&default, "default")?;
        Ok(Self {
            default: Arc::new(default),
            exact: BTreeMap::new(),
            wildcard: BTreeMap::new(),
        })
    }

    /// The same with other settings for the origins of a pattern: `https://host`,
    /// `https://host:port`, `https://*.host`, `https://*.host:port`. Marks
    /// ([`Origin::partitioned`]) count for nothing.
    ///
    /// # Errors
    /// [`PoolConfigError`].
    pub fn rule(mut self, pattern: &str, config: OriginConfig) -> Result<Self, PoolConfigError> {
        checked(&config, pattern)?;
        let (table, place) = match pattern.split_once("://*.") {
            None if pattern.contains('*') => return Err(PoolConfigError::Wildcard(pattern.into())),
            None => (&mut self.exact, place(pattern, pattern)?),
            Some((scheme, rest)) => {
                let rest = format!("{scheme}://{rest}");
                let place = place(pattern, &rest)?;
                let is_address = place.0.parse::<std::net::IpAddr>().is_ok();
                if rest.contains('*') || is_address {
                    return Err(PoolConfigError::Wildcard(pattern.into()));
                }
                (&mut self.wildcard, place)
            }
        };
        if table.insert(place, Arc::new(config)).is_some() {
            return Err(PoolConfigError::Twice(pattern.into()));
        }
        Ok(self)
    }

    /// The settings of an origin. O(log rules).
    #[must_use]
    pub fn of(&self, origin: &Origin) -> &OriginConfig {
        self.shared(origin)
    }

    pub(super) fn shared(&self, origin: &Origin) -> &Arc<OriginConfig> {
        let place = |host: &str| (host.into(), origin.port());
        let exact = || self.exact.get(&place(origin.host()));
        let wildcard = || {
            let (label, rest) = origin.host().split_once('.')?;
            (!label.is_empty()).then(|| self.wildcard.get(&place(rest)))?
        };
        // Most pools have no rules, and allocate nothing here.
        let none = self.exact.is_empty() && self.wildcard.is_empty();
        let found = (!none).then(|| exact().or_else(wildcard)).flatten();
        found.unwrap_or(&self.default)
    }

    /// That no origin may have more than there is.
    pub(super) fn check(&self, limits: &PoolLimits) -> Result<(), PoolConfigError> {
        let named = |kind: &'static str| {
            move |(place, config): (&Place, &Arc<OriginConfig>)| {
                (
                    format!("https://{kind}{}:{}", place.0, place.1),
                    config.clone(),
                )
            }
        };
        let exact = self.exact.iter().map(named(""));
        let wildcard = self.wildcard.iter().map(named("*."));
        let default = ("default".to_owned(), self.default.clone());
        for (of, config) in exact.chain(wildcard).chain([default]) {
            let why = Contradiction::MoreThanAll;
            if config.max_connections > limits.max_connections
                || config.max_waiters > limits.max_waiters
            {
                return Err(PoolConfigError::Contradiction { of: of.into(), why });
            }
        }
        Ok(())
    }
}

fn checked(config: &OriginConfig, of: &str) -> Result<(), PoolConfigError> {
    let of = || of.into();
    let wrong = |why| PoolConfigError::Contradiction { of: of(), why };
    config.check().map_err(wrong)
}

/// Host and port of a URI that has nothing else.
fn place(pattern: &str, uri: &str) -> Result<Place, PoolConfigError> {
    let wrong = |why| PoolConfigError::Pattern {
        pattern: pattern.into(),
        why,
    };
    let origin: Origin = uri.parse().map_err(wrong)?;
    let authority = uri.split_once("://").map_or("", |(_, rest)| rest);
    if authority.contains(['/', '?', '#']) || origin.zone().is_some() {
        return Err(PoolConfigError::NotAnOrigin(pattern.into()));
    }
    Ok((origin.host().into(), origin.port()))
}
