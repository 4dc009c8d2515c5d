//! A service whose directories belong to a user of its own, as a unit with `DynamicUser=` has them, and root beside it.

use std::path::Path;

use super::support::daemon::Daemon;
use super::support::netns::{AGENT, Netns};
use super::support::ran::Ran;
use super::{BAD, BAD_MESSAGE, exempting, exempts};

/// A directory that only root could have made, on a file system of its own, with one each for the state and for the record that
/// belong to another user; then a program.
const PLACE: &str = "mount -t tmpfs -o mode=0755 none /mnt && mkdir -m 0700 /mnt/state && mkdir -m 0755 /mnt/run \
                     && chown 61234:61234 /mnt/state /mnt/run && exec \"$@\"";

/// To be that user, with the one capability.
const AS_USER: [&str; 6] = [
    "setpriv",
    "--reuid=61234",
    "--regid=61234",
    "--clear-groups",
    "--inh-caps=+net_admin",
    "--ambient-caps=+net_admin",
];

const IN_PLACE: [&str; 6] = ["unshare", "--mount", "sh", "-c", PLACE, "sh"];

/// Runs a script of the shell in such a place, in which `$user` is the beginning of a command as the user.
fn in_place(netns: &Netns, script: &str) -> Ran {
    let script = format!(
        "set -u; agent={AGENT}; user='{}'; flags='--state-dir=/mnt/state --runtime-dir=/mnt/run --config=/mnt/config'; {script}",
        AS_USER.join(" ")
    );
    let command = [&IN_PLACE[1..], &["sh", "-c", &script]].concat();
    netns.try_run(IN_PLACE[0], &command, "")
}

#[test]
fn what_root_saves_beside_a_service_the_service_reads_and_the_reverse() {
    let Some(netns) = Netns::new("service-user") else { return };
    let files = |text: &str| format!("printf '%s' '{text}' >/mnt/config; chmod 0644 /mnt/config; ");
    for (first, second) in [("", "$user"), ("$user", "")] {
        let script = [
            files(&exempting(7)),
            format!("{first} $agent apply $flags --enable-ipv6 || exit 90; "),
            "stat -c 'owner %u mode %a' /mnt/state/last-known-good; $agent cleanup $flags; ".to_owned(),
            files(BAD),
            format!("{second} $agent apply $flags --enable-ipv6; status=$?; ls /mnt/state; exit $status"),
        ];
        let ran = in_place(&netns, &script.concat());
        let words = ran.ended_with(3);
        assert!(words.stderr.contains(BAD_MESSAGE), "{}", words.stderr);
        assert!(words.stdout.contains("owner 61234 mode 600\n"), "{}", words.stdout);
        assert!(words.stdout.ends_with("last-known-good\n"), "nothing is set aside: {}", words.stdout);
        assert!(exempts(&netns, 7), "first {first:?}, second {second:?}: the last valid configuration is in force");
        netns.agent("cleanup --runtime-dir /nowhere", "").ended_with(0);
    }
}

#[test]
fn root_does_not_believe_what_anybody_could_have_put_there() {
    let Some(netns) = Netns::new("anybody") else { return };
    let script = format!(
        "chmod 1777 /mnt; printf '%s' '{}' >/mnt/config; chmod 0644 /mnt/config; $user $agent apply $flags --enable-ipv6 || exit 90; \
         $agent cleanup $flags; printf '%s' '{BAD}' >/mnt/config; $agent apply $flags --enable-ipv6",
        exempting(7)
    );
    let words = in_place(&netns, &script).ended_with(3);
    assert!(words.stderr.contains("/mnt/state belongs to user 61234, but is trusted only if"), "{}", words.stderr);
    assert!(!exempts(&netns, 7));
}

#[test]
fn root_takes_the_flags_of_an_agent_that_runs_as_the_user_of_a_service() {
    let Some(netns) = Netns::new("record") else { return };
    let starter = [&IN_PLACE[..], &AS_USER[..], &[AGENT]].concat();
    let flags = ["--runtime-dir=/mnt/run", "--masq-chain=SERVICE"];
    let mut daemon = Daemon::start_by(&netns, &starter, Path::new("/mnt/none"), &flags);
    let pid = daemon.pid().to_string();
    let ask = ["--target", &pid, "--mount", AGENT, "explain", "10.1.2.3", "--runtime-dir=/mnt/run"];
    let mut said = String::new();
    daemon.wait_until("root takes its flags", || {
        said = netns.try_run("nsenter", &ask, "").stderr;
        said.contains("--masq-chain=SERVICE")
    });
    assert!(!said.contains("is not believed"), "{said}");
}
