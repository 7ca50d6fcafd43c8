//! Heads and trailers for people, escaped.

use std::fmt::Write as _;

use aqueduct_tokio::protocol::escape::escaped;
use aqueduct_tokio::protocol::head::FieldSection;
use http::{Request, Response};

use super::Context;
use super::follow::is_credential;
use super::report::message_fields;

/// With `-v`, the head of a request on standard error. Who asks is not shown.
pub(super) fn request(context: &Context, head: &Request<()>) {
    if !context.verbose {
        return;
    }
    let uri = head.uri();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let mut text = format!("> {} {} HTTP/3\n", head.method(), escaped(path));
    let _ = writeln!(text, "> host: {}", escaped(authority));
    for (name, value) in head.headers() {
        let shown = if value.is_sensitive() || is_credential(name.as_str().as_bytes()) {
            "(not shown)".to_owned()
        } else {
            escaped(value).to_string()
        };
        // Writing into a `String` cannot fail.
        let _ = writeln!(text, "> {name}: {shown}");
    }
    print(context, &(text + ">"));
}

/// With `-v`, something on the way.
pub(super) fn note(context: &Context, text: &str) {
    if context.verbose {
        print(context, &format!("* {text}"));
    }
}

/// With `-i` or `-v`, the head of an answer on standard error.
pub(super) fn head(context: &Context, head: &Response<()>) {
    let status = format!("HTTP/3 {}", head.status());
    section(context, Some(status), head.extensions().get());
}

/// The same for trailers.
pub(super) fn trailers(context: &Context, fields: &FieldSection) {
    section(context, None, Some(fields));
}

fn section(context: &Context, first: Option<String>, fields: Option<&FieldSection>) {
    if !context.options.include && !context.verbose {
        return;
    }
    let mark = if context.verbose { "< " } else { "" };
    let fields = fields.into_iter().flat_map(message_fields);
    let fields = fields.map(|field| format!("{}: {}", escaped(field.name), escaped(field.value)));
    let mut text = String::new();
    for line in first.into_iter().chain(fields) {
        let _ = writeln!(text, "{mark}{line}");
    }
    print(context, &(text + mark.trim_end()));
}

/// A head in full, with its end, for standard output.
pub(super) fn whole(head: &Response<()>) -> String {
    let mut text = format!("HTTP/3 {}\n", head.status());
    let fields: Option<&FieldSection> = head.extensions().get();
    for field in fields.into_iter().flat_map(message_fields) {
        let [name, value] =
            [field.name, field.value].map(|bytes| escaped(bytes).limit(usize::MAX).to_string());
        let _ = writeln!(text, "{name}: {value}");
    }
    text + "\n"
}

fn print(context: &Context, text: &str) {
    context.progress.above(|| context.output.remark(text));
}
