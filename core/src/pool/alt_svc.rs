//! The `alt-svc` field (RFC 7838 §3): where else an origin is served.

use std::time::Duration;

use thiserror::Error;

use crate::uri::{self, UriError};

/// The longest field value that is read, in bytes.
pub const MAX_ALT_SVC: usize = 8_192;
/// The most alternatives of one field that are read.
pub const MAX_ALTERNATIVES: usize = 32;

/// A value of the `alt-svc` field.
///
/// ```
/// # use aqueduct_core::pool::AltSvc;
/// let AltSvc::Services(services) = AltSvc::parse(br#"h3=":8443"; ma=60, h2=":443""#)? else {
///     panic!("services");
/// };
/// assert!(services[0].is_h3() && !services[1].is_h3());
/// assert_eq!((services[0].host.as_deref(), services[0].port), (None, 8443));
/// # Ok::<(), aqueduct_core::pool::AltSvcError>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AltSvc {
    /// `clear`: whatever is known of the origin's alternatives is not true any more.
    Clear,
    /// Instead of whatever is known, in the server's order of preference.
    Services(Vec<Alternative>),
}

/// One alternative service.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
#[non_exhaustive]
pub struct Alternative {
    /// The protocol's name in ALPN, decoded.
    pub protocol: Box<[u8]>,
    /// Its host, in the form of [`Origin::host`](super::Origin::host); `None` if it is the
    /// origin's.
    pub host: Option<Box<str>>,
    /// Its port.
    pub port: u16,
    /// How long it may be used. Default 24 h (RFC 7838 §3.1).
    pub max_age: Duration,
    /// It may be used on another network.
    pub persist: bool,
}

impl Alternative {
    /// HTTP/3 on a port of the origin's own host, for 24 hours.
    #[must_use]
    pub fn h3(port: u16) -> Self {
        Self {
            protocol: Box::from(*b"h3"),
            host: None,
            port,
            max_age: DEFAULT_MAX_AGE,
            persist: false,
        }
    }

    /// The same on another host.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The same for another time.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// The same on every network, or not.
    #[must_use]
    pub fn persist(mut self, persist: bool) -> Self {
        self.persist = persist;
        self
    }

    /// Whether it is HTTP/3 (RFC 9114 §3.1); drafts of it are not.
    #[must_use]
    pub fn is_h3(&self) -> bool {
        *self.protocol == *b"h3"
    }
}

const DEFAULT_MAX_AGE: Duration = Duration::from_secs(24 * 3_600);

/// What is wrong with an `alt-svc` field. Nothing of it counts then. Positions are bytes
/// from its beginning.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum AltSvcError {
    /// More than [`MAX_ALT_SVC`] bytes.
    #[error("alt-svc is longer than {MAX_ALT_SVC} bytes")]
    TooLong,
    /// More than [`MAX_ALTERNATIVES`].
    #[error("alt-svc has more than {MAX_ALTERNATIVES} alternatives")]
    TooMany,
    /// There is no alternative in it.
    #[error("alt-svc is empty")]
    Empty,
    /// Something else was expected.
    #[error("alt-svc has no {expected} at byte {at}")]
    Expected {
        /// What.
        expected: &'static str,
        /// Where.
        at: usize,
    },
    /// The percent-encoding of a protocol's name is not whole.
    #[error("the protocol before byte {0} of alt-svc is not percent-encoded")]
    Protocol(usize),
    /// The authority of an alternative has no host or port of that form.
    #[error("the authority before byte {at} of alt-svc: {why}")]
    Authority {
        /// Where it ends.
        at: usize,
        /// What is wrong.
        why: UriError,
    },
    /// `ma` is not a number of seconds.
    #[error("`ma` before byte {0} of alt-svc is not a number of seconds")]
    MaxAge(usize),
}

impl AltSvc {
    /// Reads a field value. Several fields of one message are joined by commas first
    /// (RFC 9110 §5.3).
    ///
    /// # Errors
    /// [`AltSvcError`].
    pub fn parse(value: &[u8]) -> Result<Self, AltSvcError> {
        if value.len() > MAX_ALT_SVC {
            return Err(AltSvcError::TooLong);
        }
        let mut text = Text { value, at: 0 };
        text.skip_blanks();
        //= https://www.rfc-editor.org/rfc/rfc7838#section-3
        // `clear` is case-sensitive, and stands alone.
        if text.rest().trim_ascii_end() == b"clear" {
            return Ok(Self::Clear);
        }
        let mut services = Vec::new();
        loop {
            //= https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1
            // Elements of a list may be empty.
            text.skip_blanks();
            match text.peek() {
                None => break,
                Some(b',') => _ = text.next(),
                Some(_) if services.len() >= MAX_ALTERNATIVES => return Err(AltSvcError::TooMany),
                Some(_) => {
                    services.push(text.alternative()?);
                    text.skip_blanks();
                    if !matches!(text.peek(), None | Some(b',')) {
                        return Err(text.expected("comma"));
                    }
                }
            }
        }
        if services.is_empty() {
            return Err(AltSvcError::Empty);
        }
        Ok(Self::Services(services))
    }
}

/// A value that is read from its beginning.
struct Text<'a> {
    value: &'a [u8],
    at: usize,
}

impl<'a> Text<'a> {
    fn rest(&self) -> &'a [u8] {
        self.value.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expected(&self, expected: &'static str) -> AltSvcError {
        let at = self.at;
        AltSvcError::Expected { expected, at }
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), AltSvcError> {
        if self.peek() != Some(byte) {
            return Err(self.expected(expected));
        }
        self.at += 1;
        Ok(())
    }

    fn skip_blanks(&mut self) {
        let blanks = self.rest().iter();
        self.at += blanks.take_while(|byte| b" \t".contains(byte)).count();
    }

    fn alternative(&mut self) -> Result<Alternative, AltSvcError> {
        let name = self.token("protocol")?;
        let protocol = decoded(name).ok_or(AltSvcError::Protocol(self.at))?;
        self.expect(b'=', "`=`")?;
        let authority = self.quoted()?;
        let (host, port) = self.authority(&authority)?;
        let mut alternative = Alternative {
            protocol: protocol.into(),
            host,
            port,
            max_age: DEFAULT_MAX_AGE,
            persist: false,
        };
        loop {
            let before = self.at;
            self.skip_blanks();
            if self.peek() != Some(b';') {
                self.at = before;
                return Ok(alternative);
            }
            self.at += 1;
            self.skip_blanks();
            let name = self.token("parameter")?;
            self.expect(b'=', "`=`")?;
            let value = match self.peek() {
                Some(b'"') => self.quoted()?,
                _ => self.token("value")?.to_vec(),
            };
            //= https://www.rfc-editor.org/rfc/rfc7838#section-3
            // Unknown parameters are ignored.
            match name {
                b"ma" => {
                    let age = seconds(&value).ok_or(AltSvcError::MaxAge(self.at))?;
                    alternative.max_age = age;
                }
                //= https://www.rfc-editor.org/rfc/rfc7838#section-3.1
                // Other values than 1 are ignored.
                b"persist" => alternative.persist = value == b"1",
                _ => {}
            }
        }
    }

    fn token(&mut self, expected: &'static str) -> Result<&'a [u8], AltSvcError> {
        let rest = self.rest();
        let len = rest.iter().take_while(|byte| is_token(**byte)).count();
        if len == 0 {
            return Err(self.expected(expected));
        }
        self.at += len;
        Ok(rest.get(..len).unwrap_or_default())
    }

    //= https://www.rfc-editor.org/rfc/rfc9110#section-5.6.4
    // A backslash takes the next character as it is.
    fn quoted(&mut self) -> Result<Vec<u8>, AltSvcError> {
        self.expect(b'"', "quoted string")?;
        let mut content = Vec::new();
        loop {
            match self.next() {
                Some(b'"') => return Ok(content),
                Some(b'\\') => match self.next() {
                    Some(byte) if is_text(byte) => content.push(byte),
                    _ => return Err(self.expected("quoted character")),
                },
                Some(byte) if is_text(byte) => content.push(byte),
                _ => return Err(self.expected("end of a quoted string")),
            }
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc7838#section-3
    // An authority is a host, which may be missing, and a port, which may not.
    fn authority(&self, text: &[u8]) -> Result<(Option<Box<str>>, u16), AltSvcError> {
        let at = self.at;
        let wrong = |why| AltSvcError::Authority { at, why };
        let shown = || String::from_utf8_lossy(text).into_owned().into_boxed_str();
        let text = std::str::from_utf8(text).map_err(|_| wrong(UriError::Host(shown())))?;
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| wrong(UriError::Port(Box::default())))?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let number = port.parse().ok().filter(|port| digits && *port != 0);
        let number = number.ok_or_else(|| wrong(UriError::Port(port.into())))?;
        if host.is_empty() {
            return Ok((None, number));
        }
        Ok((Some(uri::host(host).map_err(wrong)?), number))
    }
}

//= https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
// Characters of a token.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// The bytes of a protocol's name.
fn decoded(name: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = name.iter().copied();
    let mut decoded = Vec::with_capacity(name.len());
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => u8::try_from(digit(bytes.next())? << 4 | digit(bytes.next())?).ok()?,
            byte => byte,
        });
    }
    Some(decoded)
}

/// `delta-seconds`.
fn seconds(digits: &[u8]) -> Option<Duration> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    //= https://www.rfc-editor.org/rfc/rfc9111#section-1.2.2
    // What is too large counts as 2^31 or the largest that there is.
    let add = |all: u64, digit: &u8| {
        let all = all.saturating_mul(10);
        all.saturating_add(u64::from(digit - b'0'))
    };
    let seconds = digits.iter().fold(0, add);
    Some(Duration::from_secs(seconds.min(1 << 31)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(value: &str) -> Vec<Alternative> {
        match AltSvc::parse(value.as_bytes()) {
            Ok(AltSvc::Services(services)) => services,
            other => panic!("{value}: {other:?}"),
        }
    }

    /// Row D18: the forms of RFC 7838 and of servers that are known.
    #[test]
    fn what_servers_send() {
        let week = Duration::from_secs(604_800);
        let h3 = Alternative::h3(443);
        for (value, expected) in [
            (r#"h3=":443""#, h3.clone()),
            (r#"h3=":443"; ma=604800"#, h3.clone().max_age(week)),
            (
                r#"h3=":443";ma="604800";persist=1"#,
                h3.clone().max_age(week).persist(true),
            ),
            (r#"h3="alt.example:443""#, h3.clone().host("alt.example")),
            (
                r#"h3="Alt.EXAMPLE:443" ; x="a,b;c\"" "#,
                h3.clone().host("alt.example"),
            ),
            (r#"h3="[2001:DB8::1]:443""#, h3.clone().host("2001:db8::1")),
            (r#"h3=":443"; persist=2"#, h3.clone()),
            (r#"%68%33=":443""#, h3.clone()),
            (r#"h3="\:443""#, h3.clone()),
            (r#" , h3=":443" ,, "#, h3.clone()),
            (
                r#"h3=":443"; ma=99999999999999999999999"#,
                h3.clone().max_age(Duration::from_secs(1 << 31)),
            ),
        ] {
            assert_eq!(services(value), [expected], "{value}");
        }
        let many = services(r#"h3=":443"; ma=2592000,h3-29=":443"; ma=2592000"#);
        let is_h3: Vec<_> = many.iter().map(Alternative::is_h3).collect();
        assert_eq!(is_h3, [true, false]);
        let odd = services(r#"w%3Dx%3Ay#z=":443""#);
        assert_eq!(*odd[0].protocol, *b"w=x:y#z", "RFC 7838, section 3");
    }

    #[test]
    fn clear_stands_alone_and_in_lower_case() {
        for value in ["clear", " clear "] {
            assert_eq!(AltSvc::parse(value.as_bytes()), Ok(AltSvc::Clear));
        }
        for value in ["Clear", "clear, h3=\":443\"", "clear=\":1\", clear"] {
            assert!(
                !matches!(AltSvc::parse(value.as_bytes()), Ok(AltSvc::Clear)),
                "{value}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let expected = |expected, at| AltSvcError::Expected { expected, at };
        let port = |at, text: &str| AltSvcError::Authority {
            at,
            why: UriError::Port(text.into()),
        };
        for (value, error) in [
            ("", AltSvcError::Empty),
            (" ,, ", AltSvcError::Empty),
            ("h3", expected("`=`", 2)),
            ("=\":1\"", expected("protocol", 0)),
            ("h3=:443", expected("quoted string", 3)),
            ("h3=\":443", expected("end of a quoted string", 8)),
            ("h3=\":4\\", expected("quoted character", 7)),
            ("h3=\":443\" h2=\":1\"", expected("comma", 10)),
            ("h3=\":443\";", expected("parameter", 10)),
            ("h3=\":443\";ma", expected("`=`", 12)),
            ("h3=\":443\";ma=", expected("value", 13)),
            ("h3=\":443\";ma=1x", AltSvcError::MaxAge(15)),
            ("h3=\":443\";ma=\"\"", AltSvcError::MaxAge(15)),
            ("h%3=\":443\"", AltSvcError::Protocol(3)),
            ("h3=\"443\"", port(8, "")),
            ("h3=\"a:\"", port(7, "")),
            ("h3=\":0\"", port(7, "0")),
            ("h3=\":65536\"", port(11, "65536")),
            ("h3=\":+1\"", port(8, "+1")),
        ] {
            assert_eq!(AltSvc::parse(value.as_bytes()), Err(error), "{value}");
        }
        let hosts = [
            &b"h3=\"a b:1\""[..],
            b"h3=\"[::1:1\"",
            b"h3=\"\xff:1\"",
            b"h3=\"[fe80::1%25a]:1\"",
        ];
        for value in hosts {
            let error = AltSvc::parse(value);
            assert!(
                matches!(
                    &error,
                    Err(AltSvcError::Authority {
                        why: UriError::Host(_),
                        ..
                    })
                ),
                "{error:?}"
            );
        }
    }

    #[test]
    fn it_is_bounded() {
        let one = "h3=\":443\",";
        assert_eq!(
            services(&one.repeat(MAX_ALTERNATIVES)).len(),
            MAX_ALTERNATIVES
        );
        let more = one.repeat(MAX_ALTERNATIVES + 1);
        assert_eq!(AltSvc::parse(more.as_bytes()), Err(AltSvcError::TooMany));
        let long = vec![b' '; MAX_ALT_SVC + 1];
        assert_eq!(AltSvc::parse(&long), Err(AltSvcError::TooLong));
    }
}
