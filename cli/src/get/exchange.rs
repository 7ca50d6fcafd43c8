//! One request: its body out of a file, the answer into another.

use std::pin::pin;
use std::sync::OnceLock;

use aqueduct_tokio::error::{ReadError, WriteError};
use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::head::Early;
use aqueduct_tokio::{BodySender, Connection, ResponseReceiver};
use http::{HeaderValue, Request, Response, StatusCode, header};
use serde_json::json;

use super::follow::Step;
use super::report::{Report, lines};
use super::transfer::{Try, later, name};
use super::watch::Watch;
use super::{Context, Job, resume, show};
use crate::chunks::{Sink, Source};
use crate::client::{read_failed, request_failed, write_failed};
use crate::draft::Part;
use crate::exit::{Again, Context as _, Exit, Failure};
use crate::progress::Transfer;
use crate::units;

/// What comes after an answer.
#[derive(Debug)]
pub(super) enum Next {
    /// Nothing: it is where it belongs.
    Done,
    /// The request that it leads to.
    Follow(Step),
    /// The same once more, after the time that the server wants.
    Later(Option<std::time::Duration>),
    /// The same once more, behind the handshake.
    Behind,
}

/// A request that goes out so.
fn when(mut request: Request<()>, early: Early) -> Request<()> {
    request.extensions_mut().insert(early);
    request
}

/// All that an exchange is about.
struct Exchange<'a> {
    context: &'a Context,
    job: &'a Job,
    attempt: &'a Try,
    step: &'a Step,
    /// What is gone on with.
    part: Option<Part>,
    watch: Watch,
}

/// Sends a step's request and receives the answer.
pub(super) async fn run(
    context: &Context,
    job: &Job,
    attempt: &Try,
    first: &Step,
    step: &Step,
    report: &mut Report,
) -> Result<Next, Failure> {
    let source = match &context.body {
        Some(data) if step.body => Some(Source::data(data).await?),
        _ => None,
    };
    let part = match &job.file {
        Some(file) if context.options.continue_at.is_some() => {
            Part::find(file).doing(|| format!("cannot look at `{}`", file.display()))?
        }
        _ => None,
    };
    let connected = context.connect(&step.target).await;
    // Nothing was sent as yet.
    let mut connected = connected.map_err(|failure| match failure.again() {
        Again::No => failure,
        _ => failure.or(Again::Safe),
    })?;
    let mut handshake = None;
    if let Some(dialed) = &mut connected.dialed {
        report.times.lookup = attempt
            .begun
            .elapsed()
            .saturating_sub(dialed.since_lookup());
        report.times.connect = attempt.begun.elapsed();
        handshake = dialed.handshake.take();
    }
    report.remote = Some(connected.address);
    let exchange = Exchange {
        context,
        job,
        attempt,
        step,
        part,
        watch: Watch::new(),
    };
    let request = exchange.request(first, source.as_ref().and_then(|(_, len)| *len))?;
    report.times.sent = attempt.begun.elapsed();
    let limit = context.options.stall_timeout;
    let shaken = OnceLock::new();
    let failing = async {
        if let Some(handshake) = handshake {
            if let Err(failure) = handshake.wait().await {
                return failure;
            }
            let _ = shaken.set(attempt.begun.elapsed());
        }
        // What becomes of the request is its own affair.
        std::future::pending().await
    };
    let done = tokio::select! {
        biased;
        failure = failing => Err(failure),
        done = exchange.send(&connected.connection, request, source, report) => done,
        () = exchange.watch.stalled(limit, |quiet| exchange.tell_stall(quiet)) => {
            let limit = units::duration(limit);
            let what = format!("{}: nothing came or went for {limit} (--stall-timeout)", exchange.doing());
            Err(Failure::new(Exit::Failure, what).or(Again::Idempotent))
        }
    };
    if let Some(connected) = shaken.get() {
        report.times.connect = *connected;
    }
    done
}

impl Exchange<'_> {
    fn doing(&self) -> String {
        format!("cannot fetch {}", self.step.target)
    }

    fn tell_stall(&self, quiet: std::time::Duration) {
        let limit = self.context.options.stall_timeout;
        let ends = match limit.is_zero() {
            true => String::new(),
            false => format!("; given up after {}", units::duration(limit)),
        };
        let quiet_for = units::duration(quiet);
        self.context.say(
            &format!("{} stalls: nothing for {quiet_for}{ends}", self.step.target),
            "stalled",
            json!({
                "url": self.step.target.to_string(),
                "seconds": quiet.as_secs_f64(),
                "gives_up_after": (!limit.is_zero()).then_some(limit.as_secs_f64()),
            }),
        );
    }

    fn request(&self, first: &Step, len: Option<u64>) -> Result<Request<()>, Failure> {
        let mut request = Request::new(());
        *request.method_mut() = self.step.method.clone();
        *request.uri_mut() = self.step.target.uri_for(request.method());
        let fields = request.headers_mut();
        for (name, value) in &self.context.options.header {
            fields.append(name, value.clone());
        }
        if let Some(authorization) = &self.context.authorization {
            fields
                .entry(header::AUTHORIZATION)
                .or_insert_with(|| authorization.clone());
        }
        self.step.strip(first, fields);
        if let Some(part) = &self.part {
            resume::ask(part, &self.job.target, fields)?;
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
        show::request(self.context, &request);
        Ok(request)
    }

    async fn send(
        &self,
        connection: &Connection,
        request: Request<()>,
        source: Option<(Source, Option<u64>)>,
        report: &mut Report,
    ) -> Result<Next, Failure> {
        let Some((source, len)) = source else {
            return self.send_empty(connection, request, report).await;
        };
        // What has been read of a source is not there to be sent again.
        let sent = connection.request(when(request, Early::Never)).await;
        let (body, answer) = sent
            .map_err(|error| request_failed(self.doing(), error))?
            .split();
        let bar = self.bar(&format!("↑ {}", name(self.job)), len);
        let done = {
            let mut upload = pin!(self.upload(source, body, &bar));
            let mut download = pin!(self.receive(answer, false, report));
            // Neither waits for the other: the answer may begin before the request ends.
            let mut sending = true;
            loop {
                tokio::select! {
                    done = &mut upload, if sending => match done {
                        Ok(()) => sending = false,
                        Err(failure) => break Err(failure),
                    },
                    done = &mut download => match done {
                        Ok(Next::Done) if sending => break upload.await.map(|()| Next::Done),
                        // What another request is about to send again is not waited for.
                        done => break done,
                    }
                }
            }
        };
        report.sent = bar.position();
        done
    }

    /// Sends a request without a body, ahead of the handshake where it may go.
    async fn send_empty(
        &self,
        connection: &Connection,
        request: Request<()>,
        report: &mut Report,
    ) -> Result<Next, Failure> {
        let safe = self.step.early == Early::IfSafe && request.method().is_safe();
        let may = safe && connection.may_send_early();
        let sent = connection.request_empty(when(request, self.step.early));
        let (_, answer) = sent
            .await
            .map_err(|error| request_failed(self.doing(), error))?
            .split();
        // As long as nobody knows what became of early data, there was no other way to go.
        let ahead = may && connection.early_data().is_none();
        if ahead {
            show::note(self.context, "sent ahead of the handshake (0-RTT)");
        }
        let next = self.receive(answer, may, report).await;
        if let (true, Some(early)) = (ahead, connection.early_data()) {
            report.early = early;
        }
        next
    }

    async fn upload(
        &self,
        mut source: Source,
        mut body: BodySender,
        bar: &Transfer,
    ) -> Result<(), Failure> {
        loop {
            let chunk = self
                .watch
                .own(source.next())
                .await
                .doing(|| format!("cannot read the body for {}", self.step.target))?;
            let last = chunk.is_none();
            let written = match chunk {
                Some(chunk) => {
                    let len = chunk.len() as u64;
                    body.send_data(chunk).await.map(|()| bar.add(len))
                }
                None => body.finish(),
            };
            self.watch.moved();
            match written {
                Ok(()) if last => return Ok(()),
                Ok(()) => {}
                Err(WriteError::Stopped(code)) => {
                    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1
                    // A server may answer without the rest of the body; its answer still counts,
                    // and where there is none its stream says so.
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
                        format!("cannot send the body to {}", self.step.target),
                        error,
                    ));
                }
            }
        }
    }

    fn again_behind(&self, why: &str) -> Next {
        let text = format!("{why}: sending it again behind the handshake");
        show::note(self.context, &text);
        Next::Behind
    }

    async fn receive(
        &self,
        mut answer: ResponseReceiver,
        may_be_early: bool,
        report: &mut Report,
    ) -> Result<Next, Failure> {
        let failed = |error| read_failed(self.doing(), error);
        loop {
            match answer.recv_interim().await {
                Ok(Some(interim)) => {
                    self.watch.moved();
                    show::head(self.context, &interim);
                }
                Ok(None) => break,
                // It has seen nothing of it.
                Err(ReadError::EarlyDataRejected) if may_be_early => {
                    let why = "the server did not take what was sent ahead";
                    return Ok(self.again_behind(why));
                }
                Err(error) => return Err(failed(error)),
            }
        }
        let head = answer.recv_response().await.map_err(failed)?;
        self.watch.moved();
        show::head(self.context, &head);
        //= https://www.rfc-editor.org/rfc/rfc8470#section-5.2
        // What was early data is sent again when it was too early, by itself and not early.
        if may_be_early && head.status() == StatusCode::TOO_EARLY {
            return Ok(self.again_behind("it was too early for the server"));
        }
        report.times.first = self.attempt.begun.elapsed();
        report.status = Some(head.status());
        report.fields = head.extensions().get().map(lines).unwrap_or_default();
        if let Some(pause) = later(self.context, self.attempt, self.step, &head) {
            return Ok(Next::Later(pause));
        }
        if self.context.options.location
            && let Some(next) = self.step.next(head.status(), head.headers())?
        {
            if self.context.options.head && self.job.file.is_none() {
                self.write_head(&mut self.sink(&head).await?, &head).await?;
            }
            return Ok(Next::Follow(next));
        }
        self.receive_body(answer, &head, report).await?;
        Ok(Next::Done)
    }

    async fn receive_body(
        &self,
        answer: ResponseReceiver,
        head: &Response<()>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let failed = |error| read_failed(self.doing(), error);
        let mut rest = None;
        let mut sink = match &self.part {
            None => self.sink(head).await?,
            Some(part) => match resume::judge(part, head)? {
                resume::Rest::Refused => None,
                resume::Rest::Nothing => {
                    report.resumed = part.len;
                    let sink = self.go_on(part, head).await?;
                    // It is all there: what the answer says about it is no error.
                    report.status = Some(StatusCode::OK);
                    return sink.finish().await;
                }
                resume::Rest::Follows { len, is_all } => {
                    report.resumed = part.len;
                    rest = Some((part, len, is_all));
                    Some(self.go_on(part, head).await?)
                }
            },
        };
        if self.context.options.head {
            self.write_head(&mut sink, head).await?;
        }
        let total = head
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let bar = self.bar(&name(self.job), total);
        let mut body = answer.into_body();
        loop {
            let chunk = match body.recv_data().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => {
                    if let Some(sink) = &mut sink {
                        sink.flush().await;
                    }
                    return Err(failed(error));
                }
            };
            self.watch.moved();
            let len = chunk.len() as u64;
            if let Some((part, most, _)) = rest
                && report.received + len > most
            {
                return Err(resume::too_much(part));
            }
            if let Some(sink) = &mut sink {
                self.watch.own(sink.write(&chunk)).await?;
            }
            report.received += len;
            bar.add(len);
        }
        let trailers = body.recv_trailers().await.map_err(failed)?;
        if let Some(trailers) = trailers {
            show::trailers(self.context, trailers.fields());
            report.trailers = Some(lines(trailers.fields()));
        }
        if let Some((_, len, is_all)) = rest
            && (report.received < len || !is_all)
        {
            if let Some(sink) = &mut sink {
                sink.flush().await;
            }
            let what = format!("{}: the server sent a part of the rest", self.doing());
            return Err(Failure::new(Exit::Failure, what).or(Again::Idempotent));
        }
        // What has come to its end alone gets the name of a file.
        match sink {
            Some(sink) => self.watch.own(sink.finish()).await,
            None => Ok(()),
        }
    }

    fn bar(&self, name: &str, total: Option<u64>) -> Transfer {
        let progress = &self.context.progress;
        match &self.job.file {
            Some(_) => progress.transfer(name, total),
            None => progress.beside_stdout(name, total),
        }
    }

    /// Where the body goes, if anywhere.
    async fn sink(&self, head: &Response<()>) -> Result<Option<Sink>, Failure> {
        Ok(match &self.job.file {
            Some(file) => {
                let origin = resume::origin(&self.job.target, head);
                Some(Sink::file(file, origin, self.job.kept.clone()).await?)
            }
            // Bodies would make the lines of JSON unreadable.
            None if self.context.output.is_json() => None,
            None => Some(Sink::stdout()),
        })
    }

    async fn go_on(&self, part: &Part, head: &Response<()>) -> Result<Sink, Failure> {
        let mut origin = resume::origin(&self.job.target, head);
        if let Some(before) = &part.origin {
            // A part of an answer may say less than all of it did.
            origin.etag = origin.etag.or_else(|| before.etag.clone());
            origin.last_modified = origin
                .last_modified
                .or_else(|| before.last_modified.clone());
        } else {
            self.context.output.warning(&format!(
                "nobody knows where `{}` came from: what follows may be of something else",
                part.path.display()
            ));
        }
        // It was looked for because there is a file to write.
        let file = self.job.file.as_ref().unwrap_or(&part.path);
        Sink::part(file, &part.path, part.len, origin, self.job.kept.clone()).await
    }

    async fn write_head(
        &self,
        sink: &mut Option<Sink>,
        head: &Response<()>,
    ) -> Result<(), Failure> {
        let text = show::whole(head);
        match sink {
            Some(sink) => {
                sink.write(text.as_bytes()).await?;
                sink.flush().await;
                Ok(())
            }
            None => Ok(()),
        }
    }
}
