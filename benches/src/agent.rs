//! The agent as a program: its verbs, and a running one.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ip_masq_agent::backend::BackendOption;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::namespace::Namespace;
use crate::program::Program;

/// How the agent puts its rules into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A table of its own, with sets.
    Native,
    /// iptables' `nat` table, as iptables-nft would write it.
    Compat,
}

/// The agent's binary.
#[derive(Debug)]
pub struct Agent {
    path: PathBuf,
    help: String,
}

/// Something of the binary that is measured, and of the one that it is compared with, if there is one.
#[derive(Clone, Debug)]
pub struct Versions<T> {
    /// Of the binary that is measured.
    pub now: T,
    /// Of the one before.
    pub before: Option<T>,
}

impl<T> Versions<T> {
    /// What follows from each.
    pub fn each<'a, U>(&'a self, mut of: impl FnMut(&'a T) -> Result<U>) -> Result<Versions<U>> {
        Ok(Versions { now: of(&self.now)?, before: self.before.as_ref().map(of).transpose()? })
    }
}

impl<T> From<T> for Versions<T> {
    /// What there is no other version of.
    fn from(now: T) -> Self {
        Self { now, before: None }
    }
}

impl Agent {
    /// The binary at a path.
    pub fn at(path: &Path) -> Result<Self> {
        let path = path.canonicalize().with_context(|| path.display().to_string())?;
        let help = Program::new(&path).words("run --help").output()?;
        Ok(Self { path, help })
    }

    /// Whether it has a flag, such as `--watch-rules`; an older binary ends when it is given one that it does not have.
    #[must_use]
    pub fn knows(&self, flag: &str) -> bool {
        self.help.split_whitespace().any(|word| word.split(['=', '[']).next() == Some(flag))
    }

    /// A verb with its arguments, on a configuration.
    #[must_use]
    pub fn verb(&self, verb: &str, configuration: &Path) -> Program {
        Program::new(&self.path).words(verb).argument("--config").argument(configuration)
    }

    /// A verb that writes rules, by this backend. What it leaves for later calls goes into `runtime`.
    #[must_use]
    pub fn writing(&self, verb: &str, backend: Backend, configuration: &Path, runtime: &Path) -> Program {
        let program = self.verb(verb, configuration).argument("--backend").argument(backend.name());
        if self.knows("--runtime-dir") { program.argument("--runtime-dir").argument(runtime) } else { program }
    }
}

impl Backend {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Native, Self::Compat];

    /// As the library names it.
    #[must_use]
    pub const fn option(self) -> BackendOption {
        match self {
            Self::Native => BackendOption::Nft,
            Self::Compat => BackendOption::NftCompat,
        }
    }

    /// As the command line names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "nft",
            Self::Compat => "nft-compat",
        }
    }
}

/// An agent that runs in a namespace. It is killed when the value is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts it, with its log in a file, and waits until it has put its rules in place and waits itself.
    pub fn start(namespace: &Namespace, agent: &Program, log: &Path) -> Result<Self> {
        let mut command = agent.command()?;
        command.stdout(Stdio::null()).stderr(File::create(log)?);
        let child = namespace.inside(|| command.spawn().context("starting the agent"))?;
        let mut running = Self { child };
        running.wait_until_idle().with_context(|| fs::read_to_string(log).unwrap_or_default())?;
        Ok(running)
    }

    /// Has it read its file again and go over the rules.
    pub fn signal_reload(&self) -> Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGHUP)?)
    }

    /// The processor time that it has used, the kernel's on its behalf included.
    pub fn cpu_time(&self) -> Result<Duration> {
        let mut total = 0;
        for task in fs::read_dir(self.proc("task"))? {
            let path = task?.path().join("schedstat");
            // Its first number is `sum_exec_runtime` in nanoseconds (Documentation/scheduler/sched-stats.rst).
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            total += text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(total))
    }

    /// Its resident memory, and its proportional share where pages are shared, in bytes.
    pub fn memory(&self) -> Result<(f64, f64)> {
        let text = fs::read_to_string(self.proc("smaps_rollup"))?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches(" kB").parse::<f64>().ok().map(|kib| kib * 1_024.0)
        };
        field("Rss:").zip(field("Pss:")).context("smaps_rollup without Rss and Pss")
    }

    /// Returns when it has used no processor time for a while.
    pub fn wait_until_idle(&mut self) -> Result<()> {
        const QUIET: Duration = Duration::from_millis(200);
        let give_up = Instant::now() + Duration::from_mins(1);
        let (mut used, mut since) = (self.cpu_time()?, Instant::now());
        while since.elapsed() < QUIET {
            thread::sleep(Duration::from_millis(10));
            if let Some(status) = self.child.try_wait()? {
                bail!("the agent has ended: {status}");
            }
            if Instant::now() > give_up {
                bail!("the agent is not idle after a minute");
            }
            // Of a running task the number is as old as its last turn, so the state counts as well.
            let now = self.cpu_time()?;
            if now != used || self.is_runnable()? {
                (used, since) = (now, Instant::now());
            }
        }
        Ok(())
    }

    fn is_runnable(&self) -> Result<bool> {
        let stat = fs::read_to_string(self.proc("stat"))?;
        // The state is behind the program's name, which is in parentheses (proc_pid_stat(5)).
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        Ok(!matches!(state, Some('S')))
    }

    fn proc(&self, file: impl AsRef<OsStr>) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(file.as_ref())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail if it has already ended, which is just as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
