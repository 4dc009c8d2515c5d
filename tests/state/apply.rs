//! `apply --state-dir`: the rules before the network is up, and what scripts see of it.

use std::fs;

use crate::support::generation::generation;
use crate::support::netns::{AGENT, Netns};
use crate::support::ran::Ran;
use crate::{BACKENDS, BAD, BAD_MESSAGE, BY_DEFAULT, Disk, exempting, exempts, rules, text};

/// A node before its network is up: no interface but a loopback that is down.
fn before_the_network() -> Option<Netns> {
    let netns = Netns::new("early")?;
    netns.run("ip link set lo down");
    assert_eq!(netns.run("ip -o link show up"), "");
    Some(netns)
}

fn apply(netns: &Netns, disk: &Disk, flags: &[&str]) -> Ran {
    let (config, state) = (disk.config(), disk.state());
    let arguments = [&["apply", "--config", text(&config), "--state-dir", text(&state)], flags].concat();
    netns.try_run(AGENT, &arguments, "")
}

#[test]
fn before_the_network_is_up_a_valid_file_is_applied_and_saved() {
    for flags in BACKENDS {
        let disk = Disk::new();
        let Some(netns) = before_the_network() else { return };
        disk.write(&exempting(91));
        apply(&netns, &disk, flags).ended_with(0);
        assert!(exempts(&netns, 91), "{}", rules(&netns));
        assert_eq!(disk.saved(), Some(disk.good(Some(&exempting(91)))));
        let (written, before) = (fs::metadata(disk.state_file()).unwrap().modified().unwrap(), generation(&netns));
        apply(&netns, &disk, flags).ended_with(0);
        assert_eq!(fs::metadata(disk.state_file()).unwrap().modified().unwrap(), written, "not written again");
        assert_eq!(generation(&netns), before);
    }
}

#[test]
fn before_the_network_is_up_a_file_that_is_bad_or_not_there_yet_is_replaced_by_the_last_valid_one_with_status_3() {
    for flags in BACKENDS {
        for (config, said) in [(Some(BAD), BAD_MESSAGE), (None, "came from it; bring it back")] {
            let disk = Disk::new();
            let Some(netns) = before_the_network() else { return };
            disk.save(Some(&exempting(91)));
            if let Some(config) = config {
                disk.write(config);
            }
            let planned = apply(&netns, &disk, &[flags, &["--dry-run"]].concat()).ended_with(3);
            assert_eq!(
                (netns.run("nft list ruleset"), disk.names()),
                (String::new(), vec!["last-known-good".to_owned()])
            );
            let ran = apply(&netns, &disk, flags).ended_with(3);
            assert!(exempts(&netns, 91), "{}", rules(&netns));
            assert!(planned.stdout.starts_with("+ ") && ran.stdout.starts_with(&planned.stdout), "{planned:?} {ran:?}");
            for words in [said, "in force: the last valid configuration of before the start"] {
                assert!(ran.stderr.contains(words), "{words:?}: {}", ran.stderr);
            }
            assert_eq!(disk.saved(), Some(disk.good(Some(&exempting(91)))));

            // The agent's own rules stand now, so the next one leaves them alone, and prints none.
            disk.save(Some(&exempting(92)));
            let before = generation(&netns);
            let ran = apply(&netns, &disk, &[flags, &["--print-rules"]].concat()).ended_with(3);
            assert_eq!((generation(&netns), ran.stdout.as_str()), (before, ""));
            assert!(ran.stderr.contains("in force: the rules that stood in the kernel at the start"), "{}", ran.stderr);
            assert!(exempts(&netns, 91), "{}", rules(&netns));
        }
    }
}

#[test]
fn without_a_last_valid_configuration_a_bad_file_changes_nothing_and_a_missing_one_means_the_defaults() {
    for keep in [None, Some("damaged")] {
        let disk = Disk::new();
        let Some(netns) = Netns::new("nothing") else { return };
        if let Some(content) = keep {
            fs::create_dir_all(disk.state()).unwrap();
            fs::write(disk.state_file(), content).unwrap();
        }
        disk.write(BAD);
        for dry in [&["--dry-run"][..], &[]] {
            let ran = apply(&netns, &disk, dry).ended_with(3);
            assert!(ran.stderr.contains("; nothing was changed"), "{}", ran.stderr);
            assert_eq!((netns.run("nft list ruleset").as_str(), ran.stdout.as_str()), ("", ""));
            let aside = disk.state().join("last-known-good.corrupt-1").exists();
            assert_eq!(aside, keep.is_some() && dry.is_empty(), "a dry run leaves it where it is");
        }
        fs::remove_file(disk.config()).unwrap();
        apply(&netns, &disk, &[]).ended_with(0);
        assert!(rules(&netns).contains(BY_DEFAULT), "{}", rules(&netns));
        assert_eq!(disk.saved(), Some(disk.good(None)));
        // That there was none is saved too, so none is missed, and a bad one has something to fall back on.
        apply(&netns, &disk, &[]).ended_with(0);
        disk.write(BAD);
        apply(&netns, &disk, &[]).ended_with(3);
        assert!(rules(&netns).contains(BY_DEFAULT), "{}", rules(&netns));
    }
}

#[test]
fn a_last_valid_configuration_that_the_flags_of_now_do_not_allow_changes_nothing() {
    let disk = Disk::new();
    let Some(netns) = Netns::new("flags") else { return };
    disk.save(Some(&exempting(91)));
    for config in [None, Some(BAD)] {
        if let Some(config) = config {
            disk.write(config);
        }
        let ran = apply(&netns, &disk, &[]).ended_with(3);
        for words in ["cannot be used with the flags of now", "--enable-ipv6", "; nothing was changed"] {
            assert!(ran.stderr.contains(words), "{words:?}: {}", ran.stderr);
        }
        assert_eq!((netns.run("nft list ruleset"), disk.names()), (String::new(), vec!["last-known-good".to_owned()]));
    }
}

#[test]
fn in_the_sandbox_nothing_is_saved() {
    let disk = Disk::new();
    let Some(netns) = Netns::new("sandbox") else { return };
    disk.write(&exempting(91));
    let ran = apply(&netns, &disk, &["--sandbox", "--enable-ipv6"]).ended_with(0);
    assert!(ran.stderr.contains("--state-dir has no effect in the sandbox"), "{}", ran.stderr);
    assert!(!disk.state().exists());
}
