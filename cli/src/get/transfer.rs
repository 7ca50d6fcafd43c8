//! One request: its body out of a file, the answer into another.

use std::pin::pin;

use aqueduct_tokio::error::WriteError;
use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::escape::escaped;
use aqueduct_tokio::protocol::head::FieldSection;
use aqueduct_tokio::{BodySender, Connection, ResponseReceiver};
use http::{HeaderValue, Request, Response, StatusCode, header};

use super::report::{Report, lines, message_fields};
use super::{Context, Job};
use crate::chunks::{Sink, Source};
use crate::client::{read_failed, request_failed, write_failed};
use crate::exit::{Context as _, Failure};
use crate::progress::Transfer;

/// Sends the request and receives the answer.
pub(super) async fn run(
    context: &Context,
    connection: &Connection,
    job: &Job,
) -> Result<Report, Failure> {
    let begun = tokio::time::Instant::now();
    let source = match &context.options.data {
        Some(data) => Some(Source::data(data).await?),
        None => None,
    };
    let len = source.as_ref().and_then(|(_, len)| *len);
    let request = request(context, job, len);
    let doing = || format!("cannot fetch {}", job.target);
    let mut report = Report {
        target: job.target.clone(),
        status: StatusCode::OK,
        fields: Vec::new(),
        trailers: None,
        received: 0,
        sent: 0,
        time: begun.elapsed(),
        file: job.file.clone(),
    };
    match source {
        None => {
            let sent = connection.request_empty(request).await;
            let (_, answer) = sent
                .map_err(|error| request_failed(doing(), error))?
                .split();
            receive(context, job, answer, &mut report).await?;
        }
        Some((source, len)) => {
            let sent = connection.request(request).await;
            let (body, answer) = sent
                .map_err(|error| request_failed(doing(), error))?
                .split();
            let bar = context.progress.transfer(&format!("↑ {}", name(job)), len);
            {
                let mut upload = pin!(upload(job, source, body, &bar));
                let mut download = pin!(receive(context, job, answer, &mut report));
                // Neither waits for the other: the answer may begin before the request ends.
                let mut sending = true;
                loop {
                    tokio::select! {
                        done = &mut upload, if sending => {
                            done?;
                            sending = false;
                        }
                        done = &mut download => {
                            done?;
                            break;
                        }
                    }
                }
                if sending {
                    upload.await?;
                }
            }
            report.sent = bar.position();
        }
    }
    report.time = begun.elapsed();
    Ok(report)
}

fn request(context: &Context, job: &Job, len: Option<u64>) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = context.options.method();
    *request.uri_mut() = job.target.uri_for(request.method());
    let fields = request.headers_mut();
    for (name, value) in &context.options.header {
        fields.append(name, value.clone());
    }
    if let Some(len) = len {
        fields
            .entry(header::CONTENT_LENGTH)
            .or_insert_with(|| len.into());
    }
    let ours = concat!("aqueduct/", env!("CARGO_PKG_VERSION"));
    for (name, value) in [(header::USER_AGENT, ours), (header::ACCEPT, "*/*")] {
        fields
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    request
}

async fn upload(
    job: &Job,
    mut source: Source,
    mut body: BodySender,
    bar: &Transfer,
) -> Result<(), Failure> {
    loop {
        let chunk = source
            .next()
            .await
            .doing(|| format!("cannot read the body for {}", job.target))?;
        let last = chunk.is_none();
        let written = match chunk {
            Some(chunk) => {
                let len = chunk.len() as u64;
                body.send_data(chunk).await.map(|()| bar.add(len))
            }
            None => body.finish(),
        };
        match written {
            Ok(()) if last => return Ok(()),
            Ok(()) => {}
            Err(WriteError::Stopped(code)) => {
                //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1
                // A server may answer without the rest of the body; its answer still counts, and
                // where there is none its stream says so.
                if code.wire != Code::H3_NO_ERROR {
                    tracing::info!(%code, "the server stopped the request's body");
                }
                return Ok(());
            }
            // The download fails for the same reason, and tells it.
            Err(error @ (WriteError::Malformed(_) | WriteError::Unprocessed)) => {
                tracing::debug!(%error, "the request's body was cut short");
                return Ok(());
            }
            Err(error) => {
                return Err(write_failed(
                    format!("cannot send the body to {}", job.target),
                    error,
                ));
            }
        }
    }
}

async fn receive(
    context: &Context,
    job: &Job,
    mut answer: ResponseReceiver,
    report: &mut Report,
) -> Result<(), Failure> {
    let doing = || format!("cannot fetch {}", job.target);
    while let Some(interim) = answer
        .recv_interim()
        .await
        .map_err(|error| read_failed(doing(), error))?
    {
        show_head(context, &interim);
    }
    let head = answer
        .recv_response()
        .await
        .map_err(|error| read_failed(doing(), error))?;
    show_head(context, &head);
    report.status = head.status();
    report.fields = head.extensions().get().map(lines).unwrap_or_default();

    let total = head
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let mut sink = match &job.file {
        Some(file) => Some(Sink::file(file).await?),
        // Bodies would make the lines of JSON unreadable.
        None if context.output.is_json() => None,
        None => Some(Sink::stdout()),
    };
    let bar = context.progress.transfer(&name(job), total);
    let mut body = answer.into_body();
    while let Some(chunk) = body
        .recv_data()
        .await
        .map_err(|error| read_failed(doing(), error))?
    {
        if let Some(sink) = &mut sink {
            sink.write(&chunk).await?;
        }
        bar.add(chunk.len() as u64);
    }
    report.received = bar.position();
    let trailers = body
        .recv_trailers()
        .await
        .map_err(|error| read_failed(doing(), error))?;
    if let Some(trailers) = trailers {
        show(context, String::new(), Some(trailers.fields()));
        report.trailers = Some(lines(trailers.fields()));
    }
    // What has come to its end alone gets the name of a file.
    match sink {
        Some(sink) => sink.finish().await,
        None => Ok(()),
    }
}

fn show_head(context: &Context, head: &Response<()>) {
    let text = format!("HTTP/3 {}\n", head.status());
    show(context, text, head.extensions().get());
}

/// With `--include`, prints a field section on standard error.
fn show(context: &Context, mut text: String, fields: Option<&FieldSection>) {
    if context.options.include {
        for field in fields.into_iter().flat_map(message_fields) {
            let (name, value) = (escaped(field.name), escaped(field.value));
            text.push_str(&format!("{name}: {value}\n"));
        }
        context.progress.above(|| context.output.remark(&text));
    }
}

/// What a bar is called: the last part of the path, or the host.
fn name(job: &Job) -> String {
    let path = job.target.uri().path().trim_end_matches('/');
    match path.rsplit_once('/') {
        Some((_, last)) if !last.is_empty() => last.to_owned(),
        _ => job.target.host().to_owned(),
    }
}
