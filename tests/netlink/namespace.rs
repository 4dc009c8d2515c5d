//! Network namespaces of our own, and the commands that are run in them.

use std::io::Write;
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, unshare};

/// Runs `test` in a network namespace that ends with it. Commands that it starts are in there, too.
pub(crate) fn in_namespace<R: Send>(test: impl FnOnce() -> R + Send) -> R {
    let in_thread = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap_or_else(|error| {
            panic!(
                "this test needs a network namespace, and creating one needs CAP_SYS_ADMIN: run the tests as root, or \
                 under `unshare --map-root-user` ({error})"
            )
        });
        test()
    };
    // A namespace belongs to a thread, and this one is not used again.
    thread::scope(|scope| scope.spawn(in_thread).join()).unwrap_or_else(|panic| resume_unwind(panic))
}

/// What `command` prints; its arguments are separated by white space, or quoted with `"`.
pub(crate) fn run(command: &str) -> String {
    output(command, "").unwrap_or_else(|error| panic!("{command}: {error}"))
}

/// As [`run`], with `input` to read.
pub(crate) fn feed(command: &str, input: &str) -> String {
    output(command, input).unwrap_or_else(|error| panic!("{command}: {error}\n{input}"))
}

/// Does `command` succeed?
pub(crate) fn succeeds(command: &str) -> bool {
    output(command, "").is_ok()
}

fn output(command: &str, input: &str) -> Result<String, String> {
    let words = words(command);
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command} cannot be started ({error}): is it installed?"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout).unwrap());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The words of a command line, in which quotes keep white space together.
fn words(line: &str) -> Vec<String> {
    let quoted = line.split('"').enumerate();
    let parts = quoted.flat_map(|(index, part)| {
        if index % 2 == 1 { vec![part.to_owned()] } else { part.split_whitespace().map(str::to_owned).collect() }
    });
    parts.collect()
}
