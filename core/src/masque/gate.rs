//! Who may have a tunnel: what becomes of each request before anything is done for it,
//! and how many there are.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::dialect::Dialect;
use super::{Denied, PathTemplate, Refusal, Target, TargetPolicy, TunnelKind};
use crate::head::RequestHead;

/// Which tunnels a proxy offers, and to whom.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GateConfig {
    /// The path that UDP is asked for on; `None` for no UDP. Default the well-known one.
    pub udp: Option<PathTemplate>,
    /// The path that TCP is asked for on, by extended CONNECT; `None` for none. Default
    /// the well-known one.
    pub tcp: Option<PathTemplate>,
    /// TCP by classic CONNECT. Default yes.
    pub classic: bool,
    /// To where. Default to all public addresses.
    pub policy: TargetPolicy,
    /// By whom; `None`, the default, for everybody.
    pub credentials: Option<Credentials>,
    /// Tunnels that are open or asked for at once. Default 100.
    pub max_tunnels: usize,
    /// What the proxy calls itself in `Proxy-Status`. Default `aqueduct`.
    pub name: Box<str>,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            udp: Some(PathTemplate::default_for(TunnelKind::Udp)),
            tcp: Some(PathTemplate::default_for(TunnelKind::Tcp)),
            classic: true,
            policy: TargetPolicy::default(),
            credentials: None,
            max_tunnels: 100,
            name: "aqueduct".into(),
        }
    }
}

/// What clients have to show: any of some values of `authorization`.
#[derive(Clone, Default)]
pub struct Credentials {
    /// Scheme in lower case, and what follows it.
    taken: Vec<(Box<str>, Box<[u8]>)>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("len", &self.taken.len())
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// None: nobody is let in.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a bearer token as well (RFC 6750).
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.with("bearer", token.as_bytes())
    }

    /// Takes what follows `Basic` as well: user name and password in base64 (RFC 7617).
    #[must_use]
    pub fn basic(self, encoded: &str) -> Self {
        self.with("basic", encoded.as_bytes())
    }

    fn with(mut self, scheme: &str, value: &[u8]) -> Self {
        self.taken.push((scheme.into(), value.into()));
        self
    }

    /// Whether the fields show one of them. The time it takes tells nothing of the values
    /// but their lengths. O(credentials).
    #[must_use]
    pub fn are_shown(&self, headers: &HeaderMap) -> bool {
        self.are_shown_in(headers, &AUTHORIZATION)
    }

    /// The same in another field.
    fn are_shown_in(&self, headers: &HeaderMap, name: &HeaderName) -> bool {
        let mut values = headers.get_all(name).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let value = value.as_bytes();
        let Some(end) = value.iter().position(|byte| *byte == b' ') else {
            return false;
        };
        let (scheme, token) = value.split_at(end);
        let token = token.trim_ascii_start();
        //= https://www.rfc-editor.org/rfc/rfc9110#section-11.1
        // The scheme is compared without regard to case.
        let shown = self.taken.iter().map(|(name, taken)| {
            scheme.eq_ignore_ascii_case(name.as_bytes()) & is_same(token, taken)
        });
        // All of them are looked at.
        shown.fold(false, |any, one| any | one)
    }

    /// What is asked for: one challenge for each scheme.
    fn challenges(&self) -> impl Iterator<Item = HeaderValue> + '_ {
        let has = |name: &str| self.taken.iter().any(|(scheme, _)| &**scheme == name);
        let bearer = has("bearer").then_some("Bearer realm=\"proxy\"");
        let basic = has("basic").then_some("Basic realm=\"proxy\", charset=\"UTF-8\"");
        let challenges = bearer.into_iter().chain(basic);
        challenges.map(HeaderValue::from_static)
    }
}

/// Compares without stopping at the first byte that differs.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differ) == 0
}

/// A tunnel that somebody asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TunnelRequest {
    /// In which words.
    pub dialect: Dialect,
    /// To where.
    pub target: Target,
    /// The fields of the request.
    pub headers: HeaderMap,
}

/// What a request is to a proxy.
#[derive(Clone, Debug)]
pub enum Judged {
    /// No tunnel's: the application's own.
    Other,
    /// A tunnel's, and it gets none.
    Refused(Refusal),
    /// It waits for its target to be found and reached. Counted as pending from here on.
    Asked(Box<TunnelRequest>),
}

/// Tunnels in numbers.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct GateStats {
    /// Requests that were for tunnels.
    pub asked: u64,
    /// Those that were refused, for whatever reason.
    pub refused: u64,
    /// Those that opened.
    pub opened: u64,
    /// Those that were given up by the client before they were answered.
    pub given_up: u64,
    /// Those that wait for an answer at present.
    pub pending: usize,
    /// Those that are open at present.
    pub active: usize,
}

/// Decides about requests for tunnels, and counts them.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    config: GateConfig,
    draining: bool,
    stats: GateStats,
}

impl Gate {
    /// A gate that is open.
    #[must_use]
    pub fn new(config: GateConfig) -> Self {
        Self {
            config,
            ..Self::default()
        }
    }

    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> &GateConfig {
        &self.config
    }

    /// Lets nobody in any more, or does so again. Who is in stays.
    pub fn set_draining(&mut self, draining: bool) {
        self.draining = draining;
    }

    /// Whether nobody is let in.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Counts so far.
    #[must_use]
    pub fn stats(&self) -> GateStats {
        self.stats
    }

    /// Decides about a request. Whoever gets [`Judged::Asked`] tells what becomes of it:
    /// [`Self::opened`], [`Self::refused`] or [`Self::given_up`], and after the first of
    /// them [`Self::ended`].
    ///
    /// OPTIONS for the path of a tunnel is refused where CONNECT would be, and else
    /// [`Judged::Other`]: so a client learns whether it is let in without a tunnel. It is
    /// not counted.
    pub fn judge(&mut self, head: &RequestHead) -> Judged {
        let Some(asked) = self.read(head) else {
            return Judged::Other;
        };
        let admitted = asked.and_then(|(dialect, target)| self.admit(head, dialect, target));
        //= https://www.rfc-editor.org/rfc/rfc9110#section-9.3.7
        // It asks what may be asked for, and nothing is begun for it.
        if head.method == Method::OPTIONS {
            return admitted.map_or_else(Judged::Refused, |_| Judged::Other);
        }
        self.stats.asked += 1;
        match admitted {
            Ok(request) => {
                self.stats.pending += 1;
                Judged::Asked(Box::new(request))
            }
            Err(refusal) => {
                self.stats.refused += 1;
                Judged::Refused(refusal)
            }
        }
    }

    /// What is asked for; `None` for nothing of a proxy's. Whether anybody is let in is
    /// looked at first, and then who asks, so that strangers learn nothing of what would
    /// be wrong with it.
    fn read(&self, head: &RequestHead) -> Option<Result<(Dialect, Target), Refusal>> {
        let path = head.uri.path_and_query().map_or("", |path| path.as_str());
        let connect = head.method == Method::CONNECT;
        let dialect = match &head.protocol {
            Some(protocol) => Dialect::of(protocol.as_str()),
            None if connect => self.config.classic.then_some(Dialect::Classic),
            None if head.method == Method::OPTIONS => self.whose(path),
            None => None,
        };
        let offered = |dialect: Dialect| match dialect.kind() {
            TunnelKind::Udp => self.config.udp.as_ref(),
            TunnelKind::Tcp => self.config.tcp.as_ref(),
        };
        let target = match dialect {
            Some(Dialect::Classic) => Target::parse_authority(&head.uri.to_string())
                .map_err(Refusal::from)
                .map(|target| (Dialect::Classic, target)),
            Some(dialect) => match offered(dialect)?.matches(path) {
                None => Err(Refusal::BadPath),
                Some(target) => target
                    .map(|target| (dialect, target))
                    .map_err(Refusal::from),
            },
            None => {
                // Another method, or protocol, on a path that is for tunnels.
                self.whose(path)?;
                Err(match head.protocol {
                    Some(_) => Refusal::BadProtocol,
                    None => Refusal::BadMethod,
                })
            }
        };
        if self.draining {
            return Some(Err(Refusal::Draining));
        }
        if let Some(credentials) = &self.config.credentials {
            let classic = dialect == Some(Dialect::Classic);
            //= https://www.rfc-editor.org/rfc/rfc9110#section-11.7.2
            // CONNECT as it always was asks a proxy, which has fields and a status of its own.
            // Tunnels by templates are resources, and have those of all resources.
            let shown = credentials.are_shown(&head.headers)
                || (classic && credentials.are_shown_in(&head.headers, &PROXY_AUTHORIZATION));
            if !shown {
                let challenges = credentials.challenges().collect();
                return Some(Err(match classic {
                    true => Refusal::ProxyNotAuthorized { challenges },
                    false => Refusal::NotAuthorized { challenges },
                }));
            }
        }
        Some(target)
    }

    /// By what tunnels at a path are asked for.
    fn whose(&self, path: &str) -> Option<Dialect> {
        let is_at = |template: &Option<PathTemplate>| {
            let template = template.as_ref();
            template.is_some_and(|template| template.matches(path).is_some())
        };
        let udp = is_at(&self.config.udp).then_some(Dialect::Udp);
        udp.or_else(|| is_at(&self.config.tcp).then_some(Dialect::Tcp12))
    }

    /// Whether somebody who asks properly is let in.
    fn admit(
        &self,
        head: &RequestHead,
        dialect: Dialect,
        target: Target,
    ) -> Result<TunnelRequest, Refusal> {
        self.config.policy.check_target(&target)?;
        if self.stats.pending + self.stats.active >= self.config.max_tunnels {
            return Err(Refusal::TooManyTunnels);
        }
        Ok(TunnelRequest {
            dialect,
            target,
            headers: head.headers.clone(),
        })
    }

    /// Whether the address that a target's name stands for may be used: to be asked for
    /// the very address that is used then. `here` is where the client has reached this
    /// proxy, if that is known: no tunnel leads back to it, but where a rule says so.
    ///
    /// # Errors
    /// [`Denied`], of which [`Refusal`] can be made.
    pub fn check_address(
        &self,
        target: &Target,
        to: IpAddr,
        here: Option<IpAddr>,
    ) -> Result<(), Denied> {
        let policy = &self.config.policy;
        match here {
            // Loopback is every host's own, and has a rule of its own.
            Some(here) if here.to_canonical() == to.to_canonical() && !to.is_loopback() => {
                policy.clone().own([here]).check_address(target, to)
            }
            _ => policy.check_address(target, to),
        }
    }

    /// A pending one was answered with 2xx.
    pub fn opened(&mut self) {
        self.stats.pending = self.stats.pending.saturating_sub(1);
        self.stats.opened += 1;
        self.stats.active += 1;
    }

    /// A pending one was refused.
    pub fn refused(&mut self) {
        self.stats.pending = self.stats.pending.saturating_sub(1);
        self.stats.refused += 1;
    }

    /// A pending one was given up by its client, or went with its connection.
    pub fn given_up(&mut self) {
        self.stats.pending = self.stats.pending.saturating_sub(1);
        self.stats.given_up += 1;
    }

    /// An open one is over.
    pub fn ended(&mut self) {
        self.stats.active = self.stats.active.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests;
