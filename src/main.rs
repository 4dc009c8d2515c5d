//! The command line: arguments in, an exit status out.

use std::process::ExitCode;

use ip_masq_agent::{cli, commands, telemetry};

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(cli) => {
            telemetry::init(cli.verbosity);
            commands::execute(&cli).into()
        }
        Err(stop) => stop.print().into(),
    }
}
