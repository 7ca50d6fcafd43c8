//! Field sections to heads, with every rule of RFC 9114 §4 checked.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, StatusCode, Uri};

use crate::error::InvalidHead;
use crate::fault::Violation;
use crate::head::{Early, Protocol, RequestHead, ResponseHead, Trailers};
use crate::uri;
use crate::wire::fields::{Field, FieldSection};
use crate::wire::qpack::names::{self, Allowed};

/// What is wrong with a field section.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Wrong {
    /// The field at fault.
    pub(crate) field: &'static str,
    pub(crate) what: &'static str,
    pub(crate) why: Violation,
}

impl From<Wrong> for Violation {
    fn from(wrong: Wrong) -> Self {
        wrong.why
    }
}

impl From<Wrong> for InvalidHead {
    fn from(wrong: Wrong) -> Self {
        Self {
            field: wrong.field,
            why: wrong.what,
        }
    }
}

pub(super) type Checked<T> = Result<T, Wrong>;

/// A length that is none.
const LENGTH: Wrong = Wrong {
    field: "content-length",
    what: "is not one number",
    why: Violation::ContentLength,
};

/// A malformed message.
pub(super) const fn wrong(field: &'static str, what: &'static str) -> Wrong {
    Wrong {
        field,
        what,
        why: Violation::MessageMalformed,
    }
}

/// The name of a pseudo-header field, of a field that has rules of its own, or what
/// all others are.
pub(super) fn known(name: &[u8]) -> &'static str {
    const KNOWN: &[&str] = &[
        ":method",
        ":scheme",
        ":authority",
        ":path",
        ":protocol",
        ":status",
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
        "te",
        "host",
        "content-length",
    ];
    let found = KNOWN.iter().find(|known| known.as_bytes() == name);
    found.copied().unwrap_or("a field")
}

/// Content-length as far as a head tells it.
pub(crate) fn content_length(headers: &HeaderMap) -> Checked<Option<u64>> {
    let mut length = None;
    for value in headers.get_all(header::CONTENT_LENGTH) {
        let digits = value.as_bytes();
        //= https://www.rfc-editor.org/rfc/rfc9110#section-8.6
        // Digits only; a sign, a list or an overflow is not a length.
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(LENGTH);
        }
        let value = std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse::<u64>().ok())
            .ok_or(LENGTH)?;
        if length.is_some_and(|other| other != value) {
            return Err(LENGTH);
        }
        length = Some(value);
    }
    Ok(length)
}

#[derive(Default)]
struct Pseudo<'a> {
    method: Option<&'a [u8]>,
    scheme: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    protocol: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
}

/// Which section a field stands in.
#[derive(Copy, Clone, Eq, PartialEq)]
pub(super) enum Place {
    Request,
    Response,
    Trailers,
}

/// Names that a map has room for at once. Lines that say one name again take none, so more
/// lines than a map has names may be a head.
const ROOM: usize = 1024;

/// Splits a section whose text is in `text` into pseudo-header fields and a header map, the
/// values of which share `text`.
fn split<'a>(
    fields: &'a FieldSection,
    text: &'a Bytes,
    place: Place,
) -> Checked<(Pseudo<'a>, HeaderMap)> {
    let mut pseudo = Pseudo::default();
    let mut headers = HeaderMap::new();
    let mut regular = false;
    let mut lines = fields.iter_in(text);
    while let Some(field) = lines.next() {
        if field.name.first() == Some(&b':') {
            //= https://www.rfc-editor.org/rfc/rfc9114#section-4.3
            // Pseudo-header fields come first, once each, and only those
            // defined for this kind of section.
            if regular {
                return Err(wrong(known(field.name), "comes after other fields"));
            }
            let place = match (field.name, place) {
                (b":method", Place::Request) => &mut pseudo.method,
                (b":scheme", Place::Request) => &mut pseudo.scheme,
                (b":authority", Place::Request) => &mut pseudo.authority,
                (b":path", Place::Request) => &mut pseudo.path,
                (b":protocol", Place::Request) => &mut pseudo.protocol,
                (b":status", Place::Response) => &mut pseudo.status,
                (name, _) => return Err(wrong(known(name), "has no place here")),
            };
            if place.replace(field.value).is_some() {
                return Err(wrong(known(field.name), "is there twice"));
            }
            if !is_field_value(field.value) {
                return Err(wrong(known(field.name), NO_VALUE));
            }
        } else {
            if !std::mem::replace(&mut regular, true) {
                let room = headers.try_reserve((lines.len() + 1).min(ROOM));
                room.map_err(|_| wrong("a field", TOO_MANY))?;
            }
            let (name, value) = regular_field(&field, text, place)?;
            headers
                .try_append(name, value)
                .map_err(|_| wrong("a field", TOO_MANY))?;
        }
    }
    Ok((pseudo, headers))
}

/// The value grammar of RFC 9110 §5.5: no control characters but inner tabs, no
/// white space around.
fn is_field_value(value: &[u8]) -> bool {
    !has_blank_end(value)
        && value
            .iter()
            .all(|&byte| byte == b'\t' || (byte >= 0x20 && byte != 0x7f))
}

/// Whether there is white space around, which the `http` crate takes for a part of a value.
pub(super) fn has_blank_end(value: &[u8]) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    blank(value.first()) || blank(value.last())
}

fn regular_field(
    field: &Field<'_>,
    text: &Bytes,
    place: Place,
) -> Checked<(HeaderName, HeaderValue)> {
    let no_value = || wrong(known(field.name), NO_VALUE);
    let found = names::find(field.name);
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.2
    // Upper-case letters are malformed; they would be folded silently here.
    if found.is_none() && field.name.iter().any(u8::is_ascii_uppercase) {
        return Err(wrong("a field", "has a name with upper-case letters"));
    }
    if has_blank_end(field.value) {
        return Err(no_value());
    }
    let name = match found {
        Some(found) => {
            may_be_sent(found.allowed, field.name, field.value, place)?;
            found.ready.clone()
        }
        None => HeaderName::from_bytes(field.name).ok(),
    };
    // The types of the `http` crate let no control character through.
    let value = HeaderValue::from_maybe_shared(text.slice_ref(field.value));
    let mut value = value.map_err(|_| no_value())?;
    let name = name.ok_or(wrong("a field", "has a name that is none"))?;
    value.set_sensitive(field.never_indexed);
    Ok((name, value))
}

/// Of a field that has to be there.
pub(super) const MISSING: &str = "is missing";

/// What a value may not be (RFC 9110 §5.5).
pub(super) const NO_VALUE: &str =
    "has a value that is none: a control character, or blanks at an end";

/// Of the field that a header map has no room for.
const TOO_MANY: &str = "is one more than can be held";

/// Whether HTTP/3 allows a known field here at all.
pub(super) fn may_be_sent(
    allowed: Allowed,
    name: &[u8],
    value: &[u8],
    place: Place,
) -> Checked<()> {
    let may = match allowed {
        Allowed::Everywhere => true,
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.2
        // Connection-specific fields have no place in HTTP/3.
        Allowed::Nowhere => false,
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.2
        // TE may say "trailers" in a request and nothing else.
        Allowed::Te => place == Place::Request && value == b"trailers",
    };
    may.then_some(())
        .ok_or_else(|| wrong(known(name), "is not allowed in HTTP/3"))
}

/// A received request's head, without its lines. `extended` tells whether we announced
/// extended CONNECT.
pub(crate) fn request(fields: &FieldSection, extended: bool) -> Checked<RequestHead> {
    let text = fields.shared();
    let (pseudo, mut headers) = split(fields, &text, Place::Request)?;
    let method = Method::from_bytes(pseudo.method.ok_or(wrong(":method", MISSING))?)
        .map_err(|_| wrong(":method", "is not a token"))?;
    let host = single_host(&headers)?;
    let uri = if method == Method::CONNECT && pseudo.protocol.is_none() {
        connect_target(&pseudo, &text)?
    } else {
        target(&pseudo, &text, host, &method)?
    };
    let protocol = match pseudo.protocol {
        None => None,
        //= https://www.rfc-editor.org/rfc/rfc8441#section-4
        // :protocol goes with CONNECT, and only after we announced it.
        Some(token) if method == Method::CONNECT && extended => Some(upgrade_token(token)?),
        Some(_) => {
            return Err(wrong(
                ":protocol",
                "goes with CONNECT and was not announced",
            ));
        }
    };
    join_cookies(&mut headers);
    Ok(RequestHead {
        method,
        uri,
        protocol,
        headers,
        early: Early::default(),
        fields: FieldSection::new(),
        in_order: false,
    })
}

impl RequestHead {
    /// A head that is sent line by line as `fields` has it: names and values in
    /// their order, pseudo-header fields first. For proxies that keep the order of
    /// a head, received or put together anew. A part that is changed afterwards is
    /// sent as changed, and then the order is that of the parts.
    ///
    /// # Errors
    /// The rule of RFC 9114 §4.2 and §4.3 that `fields` break.
    pub fn from_fields(fields: FieldSection) -> Result<Self, InvalidHead> {
        let mut head = request(&fields, true)?;
        head.fields = fields;
        head.in_order = true;
        Ok(head)
    }
}

impl ResponseHead {
    /// A head that is sent line by line as `fields` has it, as
    /// [`RequestHead::from_fields`].
    ///
    /// # Errors
    /// The rule of RFC 9114 §4.2 and §4.3 that `fields` break.
    pub fn from_fields(fields: FieldSection) -> Result<Self, InvalidHead> {
        let mut head = response(&fields)?;
        head.fields = fields;
        head.in_order = true;
        Ok(head)
    }
}

fn upgrade_token(token: &[u8]) -> Checked<Protocol> {
    let token = std::str::from_utf8(token).map_err(|_| wrong(":protocol", "is not a token"))?;
    let is_tchar = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c);
    if token.is_empty() || !token.chars().all(is_tchar) {
        return Err(wrong(":protocol", "is not a token"));
    }
    Ok(Protocol::new(token))
}

/// The authority of the Host field. Two of them are malformed.
pub(super) fn single_host(headers: &HeaderMap) -> Checked<Option<&HeaderValue>> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        Err(wrong("host", "is there twice"))
    } else {
        Ok(host)
    }
}

fn authority(field: &'static str, text: Bytes) -> Checked<Authority> {
    check_authority(field, &text)?;
    Authority::from_maybe_shared(text).map_err(|_| wrong(field, "is not a host with a port"))
}

/// What an authority may be in text beside what its grammar says.
pub(super) fn check_authority(field: &'static str, text: &[u8]) -> Checked<()> {
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.3.1
    // Present means not empty, and without user information.
    if text.is_empty() {
        return Err(wrong(field, "is empty"));
    }
    if text.contains(&b'@') {
        return Err(wrong(field, "has user information"));
    }
    Ok(())
}

/// `:authority` and a Host field.
pub(super) fn check_agreement(name: &[u8], host: &HeaderValue) -> Checked<()> {
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.3.1
    // When both are there they say the same.
    if !name.eq_ignore_ascii_case(host.as_bytes()) {
        return Err(wrong("host", "differs from `:authority`"));
    }
    Ok(())
}

/// The authority that a Host field stands for.
pub(super) fn host_authority(host: &HeaderValue) -> Checked<Authority> {
    authority("host", Bytes::copy_from_slice(host.as_bytes()))
}

/// A path, and the host of a URI of the web where it is one.
pub(super) fn check_place(
    path: &[u8],
    scheme: &[u8],
    host: Option<&str>,
    method: &Method,
) -> Checked<()> {
    if scheme == b"https" || scheme == b"http" {
        let asterisk = path == b"*" && *method == Method::OPTIONS;
        //= https://www.rfc-editor.org/rfc/rfc9110#section-4.2.2
        // Without a host such a URI is invalid.
        match host {
            None => return Err(wrong(":authority", MISSING)),
            Some("") => return Err(wrong(":authority", "has no host")),
            Some(_) => {}
        }
        if !(path.first() == Some(&b'/') || asterisk) {
            return Err(wrong(":path", "does not begin with `/`"));
        }
    }
    if path.contains(&b'#') || path.contains(&b' ') {
        return Err(wrong(":path", NO_PATH));
    }
    Ok(())
}

/// The target of plain CONNECT: host and port, nothing else.
fn connect_target(pseudo: &Pseudo<'_>, text: &Bytes) -> Checked<Uri> {
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.4
    // :scheme and :path are omitted, :authority names host and port.
    if pseudo.scheme.is_some() {
        return Err(wrong(":scheme", "has no place in CONNECT"));
    }
    if pseudo.path.is_some() {
        return Err(wrong(":path", "has no place in CONNECT"));
    }
    let target = pseudo.authority.ok_or(wrong(":authority", MISSING))?;
    let target = authority(":authority", text.slice_ref(target))?;
    if target.port_u16().is_none_or(|port| port == 0) || target.host().is_empty() {
        return Err(wrong(":authority", "does not name a host and a port"));
    }
    let mut parts = http::uri::Parts::default();
    parts.authority = Some(target);
    Uri::from_parts(parts).map_err(|_| wrong(":authority", "is not a host with a port"))
}

fn target(
    pseudo: &Pseudo<'_>,
    text: &Bytes,
    host: Option<&HeaderValue>,
    method: &Method,
) -> Checked<Uri> {
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.3.1
    // Every request but plain CONNECT has exactly one :scheme and one :path.
    let named = pseudo.scheme.ok_or(wrong(":scheme", MISSING))?;
    let path = pseudo.path.ok_or(wrong(":path", MISSING))?;
    check_scheme(named)?;
    let scheme = Scheme::try_from(named).map_err(|_| wrong(":scheme", NO_SCHEME))?;
    let shared = |name: &[u8]| authority(":authority", text.slice_ref(name));
    let place = match (pseudo.authority, host) {
        (Some(name), None) => Some(shared(name)?),
        //= https://www.rfc-editor.org/rfc/rfc9298#section-3.4
        // Extended CONNECT says whose proxy it is in `:authority`, and nowhere else.
        (None, Some(_)) if *method == Method::CONNECT => {
            return Err(wrong(":authority", MISSING));
        }
        (None, Some(host)) => Some(host_authority(host)?),
        (Some(name), Some(host)) => {
            check_agreement(name, host)?;
            Some(shared(name)?)
        }
        (None, None) => None,
    };
    let web = scheme.as_str().as_bytes();
    check_place(path, web, place.as_ref().map(Authority::host), method)?;
    let mut parts = http::uri::Parts::default();
    let path = match uri::ascii(path) {
        Cow::Borrowed(path) => text.slice_ref(path),
        Cow::Owned(encoded) => encoded.into(),
    };
    let path = PathAndQuery::from_maybe_shared(path);
    parts.path_and_query = Some(path.map_err(|_| wrong(":path", NO_PATH))?);
    // The http crate has no form for a scheme without authority; the scheme stays
    // in the field section for whoever cares.
    parts.scheme = place.is_some().then_some(scheme);
    parts.authority = place;
    Uri::from_parts(parts).map_err(|_| wrong(":path", "is not a target with the others"))
}

/// What a scheme begins with.
pub(super) fn check_scheme(scheme: &[u8]) -> Checked<()> {
    let begins = scheme.first().is_some_and(u8::is_ascii_alphabetic);
    begins.then_some(()).ok_or(wrong(":scheme", NO_SCHEME))
}

const NO_SCHEME: &str = "is not a scheme";
const NO_PATH: &str = "is not a path with a query";

/// Joins cookie fields that were split for compression.
fn join_cookies(headers: &mut HeaderMap) {
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.2.1
    // Outside HTTP/2 and HTTP/3 there is one cookie field, joined by "; ".
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    //= https://www.rfc-editor.org/rfc/rfc9204#section-7.1.3
    // One crumb that no table may hold makes the whole such a field.
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    let sensitive = crumbs.any(HeaderValue::is_sensitive);
    if let Ok(mut value) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
        value.set_sensitive(sensitive);
        headers.insert(header::COOKIE, value);
    }
}

/// A received response's head, without its lines.
pub(crate) fn response(fields: &FieldSection) -> Checked<ResponseHead> {
    let text = fields.shared();
    let (pseudo, headers) = split(fields, &text, Place::Response)?;
    let status = pseudo.status.ok_or(wrong(":status", MISSING))?;
    if status.len() != 3 || !status.iter().all(u8::is_ascii_digit) {
        return Err(wrong(":status", "is not three digits"));
    }
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15
    // A number outside the five classes is dealt with as one of the fifth. What is below
    // the first has no place in the type, and is told as the plainest of these.
    let status = StatusCode::from_bytes(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.5
    // There is no upgrade in HTTP/3, so 101 makes no sense.
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(wrong(":status", "is 101, and there is no upgrade"));
    }
    Ok(ResponseHead {
        status,
        headers,
        fields: FieldSection::new(),
        in_order: false,
    })
}

/// Received trailers, without their lines.
pub(crate) fn trailers(fields: &FieldSection) -> Checked<Trailers> {
    let text = fields.shared();
    let (_, headers) = split(fields, &text, Place::Trailers)?;
    Ok(Trailers {
        headers,
        fields: FieldSection::new(),
    })
}

#[cfg(test)]
mod tests;
