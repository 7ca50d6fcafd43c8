//! Heads of messages as words of a recording. Values of fields, paths and queries
//! are masked on the way in, unless the recording holds secrets.

use http::uri::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

use super::mask::Mask;
use super::words::{Line, Malformed, Words, put_text, read_text, utf8};
use crate::head::{ConnectAnswer, ConnectRequest, End, Protocol, RequestHead, ResponseHead};
use crate::wire::fields::{Field, FieldSection};

/// Marks a value that compression must not index.
const NEVER_INDEXED: char = '!';

fn put_field(line: &mut Line, field: Field<'_>, mask: Option<&Mask>) {
    line.text(field.name).word("");
    if field.never_indexed {
        line.0.push(NEVER_INDEXED);
    }
    let masked = mask.and_then(|mask| mask.field(Some(field.name), field.value));
    put_text(&mut line.0, masked.as_deref().unwrap_or(field.value));
}

/// Number of lines, then name and value of each.
pub(super) fn put_section(line: &mut Line, fields: &FieldSection, mask: Option<&Mask>) {
    line.show(fields.len());
    for field in fields {
        put_field(line, field, mask);
    }
}

pub(super) fn put_headers(line: &mut Line, headers: &HeaderMap, mask: Option<&Mask>) {
    line.show(headers.len());
    for (name, value) in headers {
        let field = Field {
            name: name.as_str().as_bytes(),
            value: value.as_bytes(),
            never_indexed: value.is_sensitive(),
        };
        put_field(line, field, mask);
    }
}

fn read_value(words: &mut Words<'_>) -> Result<(Vec<u8>, bool), Malformed> {
    let word = words.word()?;
    match word.strip_prefix(NEVER_INDEXED) {
        Some(value) => Ok((read_text(value)?, true)),
        None => Ok((read_text(word)?, false)),
    }
}

fn read_section(words: &mut Words<'_>) -> Result<FieldSection, Malformed> {
    let mut fields = FieldSection::new();
    for _ in 0..words.number::<usize>()? {
        let name = words.text()?;
        let (value, never_indexed) = read_value(words)?;
        fields.push_field(Field {
            name: &name,
            value: &value,
            never_indexed,
        });
    }
    Ok(fields)
}

pub(super) fn read_headers(words: &mut Words<'_>) -> Result<HeaderMap, Malformed> {
    let mut headers = HeaderMap::new();
    for _ in 0..words.number::<usize>()? {
        let name = HeaderName::from_bytes(&words.text()?)
            .map_err(|_| Malformed::new("not a field name"))?;
        let (value, sensitive) = read_value(words)?;
        let mut value =
            HeaderValue::from_bytes(&value).map_err(|_| Malformed::new("not a field value"))?;
        value.set_sensitive(sensitive);
        headers
            .try_append(name, value)
            .map_err(|_| Malformed::new("too many fields"))?;
    }
    Ok(headers)
}

/// Scheme, authority and path, each or none.
pub(super) fn put_uri(line: &mut Line, uri: &Uri, mask: Option<&Mask>) {
    let parts = uri.clone().into_parts();
    let authority = parts
        .authority
        .as_ref()
        .map(|authority| authority.as_str().as_bytes());
    let masked = |name: &[u8], value: Option<&[u8]>| mask?.field(Some(name), value?);
    line.maybe_text(
        parts
            .scheme
            .as_ref()
            .map(|scheme| scheme.as_str().as_bytes()),
    );
    line.maybe_text(masked(b":authority", authority).as_deref().or(authority));
    let path = parts
        .path_and_query
        .as_ref()
        .map(|path| path.as_str().as_bytes());
    line.maybe_text(masked(b":path", path).as_deref().or(path));
}

fn read_uri(words: &mut Words<'_>) -> Result<Uri, Malformed> {
    let wrong = |_| Malformed::new("not a part of a URI");
    let mut parts = Parts::default();
    let [scheme, authority, path] = [
        words.maybe_text()?,
        words.maybe_text()?,
        words.maybe_text()?,
    ];
    parts.scheme = scheme
        .as_deref()
        .map(TryFrom::try_from)
        .transpose()
        .map_err(wrong)?;
    parts.authority = authority
        .as_deref()
        .map(TryFrom::try_from)
        .transpose()
        .map_err(wrong)?;
    parts.path_and_query = path
        .as_deref()
        .map(TryFrom::try_from)
        .transpose()
        .map_err(wrong)?;
    Uri::from_parts(parts).map_err(|_| Malformed::new("parts that make no URI"))
}

pub(super) fn put_end(line: &mut Line, end: End) {
    line.word(match end {
        End::More => "more",
        End::Fin => "fin",
    });
}

pub(super) fn read_end(words: &mut Words<'_>) -> Result<End, Malformed> {
    match words.word()? {
        "more" => Ok(End::More),
        "fin" => Ok(End::Fin),
        _ => Err(Malformed::new("neither more nor fin")),
    }
}

/// The lines of a head that is sent in their order, else none.
fn put_order(line: &mut Line, in_order: bool, fields: &FieldSection, mask: Option<&Mask>) {
    if in_order {
        put_section(line, fields, mask);
    } else {
        put_section(line, &FieldSection::new(), mask);
    }
}

pub(super) fn put_request(line: &mut Line, head: &RequestHead, mask: Option<&Mask>) {
    line.text(head.method.as_str().as_bytes());
    put_uri(line, &head.uri, mask);
    line.maybe_text(
        head.protocol
            .as_ref()
            .map(|protocol| protocol.as_str().as_bytes()),
    );
    put_headers(line, &head.headers, mask);
    put_order(line, head.in_order, &head.fields, mask);
}

pub(super) fn read_request(words: &mut Words<'_>) -> Result<RequestHead, Malformed> {
    let method = Method::from_bytes(&words.text()?).map_err(|_| Malformed::new("not a method"))?;
    let mut head = RequestHead::new(method, read_uri(words)?);
    head.protocol = match words.maybe_text()? {
        Some(token) => Some(Protocol::new(&utf8(token)?)),
        None => None,
    };
    head.headers = read_headers(words)?;
    head.fields = read_section(words)?;
    head.in_order = !head.fields.is_empty();
    Ok(head)
}

pub(super) fn put_response(line: &mut Line, head: &ResponseHead, mask: Option<&Mask>) {
    line.show(head.status.as_u16());
    put_headers(line, &head.headers, mask);
    put_order(line, head.in_order, &head.fields, mask);
}

pub(super) fn read_status(words: &mut Words<'_>) -> Result<StatusCode, Malformed> {
    StatusCode::from_u16(words.number()?).map_err(|_| Malformed::new("not a status"))
}

pub(super) fn read_response(words: &mut Words<'_>) -> Result<ResponseHead, Malformed> {
    let mut head = ResponseHead::new(read_status(words)?);
    head.headers = read_headers(words)?;
    head.fields = read_section(words)?;
    head.in_order = !head.fields.is_empty();
    Ok(head)
}

pub(super) fn put_connect(line: &mut Line, request: &ConnectRequest, mask: Option<&Mask>) {
    put_uri(line, &request.uri, mask);
    put_headers(line, &request.headers, mask);
    line.show(request.protocols.len());
    for protocol in &request.protocols {
        line.text(protocol.as_bytes());
    }
    line.show(request.protocol_required);
}

pub(super) fn read_connect(words: &mut Words<'_>) -> Result<ConnectRequest, Malformed> {
    let mut request = ConnectRequest::new(read_uri(words)?);
    request.headers = read_headers(words)?;
    for _ in 0..words.number::<usize>()? {
        request.protocols.push(words.string()?);
    }
    request.protocol_required = words.word()? == "true";
    Ok(request)
}

pub(super) fn put_answer(line: &mut Line, answer: &ConnectAnswer, mask: Option<&Mask>) {
    line.show(answer.status.as_u16());
    put_headers(line, &answer.headers, mask);
    line.maybe_text(answer.protocol.as_ref().map(String::as_bytes));
}

pub(super) fn read_answer(words: &mut Words<'_>) -> Result<ConnectAnswer, Malformed> {
    Ok(ConnectAnswer {
        status: read_status(words)?,
        headers: read_headers(words)?,
        protocol: words.maybe_text()?.map(utf8).transpose()?,
    })
}
