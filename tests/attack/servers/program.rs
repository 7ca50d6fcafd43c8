//! The program itself, `aqueduct`, on an allocator that counts.

use std::process::ExitCode;

use aqueduct_attack::heap::{Counting, report};

#[global_allocator]
static HEAP: Counting = Counting;

fn main() -> ExitCode {
    if let Err(error) = report() {
        eprintln!("attack-program: {error}");
        return ExitCode::FAILURE;
    }
    aqueduct_cli::run::main(std::env::args_os())
}
