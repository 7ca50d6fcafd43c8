//! Heads of messages as words of a recording. Values of fields, paths and queries
//! are masked on the way in, unless the recording holds secrets.

use std::fmt::Display;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

use aqueduct_core::head::{Early, End, Field, FieldSection, Protocol, RequestHead, ResponseHead};
use aqueduct_core::webtransport::{ConnectAnswer, ConnectRequest};

use crate::value::{Cx, Get, Put, named};
use crate::words::{Line, Malformed, Words, put_text, read_text, utf8};

/// Marks a value that compression must not index.
const NEVER_INDEXED: char = '!';

fn put_field(line: &mut Line, field: Field<'_>, Cx { mask, .. }: Cx) {
    line.text(field.name).word("");
    if field.never_indexed {
        line.0.push(NEVER_INDEXED);
    }
    put_text(&mut line.0, &mask.field(field.name, field.value));
}

/// Number of lines, then name and value of each.
impl Put for FieldSection {
    fn put(&self, line: &mut Line, cx: Cx) {
        line.show(self.len());
        for field in self {
            put_field(line, field, cx);
        }
    }
}

impl Put for HeaderMap {
    fn put(&self, line: &mut Line, cx: Cx) {
        line.show(self.len());
        for (name, value) in self {
            let field = Field {
                name: name.as_str().as_bytes(),
                value: value.as_bytes(),
                never_indexed: value.is_sensitive(),
            };
            put_field(line, field, cx);
        }
    }
}

fn read_value(words: &mut Words<'_>) -> Result<(Vec<u8>, bool), Malformed> {
    let word = words.word()?;
    match word.strip_prefix(NEVER_INDEXED) {
        Some(value) => Ok((read_text(value)?, true)),
        None => Ok((read_text(word)?, false)),
    }
}

impl Get for FieldSection {
    fn get(words: &mut Words<'_>, _: Cx) -> Result<Self, Malformed> {
        let mut fields = Self::new();
        for _ in 0..words.number::<usize>()? {
            let name = &words.text()?;
            let (value, never_indexed) = &read_value(words)?;
            fields.push_field(Field {
                name,
                value,
                never_indexed: *never_indexed,
            });
        }
        Ok(fields)
    }
}

impl Get for HeaderMap {
    fn get(words: &mut Words<'_>, _: Cx) -> Result<Self, Malformed> {
        let mut headers = Self::new();
        for _ in 0..words.number::<usize>()? {
            let name = HeaderName::from_bytes(&words.text()?).map_err(wrong)?;
            let (value, sensitive) = read_value(words)?;
            let mut value = HeaderValue::from_bytes(&value).map_err(wrong)?;
            value.set_sensitive(sensitive);
            headers.try_append(name, value).map_err(wrong)?;
        }
        Ok(headers)
    }
}

fn wrong(why: impl Display) -> Malformed {
    Malformed(why.to_string())
}

/// Its parts are masked as the fields are.
impl Put for Uri {
    fn put(&self, line: &mut Line, Cx { mask, .. }: Cx) {
        let scheme = self.scheme_str().map(|scheme| format!("{scheme}://"));
        let mut text = scheme.unwrap_or_default().into_bytes();
        let authority = self.authority().map_or("", |authority| authority.as_str());
        let path = self.path_and_query().map_or("", |path| path.as_str());
        text.extend_from_slice(&mask.field(b":authority", authority.as_bytes()));
        text.extend_from_slice(&mask.field(b":path", path.as_bytes()));
        line.text(&text);
    }
}

impl Get for Uri {
    fn get(words: &mut Words<'_>, _: Cx) -> Result<Self, Malformed> {
        Self::try_from(words.text()?).map_err(wrong)
    }
}

named! {
    End { "more" More "fin" Fin }
}

/// Marks a head that is sent line by line, in the order of its fields.
const LINES: &str = "lines";
/// Marks a head that is sent as its parts say.
const PARTS: &str = "parts";
/// Stands before one that may be early data whatever its method, or never.
const EARLY: [&str; 2] = ["early", "late"];

impl Put for RequestHead {
    fn put(&self, line: &mut Line, cx: Cx) {
        match self.early {
            Early::Always => _ = line.word(EARLY[0]),
            Early::Never => _ = line.word(EARLY[1]),
            _ => {}
        }
        let again = Self::from_fields(self.fields().clone()).map(|again| again.early(self.early));
        if again.is_ok_and(|again| again == *self) {
            return self.fields().put(line.word(LINES), cx);
        }
        line.word(PARTS).text(self.method.as_str().as_bytes());
        self.uri.put(line, cx);
        put_list(line, self.protocol.iter().map(Protocol::as_str));
        self.headers.put(line, cx);
    }
}

impl Get for RequestHead {
    fn get(words: &mut Words<'_>, cx: Cx) -> Result<Self, Malformed> {
        let mut form = words.word()?;
        let early = match form {
            word if word == EARLY[0] => Early::Always,
            word if word == EARLY[1] => Early::Never,
            _ => Early::IfSafe,
        };
        if early != Early::IfSafe {
            form = words.word()?;
        }
        if form == LINES {
            let head = Self::from_fields(Get::get(words, cx)?);
            return head.map(|head| head.early(early)).map_err(wrong);
        }
        let method = Method::from_bytes(&words.text()?).map_err(wrong)?;
        let mut head = Self::new(method, Get::get(words, cx)?);
        head.protocol = read_list(words)?.pop().map(|token| Protocol::new(&token));
        head.headers = Get::get(words, cx)?;
        head.early = early;
        Ok(head)
    }
}

impl Put for ResponseHead {
    fn put(&self, line: &mut Line, cx: Cx) {
        let again = Self::from_fields(self.fields().clone());
        if again.is_ok_and(|again| again == *self) {
            return self.fields().put(line.word(LINES), cx);
        }
        line.word(PARTS).show(self.status.as_u16());
        self.headers.put(line, cx);
    }
}

impl Get for ResponseHead {
    fn get(words: &mut Words<'_>, cx: Cx) -> Result<Self, Malformed> {
        if words.word()? == LINES {
            return Self::from_fields(Get::get(words, cx)?).map_err(wrong);
        }
        let mut head = Self::new(read_status(words)?);
        head.headers = Get::get(words, cx)?;
        Ok(head)
    }
}

fn read_status(words: &mut Words<'_>) -> Result<StatusCode, Malformed> {
    StatusCode::from_u16(words.number()?).map_err(wrong)
}

/// How many, and each.
pub(crate) fn put_list<'a>(line: &mut Line, texts: impl ExactSizeIterator<Item = &'a str>) {
    line.show(texts.len());
    texts.for_each(|text| _ = line.text(text.as_bytes()));
}

pub(crate) fn read_list(words: &mut Words<'_>) -> Result<Vec<String>, Malformed> {
    let count = 0..words.number::<usize>()?;
    count.map(|_| utf8(words.text()?)).collect()
}

impl Put for ConnectRequest {
    fn put(&self, line: &mut Line, cx: Cx) {
        self.uri.put(line, cx);
        self.headers.put(line, cx);
        put_list(line, self.protocols.iter().map(String::as_str));
        self.protocol_required.put(line, cx);
    }
}

impl Get for ConnectRequest {
    fn get(words: &mut Words<'_>, cx: Cx) -> Result<Self, Malformed> {
        let mut request = Self::new(Get::get(words, cx)?);
        request.headers = Get::get(words, cx)?;
        request.protocols = read_list(words)?;
        request.protocol_required = Get::get(words, cx)?;
        Ok(request)
    }
}

impl Put for ConnectAnswer {
    fn put(&self, line: &mut Line, cx: Cx) {
        line.show(self.status.as_u16());
        self.headers.put(line, cx);
        put_list(line, self.protocol.iter().map(String::as_str));
    }
}

impl Get for ConnectAnswer {
    fn get(words: &mut Words<'_>, cx: Cx) -> Result<Self, Malformed> {
        let mut answer = Self::new()
            .status(read_status(words)?)
            .headers(Get::get(words, cx)?);
        answer.protocol = read_list(words)?.pop();
        Ok(answer)
    }
}
