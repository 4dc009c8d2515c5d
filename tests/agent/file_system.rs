//! The agent and what its file system does to it: it hangs, mounts are added and removed, stdin and pipes are not
//! files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use ip_masq_agent::net::Family;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

use crate::support::daemon::Daemon;
use crate::support::netns::{AGENT, Netns};
use crate::support::ran::{Ran, command, host};
use crate::support::tables::saved;

fn exempting(range: &str) -> String {
    format!("nonMasqueradeCIDRs: [{range}]\nresyncInterval: 1h\n")
}

fn wait_for(daemon: &mut Daemon, netns: &Netns, range: &str) {
    daemon.wait_until(&format!("{range} is in force"), || {
        saved(netns, Family::Ipv4).iter().any(|line| line.contains(&format!(" -d {range} ")))
    });
}

/// Runs a program among the mounts of the agent.
fn among_its_mounts(daemon: &Daemon, words: &[&str]) {
    let pid = daemon.pid().to_string();
    let arguments: Vec<&str> = ["--mount", "--target", &pid].into_iter().chain(words.iter().copied()).collect();
    host("nsenter", &arguments);
}

#[test]
fn a_file_system_that_hangs_holds_up_neither_the_start_nor_the_end_and_is_read_once_it_answers() {
    // A file system in user space whose server has not started never answers.
    const HANGS: &str = "exec 3<>/dev/fuse && \
                         mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 hangs \"$0\" && exec \"$@\"";
    let starter = |place| ["unshare", "--mount", "--propagation", "private", "sh", "-c", HANGS, place, AGENT];
    let Some(netns) = Netns::new("hangs") else { return };
    let place = netns.scratch().join("place");
    fs::create_dir(&place).unwrap();
    let config = place.join("config");
    fs::write(&config, exempting("10.91.0.0/16")).unwrap();
    let place = place.to_str().unwrap();
    let mut daemon = Daemon::start_by(&netns, &starter(place), &config, &[]);
    daemon.wait_until_said("its file system has not answered for 5s");
    wait_for(&mut daemon, &netns, "172.16.0.0/12");
    // Repairs go on beside the thread that hangs.
    netns.run("iptables-nft -t nat -F");
    wait_for(&mut daemon, &netns, "172.16.0.0/12");
    among_its_mounts(&daemon, &["umount", "--force", "--lazy", place]);
    wait_for(&mut daemon, &netns, "10.91.0.0/16");

    let mut daemon = Daemon::start_by(&netns, &starter(place), &config, &[]);
    daemon.wait_until_said("its file system has not answered for 5s");
    let asked = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
    assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
}

#[test]
fn a_mount_over_a_parent_of_the_file_is_seen_at_once_and_so_is_its_end() {
    let Some(netns) = Netns::new("mounts") else { return };
    let parent = netns.scratch().join("parent");
    let other = netns.scratch().join("other");
    for (root, range) in [(&parent, "10.91.0.0/16"), (&other, "10.92.0.0/16")] {
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/config"), exempting(range)).unwrap();
    }
    let starter = ["unshare", "--mount", "--propagation", "private", AGENT];
    let mut daemon = Daemon::start_by(&netns, &starter, &parent.join("a/b/config"), &[]);
    wait_for(&mut daemon, &netns, "10.91.0.0/16");
    among_its_mounts(&daemon, &["mount", "--bind", other.to_str().unwrap(), parent.to_str().unwrap()]);
    wait_for(&mut daemon, &netns, "10.92.0.0/16");
    among_its_mounts(&daemon, &["umount", "--lazy", parent.to_str().unwrap()]);
    wait_for(&mut daemon, &netns, "10.91.0.0/16");
    fs::rename(&parent, netns.scratch().join("old")).unwrap();
    fs::rename(&other, &parent).unwrap();
    wait_for(&mut daemon, &netns, "10.92.0.0/16");
}

#[test]
fn a_running_agent_needs_no_new_thread_however_the_way_to_its_file_changes() {
    let Some(netns) = Netns::new("threads") else { return };
    // As a user to whom the limit applies, who has to reach the program and the file.
    let agent = netns.scratch().join("agent");
    fs::copy(AGENT, &agent).unwrap();
    fs::set_permissions(netns.scratch(), fs::Permissions::from_mode(0o755)).unwrap();
    let user = ["--reuid=54321", "--regid=54321", "--clear-groups"];
    let agent = ["--inh-caps=+net_admin", "--ambient-caps=+net_admin", agent.to_str().unwrap()];
    let starter: Vec<&str> = ["setpriv"].into_iter().chain(user).chain(agent).collect();
    let directory = netns.scratch().join("etc");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("config"), exempting("10.90.0.0/16")).unwrap();
    let mut daemon = Daemon::start_by(&netns, &starter, &directory.join("config"), &[]);
    wait_for(&mut daemon, &netns, "10.90.0.0/16");
    let pid = daemon.pid().to_string();
    let limit: Vec<&str> = user.into_iter().chain(["prlimit", "--pid", &pid, "--nproc=1:1"]).collect();
    host("setpriv", &limit);
    for number in 91..95 {
        // Another directory each time, so that all watches have to be set anew.
        fs::rename(&directory, netns.scratch().join(number.to_string())).unwrap();
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("config"), exempting(&format!("10.{number}.0.0/16"))).unwrap();
        wait_for(&mut daemon, &netns, &format!("10.{number}.0.0/16"));
    }
}

#[test]
fn stdin_and_pipes_are_read_by_whoever_reads_once_and_refused_by_the_agent() {
    let Some(netns) = Netns::new("pipes") else { return };
    let text = exempting("10.91.0.0/16");
    let shell = |line: &str| {
        let mut shell = command("bash");
        shell.args(["-c", line, AGENT]);
        Ran::with_input(shell, &text)
    };
    let expected = "-d 10.91.0.0/16 ";
    for line in [
        "\"$0\" render --config -",
        "\"$0\" render --config <(cat)",
        "\"$0\" render --config /dev/stdin",
        "\"$0\" explain 10.91.0.1 --config -",
    ] {
        let ran = shell(&format!("exec 4<&0; {}", line.replace("(cat)", "(cat <&4)"))).ended_with(0);
        let expected = if line.contains("explain") { "10.91.0.0/16" } else { expected };
        assert!(ran.stdout.contains(expected), "{line}: {ran:?}");
    }
    let ran = netns.try_run(AGENT, &["apply", "--config", "-"], &text).ended_with(0);
    assert!(ran.stdout.contains(expected), "{ran:?}");
    let ran = netns.try_run(AGENT, &["apply", "--config", "-"], "nonMasqueradeCIDRs: [10.0.0.0/33]").ended_with(3);
    assert!(ran.stderr.contains("-:1: nonMasqueradeCIDRs[0]"), "{ran:?}");
    // The agent would have to read again, and a pipe has nothing more to say.
    let ran = netns.try_run(AGENT, &["run", "--config", "-"], &text).ended_with(3);
    assert!(ran.stderr.contains("stdin is read once"), "{ran:?}");
    let pipe = netns.scratch().join("pipe");
    nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let mut daemon = Daemon::start(&netns, &pipe, &[]);
    daemon.wait_until_said("is a named pipe; expected a regular file");
    daemon.wait_until_said("degraded");
}
