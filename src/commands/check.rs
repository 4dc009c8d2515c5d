//! `check`: all that is wrong and odd about configuration files, without any privilege.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use tracing::info;

use super::{WIDTH, print};
use crate::cli::{CheckFiles, Cli};
use crate::config::{Context, SourcePaths, SourceSet, is_stdin};
use crate::diagnostics::{Fixes, Input, Look, Report, examine, fix, render};
use crate::exit::Exit;
use crate::text::{Message, Shown, counted};

pub(super) fn check(cli: &Cli, asked: &CheckFiles) -> Result<Exit> {
    let mut inputs = asked.files.iter().map(|path| input(path)).collect::<Vec<_>>();
    if let Some(fixes) = asked.fixes {
        for (path, input) in asked.files.iter().zip(&mut inputs) {
            mend(cli, asked, fixes, path, input)?;
        }
    }
    let report = examine(inputs, &Context::from(&cli.flags), asked.key.as_deref());
    let look = Look { colour: cli.colour.is_on(io::stdout().is_terminal()), width: WIDTH };
    // What is mended of stdin goes to stdout instead of the report.
    if asked.fixes.is_none() || !asked.files.iter().any(|path| is_stdin(path)) {
        print(&render(&report, asked.form, look))?;
    }
    Ok(exit(&report, asked.is_strict))
}

fn exit(report: &Report, is_strict: bool) -> Exit {
    match report.counts() {
        (0, 0) => Exit::Done,
        (0, _) if is_strict => Exit::Differs,
        (0, _) => Exit::Done,
        _ => Exit::Configuration,
    }
}

/// What a path holds. One that is not there cannot be checked, though the agent would take the defaults.
fn input(path: &Path) -> Input {
    let name = path.to_string_lossy().into_owned();
    let content = match SourceSet::load_once(&SourcePaths::one(path)) {
        Ok(sources) => {
            let bytes = sources.iter().next().and_then(|source| source.content.clone());
            bytes.ok_or_else(|| Message::new("no such file").with_help("give the path of a file, or - for stdin"))
        }
        Err(error) => {
            let words = error.to_string();
            let about = format!("{}: ", Shown(path));
            Err(Message::new(words.strip_prefix(&about).unwrap_or(&words)))
        }
    };
    Input { name, content }
}

/// Writes the file anew if something in it can be mended.
fn mend(cli: &Cli, asked: &CheckFiles, wanted: Fixes, path: &Path, input: &mut Input) -> Result<()> {
    let Ok(bytes) = &input.content else { return Ok(()) };
    let before = std::str::from_utf8(bytes).ok();
    let fixed = before.and_then(|text| fix(text, &cli.flags, asked.key.as_deref(), wanted));
    if let Some(fixed) = &fixed {
        let (file, count) = (Shown(path).to_string(), fixed.count);
        if !is_stdin(path) {
            fs::write(path, &fixed.text).with_context(|| format!("{file}: could not be written"))?;
        }
        info!(event = "config_fixed", file, count, "{file}: {} made", counted(count, "change"));
    }
    if is_stdin(path) {
        print(fixed.as_ref().map_or(before.unwrap_or_default(), |fixed| &fixed.text))?;
    }
    if let Some(fixed) = fixed {
        input.content = Ok(fixed.text.into_bytes());
    }
    Ok(())
}
