//! The HTTPS resource record (RFC 9460): what DNS says of an origin, before anybody
//! connects.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// The most addresses that are kept of each family.
const MAX_HINTS: usize = 16;

/// Keys of parameters (RFC 9460 §14.3.2).
mod key {
    pub(super) const MANDATORY: u16 = 0;
    pub(super) const ALPN: u16 = 1;
    pub(super) const NO_DEFAULT_ALPN: u16 = 2;
    pub(super) const PORT: u16 = 3;
    pub(super) const IPV4HINT: u16 = 4;
    pub(super) const ECH: u16 = 5;
    pub(super) const IPV6HINT: u16 = 6;
}

/// One HTTPS record.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HttpsRecord {
    /// Its SvcPriority: 0 is AliasMode, else the lowest comes first.
    pub priority: u16,
    /// Its TargetName, in lower case and without the last dot; `None` for `.`, which is
    /// the record's own name, and in AliasMode that there is no such service.
    pub target: Option<Box<str>>,
    /// The protocols, with the default one of https unless it is excluded.
    pub alpn: Vec<Box<[u8]>>,
    /// The port, if it is not the origin's.
    pub port: Option<u16>,
    /// Addresses of the target, to begin with before it is resolved.
    pub hints: Vec<IpAddr>,
    /// It has a key that is mandatory and not known here: it is not to be used.
    pub incompatible: bool,
}

/// What is wrong with the RDATA of an HTTPS record.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum HttpsRecordError {
    /// It ends within something.
    #[error("the record is cut short")]
    Short,
    /// The name is longer than 255 bytes, compressed, or of other bytes than names of
    /// hosts have.
    #[error("the target is no name of a host")]
    Target,
    /// Keys do not grow from one to the next.
    #[error("key {0} is not in its place")]
    Order(u16),
    /// The value is not of its key's form.
    #[error("the value of key {0} is malformed")]
    Value(u16),
    /// `mandatory` names itself, a key twice or out of order, or one that is not there.
    #[error("`mandatory` names key {0} wrongly")]
    Mandatory(u16),
    /// `no-default-alpn` without `alpn`: there is no protocol left (RFC 9460 §7.1.1).
    #[error("no protocol is left")]
    NoProtocol,
}

impl HttpsRecord {
    /// Reads RDATA (RFC 9460 §2.2). O(bytes).
    ///
    /// # Errors
    /// [`HttpsRecordError`]: then none of the answer's records is to be used
    /// (RFC 9460 §2.2).
    pub fn parse(rdata: &[u8]) -> Result<Self, HttpsRecordError> {
        let mut rest = Bytes(rdata);
        let priority = rest.number()?;
        let target = rest.name()?;
        let mut record = Self {
            priority,
            target,
            alpn: Vec::new(),
            port: None,
            hints: Vec::new(),
            incompatible: false,
        };
        //= https://www.rfc-editor.org/rfc/rfc9460#section-2.4.2
        // Parameters in AliasMode are ignored.
        let params = rest.params()?;
        if !record.is_alias() {
            record.read(&params)?;
        }
        Ok(record)
    }

    /// Whether the origin is served as its [`target`](Self::target) is, whose records are
    /// to be asked for (RFC 9460 §2.4.2).
    #[must_use]
    pub fn is_alias(&self) -> bool {
        self.priority == 0
    }

    /// Whether it may be used, and for HTTP/3.
    #[must_use]
    pub fn is_h3(&self) -> bool {
        !self.is_alias() && !self.incompatible && self.alpn.iter().any(|one| **one == *b"h3")
    }

    fn read(&mut self, params: &[(u16, &[u8])]) -> Result<(), HttpsRecordError> {
        let find = |wanted| params.iter().find(|(key, _)| *key == wanted);
        if let Some((key, value)) = find(key::ALPN) {
            let mut rest = Bytes(value);
            while !rest.0.is_empty() {
                let wrong = |_| HttpsRecordError::Value(*key);
                let len = rest.take(1).map_err(wrong)?;
                let len = len.first().copied().map_or(0, usize::from);
                let protocol = rest.take(len).map_err(wrong)?;
                if protocol.is_empty() {
                    return Err(HttpsRecordError::Value(*key));
                }
                self.alpn.push(protocol.into());
            }
            if self.alpn.is_empty() {
                return Err(HttpsRecordError::Value(*key));
            }
        }
        match find(key::NO_DEFAULT_ALPN) {
            Some((key, value)) if !value.is_empty() => return Err(HttpsRecordError::Value(*key)),
            //= https://www.rfc-editor.org/rfc/rfc9460#section-7.1.1
            // It is malformed without `alpn`.
            Some(_) if self.alpn.is_empty() => return Err(HttpsRecordError::NoProtocol),
            Some(_) => {}
            //= https://www.rfc-editor.org/rfc/rfc9460#section-9
            // The default protocol of https is http/1.1.
            None => self.alpn.push(Box::from(*b"http/1.1")),
        }
        if let Some((key, value)) = find(key::PORT) {
            let [high, low] = value else {
                return Err(HttpsRecordError::Value(*key));
            };
            self.port = Some(u16::from_be_bytes([*high, *low]));
        }
        for (key, size) in [(key::IPV6HINT, 16), (key::IPV4HINT, 4)] {
            let Some((_, value)) = find(key) else {
                continue;
            };
            if value.is_empty() || !value.len().is_multiple_of(size) {
                return Err(HttpsRecordError::Value(key));
            }
            let hints = value.chunks_exact(size).take(MAX_HINTS).filter_map(address);
            self.hints.extend(hints);
        }
        if let Some((_, value)) = find(key::MANDATORY) {
            self.incompatible = !knows_all(value, params)?;
        }
        // Port 0 leads nowhere.
        self.incompatible |= self.port == Some(0);
        Ok(())
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).into());
    let v6 = || <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).into());
    v4.or_else(|_| v6()).ok()
}

/// Whether all keys that are mandatory are known here.
fn knows_all(value: &[u8], params: &[(u16, &[u8])]) -> Result<bool, HttpsRecordError> {
    if value.is_empty() || !value.len().is_multiple_of(2) {
        return Err(HttpsRecordError::Value(key::MANDATORY));
    }
    let mut rest = Bytes(value);
    let mut last = None;
    let mut known = true;
    while !rest.0.is_empty() {
        let key = rest.number()?;
        //= https://www.rfc-editor.org/rfc/rfc9460#section-8
        // In ascending order, each once, each there, and `mandatory` is not among them.
        let is_there = params.iter().any(|(one, _)| *one == key);
        if key == key::MANDATORY || last.is_some_and(|last| last >= key) || !is_there {
            return Err(HttpsRecordError::Mandatory(key));
        }
        last = Some(key);
        // Encrypted ClientHello is not done here: whoever insists on it is left alone.
        known &= key <= key::IPV6HINT && key != key::ECH;
    }
    Ok(known)
}

/// Bytes that are taken from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], HttpsRecordError> {
        let split = self.0.split_at_checked(len);
        let (taken, rest) = split.ok_or(HttpsRecordError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u16, HttpsRecordError> {
        let bytes = self.take(2)?;
        let [high, low] = bytes else {
            return Err(HttpsRecordError::Short);
        };
        Ok(u16::from_be_bytes([*high, *low]))
    }

    /// A name; `None` for the root.
    fn name(&mut self) -> Result<Option<Box<str>>, HttpsRecordError> {
        let mut name = String::new();
        loop {
            let len = self.take(1)?.first().copied().unwrap_or(0);
            if len == 0 {
                return Ok((!name.is_empty()).then(|| name.into_boxed_str()));
            }
            //= https://www.rfc-editor.org/rfc/rfc9460#section-2.2
            // The name is not compressed. Labels have 63 bytes at most, a name 255.
            if len > 63 || name.len() + usize::from(len) + 3 > 255 {
                return Err(HttpsRecordError::Target);
            }
            let label = self.take(usize::from(len))?;
            let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
            if !label.iter().all(allowed) {
                return Err(HttpsRecordError::Target);
            }
            if !name.is_empty() {
                name.push('.');
            }
            name.extend(
                label
                    .iter()
                    .map(|byte| char::from(byte.to_ascii_lowercase())),
            );
        }
    }

    fn params(&mut self) -> Result<Vec<(u16, &'a [u8])>, HttpsRecordError> {
        let mut params: Vec<(u16, &[u8])> = Vec::new();
        while !self.0.is_empty() {
            let key = self.number()?;
            let len = self.number()?;
            let value = self.take(usize::from(len))?;
            //= https://www.rfc-editor.org/rfc/rfc9460#section-2.2
            // Keys are in strictly increasing order.
            if params.last().is_some_and(|(last, _)| *last >= key) {
                return Err(HttpsRecordError::Order(key));
            }
            params.push((key, value));
        }
        Ok(params)
    }
}

#[cfg(test)]
mod tests;
