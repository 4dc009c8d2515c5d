//! A running agent.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::netns::{AGENT, Netns};
use super::{DEADLINE, wait_until};

/// SIGTERM ends it in less than this.
const IN_TIME: Duration = Duration::from_millis(100);

/// `ip-masq-agent run` in a namespace, killed when the value is dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Mutex<String>>,
    /// Whether its log is not read for now.
    stalled: Arc<(Mutex<bool>, Condvar)>,
}

impl Daemon {
    /// Starts it; what it does is waited for by the test.
    pub(crate) fn start(netns: &Netns, config: &Path, flags: &[&str]) -> Self {
        Self::start_with(netns, config, flags, &[])
    }

    /// The same with variables in its environment.
    pub(crate) fn start_with(netns: &Netns, config: &Path, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = netns.command(AGENT);
        command.envs(environment.iter().copied());
        Self::run(with_arguments(netns, command, config, flags))
    }

    /// The same started by another program, with its arguments, which becomes the agent.
    pub(crate) fn start_by(netns: &Netns, starter: &[&str], config: &Path, flags: &[&str]) -> Self {
        let (program, arguments) = starter.split_first().expect("a program");
        let mut command = netns.command(program);
        command.args(arguments);
        Self::run(with_arguments(netns, command, config, flags))
    }

    /// The same with a stderr of the test's own, so that nothing is known of what it says.
    pub(crate) fn start_to(netns: &Netns, config: &Path, flags: &[&str], stderr: impl Into<Stdio>) -> Self {
        let child = spawn(with_arguments(netns, netns.command(AGENT), config, flags), stderr.into());
        Self { child, log: Arc::default(), stalled: Arc::default() }
    }

    /// Starts it by a command.
    pub(crate) fn run(command: Command) -> Self {
        let mut child = spawn(command, Stdio::piped());
        let log = Arc::new(Mutex::new(String::new()));
        let stalled = Arc::new((Mutex::new(false), Condvar::new()));
        let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let (written, may_read) = (Arc::clone(&log), Arc::clone(&stalled));
        #[expect(
            clippy::disallowed_methods,
            reason = "reads on while the test does other things; ends with the agent"
        )]
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // Empty ones are those of `stall_log`.
                if !line.is_empty() {
                    let mut log = written.lock().unwrap();
                    log.push_str(&line);
                    log.push('\n');
                }
                drop(may_read.1.wait_while(may_read.0.lock().unwrap(), |stalled| *stalled).unwrap());
            }
        });
        Self { child, log, stalled }
    }

    /// Reads its log no more, and fills the pipe: a write to it now waits, or is lost.
    pub(crate) fn stall_log(&self) {
        *self.stalled.0.lock().unwrap() = true;
        let pipe = format!("/proc/{}/fd/2", self.pid());
        let mut pipe = OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(pipe).unwrap();
        // The reader may take a last piece out of it.
        wait_until(DEADLINE, "the pipe is full", || {
            let was_full = pipe.write(b"\n").is_err();
            while pipe.write(&[b'\n'; 64]).is_ok() || pipe.write(b"\n").is_ok() {}
            was_full
        });
    }

    /// Reads its log again, if it was not read.
    pub(crate) fn drain_log(&self) {
        *self.stalled.0.lock().unwrap() = false;
        self.stalled.1.notify_all();
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on stderr so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until a condition holds, or fails as soon as the agent has ended.
    pub(crate) fn wait_until(&mut self, what: &str, mut condition: impl FnMut() -> bool) {
        wait_until(DEADLINE, what, || {
            let holds = condition();
            if let (false, Ok(Some(status))) = (holds, self.child.try_wait()) {
                panic!("the agent has ended ({status}) before {what}");
            }
            holds
        });
    }

    /// Waits until it has said something.
    pub(crate) fn wait_until_said(&mut self, text: &str) {
        self.wait_until_said_times(text, 1);
    }

    /// Waits until it has said something so many times at least.
    pub(crate) fn wait_until_said_times(&mut self, text: &str, times: usize) {
        let log = Arc::clone(&self.log);
        let what = format!("the agent says {text:?} ({times} times)");
        self.wait_until(&what, || log.lock().unwrap().matches(text).count() >= times);
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a process id")), signal).expect("the agent lives");
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub(crate) fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it as a service manager does, and wants that to take no longer than is promised.
    pub(crate) fn ends_in_time(&mut self) {
        let asked = Instant::now();
        self.signal(Signal::SIGTERM);
        assert_eq!(self.ended(), Some(0));
        let took = asked.elapsed();
        assert!(took < IN_TIME, "ended {took:?} after SIGTERM");
    }

    /// Waits until it has ended; its exit status, `None` if a signal ended it.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let mut status = None;
        let child = &mut self.child;
        wait_until(DEADLINE, "the agent has ended", || {
            status = child.try_wait().expect("a child can be waited for");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Daemon {
    /// Shows what the agent has said if the test has failed.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- what the agent said\n{}", self.log());
        }
        self.drain_log();
        // Both fail if it has already ended, which is just as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn with_arguments(netns: &Netns, mut command: Command, config: &Path, flags: &[&str]) -> Command {
    // Nothing is left in the machine's own directory; a flag of the test's comes later, and counts.
    command.arg("run").arg("--runtime-dir").arg(netns.scratch().join("run"));
    command.arg("--config").arg(config).args(flags);
    command
}

fn spawn(mut command: Command, stderr: Stdio) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().expect("the agent starts")
}
