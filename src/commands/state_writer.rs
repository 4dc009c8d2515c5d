//! The process that writes to the state directory ([`Writer`](crate::last_good::Writer)).

use anyhow::{Context as _, Result};
use nix::sys::prctl;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::last_good::{StateDir, WriterTask, serve};

pub(super) fn state_writer(cli: &Cli, task: WriterTask) -> Result<Exit> {
    // Else it goes by the last part of /proc/self/exe.
    let _ = prctl::set_name(c"state-writer");
    let dir = cli.state_dir.as_deref().context("--state-dir is missing")?;
    serve(&StateDir::new(dir), task)?;
    Ok(Exit::Done)
}
