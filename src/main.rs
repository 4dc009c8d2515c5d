//! The command line: arguments in, an exit status out.

use std::io::{self, Write as _};
use std::process::ExitCode;

use ip_masq_agent::agent::Signals;
use ip_masq_agent::cli::{self, Stop, Verb};
use ip_masq_agent::{commands, telemetry};

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(stop) => {
            // A reader that has gone is no reason to end otherwise.
            let _ = match &stop {
                Stop::Answer(text) => io::stdout().write_all(text.as_bytes()),
                Stop::Usage(text) | Stop::Ports(text) => io::stderr().write_all(text.as_bytes()),
            };
            return stop.exit().into();
        }
    };
    if cli.verb == Verb::Run {
        // Before the first thread. A signal that comes before the agent handles them is not lost.
        let _ = Signals::hold();
    }
    // The first logger of a process is never refused.
    let _ = telemetry::init(cli.verbosity);
    commands::execute(&cli).into()
}
