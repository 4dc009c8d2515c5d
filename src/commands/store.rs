//! `--state-dir` at a start: opens the last-known-good store.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::prctl;
use tracing::{error, info};

use crate::cli::Cli;
use crate::exit::Exit;
use crate::last_good::{LastGoodStore, LastKnownGood, LoadError, StateDir, Writer, WriterAnswer, WriterTask, serve};
use crate::text::Shown;

/// How long a start waits for a state file to be renamed.
const RENAME: Duration = Duration::from_secs(1);

/// The store that `--state-dir` asks for. A state file that cannot be used is reported and set aside.
///
/// In the sandbox nothing is remembered: what is in force there is not what is in force on the host.
pub(super) fn open_store(cli: &Cli) -> LastGoodStore {
    open(cli, |dir, error| {
        let aside = set_aside(dir, error);
        error!(
            event = "state_unusable",
            error = %error,
            "{error}; it is not used{aside}; the next configuration that is valid and in force is saved anew"
        );
    })
}

/// Sets a state file aside that cannot be used. Returns what was done, in words that follow the error.
fn set_aside(dir: &StateDir, error: &LoadError) -> String {
    let file = dir.file();
    let Some(flaw) = error.flaw().filter(|_| file.symlink_metadata().is_ok()) else { return String::new() };
    match Writer::run(dir, WriterTask::SetAside(flaw), None, RENAME) {
        Ok(WriterAnswer::Aside(aside)) => format!("; it was renamed to {}: look at it, or delete it", Shown(&*aside)),
        Ok(_) => String::new(),
        Err(failure) => format!("; it could not be renamed ({failure}): delete {}", Shown(&*file)),
    }
}

/// The same for a verb that only looks: a state file that cannot be used is reported and stays.
pub(super) fn look_into_store(cli: &Cli) -> LastGoodStore {
    open(cli, |_, error| error!(event = "state_unusable", error = %error, "{error}; it is not used"))
}

fn open(cli: &Cli, refuse: impl FnOnce(&StateDir, &LoadError)) -> LastGoodStore {
    let Some(path) = &cli.state_dir else { return LastGoodStore::default() };
    if cli.sandbox {
        info!(event = "state_dir_unused", "--state-dir has no effect in the sandbox");
        return LastGoodStore::default();
    }
    let dir = StateDir::new(path);
    let before: Option<LastKnownGood> = dir.load().unwrap_or_else(|error| {
        refuse(&dir, &error);
        None
    });
    LastGoodStore::new(dir, before)
}

/// The process that writes to the state directory ([`Writer`]).
pub(super) fn write_state(cli: &Cli, task: WriterTask) -> Result<Exit> {
    // Else it goes by the last part of /proc/self/exe.
    let _ = prctl::set_name(c"state-writer");
    let dir = cli.state_dir.as_deref().context("--state-dir is missing")?;
    serve(&StateDir::new(dir), task)?;
    Ok(Exit::Done)
}
