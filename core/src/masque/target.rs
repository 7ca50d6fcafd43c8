//! Where a tunnel leads: a host and a port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::str::FromStr;

use thiserror::Error;

/// Most bytes of a name in DNS as text, without the dot at its end (RFC 1035 §2.3.4).
const MAX_NAME: usize = 253;

/// Most bytes of one label of a name (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;

/// A host that a tunnel may lead to.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub enum Host {
    /// A name to be resolved: labels of lower-case letters, digits, `-` and `_`, with
    /// dots between them and perhaps one at the end. [`Self::parse`] makes no other.
    Name(Box<str>),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, without zone.
    V6(Ipv6Addr),
}

/// A host and a port: where a tunnel leads.
///
/// ```
/// # use aqueduct_core::masque::{Host, Target};
/// let target: Target = "[2001:db8::1]:443".parse()?;
/// assert_eq!(target, Target::from_variables("2001:db8::1", "443")?);
/// assert_eq!(target.to_string(), "[2001:db8::1]:443");
/// assert!(matches!(target.host, Host::V6(_)));
/// # Ok::<(), aqueduct_core::masque::TargetError>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct Target {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: NonZeroU16,
}

/// Why a text is no target.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The host.
    #[error(
        "the target's host is neither a name of letters, digits, `-`, `_` and dots, nor an IPv4 \
         address in four decimal numbers, nor an IPv6 address without a zone"
    )]
    Host,
    /// The port.
    #[error("the target's port is not a number from 1 to 65535, in digits without leading zeros")]
    Port,
    /// The percent-encoding around either.
    #[error("the target's percent-encoding is broken, or what it encodes is not UTF-8")]
    Encoding,
}

impl Host {
    /// The host of a `target_host` variable, percent-decoded: an IPv6 address stands
    /// there without brackets.
    ///
    /// A name is put into lower case. Numbers and dots that some systems take for an
    /// IPv4 address, and others resolve, are neither here: `127.1`, `0x7f.1`, `1.2.3`.
    ///
    /// # Errors
    /// [`TargetError::Host`].
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        //= https://www.rfc-editor.org/rfc/rfc9298#section-2
        // The host is an IP address or a name; IPv6 scopes by zone are not supported.
        if text.contains(':') {
            return text.parse().map(Self::V6).map_err(|_| TargetError::Host);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::V4(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_label =
            |label: &str| (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(is_letter);
        let last = name.rsplit('.').next().unwrap_or(name);
        if name.len() > MAX_NAME || !name.split('.').all(is_label) || is_number(last) {
            return Err(TargetError::Host);
        }
        Ok(Self::Name(text.to_ascii_lowercase().into_boxed_str()))
    }

    /// The address, if it is one already.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match *self {
            Self::Name(_) => None,
            Self::V4(address) => Some(address.into()),
            Self::V6(address) => Some(address.into()),
        }
    }
}

/// Whether a name that ends in this label is an IPv4 address to some resolvers.
fn is_number(label: &str) -> bool {
    let hex = label
        .strip_prefix("0x")
        .or_else(|| label.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// An IPv6 address without brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => address.fmt(f),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(address),
        }
    }
}

impl FromStr for Host {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        Self::parse(text)
    }
}

impl Target {
    /// A target of its parts.
    #[must_use]
    pub const fn new(host: Host, port: NonZeroU16) -> Self {
        Self { host, port }
    }

    /// The target of an authority, `host:port` or `[v6]:port`.
    ///
    /// # Errors
    /// [`TargetError`] of the part that is wrong.
    pub fn parse_authority(text: &str) -> Result<Self, TargetError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(TargetError::Host)?;
                let address = host.parse().map_err(|_| TargetError::Host)?;
                let port = port.strip_prefix(':').ok_or(TargetError::Port)?;
                (Host::V6(address), port)
            }
            None => {
                let (host, port) = text.rsplit_once(':').ok_or(TargetError::Port)?;
                if host.contains(':') {
                    return Err(TargetError::Host);
                }
                (Host::parse(host)?, port)
            }
        };
        Ok(Self::new(host, parse_port(port)?))
    }

    /// The target of the variables `target_host` and `target_port`, percent-decoded.
    ///
    /// # Errors
    /// [`TargetError`] of the variable that is wrong.
    pub fn from_variables(host: &str, port: &str) -> Result<Self, TargetError> {
        Ok(Self::new(Host::parse(host)?, parse_port(port)?))
    }
}

fn parse_port(text: &str) -> Result<NonZeroU16, TargetError> {
    //= https://www.rfc-editor.org/rfc/rfc9298#section-2
    // A port is an integer between 1 and 65535. One port has one text, so that no two
    // readers differ about it.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain).ok_or(TargetError::Port)
}

/// The authority: an IPv6 address has brackets.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::V6(address) => write!(f, "[{address}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        Self::parse_authority(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Row C3.
    #[test]
    fn a_host_is_a_name_or_an_address() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
        for (text, shown) in [
            ("Proxy.Example", "proxy.example"),
            ("a", "a"),
            ("_dns.a-b.example.", "_dns.a-b.example."),
            ("1.2.3.example", "1.2.3.example"),
            ("0x7f.example", "0x7f.example"),
            ("192.0.2.1", "192.0.2.1"),
            ("2001:DB8:0::1", "2001:db8::1"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
            (&label, &label),
            (&longest, &longest),
        ] {
            let host = Host::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(host.to_string(), shown);
            assert_eq!(Host::parse(shown), Ok(host), "{shown}");
        }
    }

    // Row C3.
    #[test]
    fn what_resolvers_differ_about_is_no_host() {
        let label = "a".repeat(64);
        let long = format!("{}aa", "a.".repeat(126));
        for text in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a b",
            "a/b",
            "a%41",
            "ü.example",
            "a:b",
            "a@b",
            "*",
            "[::1]",
            "fe80::1%eth0",
            "fe80::1%25eth0",
            "1::2::3",
            "::g",
            &label,
            &long,
            // Addresses to some, names to others.
            "1",
            "1.2.3",
            "127.1",
            "256.1.1.1",
            "01.2.3.4",
            "1.2.3.4.",
            "1.2.3.4.5",
            "0x7f.1",
            "a.0x1f",
            "a.0X",
            "0x7f000001",
            "example.1",
        ] {
            assert_eq!(Host::parse(text), Err(TargetError::Host), "{text}");
        }
    }

    // Row C3.
    #[test]
    fn a_port_is_a_number_from_1_to_65535() {
        for port in [1, 9, 443, 65_535] {
            let target = Target::from_variables("a", &port.to_string());
            assert_eq!(target.map(|target| target.port.get()), Ok(port));
        }
        for text in [
            "",
            "0",
            "65536",
            "+1",
            "-1",
            "01",
            "1 ",
            "1.0",
            "0x1",
            "99999999999",
            "١",
        ] {
            let wrong = Err(TargetError::Port);
            assert_eq!(Target::from_variables("a", text), wrong, "{text}");
            assert_eq!(
                Target::parse_authority(&format!("a:{text}")),
                wrong,
                "{text}"
            );
        }
    }

    // Row C3.
    #[test]
    fn an_authority_has_brackets_around_an_ipv6_address() {
        for text in ["a.example:443", "192.0.2.1:1", "[2001:db8::1]:65535"] {
            let target: Target = text.parse().expect("an authority");
            assert_eq!(target.to_string(), text);
            let (host, port) = (target.host.to_string(), target.port.to_string());
            assert_eq!(Target::from_variables(&host, &port), Ok(target));
        }
        for (text, error) in [
            ("2001:db8::1:443", TargetError::Host),
            ("[2001:db8::1:443", TargetError::Host),
            ("[192.0.2.1]:443", TargetError::Host),
            ("[a.example]:443", TargetError::Host),
            ("[fe80::1%eth0]:443", TargetError::Host),
            ("[::1]443", TargetError::Port),
            ("[::1]", TargetError::Port),
            ("a.example", TargetError::Port),
            (":443", TargetError::Host),
            ("user@a.example:443", TargetError::Host),
            ("", TargetError::Port),
        ] {
            assert_eq!(Target::parse_authority(text), Err(error), "{text}");
        }
    }
}
