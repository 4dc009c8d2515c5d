//! What the kernel says of this process.

use std::fs;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike as _;

/// What was read of `/proc/self`; `None` where that could not be.
#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) threads: Option<u64>,
}

impl Process {
    pub(crate) fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
        #[expect(clippy::cast_precision_loss, reason = "285 years of processor time are counted to the microsecond")]
        let cpu_seconds = usage.map(|used| (used.user_time() + used.system_time()).num_microseconds() as f64 / 1e6);
        // The directory is open itself while it is listed.
        let open_fds = fs::read_dir("/proc/self/fd").ok().map(|entries| (entries.count() as u64).saturating_sub(1));
        Self {
            cpu_seconds,
            open_fds,
            max_fds: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
            resident_bytes: number(&status, "VmRSS:").map(|kilobytes| kilobytes << 10),
            virtual_bytes: number(&status, "VmSize:").map(|kilobytes| kilobytes << 10),
            threads: number(&status, "Threads:"),
        }
    }
}

/// The number behind a key of `/proc/self/status`.
fn number(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_behind_its_key() {
        let status = "Name:\tVmRSS: 7\nVmSize:\t  12345 kB\nVmRSS:\t 678 kB\nThreads:\tmany\n";
        assert_eq!(number(status, "VmRSS:"), Some(678));
        assert_eq!((number(status, "Threads:"), number(status, "VmLck:")), (None, None));
    }
}
