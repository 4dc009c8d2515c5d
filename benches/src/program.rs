//! Programs that are run, and how long they take.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// A program with its arguments and its input; can be run any number of times.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    input: PathBuf,
    environment: Vec<(&'static str, PathBuf)>,
    /// The exit status that counts as success beside 0.
    also: Option<i32>,
}

impl Program {
    /// A program by its path, or by its name in `PATH`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            arguments: Vec::new(),
            input: "/dev/null".into(),
            environment: Vec::new(),
            also: None,
        }
    }

    /// More arguments, separated by spaces.
    #[must_use]
    pub fn words(self, words: &str) -> Self {
        words.split_whitespace().fold(self, Self::argument)
    }

    /// One more argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// What it reads on stdin.
    #[must_use]
    pub fn input(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.input);
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn variable(mut self, name: &'static str, value: PathBuf) -> Self {
        self.environment.push((name, value));
        self
    }

    /// An exit status other than 0 that is fine as well.
    #[must_use]
    pub const fn or_status(mut self, status: i32) -> Self {
        self.also = Some(status);
        self
    }

    /// The command, with stdin set and the rest as the caller likes.
    pub fn command(&self) -> Result<Command> {
        let mut command = Command::new(&self.path);
        let input = File::open(&self.input).with_context(|| self.input.display().to_string())?;
        command.args(&self.arguments).stdin(input).envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Runs it, its stdout unread. Gives the time from its start to its end.
    pub fn run(&self) -> Result<Duration> {
        let mut command = self.command()?;
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let start = Instant::now();
        let output = command.spawn().and_then(std::process::Child::wait_with_output);
        let taken = start.elapsed();
        self.succeeded(output).map(|_| taken)
    }

    /// Runs it and gives its stdout.
    pub fn output(&self) -> Result<String> {
        let output = self.succeeded(self.command()?.output())?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn succeeded(&self, output: std::io::Result<Output>) -> Result<Output> {
        let output = output.with_context(|| self.path.display().to_string())?;
        let status = output.status;
        if !status.success() && (status.code().is_none() || status.code() != self.also) {
            let said = String::from_utf8_lossy(&output.stderr);
            let said: String = said.chars().take(2_000).collect();
            bail!("{} {:?}: {status}: {said}", self.path.display(), self.arguments);
        }
        Ok(output)
    }
}
