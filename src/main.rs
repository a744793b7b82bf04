//! The program: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    smtp2go_gateway::cli::main()
}
