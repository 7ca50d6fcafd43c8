//! `aqueduct get`: URLs over HTTP/3, those of one server over one connection.

mod exchange;
mod follow;
mod format;
mod report;
mod resume;
mod retry;
mod servers;
mod show;
mod transfer;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderValue;
use serde_json::{Value, json};
use tokio::task::{JoinError, JoinSet};

use crate::args::{Data, Get, Target};
use crate::client::{Dialer, Proxy};
use crate::draft::Kept;
use crate::exit::{Context as _, Exit, Failure};
use crate::output::{Output, unprinted};
use crate::progress::Progress;
use crate::record::Recording;
use crate::secrets;
use crate::signals::Interrupt;
use crate::units;
use report::Report;
use servers::{Connected, Servers};

pub use format::Format;

/// What every transfer needs to know.
struct Context {
    options: Get,
    /// What is sent with each request.
    body: Option<Data>,
    /// Who asks.
    authorization: Option<HeaderValue>,
    /// Whether both heads are shown.
    verbose: bool,
    output: Output,
    progress: Progress,
    servers: Servers,
}

/// One URL, and the file for its body.
struct Job {
    target: Target,
    file: Option<PathBuf>,
    /// What was left of its file.
    kept: Kept,
}

/// What became of a job.
type Done = (Report, Result<(), Failure>);

/// Fetches every URL. Failures are printed as they come; the exit code is the first one's.
pub async fn run(
    options: &Get,
    verbose: bool,
    recording: &Recording,
    output: Output,
) -> Result<Exit, Failure> {
    let mut dialer = Dialer::new(&options.connect, recording, output)?;
    if options.via.proxy_insecure {
        output.warning(
            "--proxy-insecure: the proxy's certificate is not checked; anyone on the way to it \
             can see whom you talk to",
        );
    }
    if let Some(proxy) = Proxy::of(&options.via, &dialer)? {
        dialer = dialer.via(proxy);
    }
    let file = options.password_file.as_deref();
    let authorization = options.user.as_ref().map(|who| {
        let password = who.password.as_deref();
        secrets::basic(&who.user, password, file)
    });
    let jobs = options.urls.iter().enumerate().map(|(at, url)| Job {
        target: options.target_of(at).unwrap_or_else(|| url.clone()),
        file: options.output_of(at),
        kept: Kept::default(),
    });
    let jobs: Vec<_> = jobs.map(Arc::new).collect();
    let context = Arc::new(Context {
        options: options.clone(),
        body: options.body(),
        authorization: authorization.transpose()?,
        verbose,
        output,
        progress: Progress::new(output.is_json()),
        servers: Servers::new(dialer.clone().early_data(options.early_data)),
    });
    let mut interrupt = Interrupt::listen().doing(|| "cannot listen for signals".to_owned())?;
    let mut running = JoinSet::new();
    let work = async {
        let exit = all(&context, &jobs, &mut running).await;
        context.servers.close().await;
        Ok(exit)
    };
    let done = interrupt.or(work).await;
    // What was written is left in order.
    running.shutdown().await;
    for job in &jobs {
        context.tell_parts(job);
    }
    dialer.leave().await;
    done
}

/// Files can be written side by side; standard output takes one body after the other.
async fn all(
    context: &Arc<Context>,
    jobs: &[Arc<Job>],
    running: &mut JoinSet<(Arc<Job>, Done)>,
) -> Exit {
    let mut exit = Exit::Ok;
    let options = &context.options;
    let at_once = match options.is_parallel() {
        true => usize::from(options.parallel_max),
        false => 1,
    };
    for job in jobs {
        if running.len() >= at_once {
            joined(context, running.join_next().await, &mut exit);
            if options.reconnect {
                context.servers.reconnect().await;
            }
        }
        let (context, job) = (context.clone(), job.clone());
        running.spawn(async move {
            let method = context.options.method();
            let mut report = Report::new(job.target.clone(), method, job.file.clone());
            let done = transfer::run(&context, &job, &mut report).await;
            (job, (report, done))
        });
    }
    while let Some(done) = running.join_next().await {
        joined(context, Some(done), &mut exit);
    }
    exit
}

fn joined(context: &Context, done: Option<Result<(Arc<Job>, Done), JoinError>>, exit: &mut Exit) {
    match done {
        None => {}
        Some(Ok((job, done))) => {
            conclude(context, done, exit);
            context.tell_parts(&job);
        }
        Some(Err(panicked)) => {
            let what = "a transfer broke down";
            context.fail(
                &Failure::because(Exit::Failure, what, panicked),
                json!({}),
                exit,
            );
        }
    }
}

/// Prints what became of a transfer.
fn conclude(context: &Context, (report, done): Done, exit: &mut Exit) {
    let whole = done.is_ok();
    let mut failure = done.err().or_else(|| report.refusal());
    let mut printed = Ok(());
    context.progress.above(|| {
        if whole {
            printed = report.print(context.output);
        }
        // The object has the numbers.
        if let Some(format) = &context.options.write_out
            && !context.output.is_json()
            && printed.is_ok()
        {
            let code = failure.as_ref().map_or(Exit::Ok, Failure::exit);
            printed = context.output.raw(&format.fill(&report, code as u8));
        }
    });
    if let Err(error) = printed {
        failure = Some(unprinted(error));
    }
    if let Some(failure) = failure {
        let fields = json!({
            "url": report.target.to_string(),
            "repeatable": failure.again().word(),
        });
        context.fail(&failure, fields, exit);
    }
}

impl Context {
    /// A connection to the host of `target`.
    async fn connect(&self, target: &Target) -> Result<Connected, Failure> {
        self.servers.connection(target).await
    }

    /// Says something on the way: a remark, or an event with JSON.
    fn say(&self, text: &str, event: &str, fields: Value) {
        self.progress.above(|| {
            if self.output.is_json() {
                // The result at the end tells that standard output is gone.
                let _ = self.output.result(event, "", fields);
            } else {
                self.output.remark(text);
            }
        });
    }

    fn fail(&self, failure: &Failure, fields: Value, exit: &mut Exit) {
        self.progress
            .above(|| self.output.failure_of(failure, fields));
        if *exit == Exit::Ok {
            *exit = failure.exit();
        }
    }

    /// Tells what was left of a job's file.
    fn tell_parts(&self, job: &Job) {
        for part in job.kept.take() {
            let (path, bytes) = (part.path.display(), units::bytes(part.len));
            let total = part.origin.as_ref().and_then(|origin| origin.total);
            self.say(
                &format!("{bytes} are kept in `{path}`: -C - goes on with it"),
                "part",
                json!({
                    "url": job.target.to_string(),
                    "file": path.to_string(),
                    "bytes": part.len,
                    "total": total,
                }),
            );
        }
    }
}
