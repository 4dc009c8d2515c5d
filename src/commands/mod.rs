//! One file for each verb: it connects the kernel, files and arguments, calls the core, and prints. Data goes to
//! stdout, words go to stderr.

mod apply;
mod beside;
mod check;
mod cleanup;
mod explain;
mod render;
mod run;
mod status;
mod store;

use std::ffi::OsString;
use std::io::{self, Write as _};

use anyhow::{Error, Result};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use thiserror::Error as ThisError;
use tracing::{error, info, warn};

use crate::agent::RunError;
use crate::backend::{BackendError, ChangeLine, Outcome, Partial, ReconcileError, SelectError, Selected};
use crate::cli::{Cli, Verb};
use crate::config::{self, Config, Context, ReadError, Reading, SourcePaths, SourceSet, Warning};
use crate::conntrack::ConntrackError;
use crate::exit::Exit;
use crate::http::ClientError;
use crate::sandbox::{self, SandboxError};
use crate::telemetry::Style;
use crate::text::counted;

use beside::beside_agent;

/// The width of lines: that of a terminal that nobody has changed.
const WIDTH: usize = 80;

/// Does what the command line, made from these arguments, asks for, and says how it ended.
#[must_use]
pub fn execute(cli: &Cli, arguments: &[OsString]) -> Exit {
    for odd in &cli.odd {
        warn!(event = "argument_odd", odd = %odd, "{odd}");
    }
    match enter_sandbox(cli).and_then(|()| call(&beside_agent(cli, arguments), arguments)) {
        Ok(exit) => exit,
        Err(error) => failed(&error),
    }
}

/// Prints what the arguments alone ask for, such as the version.
#[must_use]
pub fn answer(text: &str) -> Exit {
    print(text).map_or_else(|error| failed(&error.into()), |()| Exit::Done)
}

/// The agent's log is read later and by programs, with the time and level of each line; what a verb says is read at once.
#[must_use]
pub fn log_style(cli: &Cli) -> Style {
    if cli.verb == Verb::Run { Style::Log } else { Style::Words }
}

fn failed(error: &Error) -> Exit {
    // Every error of ours is a whole sentence, its causes included.
    tell_errors(&format!("{error}{}", remedy(error.chain())));
    exit_of(error)
}

/// Everything that is wrong with a file is a line of its own.
fn tell_errors(errors: &str) {
    for line in errors.lines() {
        error!(event = "failed", error = line, "{line}");
    }
}

fn call(cli: &Cli, arguments: &[OsString]) -> Result<Exit> {
    match &cli.verb {
        Verb::Run => run::run(cli, arguments),
        Verb::Apply { dry_run: true, .. } => apply::preview(cli),
        Verb::Apply { dry_run: false, print_rules } => apply::apply(cli, *print_rules),
        Verb::Render { format } => render::render(cli, *format),
        Verb::Check(files) => check::check(cli, files),
        Verb::ExplainCode(code) => explain::explain_code(*code),
        Verb::Explain(packet) => explain::explain(cli, packet),
        Verb::Cleanup { dry_run: true, .. } => cleanup::preview(cli),
        Verb::Cleanup { dry_run: false, wait } => cleanup::cleanup(cli, *wait),
        Verb::Status(asked) => status::status(cli, *asked),
        Verb::StateWriter(task) => store::write_state(cli, *task),
    }
}

fn enter_sandbox(cli: &Cli) -> Result<()> {
    if cli.sandbox {
        let entered = sandbox::enter()?;
        info!(event = "sandbox_entered", "{entered}");
    }
    Ok(())
}

/// The configuration that a verb without privileges is asked about. Warnings are told. As for `run`, a missing file means the
/// defaults.
fn configuration(cli: &Cli) -> Result<Config> {
    let context = Context::from(&cli.flags);
    let sources = SourceSet::load_once(&SourcePaths::one(&cli.config))?;
    let Reading { config, warnings } = config::understand(&sources, &context)?;
    if sources.is_absent() {
        let file = sources.paths();
        info!(event = "config_absent", file = %file, "{file} does not exist: these are the flags' defaults");
    }
    tell_warnings(&sources.paths(), &warnings);
    Ok(config)
}

fn tell_warnings(sources: &SourcePaths, warnings: &[Warning]) {
    for warning in warnings {
        let warning = warning.in_files(sources);
        warn!(event = "config_warning", warning, "{warning}");
    }
}

/// Tells the result of the backend selection: in which layout something was done, and which were tried before.
fn tell_selection<R>(selected: &Selected<R>) {
    for refusal in &selected.refused {
        warn!(event = "backend_refused", refusal = %refusal, "backend: {refusal}");
    }
    info!(event = "backend_selected", layout = %selected.layout, "{}", selected.choice());
}

fn changes_text(changes: &[ChangeLine]) -> String {
    changes.iter().flat_map(|change| [change.text.as_str(), "\n"]).collect()
}

/// Prints what was done. It is done, printed or not.
fn print_done(text: &str) {
    if let Err(error) = print(text) {
        error!(event = "stdout_not_written", error = %error, "{error}; all that was to be done is done");
    }
}

/// Tells what was done in one family although another's rules could not be brought into force.
fn tell_partial(partial: Option<&Partial>) {
    let Some(Partial { outcome, .. }) = partial else { return };
    tell_worries(outcome);
    let changes = outcome.changes.len();
    if changes > 0 {
        info!(event = "rules_changed", changes, "{} made for the other family", counted(changes, "change"));
        for line in &outcome.changes {
            let (family, change) = (line.family.human(), &line.text);
            info!(event = "rules_change", family, change, "  {line}");
        }
    }
}

/// Tells what the outcome of a pass leaves to worry about.
fn tell_worries(outcome: &Outcome) {
    for mishap in outcome.mishaps() {
        info!(event = "interference", mishap = %mishap, "{mishap}");
    }
    for undone in outcome.left_undone() {
        warn!(event = "change_left_undone", undone = %undone, "{undone}");
    }
    for worry in outcome.worries() {
        warn!(event = "foreign_rules", warning = %worry, "{worry}");
    }
}

/// The exit status for the error of a verb.
fn exit_of(error: &Error) -> Exit {
    if error.is::<ReadError>() {
        Exit::Configuration
    } else if error.is::<ClientError>() || error.is::<status::NoAgent>() {
        Exit::NoAgent
    } else if error.is::<SandboxError>() || error.chain().any(is_denied) {
        Exit::NotPermitted
    } else {
        Exit::Kernel
    }
}

/// Whether a privilege is missing.
fn is_denied(cause: &(dyn std::error::Error + 'static)) -> bool {
    matches!(cause.downcast_ref(), Some(RunError::Denied(_)))
        || cause.downcast_ref().is_some_and(SelectError::is_denied)
        || cause.downcast_ref().is_some_and(ReconcileError::is_denied)
        || cause.downcast_ref().is_some_and(BackendError::is_denied)
        || cause.downcast_ref().is_some_and(ConntrackError::is_denied)
}

/// Stdout did not take the data, or not all of it.
#[derive(Debug, ThisError)]
#[error("could not write to stdout: {0}")]
struct StdoutError(#[source] io::Error);

/// Prints data. A reader that has stopped reading, as `head` does, has what it wanted: that is no error.
fn print(text: &str) -> Result<(), StdoutError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(StdoutError(error)),
        _ => Ok(()),
    }
}

/// How to mend an error that comes from a limit, in words that follow it; nothing for all others.
fn remedy<'a>(mut causes: impl Iterator<Item = &'a (dyn std::error::Error + 'static)>) -> String {
    match causes.find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error()).map(Errno::from_raw) {
        Some(Errno::EMFILE) => {
            let most =
                getrlimit(Resource::RLIMIT_NOFILE).map_or_else(|_| "too few".to_owned(), |(most, _)| most.to_string());
            format!(
                "; this process may have {most} files open: raise that limit (`ulimit -n`, or LimitNOFILE= in its unit)"
            )
        }
        Some(Errno::ENFILE) => {
            "; all programs together have too many files open: raise `sysctl fs.file-max`".to_owned()
        }
        _ => String::new(),
    }
}
