//! The metrics, by their names.

use super::{FlowTotals, Labels, Metric, STATE_SET, Samples, Scans, Scrape};
use crate::health::json::seconds;
use crate::health::{Histogram, Kind, NodeState, ready};
use crate::net::{Family, Protocol};

/// Those of the agent, without their prefix.
pub(super) fn of_agent(scrape: &Scrape<'_>) -> Vec<Metric> {
    let state = scrape.state;
    let mut metrics = vec![info("build", "The version of the agent.", [("version", env!("CARGO_PKG_VERSION"))])];
    metrics.extend(of_policy(state));
    metrics.push(states(scrape));
    metrics.extend(of_passes(state));
    metrics.extend(of_flows(scrape.new_flows));
    metrics.extend(of_conntrack(scrape));
    metrics.extend(scrape.source_ports.map(of_source_ports).into_iter().flatten());
    metrics.push(counter(
        "flows_renewed",
        "Flows that began under another policy, by what became of them (--conntrack=fix).",
        state.totals.flows.iter().map(|(result, count)| (label("result", result), *count)),
    ));
    metrics.push(counter("wakeups", "How often the loop woke.", [(Labels::new(), scrape.wakeups)]));
    // A metric without samples says nothing.
    metrics.retain(|metric| !metric.samples.is_empty());
    metrics
}

fn of_policy(state: &NodeState) -> Vec<Metric> {
    let mut metrics = Vec::new();
    if let Some(policy) = &state.policy {
        // A policy that the kernel refuses is followed by no rule: those before it stand.
        let (fingerprint, origin) = state.followed.unwrap_or((None, "standing"));
        let fingerprint = fingerprint.map(|fingerprint| fingerprint.to_string()).unwrap_or_default();
        metrics.push(info(
            "policy",
            "The policy that the rules follow: its fingerprint, empty while rules of unknown origin stand, and its origin.",
            [("fingerprint", &*fingerprint), ("origin", origin)],
        ));
        metrics.push(gauge(
            "policy_in_force_timestamp_seconds",
            "Since when this policy has been in force.",
            policy.in_force_since.map(|at| (Labels::new(), seconds(at))),
        ));
        metrics.push(gauge(
            "resync_interval_seconds",
            "How often the rules are looked at, whether or not anything is heard of a change.",
            [(Labels::new(), policy.resync_interval.as_secs_f64())],
        ));
        metrics.push(gauge(
            "policy_ranges",
            "How many ranges the configuration lists.",
            policy.ranges.iter().map(|(family, count)| (label("ip_family", family.human()), float(*count as u64))),
        ));
    }
    if let Some(backend) = &state.backend {
        let protected = if backend.is_protected { "true" } else { "false" };
        metrics.push(info(
            "backend",
            "In which layout the rules are kept, and whether other programs are kept from changing them.",
            [("backend", backend.name), ("protected", protected)],
        ));
    }
    if let Some(file) = &state.file {
        let count = |is_error| file.diagnostics.iter().filter(|found| found.is_error == is_error).count() as u64;
        metrics.push(gauge(
            "policy_valid",
            "Whether the configuration file can be used, or is not there; 0 while it is in error.",
            [(Labels::new(), float(u64::from(count(true) == 0)))],
        ));
        metrics.push(gauge(
            "policy_diagnostics",
            "What is wrong with the configuration file, or odd about it.",
            [("error", true), ("warning", false)]
                .map(|(severity, is_error)| (label("severity", severity), float(count(is_error)))),
        ));
    }
    metrics.push(counter(
        "policy_reads",
        "Readings of the configuration file that found something new, or that the operator asked for.",
        state.totals.reads.iter().map(|(result, count)| (label("result", result), *count)),
    ));
    metrics
}

fn states(scrape: &Scrape<'_>) -> Metric {
    let reasons = ready(scrape.state, scrape.surroundings);
    let is = |kinds: &[Kind]| reasons.iter().any(|reason| kinds.contains(&reason.kind));
    let states = [
        ("ready", reasons.is_empty()),
        ("degraded", is(&[Kind::Invalid, Kind::Degraded])),
        ("contested", is(&[Kind::Contested])),
        ("refused", is(&[Kind::Missing, Kind::Refused])),
    ];
    gauge(
        STATE_SET,
        "How the node is: ready, or why not.",
        // OpenMetrics wants the metric's own name for the label of a set of states.
        states.map(|(state, is_on)| (label("ip_masq_agent_state", state), float(u64::from(is_on)))),
    )
}

fn of_passes(state: &NodeState) -> Vec<Metric> {
    let totals = &state.totals;
    let of_family = |family: &Family| label("ip_family", family.human());
    vec![
        counter(
            "passes",
            "Passes over the rules, by what led to them and how they ended.",
            totals.passes.iter().map(|((trigger, result), count)| {
                (vec![("trigger", (*trigger).to_owned()), ("result", (*result).to_owned())], *count)
            }),
        ),
        histogram(
            "pass_duration_seconds",
            "How long passes took.",
            totals.pass_seconds.iter().map(|(trigger, times)| (label("trigger", trigger), times.clone())),
        ),
        gauge(
            "last_verified_timestamp_seconds",
            "When the rules were last seen to be in force in the kernel.",
            state.verified.iter().map(|(family, at)| (of_family(family), seconds(*at))),
        ),
        counter(
            "commits",
            "Transactions that the agent sent to the kernel, by their result.",
            totals.commits.iter().map(|(result, count)| (label("result", result), *count)),
        ),
        counter(
            "repairs",
            "Changes that put back what another program had removed or changed, by what they add or remove.",
            totals.repairs.iter().map(|((family, object), count)| {
                let mut labels = of_family(family);
                labels.push(("object", object.name().to_owned()));
                (labels, *count)
            }),
        ),
        counter(
            "foreign_commits",
            "Commits of other programs that were heard of, by whether rules of the agent had to be repaired after them.",
            totals.foreign_commits.iter().map(|(touched, count)| (label("touched", &touched.to_string()), *count)),
        ),
        histogram(
            "repair_delay_seconds",
            "The time from hearing of another program's commit until what it had undone was read back.",
            [(Labels::new(), totals.repair_seconds.clone())],
        ),
    ]
}

fn of_flows(totals: &FlowTotals) -> Vec<Metric> {
    let family = |family: Family| ("ip_family", family.human().to_owned());
    let by_verdict = totals.by_verdict.iter();
    let by_range = totals.by_range.iter().flatten();
    vec![
        counter(
            "new_flows",
            "New flows, by what the rules decided about them.",
            by_verdict.map(|((of, verdict), flows)| (vec![family(*of), ("verdict", (*verdict).to_owned())], *flows)),
        ),
        counter(
            "range_new_flows",
            "New flows that kept their source, by the range whose rule decided so (--metrics-ranges).",
            by_range.map(|(range, flows)| (vec![family(range.family()), ("cidr", range.to_string())], *flows)),
        ),
    ]
}

fn of_conntrack(scrape: &Scrape<'_>) -> Vec<Metric> {
    let conntrack = &scrape.conntrack;
    let number = |number: Option<u64>| number.map(|number| (Labels::new(), float(number)));
    vec![
        gauge("conntrack_entries", "Flows that conntrack has, in this network namespace.", number(conntrack.entries)),
        gauge("conntrack_entries_limit", "Flows that it may have (nf_conntrack_max).", number(conntrack.limit)),
        counter(
            "conntrack_events",
            "What happened to conntrack's flows, as the kernel counts it on all processors together.",
            conntrack.events.iter().map(|(event, count)| (label("event", event), *count)),
        ),
    ]
}

fn of_source_ports(scans: &Scans) -> Vec<Metric> {
    let labels = |family: Family, protocol: Option<Protocol>| {
        let protocol = protocol.map_or_else(|| "other".to_owned(), |protocol| protocol.to_string());
        vec![("ip_family", family.human().to_owned()), ("protocol", protocol)]
    };
    let latest = scans.latest.iter();
    let flows = latest.clone().flat_map(|found| &found.flows);
    let fullest = latest.flat_map(|found| &found.fullest);
    vec![
        gauge(
            "snat_flows",
            "Masqueraded flows, at the last look (--snat-scan-interval).",
            flows.map(|((family, protocol), count)| (labels(*family, *protocol), float(*count))),
        ),
        gauge(
            "snat_port_saturation_ratio",
            "The share of its source ports that the fullest remote address and port has in use.",
            fullest.map(|((family, protocol), share)| (labels(*family, Some(*protocol)), *share)),
        ),
        counter(
            "snat_scans",
            "Looks at all flows for source ports in use, by their result.",
            [("done", scans.done), ("failed", scans.failed)].map(|(result, count)| (label("result", result), count)),
        ),
    ]
}

/// Those of the process, under the names that every program's have.
pub(super) fn of_process(scrape: &Scrape<'_>) -> Vec<Metric> {
    let process = &scrape.process;
    let number = |number: Option<u64>| number.map(|number| (Labels::new(), float(number)));
    let started = seconds(scrape.state.setup.started);
    let mut metrics = vec![
        Metric {
            name: "process_cpu_seconds",
            help: "Processor time, of the user and the system.",
            samples: Samples::Counters(process.cpu_seconds.map(|time| (Labels::new(), time)).into_iter().collect()),
        },
        gauge("process_open_fds", "Open file descriptors.", number(process.open_fds)),
        gauge("process_max_fds", "How many there may be.", number(process.max_fds)),
        gauge("process_resident_memory_bytes", "Resident memory.", number(process.resident_bytes)),
        gauge("process_virtual_memory_bytes", "Virtual memory.", number(process.virtual_bytes)),
        gauge("process_threads", "Threads.", number(process.threads)),
        gauge("process_start_time_seconds", "When it was started.", [(Labels::new(), started)]),
    ];
    metrics.retain(|metric| !metric.samples.is_empty());
    metrics
}

fn label(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

fn info<const N: usize>(name: &'static str, help: &'static str, labels: [(&'static str, &str); N]) -> Metric {
    let labels = labels.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    Metric { name, help, samples: Samples::Info(labels) }
}

fn gauge(name: &'static str, help: &'static str, samples: impl IntoIterator<Item = (Labels, f64)>) -> Metric {
    Metric { name, help, samples: Samples::Gauges(samples.into_iter().collect()) }
}

fn counter(name: &'static str, help: &'static str, samples: impl IntoIterator<Item = (Labels, u64)>) -> Metric {
    let samples = samples.into_iter().map(|(labels, count)| (labels, float(count))).collect();
    Metric { name, help, samples: Samples::Counters(samples) }
}

fn histogram(name: &'static str, help: &'static str, samples: impl IntoIterator<Item = (Labels, Histogram)>) -> Metric {
    Metric { name, help, samples: Samples::Histograms(samples.into_iter().collect()) }
}

/// Prometheus keeps every number as such a one.
#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 the next number is near enough")]
const fn float(number: u64) -> f64 {
    number as f64
}

impl Samples {
    fn is_empty(&self) -> bool {
        match self {
            Self::Info(_) => false,
            Self::Gauges(samples) | Self::Counters(samples) => samples.is_empty(),
            Self::Histograms(samples) => samples.is_empty(),
        }
    }
}
