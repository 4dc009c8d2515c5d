//! The command line: arguments in, an exit status out.

use std::ffi::OsString;
use std::process::ExitCode;

use ip_masq_agent::agent::Signals;
use ip_masq_agent::cli::{self, Stop, Verb};
use ip_masq_agent::{commands, telemetry};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let asked = cli::parse(arguments.iter().cloned());
    if asked.as_ref().is_ok_and(|cli| matches!(cli.verb, Verb::Run | Verb::Cleanup { wait: true, .. })) {
        // Before the first thread. A signal that comes before it is handled is not lost.
        let _ = Signals::hold();
    }
    let wanted = asked.as_ref().map(|cli| (cli.verbosity, commands::log_style(cli), cli.log_format, cli.colour));
    let (verbosity, style, format, colour) = wanted.unwrap_or_default();
    // The first logger of a process is never refused.
    let _ = telemetry::init(verbosity, style, format, colour);
    let exit = match &asked {
        Ok(cli) => commands::execute(cli, &arguments),
        Err(Stop::Answer(text)) => commands::answer(text),
        Err(stop @ (Stop::Usage(text) | Stop::Ports(text))) => {
            telemetry::write(text);
            stop.exit()
        }
    };
    telemetry::finish();
    exit.into()
}
