//! `--state-dir` at a start: what is known of the time before.

use std::time::Duration;

use tracing::{error, info};

use crate::cli::Cli;
use crate::last_good::{Keeper, LastKnownGood, LoadError, StateDir, Writer, WriterAnswer, WriterTask};
use crate::text::Shown;

/// A start waits so long for a state file to be renamed.
const RENAME: Duration = Duration::from_secs(1);

/// The keeper that `--state-dir` asks for. A state file that cannot be obeyed is told of and set aside.
///
/// In the sandbox nothing is remembered: what is in force there is not what is in force on the host.
pub(super) fn keeper(cli: &Cli) -> Keeper {
    open(cli, |dir, error| {
        let aside = set_aside(dir, error);
        error!("{error}; it is not used{aside}; the next configuration that is valid and in force is saved anew");
    })
}

/// What became of a state file that cannot be obeyed, in words that follow why.
fn set_aside(dir: &StateDir, error: &LoadError) -> String {
    let file = dir.file();
    let Some(flaw) = error.flaw().filter(|_| file.symlink_metadata().is_ok()) else { return String::new() };
    match Writer::run(dir, WriterTask::SetAside(flaw), None, RENAME) {
        Ok(WriterAnswer::Aside(aside)) => format!("; it was renamed to {}: look at it, or delete it", Shown(&*aside)),
        Ok(_) => String::new(),
        Err(failure) => format!("; it could not be renamed ({failure}): delete {}", Shown(&*file)),
    }
}

/// The same for a verb that only looks: a state file that cannot be obeyed is told of and stays.
pub(super) fn recall(cli: &Cli) -> Keeper {
    open(cli, |_, error| error!("{error}; it is not used"))
}

fn open(cli: &Cli, refuse: impl FnOnce(&StateDir, &LoadError)) -> Keeper {
    let Some(path) = &cli.state_dir else { return Keeper::default() };
    if cli.sandbox {
        info!("--state-dir has no effect in the sandbox");
        return Keeper::default();
    }
    let dir = StateDir::new(path);
    let before: Option<LastKnownGood> = dir.load().unwrap_or_else(|error| {
        refuse(&dir, &error);
        None
    });
    Keeper::new(dir, before)
}
