//! A disk of a test's own, which can be made to hang.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use super::ran::{Ran, command, host};

/// Waits for the end of its stdin, which comes also if the test is killed: what is frozen then would stay so forever.
const GUARD: &str = "trap '' HUP INT TERM; cat; fsfreeze --unfreeze \"$0\" 2>/dev/null";

/// An ext4 file system in a file, in a mount namespace of its own.
#[derive(Debug)]
pub(crate) struct Ext4 {
    scratch: TempDir,
    guard: Child,
}

impl Ext4 {
    /// Does `work` with a disk that only the work and the programs that it starts can see.
    pub(crate) fn with(work: impl FnOnce(&Self) + Send) {
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                unshare(CloneFlags::CLONE_NEWNS).unwrap();
                host("mount", &["--make-rprivate", "/"]);
                work(&Self::mount());
            });
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    }

    fn mount() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let (image, path) = (scratch.path().join("image"), scratch.path().join("disk"));
        let [image, path] = [&image, &path].map(|path| path.to_str().expect("a scratch path in UTF-8"));
        std::fs::create_dir(path).unwrap();
        host("truncate", &["--size=16M", image]);
        host("mkfs.ext4", &["-q", image]);
        host("mount", &["-o", "loop", image, path]);
        let mut guard = command("sh");
        // A signal that kills the test may be sent to its whole process group.
        let guard = guard.args(["-c", GUARD, path]).stdin(Stdio::piped()).process_group(0).spawn().unwrap();
        Self { scratch, guard }
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.scratch.path().join("disk")
    }

    /// From now on every program that writes to it waits, and cannot be ended.
    pub(crate) fn freeze(&self) {
        fsfreeze("--freeze", &self.path()).ended_with(0);
    }

    /// Everything goes on.
    pub(crate) fn thaw(&self) {
        fsfreeze("--unfreeze", &self.path()).ended_with(0);
    }
}

impl Drop for Ext4 {
    /// Never panics: it also runs while a failed test unwinds.
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        if let Err(error) = self.guard.wait() {
            eprintln!("{} may be frozen: {error}", self.path().display());
        }
        let mut umount = command("umount");
        umount.arg("--lazy").arg(self.path());
        Ran::of(umount);
    }
}

fn fsfreeze(how: &str, path: &Path) -> Ran {
    let mut command = command("fsfreeze");
    command.arg(how).arg(path);
    Ran::of(command)
}
