//! Field sections to heads and back, with every rule of RFC 9114 §4 checked.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, StatusCode, Uri};

use crate::error::InvalidHead;
use crate::fault::Violation;
use crate::head::{Early, Protocol, RequestHead, ResponseHead, Trailers};
use crate::uri;
use crate::wire::fields::{Field, FieldSection};

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

type Checked<T> = Result<T, Wrong>;

/// A length that is none.
const LENGTH: Wrong = Wrong {
    field: "content-length",
    what: "is not one number",
    why: Violation::ContentLength,
};

/// A malformed message.
const fn wrong(field: &'static str, what: &'static str) -> Wrong {
    Wrong {
        field,
        what,
        why: Violation::MessageMalformed,
    }
}

/// The name of a pseudo-header field, of a field that has rules of its own, or what
/// all others are.
fn known(name: &[u8]) -> &'static str {
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
enum Place {
    Request,
    Response,
    Trailers,
}

/// Splits a section into pseudo-header fields and a header map.
fn split(fields: &FieldSection, place: Place) -> Checked<(Pseudo<'_>, HeaderMap)> {
    let mut pseudo = Pseudo::default();
    let mut headers = HeaderMap::new();
    let mut regular = false;
    for field in fields {
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
            regular = true;
            let (name, value) = regular_field(&field, place)?;
            headers
                .try_append(name, value)
                .map_err(|_| wrong("a field", "is one more than can be held"))?;
        }
    }
    Ok((pseudo, headers))
}

/// The value grammar of RFC 9110 §5.5: no control characters but inner tabs, no
/// white space around.
fn is_field_value(value: &[u8]) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !blank(value.first())
        && !blank(value.last())
        && value
            .iter()
            .all(|&byte| byte == b'\t' || (byte >= 0x20 && byte != 0x7f))
}

fn regular_field(field: &Field<'_>, place: Place) -> Checked<(HeaderName, HeaderValue)> {
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.2
    // Upper-case letters are malformed; they would be folded silently here.
    if field.name.iter().any(u8::is_ascii_uppercase) {
        return Err(wrong("a field", "has a name with upper-case letters"));
    }
    if !is_field_value(field.value) {
        return Err(wrong(known(field.name), NO_VALUE));
    }
    let name = HeaderName::from_bytes(field.name)
        .map_err(|_| wrong("a field", "has a name that is none"))?;
    if !may_be_sent(&name, field.value, place) {
        return Err(wrong(known(field.name), "is not allowed in HTTP/3"));
    }
    let mut value =
        HeaderValue::from_bytes(field.value).map_err(|_| wrong(known(field.name), NO_VALUE))?;
    value.set_sensitive(field.never_indexed);
    Ok((name, value))
}

/// Of a field that has to be there.
const MISSING: &str = "is missing";

/// What a value may not be (RFC 9110 §5.5).
const NO_VALUE: &str = "has a value that is none: a control character, or blanks at an end";

/// Whether HTTP/3 allows the field here at all.
fn may_be_sent(name: &HeaderName, value: &[u8], place: Place) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.2
    // Connection-specific fields have no place in HTTP/3.
    if *name == header::CONNECTION
        || *name == header::TRANSFER_ENCODING
        || *name == header::UPGRADE
        || name.as_str() == "keep-alive"
        || name.as_str() == "proxy-connection"
    {
        return false;
    }
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.2
    // TE may say "trailers" in a request and nothing else.
    if *name == header::TE {
        return place == Place::Request && value == b"trailers";
    }
    true
}

/// A received request's head. `extended` tells whether we announced extended
/// CONNECT.
pub(crate) fn request(fields: FieldSection, extended: bool) -> Checked<RequestHead> {
    let (pseudo, mut headers) = split(&fields, Place::Request)?;
    let method = Method::from_bytes(pseudo.method.ok_or(wrong(":method", MISSING))?)
        .map_err(|_| wrong(":method", "is not a token"))?;
    let host = single_host(&headers)?;
    let uri = if method == Method::CONNECT && pseudo.protocol.is_none() {
        connect_target(&pseudo)?
    } else {
        target(&pseudo, host.as_ref(), &method)?
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
        fields,
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
        let mut head = request(fields, true)?;
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
        let mut head = response(fields)?;
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
fn single_host(headers: &HeaderMap) -> Checked<Option<HeaderValue>> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().cloned();
    if hosts.next().is_some() {
        Err(wrong("host", "is there twice"))
    } else {
        Ok(host)
    }
}

fn authority(field: &'static str, bytes: &[u8]) -> Checked<Authority> {
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.3.1
    // Present means not empty, and without user information.
    if bytes.is_empty() {
        return Err(wrong(field, "is empty"));
    }
    if bytes.contains(&b'@') {
        return Err(wrong(field, "has user information"));
    }
    Authority::try_from(bytes).map_err(|_| wrong(field, "is not a host with a port"))
}

/// The target of plain CONNECT: host and port, nothing else.
fn connect_target(pseudo: &Pseudo<'_>) -> Checked<Uri> {
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.4
    // :scheme and :path are omitted, :authority names host and port.
    if pseudo.scheme.is_some() {
        return Err(wrong(":scheme", "has no place in CONNECT"));
    }
    if pseudo.path.is_some() {
        return Err(wrong(":path", "has no place in CONNECT"));
    }
    let target = pseudo.authority.ok_or(wrong(":authority", MISSING))?;
    let target = authority(":authority", target)?;
    if target.port_u16().is_none_or(|port| port == 0) || target.host().is_empty() {
        return Err(wrong(":authority", "does not name a host and a port"));
    }
    let mut parts = http::uri::Parts::default();
    parts.authority = Some(target);
    Uri::from_parts(parts).map_err(|_| wrong(":authority", "is not a host with a port"))
}

fn target(pseudo: &Pseudo<'_>, host: Option<&HeaderValue>, method: &Method) -> Checked<Uri> {
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.3.1
    // Every request but plain CONNECT has exactly one :scheme and one :path.
    let scheme = pseudo.scheme.ok_or(wrong(":scheme", MISSING))?;
    let path = pseudo.path.ok_or(wrong(":path", MISSING))?;
    if !scheme.first().is_some_and(u8::is_ascii_alphabetic) {
        return Err(wrong(":scheme", "is not a scheme"));
    }
    let scheme = Scheme::try_from(scheme).map_err(|_| wrong(":scheme", "is not a scheme"))?;
    let web = scheme == Scheme::HTTP || scheme == Scheme::HTTPS;
    let named = match (pseudo.authority, host) {
        (Some(name), None) => Some(authority(":authority", name)?),
        //= https://www.rfc-editor.org/rfc/rfc9298#section-3.4
        // Extended CONNECT says whose proxy it is in `:authority`, and nowhere else.
        (None, Some(_)) if *method == Method::CONNECT => {
            return Err(wrong(":authority", MISSING));
        }
        (None, Some(host)) => Some(authority("host", host.as_bytes())?),
        (Some(name), Some(host)) => {
            //= https://www.rfc-editor.org/rfc/rfc9114#section-4.3.1
            // When both are there they say the same.
            if !name.eq_ignore_ascii_case(host.as_bytes()) {
                return Err(wrong("host", "differs from `:authority`"));
            }
            Some(authority(":authority", name)?)
        }
        (None, None) => None,
    };
    if web {
        let asterisk = path == b"*" && *method == Method::OPTIONS;
        //= https://www.rfc-editor.org/rfc/rfc9110#section-4.2.2
        // Without a host such a URI is invalid.
        match &named {
            None => return Err(wrong(":authority", MISSING)),
            Some(named) if named.host().is_empty() => {
                return Err(wrong(":authority", "has no host"));
            }
            Some(_) => {}
        }
        if !(path.first() == Some(&b'/') || asterisk) {
            return Err(wrong(":path", "does not begin with `/`"));
        }
    }
    if path.contains(&b'#') || path.contains(&b' ') {
        return Err(wrong(":path", "is not a path with a query"));
    }
    let mut parts = http::uri::Parts::default();
    let path = uri::ascii(path);
    parts.path_and_query = Some(
        PathAndQuery::try_from(&*path).map_err(|_| wrong(":path", "is not a path with a query"))?,
    );
    // The http crate has no form for a scheme without authority; the scheme stays
    // in the field section for whoever cares.
    parts.scheme = named.is_some().then_some(scheme);
    parts.authority = named;
    Uri::from_parts(parts).map_err(|_| wrong(":path", "is not a target with the others"))
}

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

/// A received response's head.
pub(crate) fn response(fields: FieldSection) -> Checked<ResponseHead> {
    let (pseudo, headers) = split(&fields, Place::Response)?;
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
        fields,
        in_order: false,
    })
}

/// Received trailers.
pub(crate) fn trailers(fields: FieldSection) -> Checked<Trailers> {
    let (_, headers) = split(&fields, Place::Trailers)?;
    Ok(Trailers { headers, fields })
}

/// The field section of a request to be sent; `None` when no peer would take it.
/// Pseudo-header fields go first: method, protocol, scheme, authority, path.
pub(crate) fn build_request(head: &RequestHead) -> Checked<FieldSection> {
    if head.in_order
        && let Ok(kept) = request(head.fields.clone(), true)
        && kept.has_parts_of(head)
    {
        return Ok(kept.fields);
    }
    let place = [
        head.uri
            .authority()
            .map_or("", |authority| authority.as_str()),
        head.uri.path_and_query().map_or("", PathAndQuery::as_str),
    ];
    let place: usize = place.iter().map(|part| part.len()).sum();
    let mut fields = with_room(5, 64 + place, &head.headers);
    fields.push(b":method", head.method.as_str().as_bytes());
    if let Some(protocol) = &head.protocol {
        fields.push(b":protocol", protocol.as_str().as_bytes());
    }
    if head.method == Method::CONNECT && head.protocol.is_none() {
        let target = head.uri.authority();
        let target = target.ok_or(wrong(":authority", MISSING))?;
        fields.push(b":authority", uri::authority(target, None).as_bytes());
    } else {
        let scheme = head.uri.scheme_str().unwrap_or("https");
        fields.push(b":scheme", scheme.as_bytes());
        if let Some(authority) = head.uri.authority() {
            let authority = uri::authority(authority, Some(scheme));
            fields.push(b":authority", authority.as_bytes());
        }
        let path = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
        fields.push(b":path", uri::path(path).as_bytes());
    }
    push_headers(&mut fields, &head.headers);
    // The rules for what we send are the rules for what we take.
    request(fields.clone(), true)?;
    Ok(fields)
}

/// A section that need not grow for so many pseudo-header fields and usual headers.
fn with_room(lines: usize, bytes: usize, headers: &HeaderMap) -> FieldSection {
    FieldSection::with_room(lines + headers.len(), bytes + 32 * headers.len())
}

fn push_headers(fields: &mut FieldSection, headers: &HeaderMap) {
    for (name, value) in headers {
        if value.is_sensitive() {
            fields.push_never_indexed(name.as_str().as_bytes(), value.as_bytes());
        } else {
            fields.push(name.as_str().as_bytes(), value.as_bytes());
        }
    }
}

/// The field section of a response to be sent; `None` when no peer would take it.
pub(crate) fn build_response(head: &ResponseHead) -> Checked<FieldSection> {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15
    // What a client has to make the best of is not sent.
    if head.status.as_u16() > 599 {
        return Err(wrong(":status", "is not 100 to 599"));
    }
    if head.in_order
        && let Ok(kept) = response(head.fields.clone())
        && kept.has_parts_of(head)
    {
        return Ok(kept.fields);
    }
    let mut fields = with_room(1, 16, &head.headers);
    fields.push(b":status", head.status.as_str().as_bytes());
    push_headers(&mut fields, &head.headers);
    response(fields.clone())?;
    Ok(fields)
}

/// The field section of trailers to be sent; `None` when no peer would take it.
pub(crate) fn build_trailers(headers: &HeaderMap) -> Checked<FieldSection> {
    let mut fields = FieldSection::new();
    push_headers(&mut fields, headers);
    trailers(fields.clone())?;
    Ok(fields)
}

#[cfg(test)]
mod tests;
