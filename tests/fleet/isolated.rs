//! Everything that a fleet is made of goes with the test, however that ends: the kernel removes it.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::support::ran::{Ran, can_use_the_kernel, command, host};

/// Tells the test that it runs in the namespaces.
const CHILD: &str = "IP_MASQ_AGENT_TEST_FLEET_CHILD";
/// Where `ip netns` keeps the names of network namespaces.
const NETNS: &str = "/run/netns";

/// Runs a test of this binary, which calls this with its own name, in a PID and a mount namespace. With the first process of
/// the former all others end; with the last of them go the mounts, and with these the network namespaces. No mount made
/// here wakes an agent elsewhere, nor one made there an agent here.
pub(crate) fn isolated(test: &str, check: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some() {
        // Names of others that are in use. When such a one is deleted elsewhere, it goes here too, and would wake all agents.
        let mut unmount = command("umount");
        unmount.args(["--recursive", "--lazy", NETNS]);
        Ran::of(unmount);
        for directory in [NETNS, std::env::temp_dir().to_str().expect("it was made for this test")] {
            host("mkdir", &["-p", directory]);
            host("mount", &["-t", "tmpfs", "-o", "mode=0755", "tmpfs", directory]);
        }
        return check();
    }
    if !can_use_the_kernel() {
        return;
    }
    let scratch = tempfile::tempdir_in("/tmp").unwrap();
    let mut unshare = command("setpriv");
    unshare
        .args(["--pdeathsig", "KILL"])
        .args(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .env("TMPDIR", scratch.path());
    let mut child = unshare.stdout(Stdio::piped()).spawn().expect("setpriv and unshare are installed");
    let mut has_passed = false;
    for line in BufReader::new(child.stdout.take().expect("stdout is piped")).lines() {
        let line = line.unwrap();
        has_passed |= line.starts_with("test result: ok. 1 passed");
        // The harness' own lines would be counted twice.
        if !["", "running 1 test"].contains(&&*line) && !line.starts_with("test ") {
            println!("{line}");
        }
    }
    let status = child.wait().unwrap();
    assert!(status.success() && has_passed, "{test} has failed: {status}; its messages are above");
}
