//! Verbs beside a running agent: they know of it, and go by its flags and its file.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use ip_masq_agent::net::Family;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_WRLCK, SEEK_SET, flock};
use nix::sys::signal::Signal;

use crate::support::daemon::Daemon;
use crate::support::netns::{AGENT, Netns};
use crate::support::ran::Ran;
use crate::support::tables::saved;

const CONFIG: &str = "nonMasqueradeCIDRs: [198.51.100.0/24]\nresyncInterval: 1h\n";
/// What `explain` says of an address of that range.
const KEPT: &str = "kept: 198.51.100.1 ";
const MASQUERADED: &str = "masqueraded: 198.51.100.1 ";

/// Runs a verb in the namespace, with a directory for records.
fn verb(netns: &Netns, dir: &Path, line: &str) -> Ran {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    words.extend(["--runtime-dir", dir.to_str().unwrap()]);
    netns.try_run(AGENT, &words, "")
}

/// An agent with flags of its own that has left its record.
fn agent(netns: &Netns, flags: &[&str]) -> (Daemon, PathBuf) {
    let dir = netns.scratch().join("run");
    let config = netns.write("config", CONFIG);
    let mut daemon = Daemon::start(netns, &config, flags);
    daemon.wait_until_said("were changed and read back");
    daemon.wait_until("the record is there", || {
        fs::read_dir(&dir).is_ok_and(|mut files| {
            files.any(|file| fs::read_to_string(file.unwrap().path()).is_ok_and(|text| text.ends_with('}')))
        })
    });
    (daemon, dir)
}

fn chain_stands(netns: &Netns, chain: &str) -> bool {
    saved(netns, Family::Ipv4).iter().any(|line| line.starts_with("-A POSTROUTING") && line.ends_with(chain))
}

#[test]
fn apply_explain_and_cleanup_say_that_an_agent_runs_and_take_its_flags_where_none_are_given() {
    let Some(netns) = Netns::new("beside") else { return };
    let (mut daemon, dir) = agent(&netns, &["--masq-chain", "EGRESS", "--backend=nft-compat", "-v=4"]);
    let config = netns.scratch().join("config");
    let running = format!("an agent is running here (pid {})", daemon.pid());
    let taken = format!(
        "taken from the running agent (pid {}): --config={} --masq-chain=EGRESS --backend=nft-compat",
        daemon.pid(),
        config.display()
    );
    let ran = verb(&netns, &dir, "explain 198.51.100.1").ended_with(0);
    assert!(ran.stdout.starts_with(KEPT) && ran.stdout.contains("chain EGRESS"), "{ran:?}");
    assert_eq!(ran.stderr, format!("{running}, on {}\n{taken}\n", config.display()));

    let ran = verb(&netns, &dir, "explain 198.51.100.1 --masq-chain OTHER").ended_with(0);
    assert!(ran.stdout.starts_with(KEPT) && ran.stdout.contains("chain OTHER"), "what is given counts: {ran:?}");

    let ran = verb(&netns, &dir, "apply").ended_with(0);
    assert!(ran.stderr.contains(&taken) && ran.stderr.contains("in force already"), "{ran:?}");

    let ran = verb(&netns, &dir, "cleanup").ended_with(0);
    assert!(ran.stderr.contains(&format!("warning: {running}: it repairs its rules, so they come back")), "{ran:?}");
    assert!(ran.stdout.contains("EGRESS"), "{ran:?}");
    daemon.wait_until("the rules have come back", || chain_stands(&netns, "EGRESS"));

    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
    let ran = verb(&netns, &dir, "cleanup --masq-chain EGRESS").ended_with(0);
    assert!(!ran.stderr.contains("agent is running"), "{ran:?}");
    assert!(!chain_stands(&netns, "EGRESS"));
}

#[test]
fn what_a_killed_agent_or_one_of_another_namespace_left_does_not_count() {
    let (Some(netns), Some(other)) = (Netns::new("here"), Netns::new("there")) else { return };
    let (mut daemon, dir) = agent(&netns, &[]);
    let elsewhere = verb(&other, &dir, "explain 198.51.100.1").ended_with(0);
    assert!(elsewhere.stdout.starts_with(MASQUERADED) && !elsewhere.stderr.contains("an agent"), "{elsewhere:?}");
    assert!(verb(&netns, &dir, "explain 198.51.100.1").stdout().starts_with(KEPT));
    daemon.signal(Signal::SIGKILL);
    assert_eq!(daemon.ended(), None);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "it has left its record");
    let ran = verb(&netns, &dir, "explain 198.51.100.1").ended_with(0);
    assert!(ran.stdout.starts_with(MASQUERADED) && !ran.stderr.contains("an agent"), "{ran:?}");
}

#[test]
fn an_agent_that_starts_while_another_runs_leaves_its_record_when_that_ends() {
    let Some(netns) = Netns::new("two") else { return };
    let (mut first, dir) = agent(&netns, &["--masq-chain=ONE"]);
    let config = netns.scratch().join("config");
    let mut second = Daemon::start(&netns, &config, &["--masq-chain=ONE", "--conntrack=fix"]);
    second.wait_until_said("is valid and in force");
    let pid = |daemon: &Daemon| format!("(pid {})", daemon.pid());
    assert!(verb(&netns, &dir, "explain ::1").stderr.contains(&pid(&first)));
    first.signal(Signal::SIGTERM);
    assert_eq!(first.ended(), Some(0));
    let second_pid = pid(&second);
    second.wait_until("its record is there", || verb(&netns, &dir, "explain ::1").stderr.contains(&second_pid));
}

#[test]
fn a_record_that_somebody_else_could_have_written_is_not_obeyed_and_is_told() {
    let Some(netns) = Netns::new("planted") else { return };
    let dir = netns.scratch().join("run");
    fs::create_dir(&dir).unwrap();
    let namespace = fs::metadata(Path::new("/run/netns").join(netns.name())).unwrap().ino();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let path = dir.join(format!("netns-{namespace}"));
    let config = netns.write("config", CONFIG);
    let record = |namespace: u64| {
        serde_json::json!({
            "pid": 1, "flags": [format!("--config={}", config.display())], "config": config,
            "namespace": namespace, "boot": boot.trim(),
        })
    };
    // Owner and mode of the directory and of the file, whether the lock is held, and what the verb says about it.
    let (obeyed, told, ignored) = ((KEPT, "taken from"), (MASQUERADED, "is not believed"), (MASQUERADED, ""));
    for (of_dir, of_file, held, namespace, (answer, said)) in [
        ((0, 0o755), (0, 0o644), true, namespace, obeyed),
        ((0, 0o755), (0, 0o644), false, namespace, ignored),
        ((0, 0o755), (0, 0o644), true, namespace + 1, ignored),
        ((0, 0o755), (1000, 0o644), true, namespace, told),
        ((0, 0o755), (0, 0o666), true, namespace, told),
        ((0, 0o1777), (0, 0o644), true, namespace, told),
        ((1000, 0o755), (0, 0o644), true, namespace, told),
        ((0, 0o755), (1000, 0o644), false, namespace, ignored),
    ] {
        // A new file each time: a program that another test starts holds this one's lock until it is executed.
        let _ = fs::remove_file(&path);
        fs::write(&path, record(namespace).to_string()).unwrap();
        for (path, (owner, mode)) in [(&dir, of_dir), (&path, of_file)] {
            chown(path, Some(owner), None).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let file = File::options().write(true).open(&path).unwrap();
        if held {
            let whence = i16::try_from(SEEK_SET).unwrap();
            let lock =
                flock { l_type: i16::try_from(F_WRLCK).unwrap(), l_whence: whence, l_start: 0, l_len: 0, l_pid: 0 };
            fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
        }
        let ran = verb(&netns, &dir, "explain 198.51.100.1").ended_with(0);
        assert!(ran.stdout.starts_with(answer), "{of_dir:?} {of_file:?} {held}: {ran:?}");
        assert!(ran.stderr.contains(said), "{of_dir:?} {of_file:?} {held}: {ran:?}");
        assert_eq!(ran.stderr.contains("an agent"), !said.is_empty(), "{of_dir:?} {of_file:?} {held}: {ran:?}");
    }
}

#[test]
fn without_a_directory_for_its_record_an_agent_does_all_the_same_and_its_protected_tables_tell_of_it() {
    let Some(netns) = Netns::new("nowhere") else { return };
    let config = netns.write("config", CONFIG);
    let nowhere = Path::new("/proc/self/nowhere");
    let flags = ["--runtime-dir", nowhere.to_str().unwrap(), "--backend=nft", "--protect=on", "-v=4"];
    let mut daemon = Daemon::start(&netns, &config, &flags);
    daemon.wait_until_said("were changed and read back");
    daemon.wait_until_said("no record of this agent in /proc/self/nowhere");
    let ran = verb(&netns, nowhere, "explain 198.51.100.1").ended_with(0);
    let told = "an agent (or another program) owns table ip ip-masq-agent";
    assert!(ran.stdout.starts_with(MASQUERADED) && ran.stderr.contains(told), "{ran:?}");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
}
