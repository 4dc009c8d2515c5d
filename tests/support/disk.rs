//! A disk of a test's own, which can be made to hang.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Mutex;

use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use super::ran::{Ran, command, host};

/// Waits for the end of its stdin, or for a minute; then lets a disk go on. So nothing hangs for ever if a test fails, or is
/// killed: what waits for the disk cannot be killed, and a failing test waits for the agent's end.
const THAW: &str = "timeout 60 cat >/dev/null; exec fsfreeze --unfreeze \"$0\"";

/// An ext4 file system in a file, in a mount namespace of its own.
pub(crate) struct Ext4 {
    scratch: TempDir,
    /// What lets it go on, while it is frozen.
    frozen: Mutex<Option<Child>>,
}

impl Ext4 {
    /// Does `work` with a disk that nobody else sees, but for what the work starts.
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
        let disk = Self { scratch: tempfile::tempdir().unwrap(), frozen: Mutex::default() };
        let image = disk.scratch.path().join("image");
        let (image, path) = (image.to_str().unwrap(), disk.path());
        std::fs::create_dir(&path).unwrap();
        host("truncate", &["--size=16M", image]);
        host("mkfs.ext4", &["-q", image]);
        host("mount", &["-o", "loop", image, path.to_str().unwrap()]);
        disk
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.scratch.path().join("disk")
    }

    /// From now on whatever writes to it waits, and cannot be ended.
    pub(crate) fn freeze(&self) {
        let mut thaw = command("sh");
        thaw.args(["-c", THAW]).arg(self.path()).stdin(Stdio::piped());
        *self.frozen.lock().unwrap() = Some(thaw.spawn().unwrap());
        host("fsfreeze", &["--freeze", self.path().to_str().unwrap()]);
    }

    /// Everything goes on.
    pub(crate) fn thaw(&self) {
        let mut thaw = self.frozen.lock().unwrap().take().expect("it is frozen");
        drop(thaw.stdin.take());
        assert!(thaw.wait().unwrap().success());
    }
}

impl Drop for Ext4 {
    /// Never panics: it also runs while a failed test unwinds.
    fn drop(&mut self) {
        if let Some(mut thaw) = self.frozen.lock().ok().and_then(|mut frozen| frozen.take()) {
            drop(thaw.stdin.take());
            let _ = thaw.wait();
        }
        let mut umount = command("umount");
        umount.arg("--lazy").arg(self.path());
        Ran::of(umount);
    }
}
