//! Network namespaces without a name: they end with the value, and with the process, however that ends.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{io, thread};

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, setns, unshare};

use crate::machine::CpuTimes;
use crate::program::Program;

/// A network namespace, held by its open file.
#[derive(Debug)]
pub struct Namespace {
    handle: File,
}

impl Namespace {
    /// A fresh one with `lo` up.
    pub fn new() -> Result<Self> {
        // Only the thread that asks for it comes into the new namespace.
        let made = thread::spawn(|| -> io::Result<File> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        });
        let handle = joined(made.join()).context("making a network namespace (are you root?)")?;
        let namespace = Self { handle };
        namespace.run(&Program::new("ip").words("link set lo up"))?;
        Ok(namespace)
    }

    /// A path to it, for `ip link … netns PATH`.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new("/proc").join(std::process::id().to_string()).join("fd").join(self.handle.as_raw_fd().to_string())
    }

    /// Does `work` on a thread that is inside. Programs that it starts are inside, too.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&self.handle, CloneFlags::CLONE_NEWNET).context("entering a network namespace")?;
                work()
            });
            joined(inside.join())
        })
    }

    /// Runs a program inside. Gives the time from its start to its end.
    pub fn run(&self, program: &Program) -> Result<Duration> {
        self.inside(|| program.run())
    }

    /// Runs a program inside and gives its stdout.
    pub fn output(&self, program: &Program) -> Result<String> {
        self.inside(|| program.output())
    }

    /// Sets kernel parameters below `/proc/sys/net`, which shows the namespace of the thread that opens it.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.inside(|| {
            settings.iter().try_for_each(|(key, value)| {
                let path = Path::new("/proc/sys/net").join(key);
                fs::write(&path, value).with_context(|| path.display().to_string())
            })
        })
    }
}

/// Waits until the machine is quiet: the kernel takes namespaces and their rules apart behind our back. On a machine
/// that never is, gives up after some seconds: what is measured then shows it by its spread.
pub fn settle() -> Result<()> {
    const QUIET: f64 = 0.05;
    let give_up = Instant::now() + Duration::from_secs(3);
    loop {
        let before = CpuTimes::now()?;
        thread::sleep(Duration::from_millis(100));
        if CpuTimes::now()?.busy_since(&before, None) <= QUIET || Instant::now() >= give_up {
            return Ok(());
        }
    }
}

fn joined<T, E: Into<anyhow::Error>>(result: thread::Result<Result<T, E>>) -> Result<T> {
    match result {
        Ok(result) => result.map_err(Into::into),
        Err(_) => bail!("a thread panicked"),
    }
}
