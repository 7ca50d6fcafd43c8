//! The program as a whole: from its arguments to its exit code.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use crate::args::{self, Cli, Command, QuicCommand};
use crate::exit::{Context as _, Exit, Failure};
use crate::outlet::{self, Outlet};
use crate::output::{self, Output};
use crate::record::Recording;
use crate::{bench, get, logging, probe, proxy, quic, replay, serve, tunnel, wt};

/// How long the tasks may take to end after the work when it is recorded.
const LAST_LINES: Duration = Duration::from_millis(200);

/// Tasks that a thread runs before it looks at the sockets again: fewer than tokio's 61, so that
/// those who ask for little do not wait for those who ask for much.
const POLLS: u32 = 8;

/// How long the words of a panic may take to be read.
const PANIC: Duration = Duration::from_millis(100);

/// Does what the arguments ask for, the program's name first among them.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match args::parse(arguments) {
        Ok(cli) => cli,
        // clap has said what there is to say.
        Err(code) => return ExitCode::from(code),
    };
    let mut output = Output::new(cli.global.json);
    let exit = begin(&cli, &mut output).and_then(|()| run(&cli, output));
    let exit = exit.unwrap_or_else(|failure| {
        output.failure(&failure);
        failure.exit()
    });
    output.finish();
    exit.into()
}

/// Starts logging, and gives the command the output that suits it.
fn begin(cli: &Cli, output: &mut Output) -> Result<(), Failure> {
    let rust_log = std::env::var("RUST_LOG").ok();
    let logs = Outlet::start(outlet::stderr(), outlet::ROOM, output::dropped)
        .doing(|| "cannot start a thread for logs".to_owned())?
        .for_ever();
    *output = output.beside(logs);
    logging::start(cli.global.verbose, rust_log.as_deref(), logs)
        .map_err(|why| Failure::new(Exit::Usage, why))?;
    if is_server(&cli.command) {
        *output = output
            .of_a_server()
            .doing(|| "cannot start a thread for events".to_owned())?;
        // What a task says in panic does not wait for a reader either.
        std::panic::set_hook(Box::new(move |panic| {
            // There is no better place to say that standard error is gone.
            let _ = logs.push(format!("{panic}\n"));
            logs.flush(PANIC);
        }));
    }
    Ok(())
}

/// Whether what is told waits for no reader.
fn is_server(command: &Command) -> bool {
    match command {
        Command::Serve(_) | Command::Proxy(_) | Command::Tunnel(_) => true,
        Command::Quic(options) => match &options.command {
            QuicCommand::Listen(options) => options.echo,
            QuicCommand::Connect(_) => false,
        },
        _ => false,
    }
}

fn run(cli: &Cli, output: Output) -> Result<Exit, Failure> {
    let recording = match &cli.command {
        Command::Serve(options) => Recording::begin(&options.record)?,
        Command::Get(options) => Recording::begin(&options.connect.record)?,
        Command::Bench(options) => Recording::begin(&options.connect.record)?,
        Command::Wt(options) => Recording::begin(&options.connect.record)?,
        Command::Probe(options) => Recording::begin(&options.connect.record)?,
        Command::Proxy(options) => Recording::begin(&options.record)?,
        Command::Tunnel(options) => Recording::begin(&options.connect.record)?,
        Command::Quic(options) => match &options.command {
            QuicCommand::Connect(options) => Recording::begin(&options.connect.record)?,
            QuicCommand::Listen(_) => Recording::default(),
        },
        Command::Replay(_) => Recording::default(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .event_interval(POLLS)
        .build()
        .doing(|| "cannot start the tokio runtime".to_owned())?;
    let exit = runtime.block_on(async {
        match &cli.command {
            Command::Serve(options) => serve::run(options, &recording, output).await,
            Command::Get(options) => {
                let verbose = cli.global.verbose > 0;
                get::run(options, verbose, &recording, output).await
            }
            Command::Bench(options) => bench::run(options, &recording, output).await,
            Command::Wt(options) => wt::run(options, &recording, output).await,
            Command::Probe(options) => probe::run(options, &recording, output).await,
            Command::Proxy(options) => proxy::run(options, &recording, output).await,
            Command::Tunnel(options) => tunnel::run(options, &recording, output).await,
            Command::Quic(options) => quic::run(options, &recording, output).await,
            Command::Replay(options) => replay::run(options, output),
        }
    });
    if recording.is_on() {
        // Endpoints write their last lines when their tasks are dropped.
        runtime.shutdown_timeout(LAST_LINES);
    } else {
        // A read of standard input may be blocked in a thread: nobody waits for it.
        runtime.shutdown_background();
    }
    let finished = recording.finish();
    let exit = exit?;
    finished?;
    Ok(exit)
}
