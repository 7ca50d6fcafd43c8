//! The `aqueduct` program.

fn main() -> std::process::ExitCode {
    aqueduct_cli::run::main(std::env::args_os())
}
