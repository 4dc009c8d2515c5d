//! State files that another user could have written are not applied.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;

use crate::support::daemon::Daemon;
use crate::support::netns::Netns;
use crate::{BAD, BY_DEFAULT, Disk, exempting, rules, text};

/// A user who is neither root nor the agent.
const SOMEBODY: Option<u32> = Some(65_534);

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// How a state file can come to be another's, and what is said of it.
type Planting = (&'static str, fn(&Disk), &'static str);

const PLANTINGS: [Planting; 6] = [
    ("the file is another's", |disk| chown(disk.state_file(), SOMEBODY, None).unwrap(), "belongs to user 65534, but"),
    ("the directory is another's", |disk| chown(disk.state(), SOMEBODY, None).unwrap(), "belongs to user 65534, but"),
    (
        "all may write the file",
        |disk| chmod(&disk.state_file(), 0o666),
        "can be written by others than its owner (mode 0666)",
    ),
    (
        "a group may write the file",
        |disk| chmod(&disk.state_file(), 0o620),
        "than its owner (mode 0620), and is not trusted; `chmod go-w`",
    ),
    (
        "all may write the directory",
        |disk| chmod(&disk.state(), 0o777),
        "than its owner (mode 0777), and is not trusted; `chmod go-w`",
    ),
    (
        "another's link, where all may put one",
        |disk| {
            let elsewhere = disk.state().join("elsewhere");
            fs::rename(disk.state_file(), &elsewhere).unwrap();
            symlink(elsewhere, disk.state_file()).unwrap();
            chmod(&disk.state(), 0o1777);
            lchown(disk.state_file(), SOMEBODY, None).unwrap();
        },
        "belongs to user 65534, but",
    ),
];

#[test]
fn a_state_file_that_another_user_could_have_written_is_told_of_set_aside_and_not_obeyed() {
    for (what, plant, said) in PLANTINGS {
        let disk = Disk::new();
        let Some(netns) = Netns::new("planted") else { return };
        disk.save(Some("nonMasqueradeCIDRs: [10.91.0.0/16]\n"));
        plant(&disk);
        disk.write(BAD);
        let config = disk.config();
        let state = format!("--state-dir={}", text(&disk.state()));
        let looked =
            netns.try_run(crate::support::netns::AGENT, &["apply", "--dry-run", "--config", text(&config), &state], "");
        assert!(looked.ended_with(3).stderr.contains(said), "{what}");

        let mut daemon = Daemon::start(&netns, &config, &[&state]);
        daemon.wait_until("the defaults hold", || rules(&netns).contains(BY_DEFAULT));
        daemon.wait_until_said(said);
        let aside = disk.state().join("last-known-good.untrusted-1");
        daemon.wait_until_said(&format!("it was renamed to {}", aside.display()));
        assert!(aside.symlink_metadata().is_ok(), "{what}");
        assert!(!rules(&netns).contains("10.91.0.0"), "{what}: {}", rules(&netns));
    }
}

#[test]
fn a_directory_of_all_where_each_may_only_remove_what_is_his_is_trusted() {
    let disk = Disk::new();
    let Some(netns) = Netns::new("sticky") else { return };
    disk.save(Some(&exempting(91)));
    chmod(&disk.state(), 0o1777);
    disk.write(BAD);
    let state = format!("--state-dir={}", text(&disk.state()));
    let mut daemon = Daemon::start(&netns, &disk.config(), &["--enable-ipv6", &state]);
    daemon.wait_until("the last valid configuration holds", || rules(&netns).contains("10.91.0.0"));
}
