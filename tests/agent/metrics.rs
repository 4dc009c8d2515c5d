//! Every metric moves when its thing happens, and what is shown is what docs/operations.md lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;

use ip_masq_agent::net::Family;
use nix::sys::signal::Signal;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::support::daemon::Daemon;
use crate::support::files::rename_over;
use crate::support::http::{ADDRESS, get};
use crate::support::metrics::{documented, parts, read};
use crate::support::probe;
use crate::support::topology::{Topology, parsed};

const CONFIG: &str = "nonMasqueradeCIDRs: [10.0.0.0/8]\nresyncInterval: 1h\n";
/// The destination of the flows is exempt, too.
const OTHER: &str = "nonMasqueradeCIDRs: [10.0.0.0/8, 11.0.0.0/8]\nresyncInterval: 30m\n";
const BROKEN: &str = "nonMasqueradeCIDRs:\n- 10.0.0.7/8\n";
const IN_THE_WAY: &str = "add table ip nat { flags dormant; }";
const MASQUERADED: &str = "11.22.33.44:9";
const KEPT: &str = "10.200.0.9:9";

/// What happens to the node, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Start,
    /// Flows from a pod, of which one kind is masqueraded, and a packet that is no packet.
    Traffic,
    /// Somebody flushes the agent's chain.
    Damage,
    /// Somebody commits what is none of the agent's.
    Commit,
    /// The file changes, so that flows do not fit any more.
    Change,
    Reload,
    Break,
    Remove,
    /// Something is in the way of the rules.
    Obstruct,
    /// It goes, and the file comes back.
    Mend,
    /// Somebody undoes the rules again and again.
    Fight,
}

/// What is seen of it.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// It is there now, and more than 0.
    Appears,
    /// It is more than before.
    Grows,
    Is(f64),
}

use Act::{Break, Commit, Damage, Fight, Obstruct, Reload, Remove, Start, Traffic};
use Change::{Appears, Grows, Is};

/// What is done, and what a metric does then: of all of its samples that have these labels, the sum.
const TABLE: &[(Act, &str, Change)] = &[
    (Start, concat!("build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), Is(1.0)),
    (Start, "backend_info{backend=\"nft-compat\",protected=\"false\"}", Is(1.0)),
    (Start, "policy_info{origin=\"file\"}", Is(1.0)),
    (Remove, "policy_info{origin=\"defaults\"}", Is(1.0)),
    (Break, "policy_info{origin=\"last_known_good\"}", Is(1.0)),
    (Start, "policy_in_force_timestamp_seconds", Appears),
    (Act::Change, "policy_in_force_timestamp_seconds", Grows),
    (Start, "policy_valid", Is(1.0)),
    (Break, "policy_valid", Is(0.0)),
    (Break, "policy_diagnostics{severity=\"error\"}", Is(1.0)),
    (Act::Change, "policy_ranges{ip_family=\"IPv4\"}", Is(2.0)),
    (Act::Change, "resync_interval_seconds", Is(1_800.0)),
    (Start, "policy_reads_total{result=\"applied\"}", Is(1.0)),
    (Break, "policy_reads_total{result=\"invalid\"}", Grows),
    (Remove, "policy_reads_total{result=\"missing\"}", Grows),
    (Reload, "policy_reads_total{result=\"unchanged\"}", Grows),
    (Start, "state{ip_masq_agent_state=\"ready\"}", Is(1.0)),
    (Break, "state{ip_masq_agent_state=\"ready\"}", Is(0.0)),
    (Break, "state{ip_masq_agent_state=\"degraded\"}", Is(1.0)),
    (Obstruct, "state{ip_masq_agent_state=\"refused\"}", Is(1.0)),
    (Act::Mend, "state{ip_masq_agent_state=\"refused\"}", Is(0.0)),
    (Fight, "state{ip_masq_agent_state=\"contested\"}", Is(1.0)),
    (Start, "passes_total{trigger=\"start\",result=\"in_force\"}", Is(1.0)),
    (Damage, "passes_total{trigger=\"rules_changed\",result=\"repaired\"}", Grows),
    (Damage, "pass_duration_seconds_count{trigger=\"rules_changed\"}", Grows),
    (Damage, "pass_duration_seconds_sum{trigger=\"rules_changed\"}", Grows),
    (Damage, "pass_duration_seconds_bucket{trigger=\"rules_changed\",le=\"+Inf\"}", Grows),
    (Start, "last_verified_timestamp_seconds{ip_family=\"IPv4\"}", Appears),
    (Damage, "last_verified_timestamp_seconds{ip_family=\"IPv4\"}", Grows),
    (Start, "commits_total{result=\"done\"}", Is(1.0)),
    (Damage, "commits_total{result=\"done\"}", Grows),
    (Damage, "repairs_total{ip_family=\"IPv4\",object=\"rule\"}", Grows),
    (Damage, "foreign_commits_total{touched=\"true\"}", Grows),
    (Commit, "foreign_commits_total{touched=\"false\"}", Grows),
    (Damage, "repair_delay_seconds_count", Grows),
    (Damage, "repair_delay_seconds_sum", Grows),
    (Damage, "repair_delay_seconds_bucket{le=\"+Inf\"}", Grows),
    (Traffic, "new_flows_total{ip_family=\"IPv4\",verdict=\"kept\"}", Grows),
    (Traffic, "new_flows_total{ip_family=\"IPv4\",verdict=\"masqueraded\"}", Grows),
    (Traffic, "range_new_flows_total{ip_family=\"IPv4\",cidr=\"10.0.0.0/8\"}", Grows),
    (Traffic, "conntrack_entries", Grows),
    (Start, "conntrack_entries_limit", Appears),
    (Traffic, "conntrack_events_total{event=\"invalid\"}", Grows),
    (Traffic, "snat_flows{ip_family=\"IPv4\",protocol=\"udp\"}", Is(3.0)),
    (Traffic, "snat_port_saturation_ratio{ip_family=\"IPv4\",protocol=\"udp\"}", Is(0.75)),
    (Start, "snat_scans_total{result=\"done\"}", Grows),
    (Act::Change, "flows_renewed_total{result=\"exempt\"}", Is(3.0)),
    (Damage, "wakeups_total", Grows),
    (Start, "process_cpu_seconds_total", Appears),
    (Start, "process_resident_memory_bytes", Appears),
    (Start, "process_virtual_memory_bytes", Appears),
    (Start, "process_open_fds", Appears),
    (Start, "process_max_fds", Appears),
    (Start, "process_threads", Appears),
    (Start, "process_start_time_seconds", Appears),
];

const PREFIX: &str = "ip_masq_agent_";

struct Node {
    topology: Topology,
    config: PathBuf,
}

impl Node {
    fn start(&self) -> Daemon {
        let flags = [
            "--listen",
            ADDRESS,
            "--backend=nft-compat",
            "--metrics-ranges",
            "--conntrack=fix",
            "--snat-scan-interval=1s",
            "--to-ports=40000-40003",
        ];
        let mut agent = Daemon::start(&self.topology.node, &self.config, &flags);
        agent.wait_until_said("answering /livez");
        agent
    }

    fn perform(&self, act: Act, agent: &mut Daemon) {
        let node = &self.topology.node;
        match act {
            Start => {}
            Traffic => self.send(),
            Damage => node.nft("flush chain ip nat IP-MASQ-AGENT"),
            Commit => node.nft("add table inet theirs"),
            Act::Change => rename_over(&self.config, OTHER),
            Reload => agent.signal(Signal::SIGHUP),
            Break => rename_over(&self.config, BROKEN),
            Remove => fs::remove_file(&self.config).unwrap(),
            Obstruct => node.nft(IN_THE_WAY),
            Act::Mend => {
                node.nft("add table ip nat");
                rename_over(&self.config, CONFIG);
            }
            Fight => {
                let repaired = "and they were repaired";
                while !agent.log().contains("Repairs wait") {
                    let repairs = agent.log().matches(repaired).count();
                    node.nft("flush chain ip nat IP-MASQ-AGENT");
                    agent.wait_until_said_times(repaired, repairs + 1);
                }
            }
        }
    }

    fn send(&self) {
        let pod = self.topology.pod(Family::Ipv4);
        // The neighbours have to be known: few packets wait for that.
        let to = self.topology.destination(parsed("10.200.0.9"));
        probe::send(ip_masq_agent::net::Protocol::Udp, pod, to);
        self.topology.pod.inside(|| {
            for to in [MASQUERADED, MASQUERADED, MASQUERADED, KEPT] {
                UdpSocket::bind((pod.address, 0)).unwrap().send_to(b"x", to).unwrap();
            }
        });
        self.topology.node.inside(|| {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).unwrap();
            let nobody: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
            socket.send_to(b"shor", &SockAddr::from(nobody)).unwrap();
        });
    }
}

/// The sum of the samples that a row is about; `None` if there is none.
fn sum(samples: &BTreeMap<String, f64>, row: &str) -> Option<f64> {
    let (name, labels) = row.trim_end_matches('}').split_once('{').unwrap_or((row, ""));
    let is_meant = |series: &str| {
        let (found, _) = parts(series);
        let labels = labels.split("\",").filter(|label| !label.is_empty());
        found.strip_prefix(PREFIX).unwrap_or(found) == name
            && labels.map(|label| label.trim_end_matches('"')).all(|label| series.contains(&format!("{label}\"")))
    };
    let mut meant = samples.iter().filter(|(series, _)| is_meant(series)).map(|(_, value)| *value).peekable();
    meant.peek().is_some().then(|| meant.sum())
}

fn has_changed(before: &BTreeMap<String, f64>, now: &BTreeMap<String, f64>, row: &str, change: Change) -> bool {
    match (sum(before, row), sum(now, row), change) {
        (_, None, _) => false,
        (before, now, Is(value)) => now == Some(value) && before != now,
        (before, Some(now), Grows) => now > before.unwrap_or_default(),
        (before, Some(now), Appears) => before.is_none() && now > 0.0,
    }
}

/// The name of a metric in the documentation, of that of a sample.
fn documented_name<'a>(name: &'a str, kinds: &BTreeMap<String, String>) -> &'a str {
    let of_histogram = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix));
    of_histogram.filter(|base| kinds.get(*base).is_some_and(|kind| kind == "histogram")).unwrap_or(name)
}

#[test]
fn every_metric_moves_when_its_thing_happens_and_the_documentation_lists_these_and_no_others() {
    let Some(topology) = Topology::new() else { return };
    let node = Node { config: topology.node.write("config", CONFIG), topology };
    let mut acts: Vec<Act> = TABLE.iter().map(|(act, ..)| *act).collect();
    acts.sort_unstable();
    acts.dedup();
    let mut agent = node.start();
    let (mut before, mut text) = (BTreeMap::new(), String::new());
    // Whatever was shown at any time, by the name of the sample; and the types.
    let (mut shown, mut kinds) = (BTreeMap::<String, BTreeSet<String>>::new(), BTreeMap::new());
    for act in acts {
        node.perform(act, &mut agent);
        let mut missing = Vec::new();
        let mut samples = BTreeMap::new();
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            agent.wait_until(&format!("{act:?} is seen"), || {
                text = get(&node.topology.node, "/metrics");
                samples = read(&text);
                let of_act = TABLE.iter().filter(|(of, ..)| *of == act);
                missing = of_act.filter(|(_, row, change)| !has_changed(&before, &samples, row, *change)).collect();
                missing.is_empty()
            });
        }));
        assert!(done.is_ok(), "after {act:?} this was not seen: {missing:?} in\n{text}");
        for series in samples.keys() {
            let (name, labels) = parts(series);
            let labels = labels.into_iter().filter(|label| *label != "le").map(str::to_owned);
            shown.entry(name.to_owned()).or_default().extend(labels);
        }
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        kinds.extend(types.map(|(name, kind)| (name.to_owned(), kind.to_owned())));
        before = samples;
    }
    let documented = documented();
    let mut found = BTreeMap::new();
    for (name, labels) in shown {
        let name = documented_name(&name, &kinds);
        let base = ["_total", "_info"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        let kind = kinds.get(base).or_else(|| kinds.get(name)).unwrap_or_else(|| panic!("{name} has no type"));
        found.insert(name.to_owned(), (kind.clone(), labels));
    }
    let documented: BTreeMap<_, _> =
        documented.into_iter().map(|(name, metric)| (name, (metric.kind, metric.labels))).collect();
    assert_eq!(found, documented, "what is shown, and what docs/operations.md lists");
    let in_table: BTreeSet<String> = TABLE
        .iter()
        .map(|(_, row, _)| {
            let name = row.split('{').next().unwrap();
            let prefix = if name.starts_with("process_") { "" } else { PREFIX };
            documented_name(&format!("{prefix}{name}"), &kinds).to_owned()
        })
        .collect();
    let shown: BTreeSet<String> = found.into_keys().collect();
    assert_eq!(in_table, shown, "what has a row here, and what is shown");
    agent.ends_in_time();
}
