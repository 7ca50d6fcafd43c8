//! Heads of messages as words of a recording. Values of fields, paths and queries
//! are masked on the way in, unless the recording holds secrets.

use http::uri::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

use aqueduct_core::error::InvalidHead;
use aqueduct_core::head::{End, Protocol, RequestHead, ResponseHead};
use aqueduct_core::webtransport::{ConnectAnswer, ConnectRequest};
use aqueduct_core::wire::fields::{Field, FieldSection};

use crate::mask::Masking;
use crate::words::{Line, Malformed, Words, put_text, read_text, utf8};

/// Marks a value that compression must not index.
const NEVER_INDEXED: char = '!';

fn put_field(line: &mut Line, field: Field<'_>, mask: Masking) {
    line.text(field.name).word("");
    if field.never_indexed {
        line.0.push(NEVER_INDEXED);
    }
    put_text(&mut line.0, &mask.field(field.name, field.value));
}

/// Number of lines, then name and value of each.
pub(crate) fn put_section(line: &mut Line, fields: &FieldSection, mask: Masking) {
    line.show(fields.len());
    for field in fields {
        put_field(line, field, mask);
    }
}

pub(crate) fn put_headers(line: &mut Line, headers: &HeaderMap, mask: Masking) {
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

pub(crate) fn read_headers(words: &mut Words<'_>) -> Result<HeaderMap, Malformed> {
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
pub(crate) fn put_uri(line: &mut Line, uri: &Uri, mask: Masking) {
    let authority = uri.authority().map(|authority| authority.as_str());
    let path = uri.path_and_query().map(|path| path.as_str());
    line.maybe_text(uri.scheme_str().map(str::as_bytes));
    for (name, value) in [(":authority", authority), (":path", path)] {
        let masked = value.map(|value| mask.field(name.as_bytes(), value.as_bytes()));
        line.maybe_text(masked.as_deref());
    }
}

fn read_uri(words: &mut Words<'_>) -> Result<Uri, Malformed> {
    let wrong = |_| Malformed::new("not a part of a URI");
    let mut parts = Parts::default();
    let [scheme, authority, path] = [
        words.maybe_text()?,
        words.maybe_text()?,
        words.maybe_text()?,
    ];
    let scheme = scheme.as_deref().map(TryFrom::try_from);
    let authority = authority.as_deref().map(TryFrom::try_from);
    let path = path.as_deref().map(TryFrom::try_from);
    parts.scheme = scheme.transpose().map_err(wrong)?;
    parts.authority = authority.transpose().map_err(wrong)?;
    parts.path_and_query = path.transpose().map_err(wrong)?;
    Uri::from_parts(parts).map_err(|_| Malformed::new("parts that make no URI"))
}

pub(crate) fn put_end(line: &mut Line, end: End) {
    line.word(match end {
        End::More => "more",
        End::Fin => "fin",
    });
}

pub(crate) fn read_end(words: &mut Words<'_>) -> Result<End, Malformed> {
    match words.word()? {
        "more" => Ok(End::More),
        "fin" => Ok(End::Fin),
        _ => Err(Malformed::new("neither more nor fin")),
    }
}

/// Marks a head that is sent line by line, in the order of its fields.
const LINES: &str = "lines";
/// Marks a head that is sent as its parts say.
const PARTS: &str = "parts";

pub(crate) fn put_request(line: &mut Line, head: &RequestHead, mask: Masking) {
    let fields = head.fields();
    if RequestHead::from_fields(fields.clone()).is_ok_and(|again| again == *head) {
        return put_section(line.word(LINES), fields, mask);
    }
    line.word(PARTS).text(head.method.as_str().as_bytes());
    put_uri(line, &head.uri, mask);
    let protocol = head.protocol.as_ref().map(Protocol::as_str);
    line.maybe_text(protocol.map(str::as_bytes));
    put_headers(line, &head.headers, mask);
}

pub(crate) fn read_request(words: &mut Words<'_>) -> Result<RequestHead, Malformed> {
    if words.word()? == LINES {
        return RequestHead::from_fields(read_section(words)?).map_err(no_head);
    }
    let method = Method::from_bytes(&words.text()?).map_err(|_| Malformed::new("not a method"))?;
    let mut head = RequestHead::new(method, read_uri(words)?);
    let protocol = words.maybe_text()?.map(utf8).transpose()?;
    head.protocol = protocol.map(|token| Protocol::new(&token));
    head.headers = read_headers(words)?;
    Ok(head)
}

fn no_head(why: InvalidHead) -> Malformed {
    Malformed(format!("no head: {why}"))
}

pub(crate) fn put_response(line: &mut Line, head: &ResponseHead, mask: Masking) {
    let fields = head.fields();
    if ResponseHead::from_fields(fields.clone()).is_ok_and(|again| again == *head) {
        return put_section(line.word(LINES), fields, mask);
    }
    line.word(PARTS).show(head.status.as_u16());
    put_headers(line, &head.headers, mask);
}

fn read_status(words: &mut Words<'_>) -> Result<StatusCode, Malformed> {
    StatusCode::from_u16(words.number()?).map_err(|_| Malformed::new("not a status"))
}

pub(crate) fn read_response(words: &mut Words<'_>) -> Result<ResponseHead, Malformed> {
    if words.word()? == LINES {
        return ResponseHead::from_fields(read_section(words)?).map_err(no_head);
    }
    let mut head = ResponseHead::new(read_status(words)?);
    head.headers = read_headers(words)?;
    Ok(head)
}

pub(crate) fn put_connect(line: &mut Line, request: &ConnectRequest, mask: Masking) {
    put_uri(line, &request.uri, mask);
    put_headers(line, &request.headers, mask);
    line.show(request.protocols.len());
    for protocol in &request.protocols {
        line.text(protocol.as_bytes());
    }
    line.show(request.protocol_required);
}

pub(crate) fn read_connect(words: &mut Words<'_>) -> Result<ConnectRequest, Malformed> {
    let mut request = ConnectRequest::new(read_uri(words)?);
    request.headers = read_headers(words)?;
    for _ in 0..words.number::<usize>()? {
        request.protocols.push(words.string()?);
    }
    request.protocol_required = words.word()? == "true";
    Ok(request)
}

pub(crate) fn put_answer(line: &mut Line, answer: &ConnectAnswer, mask: Masking) {
    line.show(answer.status.as_u16());
    put_headers(line, &answer.headers, mask);
    line.maybe_text(answer.protocol.as_ref().map(String::as_bytes));
}

pub(crate) fn read_answer(words: &mut Words<'_>) -> Result<ConnectAnswer, Malformed> {
    Ok(ConnectAnswer {
        status: read_status(words)?,
        headers: read_headers(words)?,
        protocol: words.maybe_text()?.map(utf8).transpose()?,
    })
}
