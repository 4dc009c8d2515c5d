//! A program that has run, and what is needed to run it.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The programs that the tests call, and the Debian package that contains each.
const TOOLS: [(&str, &str); 18] = [
    ("ip", "iproute2"),
    ("conntrack", "conntrack"),
    ("nft", "nftables"),
    ("iptables-nft", "iptables"),
    ("iptables-nft-save", "iptables"),
    ("iptables-nft-restore", "iptables"),
    ("ip6tables-nft", "iptables"),
    ("ip6tables-nft-save", "iptables"),
    ("ip6tables-nft-restore", "iptables"),
    ("iptables-legacy", "iptables"),
    ("ip6tables-legacy", "iptables"),
    ("fsfreeze", "util-linux"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mount", "mount"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("strace", "strace"),
    ("timeout", "coreutils"),
];

/// How a program ended and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    line: String,
    /// The exit status; `None` if a signal ended it.
    pub(crate) status: Option<i32>,
    /// What it wrote to stdout.
    pub(crate) stdout: String,
    /// What it wrote to stderr.
    pub(crate) stderr: String,
}

impl Ran {
    /// Runs a command to its end, with `input` on its stdin.
    pub(crate) fn with_input(mut command: Command, input: &str) -> Self {
        let line = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{line} does not start: {error}"));
        // A program that ends without reading breaks the pipe; its status tells more than this error would.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Self::ended(line, output)
    }

    fn ended(line: String, output: Output) -> Self {
        Self {
            line,
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a command to its end, with a file as its stdin.
    pub(crate) fn reading(mut command: Command, input: File) -> Self {
        let line = format!("{command:?}");
        let output = command.stdin(input).output().unwrap_or_else(|error| panic!("{line} does not start: {error}"));
        Self::ended(line, output)
    }

    /// Runs a command to its end, with nothing on its stdin.
    pub(crate) fn of(command: Command) -> Self {
        Self::with_input(command, "")
    }

    /// Whether it ended with status 0.
    pub(crate) fn succeeded(&self) -> bool {
        self.status == Some(0)
    }

    /// Fails, showing everything the program said, unless it ended with `status`.
    #[track_caller]
    pub(crate) fn ended_with(self, status: i32) -> Self {
        let Self { line, status: actual, stdout, stderr } = &self;
        assert_eq!(
            *actual,
            Some(status),
            "{line} should have ended with status {status}\n--- stdout\n{stdout}--- stderr\n{stderr}"
        );
        self
    }

    /// What it wrote to stdout, if it ended with status 0; fails otherwise.
    #[track_caller]
    pub(crate) fn stdout(self) -> String {
        self.ended_with(0).stdout
    }
}

/// A command. Its `Debug` form is what failures show.
#[expect(clippy::disallowed_methods, reason = "the one place where tests start a program")]
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// A command that will run without a capability over networks or files. Root keeps what its files grant to their owner,
/// and no more: an unreadable file is unreadable. `CAP_SETFCAP` stays, because the kernel lets no root without it become
/// root in a user namespace (`user_namespaces(7)`); other users need no capability for that.
pub(crate) fn without_privileges(program: impl AsRef<OsStr>) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return command(program);
    }
    let mut command = command("setpriv");
    command.args(["--bounding-set=-all,+setfcap", "--inh-caps=-all"]).arg(program.as_ref());
    command
}

/// Runs a program of the machine itself, not in a namespace, and wants it to succeed.
#[track_caller]
pub(crate) fn host(program: &str, arguments: &[&str]) -> String {
    let mut command = command(program);
    command.args(arguments);
    Ran::of(command).stdout()
}

/// Fails, saying what is missing and how to get it, unless namespaces can be made and all tools are there.
///
/// Only outside CI, and only on demand, is a test that lacks them skipped; a silent skip would prove nothing. False
/// means: the caller is to return at once.
pub(crate) fn can_use_the_kernel() -> bool {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let Some(missing) = MISSING.get_or_init(missing) else { return true };
    let may_skip =
        std::env::var_os("CI").is_none() && std::env::var("ALLOW_UNPRIVILEGED_SKIP").is_ok_and(|value| value == "1");
    assert!(
        may_skip,
        "{missing}\nOutside CI, ALLOW_UNPRIVILEGED_SKIP=1 passes over the tests that need the kernel; they then prove nothing."
    );
    eprintln!("SKIPPED: {missing}");
    false
}

/// What the kernel tests lack here, if anything.
fn missing() -> Option<String> {
    let mut missing = String::new();
    for (tool, package) in TOOLS {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .any(|directory| directory.join(tool).is_file());
        if !found {
            let _ = writeln!(missing, "{tool} is not installed; it is in the package {package}: run `make deps`.");
        }
    }
    if missing.is_empty() {
        let probe = format!("ipmasq-{}-may", std::process::id());
        let mut add = command("ip");
        add.args(["netns", "add", &probe]);
        let added = Ran::of(add);
        if added.succeeded() {
            host("ip", &["netns", "del", &probe]);
        } else {
            let said = added.stderr.trim();
            let _ = writeln!(
                missing,
                "No network namespace can be made ({said}): run the tests as root, with CAP_SYS_ADMIN and \
                 CAP_NET_ADMIN (`docker run --privileged`, or `sudo -E make test`)."
            );
        }
    }
    Some(missing).filter(|missing| !missing.is_empty())
}
