//! A control group (`cgroups(7)`) in which threads and memory can be made short, in version 1 or 2.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const ROOT: &str = "/sys/fs/cgroup";

/// A control group, removed when the value is dropped.
#[derive(Debug)]
pub(crate) struct Cgroup {
    /// The directories with the files of `pids` and of `memory`; in version 2 it is one.
    pids: PathBuf,
    memory: PathBuf,
    /// The file that limits memory, and what it says if it does not.
    limit: (&'static str, &'static str),
}

impl Cgroup {
    /// An empty one, without limits.
    pub(crate) fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ipmasq-{}-{number}", std::process::id());
        let controllers = Path::new(ROOT).join("cgroup.controllers");
        let (pids, memory, limit) = if controllers.exists() {
            write(&Path::new(ROOT).join("cgroup.subtree_control"), "+pids +memory");
            (Path::new(ROOT).join(&name), Path::new(ROOT).join(&name), ("memory.max", "max"))
        } else {
            let below = |controller| own(controller).join(&name);
            (below("pids"), below("memory"), ("memory.limit_in_bytes", "-1"))
        };
        for directory in [&pids, &memory] {
            fs::create_dir_all(directory).unwrap_or_else(|error| {
                panic!("{}: {error}; control groups have to be writable, as they are for root", directory.display())
            });
        }
        Self { pids, memory, limit }
    }

    /// Takes a process in, with all its threads.
    pub(crate) fn take(&self, pid: u32) {
        for directory in [&self.pids, &self.memory] {
            write(&directory.join("cgroup.procs"), &pid.to_string());
        }
    }

    /// Lets it have no more threads and processes than it has now.
    pub(crate) fn no_more_threads(&self) {
        let now = fs::read_to_string(self.pids.join("pids.current")).unwrap();
        write(&self.pids.join("pids.max"), now.trim());
    }

    /// Lets it have so much memory.
    pub(crate) fn limit_memory(&self, bytes: u64) {
        write(&self.memory.join(self.limit.0), &bytes.to_string());
    }

    /// Takes all limits away.
    pub(crate) fn lift(&self) {
        write(&self.pids.join("pids.max"), "max");
        write(&self.memory.join(self.limit.0), self.limit.1);
    }
}

impl Drop for Cgroup {
    /// Never panics: it also runs while a failed test unwinds.
    fn drop(&mut self) {
        for directory in [&self.pids, &self.memory] {
            if let Err(error) = fs::remove_dir(directory)
                && directory.exists()
            {
                eprintln!("the control group {} stays: {error}", directory.display());
            }
        }
    }
}

/// The group of version 1 in which this process is, of a controller.
fn own(controller: &str) -> PathBuf {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap();
    let path = groups.lines().find_map(|line| {
        let (_, group) = line.split_once(':')?;
        let (controllers, path) = group.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then_some(path)
    });
    let path = path.unwrap_or_else(|| panic!("no control group of {controller}: {groups}"));
    Path::new(ROOT).join(controller).join(path.trim_start_matches('/'))
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {text}: {error}", path.display()));
}
