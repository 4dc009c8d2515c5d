//! A network namespace of a test's own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};
use tempfile::TempDir;

use super::ran::{Ran, can_use_the_kernel, command, host};

/// The agent under test.
pub(crate) const AGENT: &str = env!("CARGO_BIN_EXE_ip-masq-agent");

/// How many seconds a program may take that is expected to end by itself.
const PROGRAM_SECONDS: &str = "60";

/// A network namespace, removed when the value is dropped.
#[derive(Debug)]
pub(crate) struct Netns {
    name: String,
    scratch: TempDir,
}

impl Netns {
    /// A fresh namespace with `lo` up. `None` only where the machine cannot have one and skipping the tests was allowed
    /// ([`can_use_the_kernel`]).
    pub(crate) fn new(role: &str) -> Option<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        if !can_use_the_kernel() {
            return None;
        }
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ipmasq-{}-{number}-{role}", std::process::id());
        host("ip", &["netns", "add", &name]);
        let netns = Self { name, scratch: tempfile::tempdir().unwrap() };
        host("ip", &["-n", &netns.name, "link", "set", "lo", "up"]);
        Some(netns)
    }

    /// The name under which `ip netns` knows it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A place for files of this test, removed with the namespace.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Writes a file into the scratch directory.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.scratch().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A command that will run inside, as the process that is started: its id is the program's.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = command("ip");
        command.args(["netns", "exec", &self.name, program]);
        command.env("XTABLES_LOCKFILE", self.scratch().join("xtables.lock"));
        command
    }

    /// Runs a program inside, bounded in time, with `input` on its stdin.
    pub(crate) fn try_run(&self, program: &str, arguments: &[&str], input: &str) -> Ran {
        let mut command = self.command("timeout");
        command.args([PROGRAM_SECONDS, program]).args(arguments);
        Ran::with_input(command, input)
    }

    /// Runs a command line inside, words separated by spaces, and wants it to succeed. Gives its stdout.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let program = words.next().expect("a command line");
        self.try_run(program, &words.collect::<Vec<_>>(), "").stdout()
    }

    /// Runs `nft -f -` inside on a text.
    #[track_caller]
    pub(crate) fn nft(&self, text: &str) {
        self.try_run("nft", &["-f", "-"], text).ended_with(0);
    }

    /// Runs `ip -batch -` inside, all lines at once.
    #[track_caller]
    pub(crate) fn ip(&self, lines: &str) {
        self.try_run("ip", &["-batch", "-"], lines).ended_with(0);
    }

    /// Runs a verb of the agent inside: `arguments` are separated by spaces, `config` is the text of its file.
    pub(crate) fn agent(&self, arguments: &str, config: &str) -> Ran {
        let path = self.write("ip-masq-agent", config);
        let mut all: Vec<&str> = arguments.split_whitespace().collect();
        all.extend(["--config", path.to_str().expect("a scratch path in UTF-8")]);
        self.try_run(AGENT, &all, "")
    }

    /// Does `work` on a thread that is inside; other threads stay where they are.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = Path::new("/run/netns").join(&self.name);
        std::thread::scope(|scope| {
            let worker = scope.spawn(move || {
                setns(File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
                work()
            });
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Sets kernel parameters below `/proc/sys/net`, which shows the namespace of the thread that opens it.
    pub(crate) fn sysctl(&self, settings: &[(&str, &str)]) {
        self.inside(|| {
            for (key, value) in settings {
                let path = Path::new("/proc/sys/net").join(key);
                std::fs::write(&path, value).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            }
        });
    }
}

impl Drop for Netns {
    /// Never panics: it also runs while a failed test unwinds.
    fn drop(&mut self) {
        let mut delete = command("ip");
        delete.args(["netns", "del", &self.name]);
        if let Err(error) = delete.status() {
            eprintln!("the network namespace {} stays: {error}", self.name);
        }
    }
}
