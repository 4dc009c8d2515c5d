//! The agent's start: with a valid file, a bad one or none, over rules that stand or an empty kernel.

use std::fs;

use nix::sys::signal::Signal;

use crate::support::daemon::Daemon;
use crate::support::generation::generation;
use crate::support::netns::Netns;
use crate::support::ran::host;
use crate::{BACKENDS, BAD, BAD_MESSAGE, BY_DEFAULT, Disk, exempting, exempts, rules, signs};

/// Told when a degraded start has been made, whatever holds.
const DEGRADED: &str = "degraded until the configuration file can be used; in force: ";

fn start(netns: &Netns, disk: &Disk, flags: &[&str]) -> Daemon {
    let mut state = String::new();
    let flags = disk.flags(flags, &mut state);
    Daemon::start(netns, &disk.config(), &flags)
}

/// An agent's life with a valid file, so that its configuration is saved.
fn live_with(netns: &Netns, disk: &Disk, flags: &[&str], number: u8) {
    disk.write(&exempting(number));
    let mut daemon = start(netns, disk, flags);
    daemon.wait_until("the configuration is saved", || disk.saved() == Some(disk.good(Some(&exempting(number)))));
    assert!(exempts(netns, number), "it is saved only when it is in force");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
}

#[test]
fn after_a_reboot_with_a_bad_file_or_one_that_is_not_there_yet_the_last_valid_one_holds() {
    for flags in BACKENDS {
        for config in [Some(BAD), None] {
            let disk = Disk::new();
            let Some(before) = Netns::new("before") else { return };
            live_with(&before, &disk, flags, 91);
            match config {
                Some(text) => drop(disk.write(text)),
                None => fs::remove_file(disk.config()).unwrap(),
            }
            // Another kernel, the same disk.
            let Some(netns) = Netns::new("reboot") else { return };
            let mut daemon = start(&netns, &disk, flags);
            daemon.wait_until("the last valid configuration holds", || exempts(&netns, 91));
            daemon.wait_until_said(&format!("{DEGRADED}the last valid configuration of before the start (2 ranges"));
            daemon.wait_until_said(if config.is_some() { BAD_MESSAGE } else { "came from it; bring it back" });
            assert_eq!(disk.saved(), Some(disk.good(Some(&exempting(91)))), "what is bad is not saved");

            disk.write(&exempting(92));
            daemon.wait_until("the new file holds", || exempts(&netns, 92) && !exempts(&netns, 91));
            daemon.wait_until("it is saved", || disk.saved() == Some(disk.good(Some(&exempting(92)))));
        }
    }
}

#[test]
fn rules_that_stand_stay_untouched_until_somebody_takes_them_out() {
    for flags in BACKENDS {
        for state in [true, false] {
            let disk = Disk::new();
            let Some(netns) = Netns::new("stands") else { return };
            netns.agent(&format!("apply {}", flags.join(" ")), &exempting(93)).ended_with(0);
            disk.write(BAD);
            disk.save(Some(&exempting(91)));
            let stood = netns.run("nft -a list ruleset");
            let before = generation(&netns);
            let mut daemon =
                if state { start(&netns, &disk, flags) } else { Daemon::start(&netns, &disk.config(), flags) };
            daemon.wait_until_said(&format!("{DEGRADED}the rules that stood in the kernel at the start\n"));
            // A pass that finds them standing still.
            disk.write("nonMasqueradeCIDRs: 7\n");
            daemon.wait_until_said("nonMasqueradeCIDRs: found the number 7");
            assert_eq!((generation(&netns), netns.run("nft -a list ruleset")), (before, stood));
            assert!(!daemon.log().contains("which the kernel takes"), "it was not asked: {}", daemon.log());

            let (table, instead, sign) = match (flags[0], state) {
                ("--backend=nft", true) => ("ip6 ip-masq-agent", "the last valid configuration of before", "fd91::"),
                (_, true) => ("ip6 nat", "the last valid configuration of before", "fd91::"),
                ("--backend=nft", false) => ("ip6 ip-masq-agent", "the flags' defaults", "fe80::"),
                (_, false) => ("ip6 nat", "the flags' defaults", "fe80::"),
            };
            netns.nft(&format!("delete table {table}"));
            daemon.signal(Signal::SIGHUP);
            daemon.wait_until("something else takes the place of IPv6", || rules(&netns).contains(sign));
            daemon.wait_until_said(&format!(
                "{DEGRADED}IPv4: the rules that stood in the kernel at the start; IPv6: {instead}"
            ));
            assert!(rules(&netns).contains(&signs(93)[0]), "IPv4 stays: {}", rules(&netns));
        }
    }
}

#[test]
fn rules_of_the_other_backend_stand_as_well() {
    for [first, then] in [[BACKENDS[0], BACKENDS[1]], [BACKENDS[1], BACKENDS[0]]] {
        let disk = Disk::new();
        let Some(netns) = Netns::new("other") else { return };
        live_with(&netns, &disk, first, 91);
        disk.write(BAD);
        let stood = (generation(&netns), rules(&netns));
        let mut daemon = start(&netns, &disk, then);
        daemon.wait_until_said(DEGRADED);
        assert_eq!((generation(&netns), rules(&netns)), stood);
        disk.write(&exempting(91));
        daemon.wait_until("the rules have moved", || generation(&netns) != stood.0 && exempts(&netns, 91));
    }
}

#[test]
fn rules_that_are_not_complete_do_not_stand() {
    for (flags, family, chain) in [
        (BACKENDS[0], "ip", "nat IP-MASQ-AGENT"),
        (BACKENDS[0], "ip6", "nat POSTROUTING"),
        (BACKENDS[1], "ip", "ip-masq-agent IP-MASQ-AGENT"),
        (BACKENDS[1], "ip6", "ip-masq-agent postrouting"),
    ] {
        let disk = Disk::new();
        let Some(netns) = Netns::new("half") else { return };
        netns.agent(&format!("apply {}", flags.join(" ")), &exempting(93)).ended_with(0);
        netns.nft(&format!("flush chain {family} {chain}"));
        disk.save(Some(&exempting(91)));
        disk.write(BAD);
        let mut daemon = start(&netns, &disk, flags);
        daemon.wait_until_said(DEGRADED);
        let (gone, kept) = if family == "ip" { (0, 1) } else { (1, 0) };
        let rules = rules(&netns);
        assert!(rules.contains(&signs(91)[gone]) && !rules.contains(&signs(93)[gone]), "{family} {chain}: {rules}");
        assert!(rules.contains(&signs(93)[kept]) && !rules.contains(&signs(91)[kept]), "{family} {chain}: {rules}");
    }
}

#[test]
fn a_file_deleted_while_the_agent_runs_is_not_missed_by_the_next_start() {
    for flags in BACKENDS {
        let disk = Disk::new();
        let Some(before) = Netns::new("deleted") else { return };
        disk.write(&exempting(91));
        let mut daemon = start(&before, &disk, flags);
        daemon
            .wait_until("the file's configuration is saved", || disk.saved() == Some(disk.good(Some(&exempting(91)))));
        fs::remove_file(disk.config()).unwrap();
        daemon.wait_until("the absence is saved", || disk.saved() == Some(disk.good(None)));
        assert!(rules(&before).contains(BY_DEFAULT), "{}", daemon.log());
        drop(daemon);

        // Over rules that stand, and after a reboot.
        let Some(reboot) = Netns::new("reboot") else { return };
        before.agent(&format!("apply {}", flags.join(" ")), &exempting(93)).ended_with(0);
        for netns in [&before, &reboot] {
            let mut daemon = start(netns, &disk, flags);
            daemon.wait_until("the defaults hold", || rules(netns).contains(BY_DEFAULT) && !exempts(netns, 93));
            assert!(!daemon.log().contains(DEGRADED), "{}", daemon.log());
        }
    }
}

#[test]
fn a_state_file_that_cannot_be_obeyed_is_told_of_and_set_aside() {
    let valid = {
        let disk = Disk::new();
        disk.save(Some("nonMasqueradeCIDRs: [10.91.0.0/16]\n"));
        fs::read(disk.state_file()).unwrap()
    };
    let damaged = String::from_utf8(valid.clone()).unwrap().replace("10.91.", "10.92.").into_bytes();
    for (content, aside, said) in [
        (damaged, "last-known-good.corrupt-1", "its checksum does not fit its content"),
        (
            valid[..valid.len() - 1].to_vec(),
            "last-known-good.corrupt-1",
            "its content is not as long as its header says",
        ),
        (b"hello".to_vec(), "last-known-good.corrupt-1", "its first line is not the agent's"),
        (
            String::from_utf8(valid).unwrap().replacen("good 2", "good 3", 1).into_bytes(),
            "last-known-good.foreign-1",
            "has format 3; expected format 1 or 2",
        ),
    ] {
        let disk = Disk::new();
        let Some(netns) = Netns::new("aside") else { return };
        disk.write(BAD);
        fs::create_dir_all(disk.state()).unwrap();
        fs::write(disk.state_file(), &content).unwrap();
        let mut daemon = start(&netns, &disk, &[]);
        daemon.wait_until("the defaults hold", || rules(&netns).contains(BY_DEFAULT));
        daemon.wait_until_said(&format!("{DEGRADED}the flags' defaults"));
        let log = daemon.log();
        let to = disk.state().join(aside);
        for words in [said, "it is not used", &format!("it was renamed to {}", to.display())] {
            assert!(log.contains(words), "{words:?}: {log}");
        }
        assert!(!log.contains("10.91.0.0") && !rules(&netns).contains("10.92.0.0"), "{log}");
        assert_eq!((disk.names(), fs::read(&to).unwrap()), (vec![aside.to_owned()], content));

        disk.write(&exempting(94).replace(", \"fd94::/16\"", ""));
        daemon.wait_until("a new one is saved", || disk.saved().is_some());
    }
}

#[test]
fn what_the_version_before_has_saved_is_obeyed_after_an_update_and_saved_anew_in_the_format_of_now() {
    let disk = Disk::new();
    let Some(netns) = Netns::new("update") else { return };
    disk.save(None);
    let of_format_1 = fs::read("testdata/state/format-1-file").unwrap();
    fs::write(disk.state_file(), &of_format_1).unwrap();
    disk.write(BAD);
    let mut daemon = start(&netns, &disk, BACKENDS[1]);
    daemon.wait_until("the last valid configuration holds", || exempts(&netns, 91));
    daemon.wait_until_said(&format!("{DEGRADED}the last valid configuration of before the start (2 ranges"));
    assert_eq!(fs::read(disk.state_file()).unwrap(), of_format_1, "it is not touched before there is a newer one");

    disk.write(&exempting(92));
    daemon.wait_until("the new file is saved", || disk.saved() == Some(disk.good(Some(&exempting(92)))));
    assert!(fs::read(disk.state_file()).unwrap().starts_with(b"ip-masq-agent last-known-good 2\n"));
    assert_eq!(disk.names(), ["last-known-good"], "nothing was set aside");
}

#[test]
fn a_last_valid_configuration_that_the_flags_of_now_do_not_allow_is_not_used_and_stays() {
    let disk = Disk::new();
    let Some(netns) = Netns::new("flags") else { return };
    disk.save(Some(&exempting(91)));
    disk.write(BAD);
    let mut daemon = start(&netns, &disk, &[]);
    daemon.wait_until("the defaults hold", || rules(&netns).contains(BY_DEFAULT));
    daemon.wait_until_said("cannot be used with the flags of now (line 1: nonMasqueradeCIDRs[1]: fd91::/16 is an IPv6");
    assert_eq!(disk.names(), ["last-known-good"]);
    drop(daemon);
    let mut daemon = start(&netns, &disk, &["--enable-ipv6"]);
    daemon.wait_until_said("IPv4: the rules that stood in the kernel at the start; IPv6: the last valid configuration");
    assert!(rules(&netns).contains("fd91::"), "{}", daemon.log());
}

#[test]
fn where_nothing_can_be_saved_that_is_told_once_and_the_rules_are_in_force() {
    let Some(netns) = Netns::new("readonly") else { return };
    let config = netns.write("config", "nonMasqueradeCIDRs: [10.91.0.0/16]\nresyncInterval: 1h\n");
    // No directory can be made there.
    let mut daemon = Daemon::start(&netns, &config, &["--state-dir=/proc/ip-masq-agent"]);
    let told = "the configuration in force is not saved for the next start: could not create the directory \
                /proc/ip-masq-agent: ";
    daemon.wait_until_said(told);
    for _ in 0..3 {
        netns.run("iptables-nft -t nat -F");
        daemon.signal(Signal::SIGHUP);
        daemon.wait_until("the rules are back", || rules(&netns).contains("10.91.0.0"));
    }
    assert_eq!(daemon.log().matches(told).count(), 1, "{}", daemon.log());
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
}

#[test]
fn where_no_process_can_be_started_that_is_told_and_it_is_tried_again_without_another_event() {
    let disk = Disk::new();
    let Some(netns) = Netns::new("processes") else { return };
    disk.write(&exempting(91));
    let mut daemon = start(&netns, &disk, BACKENDS[0]);
    daemon.wait_until("the first is saved", || disk.saved() == Some(disk.good(Some(&exempting(91)))));
    let process = daemon.pid().to_string();
    let inside = |command: &[&str]| host("nsenter", &[&["--target", &process, "--mount"], command].concat());
    // The program is found there, and there alone.
    inside(&["mount", "--types", "tmpfs", "none", "/proc"]);
    disk.write(&exempting(92));
    daemon.wait_until("the new rules are in force", || exempts(&netns, 92));
    daemon.wait_until_said("is not saved for the next start: could not start a process that writes to ");
    assert_eq!(disk.saved(), Some(disk.good(Some(&exempting(91)))));
    inside(&["umount", "--internal-only", "--no-mtab", "/proc"]);
    daemon.wait_until("the newest is saved", || disk.saved() == Some(disk.good(Some(&exempting(92)))));
    daemon.wait_until_said("the configuration is saved for the next start again");
}
