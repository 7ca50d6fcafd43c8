//! One URL: tried again where that is asked for and does no harm, followed where it leads.

use std::time::{Duration, SystemTime};

use aqueduct_tokio::protocol::head::Early;
use serde_json::json;
use tokio::time::Instant;

use super::exchange::{self, Next};
use super::follow::Step;
use super::report::Report;
use super::{Context, Job, retry};
use crate::args::Data;
use crate::exit::{Again, Exit, Failure};
use crate::units;

/// What is left to be said of a try.
pub(super) struct Try {
    /// Whether another may follow.
    pub(super) is_last: bool,
    /// When the transfer began.
    pub(super) begun: Instant,
}

/// Fetches the URL. `report` has what became of it, also when that is not all.
pub(super) async fn run(context: &Context, job: &Job, report: &mut Report) -> Result<(), Failure> {
    let begun = Instant::now();
    let work = tries(context, job, begun, report);
    let done = match context.options.max_time {
        None => work.await,
        Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            let limit = units::duration(limit);
            let what = format!(
                "cannot fetch {}: not done within {limit} (--max-time)",
                job.target
            );
            Err(Failure::new(Exit::Failure, what))
        }),
    };
    report.times.total = begun.elapsed();
    done
}

async fn tries(
    context: &Context,
    job: &Job,
    begun: Instant,
    report: &mut Report,
) -> Result<(), Failure> {
    let most = context.options.retry;
    loop {
        let is_last = report.retries >= most;
        let attempt = Try { is_last, begun };
        let done = follow(context, job, &attempt, report).await;
        let (why, wanted) = match done {
            Ok(None) => return Ok(()),
            // A status that may pass: which one is in the report.
            Ok(Some(wanted)) => {
                let status = report.status.map(|status| status.to_string());
                (status.unwrap_or_default(), wanted)
            }
            Err(failure) if !is_last && may_repeat(context, job, report, failure.again()) => {
                (failure.to_string(), None)
            }
            Err(failure) => return Err(failure),
        };
        report.retries += 1;
        let pause = wanted.unwrap_or_else(|| retry::pause(report.retries));
        let (tries, wait) = (report.retries, units::duration(pause));
        context.say(
            &format!("{}: {why}: try {tries} of {most} after {wait}", job.target),
            "retry",
            json!({
                "url": job.target.to_string(),
                "message": why,
                "retry": tries,
                "of": most,
                "seconds": pause.as_secs_f64(),
            }),
        );
        tokio::time::sleep(pause).await;
        report.received = 0;
        report.sent = 0;
    }
}

/// Goes where the answers lead. `Some` is the wait before another try.
async fn follow(
    context: &Context,
    job: &Job,
    attempt: &Try,
    report: &mut Report,
) -> Result<Option<Option<Duration>>, Failure> {
    let first = Step {
        target: job.target.clone(),
        method: context.options.method(),
        body: context.body.is_some(),
        early: Early::IfSafe,
    };
    let mut step = first.clone();
    report.redirects = 0;
    loop {
        report.effective = step.target.clone();
        report.method = step.method.clone();
        match exchange::run(context, job, attempt, &first, &step, report).await? {
            Next::Done => return Ok(None),
            Next::Later(pause) => return Ok(Some(pause)),
            Next::Behind => step.early = Early::Never,
            Next::Follow(next) => {
                let most = context.options.max_redirs;
                if report.redirects >= most {
                    let what = format!("{}: more than {most} redirects", job.target);
                    return Err(Failure::new(Exit::Failure, what));
                }
                if next.body && !is_repeatable(context) {
                    let what = format!(
                        "{} leads to {}, and standard input cannot be sent twice",
                        step.target, next.target
                    );
                    return Err(Failure::new(Exit::Failure, what));
                }
                tracing::info!(to = %next.target, method = %next.method, "redirected");
                report.redirects += 1;
                report.times.redirect = attempt.begun.elapsed();
                step = next;
            }
        }
    }
}

/// The wait before another try after an answer with this status, when there may be one: nothing of
/// it is written then. The inner is what the server wants.
pub(super) fn later(
    context: &Context,
    attempt: &Try,
    step: &Step,
    head: &http::Response<()>,
) -> Option<Option<Duration>> {
    let repeats = retry::is_idempotent(&step.method) && (!step.body || is_repeatable(context));
    if attempt.is_last || !retry::may_pass(head.status()) || !repeats {
        return None;
    }
    let wait = retry::wait(head.headers(), SystemTime::now());
    if let Err(wanted) = wait {
        let (target, wait) = (&step.target, units::duration(wanted));
        context.say(
            &format!("{target} wants to be left alone for {wait}: not tried again"),
            "left_alone",
            json!({
                "url": target.to_string(),
                "seconds": wanted.as_secs_f64(),
            }),
        );
    }
    wait.ok()
}

fn may_repeat(context: &Context, job: &Job, report: &Report, again: Again) -> bool {
    // What standard output has cannot be taken back.
    let printed = report.received > 0 && job.file.is_none() && !context.output.is_json();
    let may = match again {
        Again::No => false,
        Again::Idempotent => retry::is_idempotent(&report.method),
        Again::Safe => true,
    };
    may && !printed && is_repeatable(context)
}

/// Whether the body can be sent twice.
fn is_repeatable(context: &Context) -> bool {
    match &context.body {
        Some(Data::File(path)) => path.is_file(),
        _ => true,
    }
}

/// What a bar is called: the last part of the path, or the host.
pub(super) fn name(job: &Job) -> String {
    let path = job.target.uri().path().trim_end_matches('/');
    match path.rsplit_once('/') {
        Some((_, last)) if !last.is_empty() => last.to_owned(),
        _ => job.target.host().to_owned(),
    }
}
