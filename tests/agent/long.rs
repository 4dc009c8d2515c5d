//! Others who commit all the time do not keep the agent from its own long list.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ip_masq_agent::backend::nftables::{Action, Change, Handle, ObservedRule, Unrecognised};
use ip_masq_agent::net::Family;
use ip_masq_agent::netlink::{Connection, NetlinkFamily};
use ip_masq_agent::rules::{Rule, TableId, Verdict};

use crate::support::daemon::Daemon;
use crate::support::netns::Netns;
use crate::support::tables::saved;
use crate::support::{DEADLINE, StopOnDrop, wait_until};

/// In iptables' table each is a rule. The kernel and a debug build take far longer to list them than there is between two
/// commits of others.
const RANGES: u32 = 10_000;
const CHAIN: &str = "IP-MASQ-AGENT";
const BETWEEN_COMMITS: Duration = Duration::from_millis(100);
const REPAIRED: &str = "somebody changed our rules, and they were repaired";
/// A debug build on a busy machine; a release build was seen to take 20 ms.
const SOON: Duration = Duration::from_secs(2);

/// Ten times a second another program changes foreign objects.
fn others_commit(netns: &Netns, stop: &AtomicBool) {
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        next += BETWEEN_COMMITS;
        wait_until(DEADLINE, "the next commit of others is due", || Instant::now() >= next);
        netns.nft("add table inet others\nadd chain inet others c\ndelete table inet others");
    }
}

/// Changes our chain. `nft` would list it first, and would itself be starved by the other commits.
fn commit(netns: &Netns, actions: &[Action]) {
    netns.inside(|| {
        let mut connection = Connection::open(NetlinkFamily::Netfilter).unwrap();
        let mut transaction = connection.begin(None);
        let table = TableId::nat(Family::Ipv4);
        for action in actions {
            transaction.push(&Change { table, action: action.clone() });
        }
        connection.commit(&transaction.seal().unwrap()).unwrap();
    });
}

/// The handles of the rules of our chain.
fn handles(netns: &Netns) -> Vec<String> {
    let listed = netns.run("nft -a list chain ip nat IP-MASQ-AGENT");
    let rules = listed.lines().filter(|line| line.trim_start().starts_with("ip daddr "));
    rules.filter_map(|rule| rule.rsplit_once("# handle ")).map(|(_, handle)| handle.to_owned()).collect()
}

#[test]
fn a_lost_jump_and_a_changed_rule_of_a_long_list_are_repaired_while_others_commit_ten_times_a_second() {
    let Some(netns) = Netns::new("long") else { return };
    let ranges: Vec<String> =
        (0..RANGES).map(|index| format!("{}/28", Ipv4Addr::from((11 << 24) + (index << 6)))).collect();
    let ranges = ranges.join(", ");
    let config =
        netns.write("config", &format!("nonMasqueradeCIDRs: [{ranges}]\ncidrLimit: 100000\nresyncInterval: 1h\n"));
    let mut daemon = Daemon::start(&netns, &config, &["--backend", "nft-compat", "-v=4"]);
    daemon.wait_until_said("were changed and read back");
    let whole = saved(&netns, Family::Ipv4);
    let handles = handles(&netns);
    assert!(handles.len() >= RANGES as usize, "{}", handles.len());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| others_commit(&netns, &stop));
        let _stopped = StopOnDrop(&stop);
        let mut repairs = 0;
        let mut repaired = |damage: &str, damaging: &dyn Fn(), within: Duration| {
            damaging();
            let began = Instant::now();
            repairs += 1;
            wait_until(within, damage, || daemon.log().matches(REPAIRED).count() >= repairs);
            let took = began.elapsed();
            println!("{damage}: repaired after {took:?}");
        };
        let flush = || netns.nft("flush chain ip nat POSTROUTING");
        for _ in 0..4 {
            repaired("the jump is lost", &flush, SOON);
        }
        let delete = |at: usize| Action::Delete {
            chain: CHAIN.to_owned(),
            was: ObservedRule { handle: Handle(handles[at].parse().unwrap()), rule: Err(Unrecognised(String::new())) },
        };
        let other = |before: usize| Action::Insert {
            chain: CHAIN.to_owned(),
            rule: Rule::new(Vec::new(), None, Verdict::Return),
            before: Handle(handles[before].parse().unwrap()),
        };
        repaired("a rule in the middle is deleted", &|| commit(&netns, &[delete(handles.len() / 2)]), DEADLINE);
        // As long as before: nothing but reading it shows that.
        let third = handles.len() / 3;
        let replace = || commit(&netns, &[delete(third), other(third + 1)]);
        repaired("a rule gives way to another", &replace, DEADLINE * 3);
        repaired("the jump is lost again", &flush, SOON);
    });
    assert!(saved(&netns, Family::Ipv4) == whole, "something else is in force than before");
}
