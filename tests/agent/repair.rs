//! What others do to the agent's rules is undone at once, whatever it is, without an endless conflict.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::daemon::Daemon;
use crate::support::damage::{COMPAT, Damage, NATIVE, Order};
use crate::support::generation::generation;
use crate::support::native::Tables;
use crate::support::netns::Netns;
use crate::support::tables::{FAMILIES, chains_and_rules, program, saved};

/// A resync cannot be what repairs within the deadline.
const CONFIG: &str = "nonMasqueradeCIDRs: [10.0.0.0/8, 172.16.0.0/12, fd00::/8]\nresyncInterval: 1h\n";
const REPAIRED: &str = "somebody changed our rules, and they were repaired";
/// As long as there is no more damage than this between two reloads, it is repaired at once.
const AT_ONCE: usize = 8;

/// What is in force, of both families, in the words of the tools.
fn in_force(netns: &Netns) -> (Vec<String>, Tables) {
    let shared = FAMILIES.map(|family| chains_and_rules(&saved(netns, family)).join("\n"));
    (shared.to_vec(), Tables::of(netns))
}

/// Each kind of damage, to each family in turn, is repaired, and is told as a repair.
fn all_is_repaired(backend: &str, table: &str, damages: &[Damage]) {
    let Some(netns) = Netns::new("repair") else { return };
    let config = netns.write("config", CONFIG);
    let flags = ["--backend", backend, "--protect", "off", "--enable-ipv6"];
    let mut daemon = Daemon::start(&netns, &config, &flags);
    daemon.wait_until_said("were changed and read back");
    let whole = in_force(&netns);
    let mut repairs = 0;
    for (what, tool) in damages {
        for family in FAMILIES {
            if repairs % (AT_ONCE - 1) == 0 {
                // Damage without end is repaired more and more slowly, until the operator says otherwise.
                daemon.signal(Signal::SIGHUP);
            }
            Order::prepare(&netns, family, table, *tool).expect(what).run(&netns).ended_with(0);
            repairs += 1;
            daemon.wait_until_said_times(REPAIRED, repairs);
            let now = in_force(&netns);
            assert_eq!(now, whole, "{backend}, {family:?}: {what}");
        }
    }
}

#[test]
fn whatever_somebody_does_to_the_rules_in_iptables_table_is_undone_at_once() {
    all_is_repaired("nft-compat", "nat", &COMPAT);
}

#[test]
fn whatever_somebody_does_to_tables_of_our_own_is_undone_at_once() {
    all_is_repaired("nft", "ip-masq-agent", &NATIVE);
}

#[test]
fn a_jump_that_is_doubled_or_moved_goes_back_behind_the_rules_of_others() {
    let Some(netns) = Netns::new("moved") else { return };
    for family in FAMILIES {
        netns
            .try_run(&program(family, ""), &["-t", "nat", "-A", "POSTROUTING", "-p", "tcp", "-j", "ACCEPT"], "")
            .ended_with(0);
    }
    let config = netns.write("config", CONFIG);
    let mut daemon = Daemon::start(&netns, &config, &["--backend", "nft-compat", "--enable-ipv6"]);
    daemon.wait_until_said("were changed and read back");
    for family in FAMILIES {
        // A foreign jump was added later, after ours.
        netns
            .try_run(&program(family, ""), &["-t", "nat", "-A", "POSTROUTING", "-p", "udp", "-j", "ACCEPT"], "")
            .ended_with(0);
    }
    // That is not damage, and has been seen once damage that came after it is repaired.
    netns.run("iptables-nft -t nat -F IP-MASQ-AGENT");
    daemon.wait_until_said(REPAIRED);
    let whole = in_force(&netns);
    let mut repairs = 1;
    for family in FAMILIES {
        let lines = saved(&netns, family);
        let jump = lines.iter().find(|line| line.ends_with("-j IP-MASQ-AGENT")).expect("our jump");
        for text in [
            format!("*nat\n{jump}\nCOMMIT\n"),
            format!("*nat\n{}\n{}\nCOMMIT\n", jump.replacen("-A", "-D", 1), jump.replacen("-A", "-I", 1)),
        ] {
            netns.try_run(&program(family, "-restore"), &["--noflush"], &text).ended_with(0);
            repairs += 1;
            daemon.wait_until_said_times(REPAIRED, repairs);
            assert_eq!(in_force(&netns), whole, "{family:?}: {text}");
        }
    }
}

#[test]
fn commits_that_touch_nothing_of_ours_lead_to_no_write() {
    let Some(netns) = Netns::new("others") else { return };
    let config = netns.write("config", CONFIG);
    let mut daemon = Daemon::start(&netns, &config, &["--backend", "nft-compat", "--enable-ipv6", "-v=4"]);
    daemon.wait_until_said("were changed and read back");
    let mut commits = 0;
    let before = generation(&netns);
    for text in [
        "table inet filter { chain c { type filter hook input priority 0; }; }",
        "add rule inet filter c accept",
        "add chain ip nat OTHERS\nadd rule ip nat POSTROUTING counter jump OTHERS",
        "delete table inet filter",
    ] {
        netns.nft(text);
        commits += 1;
        daemon.wait_until_said_times("the rules are as they shall be", commits);
        assert_eq!(generation(&netns) as usize, before as usize + commits, "{text}: only that was committed");
    }
    assert!(!daemon.log().contains(REPAIRED), "{}", daemon.log());
}

#[test]
fn two_agents_that_undo_each_other_name_each_other_and_slow_down() {
    let Some(netns) = Netns::new("quarrel") else { return };
    let config = netns.write("config", CONFIG);
    let agents = ["ONE", "TWO"].map(|chain| {
        Daemon::start(&netns, &config, &["--backend", "nft-compat", "--enable-ipv6", "--masq-chain", chain])
    });
    let began = Instant::now();
    for mut agent in agents {
        agent.wait_until_said("Repairs wait from now on");
        let log = agent.log();
        let warning = log.lines().find(|line| line.contains("Repairs wait")).expect("it was just said");
        assert!(warning.contains("before that committed: ip-masq-agent (pid "), "{warning}");
        agent.wait_until_said_times(REPAIRED, 12);
        // 100, 200 and 400 ms after the ninth, tenth and eleventh.
        assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
        assert_eq!(agent.log().matches("Repairs wait").count(), 1, "{}", agent.log());
        // From then on the changes are not listed again and again.
        let log = agent.log();
        let (_, after) = log.split_once("Repairs wait").expect("it was said");
        assert!(!after.contains("  + ip nat"), "{after}");
    }
}

#[test]
fn without_end_undone_rules_are_repaired_once_more_when_the_operator_asks() {
    let Some(netns) = Netns::new("asked") else { return };
    let config = netns.write("config", CONFIG);
    let mut daemon = Daemon::start(&netns, &config, &["--backend", "nft", "--protect", "off", "--enable-ipv6"]);
    daemon.wait_until_said("were changed and read back");
    let mut repairs = 0;
    for _ in 0..=AT_ONCE {
        assert!(!daemon.log().contains("Repairs wait"), "{}", daemon.log());
        netns.nft("flush ruleset");
        repairs += 1;
        daemon.wait_until_said_times(REPAIRED, repairs);
    }
    daemon.wait_until_said("Repairs wait");
    assert!(daemon.log().contains("before that committed: nft (pid "), "{}", daemon.log());
    // Far longer pauses than the deadline of the test, if it went on.
    for _ in 0..AT_ONCE {
        daemon.signal(Signal::SIGHUP);
        netns.nft("flush ruleset");
        repairs += 1;
        daemon.wait_until_said_times(REPAIRED, repairs);
    }
}
