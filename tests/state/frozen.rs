//! A state directory on a disk that hangs: the rules, the end and the log go on, and what is newest is saved afterwards.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ip_masq_agent::config::SourceSet;
use ip_masq_agent::last_good::{LastKnownGood, StateDir};

use crate::support::daemon::Daemon;
use crate::support::disk::Ext4;
use crate::support::files::rename_over;
use crate::support::netns::Netns;
use crate::support::{DEADLINE, wait_until};
use crate::{BY_DEFAULT, exempting, exempts, rules, text};

/// A node with a disk, and the configuration elsewhere.
struct Node<'a> {
    netns: Netns,
    disk: &'a Ext4,
}

impl Node<'_> {
    fn state(&self) -> StateDir {
        StateDir::new(&self.disk.path().join("state"))
    }

    fn config(&self) -> PathBuf {
        self.netns.scratch().join("config")
    }

    fn write(&self, number: u8) {
        rename_over(&self.config(), &exempting(number));
    }

    /// Whether the file with this number is saved.
    fn has_saved(&self, number: u8) -> bool {
        let good = LastKnownGood::new(SourceSet::one(self.config(), Some(exempting(number).into_bytes())));
        self.state().load().unwrap() == Some(good)
    }

    fn start(&self) -> Daemon {
        let state = format!("--state-dir={}", text(self.state().path()));
        Daemon::start(&self.netns, &self.config(), &["--backend=nft-compat", "--enable-ipv6", &state])
    }

    /// Gives the agent another file, and waits for the rules.
    fn change(&self, daemon: &mut Daemon, number: u8) {
        self.write(number);
        daemon.wait_until("the new rules are in force", || exempts(&self.netns, number));
    }
}

/// What a thread of this name does, of a node in a namespace and with a disk of its own.
fn with_node(role: &str, work: impl FnOnce(&Node) + Send) {
    let Some(netns) = Netns::new(role) else { return };
    Ext4::with(|disk| work(&Node { netns, disk }));
}

/// The child processes of a process that it has not waited for yet.
fn children(process: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of = |task: std::io::Result<fs::DirEntry>| fs::read_to_string(task.unwrap().path().join("children")).unwrap();
    tasks.map(of).collect::<String>().split_whitespace().map(|child| child.parse().unwrap()).collect()
}

/// What a process has open.
fn open_files(process: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    entries.map(|entry| text(&fs::read_link(entry.unwrap().path()).unwrap()).to_owned()).collect()
}

/// An agent whose disk has 91 and hangs; a process waits to write 92, and 93 waits behind that.
fn start_and_hang(node: &Node) -> Daemon {
    node.write(91);
    let mut daemon = node.start();
    daemon.wait_until("the first is saved", || node.has_saved(91));
    let agent = daemon.pid();
    node.disk.freeze();
    node.change(&mut daemon, 92);
    daemon.wait_until("a process writes", || !children(agent).is_empty());
    node.change(&mut daemon, 93);
    daemon
}

#[test]
fn while_the_disk_hangs_rules_change_and_are_repaired_and_the_newest_is_saved_when_it_answers() {
    with_node("frozen", |node| {
        let mut daemon = start_and_hang(node);
        let agent = daemon.pid();
        node.netns.run("iptables-nft -t nat -F");
        daemon.wait_until("the rules are repaired", || exempts(&node.netns, 93));
        let writers = children(agent);
        assert_eq!(writers.len(), 1, "one at a time");
        let open = open_files(writers[0]);
        let held = |file: &String| file.starts_with("socket:") || file.starts_with("anon_inode:");
        assert!(!open.iter().any(held), "nothing of the agent's stays with it: {open:?}");
        let environment = fs::read(format!("/proc/{}/environ", writers[0])).unwrap();
        assert_eq!(environment, b"", "nor does it speak to the agent's service manager (NOTIFY_SOCKET, WATCHDOG_USEC)");
        let slow = format!(
            "is not saved for the next start: the disk of {} has not answered for 10 s; the process {} waits for it",
            text(node.state().path()),
            writers[0]
        );
        daemon.wait_until_said(&slow);
        assert!(node.has_saved(91));
        node.disk.thaw();
        daemon.wait_until("the newest is saved", || node.has_saved(93));
        daemon.wait_until_said("the configuration is saved for the next start again");
        daemon.wait_until("no process is left", || children(agent).is_empty());
        assert_eq!(daemon.log().matches("has not answered").count(), 1, "{}", daemon.log());
    });
}

#[test]
fn while_the_disk_hangs_the_end_comes_in_time_and_the_newest_is_saved_when_it_answers() {
    with_node("frozen-end", |node| {
        start_and_hang(node).ends_in_time();
        // Another life, while what the first one left behind still waits.
        node.write(94);
        let mut next = node.start();
        next.wait_until("the rules are in force", || exempts(&node.netns, 94));
        let agent = next.pid();
        next.wait_until("a process writes", || !children(agent).is_empty());
        assert!(node.has_saved(91));
        node.disk.thaw();
        next.wait_until("the newest is saved", || node.has_saved(94));
        next.ends_in_time();
    });
}

#[test]
fn what_waits_at_the_end_for_a_disk_that_hangs_is_saved_when_it_answers() {
    with_node("frozen-last", |node| {
        start_and_hang(node).ends_in_time();
        node.disk.thaw();
        wait_until(DEADLINE, "the newest is saved", || node.has_saved(93));
    });
}

#[test]
fn while_the_disk_hangs_apply_and_a_start_over_a_damaged_state_file_go_on_after_a_while() {
    with_node("frozen-once", |node| {
        let state = format!("--state-dir={}", text(node.state().path()));
        fs::create_dir(node.state().path()).unwrap();
        fs::write(node.state().file(), "damaged").unwrap();
        fs::write(node.config(), exempting(91).replace(", \"fd91::/16\"", "")).unwrap();
        node.disk.freeze();

        let began = Instant::now();
        let mut daemon = Daemon::start(&node.netns, &node.config(), &[&state]);
        daemon.wait_until("the rules are in force", || rules(&node.netns).contains("10.91.0.0"));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        daemon.wait_until_said("it could not be renamed (the disk of ");
        daemon.ends_in_time();

        fs::remove_file(node.config()).unwrap();
        let config = node.config();
        let arguments = ["apply", "--config", text(&config), &state];
        let ran = node.netns.try_run(crate::support::netns::AGENT, &arguments, "").ended_with(0);
        assert!(rules(&node.netns).contains(BY_DEFAULT), "{}", rules(&node.netns));
        assert!(ran.stderr.contains("has not answered for 5 s; the process "), "{}", ran.stderr);

        node.disk.thaw();
        let absence = LastKnownGood::new(SourceSet::one(node.config(), None));
        wait_until(DEADLINE, "what was applied is saved", || {
            node.state().load().is_ok_and(|saved| saved == Some(absence.clone()))
        });
        assert!(node.state().path().join("last-known-good.corrupt-1").exists());
    });
}
