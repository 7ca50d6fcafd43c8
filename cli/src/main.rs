//! The `aqueduct` program.

use std::process::ExitCode;

use aqueduct_cli::args::{self, Cli, Command};
use aqueduct_cli::exit::{Context as _, Exit, Failure};
use aqueduct_cli::output::Output;
use aqueduct_cli::{get, logging, probe, serve, wt};

fn main() -> ExitCode {
    let cli = match args::parse(std::env::args_os()) {
        Ok(cli) => cli,
        // clap has said what there is to say.
        Err(code) => return ExitCode::from(code),
    };
    let output = Output::new(cli.global.json);
    let rust_log = std::env::var("RUST_LOG").ok();
    if let Err(why) = logging::start(cli.global.verbose, rust_log.as_deref()) {
        output.failure(&Failure::new(Exit::Usage, why));
        return Exit::Usage.into();
    }
    let exit = run(&cli, output).unwrap_or_else(|failure| {
        output.failure(&failure);
        failure.exit()
    });
    exit.into()
}

fn run(cli: &Cli, output: Output) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .doing(|| "cannot start the tokio runtime".to_owned())?;
    let exit = runtime.block_on(async {
        match &cli.command {
            Command::Serve(options) => serve::run(options, output).await,
            Command::Get(options) => get::run(options, output).await,
            Command::Wt(options) => wt::run(options, output).await,
            Command::Probe(options) => probe::run(options, output).await,
        }
    });
    // A read of standard input may be blocked in a thread: nobody waits for it.
    runtime.shutdown_background();
    exit
}
