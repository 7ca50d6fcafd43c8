//! `aqueduct get`: URLs over HTTP/3, those of one server over one connection.

mod report;
mod transfer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use aqueduct_tokio::Connection;
use tokio::task::JoinSet;

use crate::args::{Get, Target};
use crate::client::{Client, Dialer, Proxy};
use crate::exit::{Context as _, Exit, Failure};
use crate::output::{Output, unprinted};
use crate::progress::Progress;
use crate::record::Recording;
use crate::signals::Interrupt;
use report::Report;

/// Transfers under way at once.
const AT_ONCE: usize = 16;

/// What every transfer needs to know.
struct Context {
    options: Get,
    output: Output,
    progress: Progress,
}

/// One URL, and the file for its body.
#[derive(Clone)]
struct Job {
    target: Target,
    file: Option<PathBuf>,
}

/// Fetches every URL. Failures are printed as they come; the exit code is the first one's.
pub async fn run(options: &Get, recording: &Recording, output: Output) -> Result<Exit, Failure> {
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
    let jobs = options.urls.iter().enumerate().map(|(at, target)| Job {
        target: target.clone(),
        file: options.output_of(at).cloned(),
    });
    let context = Arc::new(Context {
        options: options.clone(),
        output,
        progress: Progress::new(output.is_json()),
    });
    let mut servers = Servers {
        dialer,
        open: BTreeMap::new(),
    };
    let mut interrupt = Interrupt::listen().doing(|| "cannot listen for signals".to_owned())?;
    let dialer = servers.dialer.clone();
    let work = async {
        let exit = if options.output.is_empty() {
            one_by_one(&context, &mut servers, jobs).await
        } else {
            all_at_once(&context, &mut servers, jobs).await
        };
        for client in servers.open.into_values().flatten() {
            client.close().await;
        }
        Ok(exit)
    };
    let done = interrupt.or(work).await;
    dialer.leave().await;
    done
}

/// Standard output takes one body after the other.
async fn one_by_one(
    context: &Context,
    servers: &mut Servers,
    jobs: impl Iterator<Item = Job>,
) -> Exit {
    let mut exit = Exit::Ok;
    for job in jobs {
        let done = match servers.connection(&job.target).await {
            Ok(connection) => transfer::run(context, &connection, &job).await,
            Err(failure) => Err(failure),
        };
        conclude(context, done, &mut exit);
    }
    exit
}

/// Files can be written side by side.
async fn all_at_once(
    context: &Arc<Context>,
    servers: &mut Servers,
    jobs: impl Iterator<Item = Job>,
) -> Exit {
    let mut exit = Exit::Ok;
    let mut running = JoinSet::new();
    for job in jobs {
        let connection = match servers.connection(&job.target).await {
            Ok(connection) => connection,
            Err(failure) => {
                conclude(context, Err(failure), &mut exit);
                continue;
            }
        };
        if running.len() >= AT_ONCE {
            joined(context, running.join_next().await, &mut exit);
        }
        let context = context.clone();
        running.spawn(async move { transfer::run(&context, &connection, &job).await });
    }
    while let Some(done) = running.join_next().await {
        joined(context, Some(done), &mut exit);
    }
    exit
}

type Done = Result<Report, Failure>;

fn joined(context: &Context, done: Option<Result<Done, tokio::task::JoinError>>, exit: &mut Exit) {
    let Some(done) = done else { return };
    let done = done
        .doing(|| "a transfer broke down".to_owned())
        .and_then(|done| done);
    conclude(context, done, exit);
}

/// Prints what became of a transfer.
fn conclude(context: &Context, done: Done, exit: &mut Exit) {
    let failure = match done {
        Ok(report) => {
            let mut printed = Ok(());
            context
                .progress
                .above(|| printed = report.print(context.output));
            let refusal = report.refusal();
            printed.map_err(unprinted).err().or(refusal)
        }
        Err(failure) => Some(failure),
    };
    if let Some(failure) = failure {
        context.progress.above(|| context.output.failure(&failure));
        if *exit == Exit::Ok {
            *exit = failure.exit();
        }
    }
}

/// The connections of this run, by host and port.
struct Servers {
    dialer: Dialer,
    open: BTreeMap<(String, u16), Option<Client>>,
}

impl Servers {
    /// The connection to the host of `target`: the one there is, unless it takes no more requests.
    async fn connection(&mut self, target: &Target) -> Result<Connection, Failure> {
        let place = (target.host().to_owned(), target.port());
        let slot = self.open.entry(place).or_default();
        if let Some(client) = slot {
            if !client.is_going_away().await {
                return Ok(client.connection().clone());
            }
            tracing::info!("the server winds the connection down: opening another");
        }
        // Handles of transfers keep the old connection until they end.
        let client = self.dialer.dial(target).await?;
        let connection = client.connection().clone();
        *slot = Some(client);
        Ok(connection)
    }
}
