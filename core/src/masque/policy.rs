//! Where tunnels may lead, as data.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use thiserror::Error;

use super::special::{covers, embedded};
use super::{Host, SpecialRange, Target};

#[cfg(test)]
mod tests;

/// Where tunnels may lead: by default to every port of every public address, and to no
/// [`SpecialRange`].
///
/// A proxy asks twice: [`Self::check_target`] before it resolves a name, and
/// [`Self::check_address`] about the very address that it then connects to. Names may
/// resolve to anything, differently each time.
///
/// In this order, an address is refused
///
/// 1. if a deny rule covers it or the name that led there: deny wins over allow;
/// 2. if it is the proxy's own ([`Self::own`]) and no allow rule is about this one address:
///    a network that the proxy is in does not stand for the proxy;
/// 3. if it is special, not [`Self::allow_special`] and no allow rule covers the address.
///    IPv4 addresses inside 6to4, Teredo, `64:ff9b::/96` and `::/96` are asked about as
///    well, in all three steps: to allow `64:ff9b::/96` does not allow `64:ff9b::7f00:1`;
/// 4. if [`Self::only_allowed`] and no allow rule covers it or the name.
///
/// Only a rule for addresses covers an address in step 3. One for a name does not, because
/// whoever has the name chooses where it leads.
///
/// ```
/// # use aqueduct_core::masque::{Denied, TargetPolicy};
/// let policy = TargetPolicy::default()
///     .allow("10.1.0.0/16:443".parse()?)
///     .deny("*:25".parse()?);
/// assert_eq!(policy.check_target(&"10.1.2.3:443".parse()?), Ok(()));
/// assert_eq!(policy.check_target(&"mail.example:25".parse()?), Err(Denied::Rule));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TargetPolicy {
    allow: Vec<Rule>,
    deny: Vec<Rule>,
    own: Vec<IpAddr>,
    allow_special: bool,
    only_allowed: bool,
}

/// Why a tunnel may not lead there.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Error)]
#[non_exhaustive]
pub enum Denied {
    /// A deny rule covers it.
    #[error("a rule of the proxy forbids this target")]
    Rule,
    /// Only what is allowed by a rule is, and this is not.
    #[error("this target is not among those that the proxy allows")]
    NotAllowed,
    /// The address is not of the public Internet.
    #[error("the target is {0}")]
    Special(SpecialRange),
    /// The address is the proxy's own.
    #[error("the target is the proxy itself")]
    Own,
}

impl TargetPolicy {
    /// Allows what the rule covers: with a rule for addresses, special ones too; with one
    /// for a single address, the proxy's own.
    #[must_use]
    pub fn allow(mut self, rule: Rule) -> Self {
        self.allow.push(rule);
        self
    }

    /// Forbids what the rule covers, whatever else allows it.
    #[must_use]
    pub fn deny(mut self, rule: Rule) -> Self {
        self.deny.push(rule);
        self
    }

    /// Whether all special ranges are allowed; not by default.
    #[must_use]
    pub fn allow_special(mut self, allow: bool) -> Self {
        self.allow_special = allow;
        self
    }

    /// Whether nothing is allowed but by a rule; not by default.
    #[must_use]
    pub fn only_allowed(mut self, only: bool) -> Self {
        self.only_allowed = only;
        self
    }

    /// Addresses of the proxy itself, which only a rule for that single address allows.
    #[must_use]
    pub fn own(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let addresses = addresses.into_iter();
        self.own
            .extend(addresses.map(|address| address.to_canonical()));
        self
    }

    /// Whether a target may be resolved; one that is an address is judged to the end.
    /// O(rules).
    ///
    /// # Errors
    /// [`Denied`].
    pub fn check_target(&self, target: &Target) -> Result<(), Denied> {
        if let Some(address) = target.host.ip() {
            return self.check_address(target, address);
        }
        if self.deny.iter().any(|rule| rule.covers_name(target)) {
            return Err(Denied::Rule);
        }
        // What the name resolves to may be covered by a rule for addresses.
        let may_be = |rule: &Rule| rule.covers_name(target) || rule.may_cover_address(target);
        if self.only_allowed && !self.allow.iter().any(may_be) {
            return Err(Denied::NotAllowed);
        }
        Ok(())
    }

    /// Whether a tunnel to this target may lead to this address, which is the target's
    /// own or one that its name resolved to. O(rules).
    ///
    /// # Errors
    /// [`Denied`].
    pub fn check_address(&self, target: &Target, address: IpAddr) -> Result<(), Denied> {
        let address = address.to_canonical();
        let all = || std::iter::once(address).chain(embedded(address));
        let denies = |rule: &Rule| {
            rule.covers_name(target) || all().any(|address| rule.covers_address(target, address))
        };
        if self.deny.iter().any(denies) {
            return Err(Denied::Rule);
        }
        let allowed = |address| {
            let mut rules = self.allow.iter();
            rules.any(|rule| rule.covers_address(target, address))
        };
        //= https://www.rfc-editor.org/rfc/rfc9298#section-7
        // Own addresses, loopback, link-local, multicast and broadcast are to be refused
        // unless the proxy's operator wants otherwise.
        let named_one = |address| {
            let mut rules = self.allow.iter();
            rules.any(|rule| rule.is_single() && rule.covers_address(target, address))
        };
        if all().any(|address| self.own.contains(&address) && !named_one(address)) {
            return Err(Denied::Own);
        }
        if !self.allow_special {
            let special = |address| SpecialRange::of(address).filter(|_| !allowed(address));
            if let Some(range) = all().find_map(special) {
                return Err(Denied::Special(range));
            }
        }
        let named = || self.allow.iter().any(|rule| rule.covers_name(target));
        if self.only_allowed && !named() && !allowed(address) {
            return Err(Denied::NotAllowed);
        }
        Ok(())
    }
}

/// A set of targets: hosts, and ports of them.
///
/// | text | hosts |
/// |---|---|
/// | `*` | all |
/// | `a.example` | this name |
/// | `*.a.example` | the names below it, at any depth, and not itself |
/// | `192.0.2.1`, `2001:db8::1` | this address |
/// | `192.0.2.0/24`, `2001:db8::/32` | these addresses |
///
/// Each with `:443` or `:1000-1999` behind it is about these ports, else about all. An
/// IPv6 address with ports has brackets: `[2001:db8::]/32:443`, `[::1]:53`.
/// `::ffff:192.0.2.1` is `192.0.2.1`.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct Rule {
    hosts: Hosts,
    ports: RangeInclusive<u16>,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
enum Hosts {
    All,
    /// In lower case, without a dot at the end; so is a suffix, without `*.`.
    Name(Box<str>),
    Below(Box<str>),
    /// A network and the length of its prefix; of IPv4 if it can be.
    Prefix(IpAddr, u8),
}

/// What is wrong with the text of a rule.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Not a host.
    #[error("`{0}` is neither a name, nor `*.` and a name, nor an address, nor `*`")]
    Host(Box<str>),
    /// Not the length of a prefix.
    #[error("`{0}` is not a length of a prefix of this address")]
    Length(Box<str>),
    /// The address goes on behind the prefix.
    #[error("`{0}` has bits behind its prefix: did you mean `{1}`?")]
    Bits(Box<str>, Box<str>),
    /// Not a port, nor a range of them.
    #[error("`{0}` is neither a port from 1 to 65535 nor a range of ports like 1000-1999")]
    Ports(Box<str>),
}

const ALL_PORTS: RangeInclusive<u16> = 0..=u16::MAX;

impl Rule {
    fn has_port(&self, target: &Target) -> bool {
        self.ports.contains(&target.port.get())
    }

    /// Whether it is about the target by what it is called.
    fn covers_name(&self, target: &Target) -> bool {
        let name = match &target.host {
            Host::Name(name) => name.strip_suffix('.').unwrap_or(name),
            _ => "",
        };
        self.has_port(target)
            && match &self.hosts {
                Hosts::All => true,
                Hosts::Name(one) => name.eq_ignore_ascii_case(one),
                Hosts::Below(suffix) => is_below(name, suffix),
                Hosts::Prefix(..) => false,
            }
    }

    /// Whether it is about this address of the target because it is this address.
    fn covers_address(&self, target: &Target, address: IpAddr) -> bool {
        let Hosts::Prefix(net, len) = self.hosts else {
            return false;
        };
        self.has_port(target) && covers(net, len, address)
    }

    fn is_single(&self) -> bool {
        match self.hosts {
            Hosts::Prefix(IpAddr::V4(_), length) => length == 32,
            Hosts::Prefix(IpAddr::V6(_), length) => length == 128,
            _ => false,
        }
    }

    fn may_cover_address(&self, target: &Target) -> bool {
        self.has_port(target) && matches!(self.hosts, Hosts::Prefix(..))
    }
}

fn is_below(name: &str, suffix: &str) -> bool {
    let labels = name.len().checked_sub(suffix.len());
    let parts = labels.and_then(|at| name.split_at_checked(at));
    parts.is_some_and(|(above, end)| above.ends_with('.') && end.eq_ignore_ascii_case(suffix))
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let wrong = || RuleError::Host(text.into());
        let (host, length, ports) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            let _: Ipv6Addr = host.parse().map_err(|_| wrong())?;
            let (length, ports) = match rest.split_once(':') {
                None => (rest, None),
                Some((length, ports)) => (length, Some(ports)),
            };
            let length = match length.strip_prefix('/') {
                None if length.is_empty() => None,
                None => return Err(wrong()),
                length => length,
            };
            (host, length, ports)
        } else {
            let (host, ports) = match text.split_once(':') {
                Some((host, ports)) if !ports.contains(':') => (host, Some(ports)),
                _ => (text, None),
            };
            match host.split_once('/') {
                None => (host, None, ports),
                Some((host, length)) => (host, Some(length), ports),
            }
        };
        Ok(Self {
            hosts: hosts(host, length)?,
            ports: ports.map_or(Ok(ALL_PORTS), parse_ports)?,
        })
    }
}

fn hosts(host: &str, length: Option<&str>) -> Result<Hosts, RuleError> {
    let wrong = || RuleError::Host(host.into());
    let named = |name: &str| match Host::parse(name) {
        Ok(Host::Name(name)) => Ok(name.strip_suffix('.').unwrap_or(&name).into()),
        _ => Err(wrong()),
    };
    let parsed = match (host, host.strip_prefix("*."), length) {
        ("*", _, None) => return Ok(Hosts::All),
        (_, Some(suffix), None) => return named(suffix).map(Hosts::Below),
        _ => Host::parse(host).map_err(|_| wrong())?,
    };
    let Some(address) = parsed.ip() else {
        return match length {
            None => named(host).map(Hosts::Name),
            Some(_) => Err(wrong()),
        };
    };
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => bits,
        Some(text) => number(text)
            .and_then(|length| u8::try_from(length).ok())
            .filter(|length| *length <= bits)
            .ok_or_else(|| RuleError::Length(text.into()))?,
    };
    let net = masked(address, length);
    if net != address {
        let text = |address| format!("{address}/{length}").into_boxed_str();
        return Err(RuleError::Bits(text(address), text(net)));
    }
    Ok(match (net, net.to_canonical()) {
        (IpAddr::V6(_), IpAddr::V4(net)) if length >= 96 => Hosts::Prefix(net.into(), length - 96),
        _ => Hosts::Prefix(net, length),
    })
}

fn masked(address: IpAddr, length: u8) -> IpAddr {
    let length = u32::from(length);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, RuleError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text| number(text).filter(|port| *port != 0);
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(RuleError::Ports(text.into())),
    }
}

/// A number in digits alone.
fn number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// The text from which it can be parsed.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_ports = self.ports != ALL_PORTS;
        match &self.hosts {
            Hosts::All => f.write_str("*")?,
            Hosts::Name(name) => f.write_str(name)?,
            Hosts::Below(suffix) => write!(f, "*.{suffix}")?,
            Hosts::Prefix(net @ IpAddr::V6(_), _) if has_ports => write!(f, "[{net}]")?,
            Hosts::Prefix(net, _) => net.fmt(f)?,
        }
        if let Hosts::Prefix(net, length) = self.hosts
            && length != if net.is_ipv4() { 32 } else { 128 }
        {
            write!(f, "/{length}")?;
        }
        match (self.ports.start(), self.ports.end()) {
            _ if !has_ports => Ok(()),
            (first, last) if first == last => write!(f, ":{first}"),
            (first, last) => write!(f, ":{first}-{last}"),
        }
    }
}
