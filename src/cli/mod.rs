//! What a person types.
//!
//! Data goes to standard output, everything else to standard error; failures are `error:` and, where
//! there is something to do about them, `hint:`. Exit codes: 0 done, 1 failed, 2 usage, 78
//! configuration.

mod api;
mod arguments;
mod demo;
mod device;
mod doctor;
mod failure;
mod queue;
mod remote;
mod rules;
mod run;
mod show;
mod signals;
mod supervisor;
mod terminal;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use arguments::{Arguments, Command, DeviceCommand, QueueCommand, RulesCommand};
use failure::Failure;

/// Parses the arguments, runs the command, says how it went.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            terminal::note(&format!("error: cannot start the runtime: {error}\n"));
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(dispatch(arguments));
    // Tasks that never end by themselves must not keep the process.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => terminal::report(&failure),
    }
}

async fn dispatch(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Run(options) => run::run(options.config).await,
        Command::Demo(options) => demo::demo(options).await,
        Command::Simulator(options) => run::simulator(options).await,
        Command::Check(options) => run::check(options.config),
        Command::Health(options) => remote::health(options).await,
        Command::Queue(QueueCommand::List(options)) => queue::list(options).await,
        Command::Queue(QueueCommand::Show(options)) => queue::show(options).await,
        Command::Queue(QueueCommand::Retry(options)) => queue::order("retry", options).await,
        Command::Queue(QueueCommand::Hold(options)) => queue::order("hold", options).await,
        Command::Queue(QueueCommand::Release(options)) => queue::order("release", options).await,
        Command::Queue(QueueCommand::Drop(options)) => queue::order("drop", options).await,
        Command::Queue(QueueCommand::Export(options)) => queue::export(options).await,
        Command::Trace(options) => queue::trace(options).await,
        Command::Why(options) => rules::why(options).await,
        Command::Rules(RulesCommand::Show(options)) => rules::show(options).await,
        Command::Rules(RulesCommand::Sync(options)) => rules::sync(options).await,
        Command::Rules(RulesCommand::Diff(options)) => rules::diff(options).await,
        Command::Refusals(options) => rules::refusals(options).await,
        Command::Doctor(options) => doctor::doctor(options).await,
        Command::Device(DeviceCommand::Password(options)) => device::password(options),
        Command::Api(command) => api::run(command).await,
        Command::Completions(options) => {
            let mut command = Arguments::command();
            let name = command.get_name().to_owned();
            let mut script = Vec::new();
            clap_complete::generate(options.shell, &mut command, name, &mut script);
            terminal::octets(&script)
        }
    }
}
