//! Heads to field lines: borrowed from the parts of a head, with the rules of RFC 9114 §4
//! checked that the types of the `http` crate do not guarantee.

use std::borrow::Cow;

use http::header::HeaderMap;
use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use smallvec::SmallVec;

use super::message::{
    self, Checked, MISSING, NO_VALUE, Place, check_agreement, check_authority, check_place,
    check_scheme, has_blank_end, host_authority, known, may_be_sent, single_host, wrong,
};
use crate::head::{RequestHead, ResponseHead};
use crate::uri;
use crate::wire::fields::{Field, FieldSection};
use crate::wire::qpack::names;

/// The lines of a head or of trailers that are sent.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing<'a> {
    /// Lines that are kept together: an order of their own, or what is rare.
    section: Cow<'a, FieldSection>,
    pseudo: SmallVec<[(&'static str, Cow<'a, str>); 4]>,
    headers: Option<&'a HeaderMap>,
}

impl<'a> Outgoing<'a> {
    fn whole(section: Cow<'a, FieldSection>) -> Self {
        Self {
            section,
            pseudo: SmallVec::new(),
            headers: None,
        }
    }

    /// The parts of a head, whose fields may stand in this place.
    fn parts(headers: &'a HeaderMap, place: Place) -> Checked<Self> {
        for (name, value) in headers {
            let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
            if has_blank_end(value) {
                return Err(wrong(known(name), NO_VALUE));
            }
            if let Some(of) = names::find(name) {
                may_be_sent(of.allowed, name, value, place)?;
            }
        }
        Ok(Self {
            section: Cow::Owned(FieldSection::new()),
            pseudo: SmallVec::new(),
            headers: Some(headers),
        })
    }

    fn push(&mut self, name: &'static str, value: impl Into<Cow<'a, str>>) {
        self.pseudo.push((name, value.into()));
    }

    /// The lines in their order: pseudo-header fields first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        let pseudo = self.pseudo.iter();
        let pseudo = pseudo.map(|(name, value)| Field::new(name.as_bytes(), value.as_bytes()));
        let headers = self.headers.into_iter().flatten();
        let headers = headers.map(|(name, value)| Field {
            name: name.as_str().as_bytes(),
            value: value.as_bytes(),
            never_indexed: value.is_sensitive(),
        });
        self.section.iter().chain(pseudo).chain(headers)
    }

    /// Size in bytes as [`FieldSection::size`] counts it. O(lines).
    pub(crate) fn size(&self) -> u64 {
        self.iter().map(|field| field.size()).sum()
    }
}

/// The lines of a request, or the rule that they would break. Pseudo-header fields go first:
/// method, protocol, scheme, authority, path.
pub(crate) fn request(head: &RequestHead) -> Checked<Outgoing<'_>> {
    if head.in_order
        && let Ok(kept) = message::request(&head.fields, true)
        && kept.has_parts_of(head)
    {
        return Ok(Outgoing::whole(Cow::Borrowed(&head.fields)));
    }
    // Tunnels and sessions are few, and have rules of their own.
    let is_rare = head.method == Method::CONNECT || head.protocol.is_some();
    let mut lines = Outgoing::parts(&head.headers, Place::Request)?;
    lines.push(":method", head.method.as_str());
    if let Some(protocol) = &head.protocol {
        lines.push(":protocol", protocol.as_str());
    }
    if head.method == Method::CONNECT && head.protocol.is_none() {
        let target = head.uri.authority();
        let target = target.ok_or(wrong(":authority", MISSING))?;
        lines.push(":authority", uri::authority(target, None));
    } else {
        let scheme = head.uri.scheme_str().unwrap_or("https");
        let path = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
        let path = uri::path(path);
        let named = head.uri.authority();
        let named = named.map(|authority| uri::authority(authority, Some(scheme)));
        if !is_rare {
            check_target(head, scheme, named.as_deref(), &path)?;
        }
        lines.push(":scheme", scheme);
        if let Some(named) = named {
            lines.push(":authority", named);
        }
        lines.push(":path", path);
    }
    if is_rare {
        let section: FieldSection = lines.iter().collect();
        message::request(&section, true)?;
        return Ok(Outgoing::whole(Cow::Owned(section)));
    }
    Ok(lines)
}

/// The rules for what we send are the rules for what we take.
fn check_target(head: &RequestHead, scheme: &str, named: Option<&str>, path: &str) -> Checked<()> {
    let host = single_host(&head.headers)?;
    check_scheme(scheme.as_bytes())?;
    let standing_in;
    let host = match (named, host) {
        (Some(named), host) => {
            check_authority(":authority", named.as_bytes())?;
            if let Some(host) = host {
                check_agreement(named.as_bytes(), host)?;
            }
            // A host is empty where its port begins.
            Some(if named.starts_with(':') { "" } else { named })
        }
        (None, Some(host)) => {
            standing_in = host_authority(host)?;
            Some(standing_in.host())
        }
        (None, None) => None,
    };
    check_place(path.as_bytes(), scheme.as_bytes(), host, &head.method)?;
    // The `http` crate lets one control character through.
    match path.contains('\u{7f}') {
        true => Err(wrong(":path", NO_VALUE)),
        false => Ok(()),
    }
}

/// The lines of a response, or the rule that they would break.
pub(crate) fn response(head: &ResponseHead) -> Checked<Outgoing<'_>> {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15
    // What a client has to make the best of is not sent.
    if head.status.as_u16() > 599 {
        return Err(wrong(":status", "is not 100 to 599"));
    }
    if head.in_order
        && let Ok(kept) = message::response(&head.fields)
        && kept.has_parts_of(head)
    {
        return Ok(Outgoing::whole(Cow::Borrowed(&head.fields)));
    }
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.5
    // There is no upgrade in HTTP/3, so 101 makes no sense.
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(wrong(":status", "is 101, and there is no upgrade"));
    }
    let mut lines = Outgoing::parts(&head.headers, Place::Response)?;
    lines.push(":status", head.status.as_str());
    Ok(lines)
}

/// The lines of trailers, or the rule that they would break.
pub(crate) fn trailers(headers: &HeaderMap) -> Checked<Outgoing<'_>> {
    Outgoing::parts(headers, Place::Trailers)
}

#[cfg(test)]
mod tests;
