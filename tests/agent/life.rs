//! The agent as a service: when it says that it is ready, what wakes it, and how it ends.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use ip_masq_agent::net::Family;
use nix::sys::signal::Signal;

use crate::support::daemon::Daemon;
use crate::support::files::ConfigMap;
use crate::support::native::Tables;
use crate::support::netns::{AGENT, Netns};
use crate::support::tables::saved;
use crate::support::{DEADLINE, wait_until};

const IN_FORCE: &str = "were changed and read back";

fn exempting(range: &str) -> String {
    format!("nonMasqueradeCIDRs: [{range}]\nresyncInterval: 1h\n")
}

/// How often each thread has gone to sleep, by the thread's name.
fn sleeps(daemon: &Daemon) -> BTreeMap<String, u64> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let of = |task: io::Result<fs::DirEntry>| {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let field = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned();
        (field("Name:"), field("voluntary_ctxt_switches:").parse().unwrap())
    };
    tasks.map(of).collect()
}

#[test]
fn idle_for_a_minute_it_wakes_for_its_resync_and_for_nothing_else() {
    std::thread::scope(|scope| {
        for watch_rules in ["notify", "off"] {
            scope.spawn(|| idles_for_a_minute(watch_rules));
        }
    });
}

fn idles_for_a_minute(watch_rules: &str) {
    const MINUTE: Duration = Duration::from_secs(60);
    let Some(netns) = Netns::new("idle") else { return };
    let config = netns.write("config", "nonMasqueradeCIDRs: [10.91.0.0/16]\n");
    // With mounts of its own, because those that other tests make and take away wake it too.
    let alone = "umount --recursive --lazy /run/netns && exec \"$0\" \"$@\"";
    let starter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", alone, AGENT];
    let mut daemon = Daemon::start_by(&netns, &starter, &config, &["-v=4", "--watch-rules", watch_rules]);
    daemon.wait_until_said(IN_FORCE);
    // It has gone to sleep for good once all threads have slept through the time between two looks.
    let mut before = BTreeMap::new();
    wait_until(DEADLINE, "the agent is idle", || std::mem::replace(&mut before, sleeps(&daemon)) == before);
    let began = Instant::now();
    wait_until(MINUTE * 2, "a minute has passed", || began.elapsed() > MINUTE);
    daemon.wait_until_said("Tick");
    let mut after = BTreeMap::new();
    wait_until(DEADLINE, "the agent is idle", || std::mem::replace(&mut after, sleeps(&daemon)) == after);
    let woken = |name: &str| {
        let name = before.keys().find(|known| known.starts_with(name)).unwrap_or_else(|| panic!("{name}: {before:?}"));
        after[name] - before[name]
    };
    assert_eq!(daemon.log().matches("Tick").count(), 1, "{}", daemon.log());
    assert_eq!(woken("ip-masq-agent"), 1, "{before:?} {after:?}");
    assert_eq!(woken("signals"), 0, "{before:?} {after:?}");
    // It is asked to look at the file.
    assert_eq!(woken("file"), 1, "{before:?} {after:?}");
    assert!(woken("log") <= daemon.log().lines().count() as u64, "{before:?} {after:?}");
    assert_eq!(before.len(), 4, "{before:?}");
}

#[test]
fn many_changes_of_the_file_at_once_are_read_at_first_and_at_last() {
    let Some(netns) = Netns::new("burst") else { return };
    let map = ConfigMap::create(netns.scratch().join("volume"), &exempting("10.0.0.0/16"));
    let mut daemon = Daemon::start(&netns, &map.file(), &["-v=4"]);
    daemon.wait_until_said(IN_FORCE);
    let begin = Instant::now();
    for number in 1..=5 {
        map.update(&format!("..{number}"), &exempting(&format!("10.{number}.0.0/16")));
    }
    let bursts = begin.elapsed().as_millis() / 5 + 1;
    daemon.wait_until_said("+ ip nat -A IP-MASQ-AGENT -d 10.5.0.0/16");
    // Whatever is still to come of the burst comes before this.
    daemon.signal(Signal::SIGHUP);
    daemon.wait_until_said("Reload");
    let reads = daemon.log().matches("ConfigChanged").count();
    assert!(reads <= 2 * usize::try_from(bursts).unwrap(), "{reads} reads:\n{}", daemon.log());
    assert!(saved(&netns, Family::Ipv4).iter().any(|line| line.contains("10.5.0.0/16")));
}

#[test]
fn rules_of_another_version_are_replaced_without_a_flush() {
    for (backend, table) in [
        (
            "nft-compat",
            "table ip nat {
                chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept; counter jump IP-MASQ-AGENT; }
                chain IP-MASQ-AGENT { ip daddr 10.0.0.0/8 return; ip daddr 172.16.0.0/12 counter accept; masquerade random; }
            }",
        ),
        (
            "nft",
            "table ip ip-masq-agent {
                map verdicts { type ipv4_addr : verdict; flags interval; elements = { 10.0.0.0/8 : return }; }
                set exempt-16 { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }
                chain first { type nat hook prerouting priority dstnat; policy accept; }
                chain IP-MASQ-AGENT { ip daddr vmap @verdicts; masquerade; }
                chain postrouting { type nat hook postrouting priority srcnat; policy accept; jump IP-MASQ-AGENT; }
            }",
        ),
        (
            "nft",
            "table ip ip-masq-agent {
                set exempt-16 { type ipv4_addr; size 64; elements = { 10.0.0.0 }; }
                chain CUSTOM { ip daddr & 255.255.0.0 @exempt-16 return; masquerade fully-random; }
                chain postrouting { type nat hook postrouting priority 105; fib daddr type != local jump CUSTOM; }
            }",
        ),
    ] {
        let Some(netns) = Netns::new("fresh") else { return };
        let config = exempting("10.91.0.0/16");
        let flags = format!("apply --backend {backend} --protect off");
        netns.agent(&flags, &config).ended_with(0);
        let expected = (Tables::of(&netns), chain(&netns));
        let Some(netns) = Netns::new("version") else { return };
        netns.nft(table);
        netns.agent(&flags, &config).ended_with(0);
        assert_eq!((Tables::of(&netns), chain(&netns)), expected, "{backend}");
    }
}

/// Our chain in iptables' table.
fn chain(netns: &Netns) -> Vec<String> {
    saved(netns, Family::Ipv4).into_iter().filter(|line| line.contains("-A IP-MASQ-AGENT")).collect()
}
