//! Every metric changes when its thing happens.

use std::collections::BTreeMap;

use super::*;
use crate::conntrack::{Fixed, PortUse};
use crate::health::tests::{contested, health, invalid, pass, refused, repaired, standing};
use crate::net::{Family, Protocol};
use crate::policy::{Fingerprint, Flags, Policy};
use crate::report::{Cause, Observer as _, PassReport, Report};

fn metrics(reports: &[Report]) -> String {
    let mut health = health();
    for report in reports {
        health.observe(report, 0);
    }
    let state = health.state();
    let conntrack = Conntrack { entries: Some(5), limit: Some(9), events: BTreeMap::from([("drop", 4)]) };
    let new_flows = FlowTotals {
        by_verdict: BTreeMap::from([((Family::Ipv4, "kept"), 2), ((Family::Ipv6, "masqueraded"), 3)]),
        by_range: Some(BTreeMap::from([("10.0.0.0/8".parse().unwrap(), 7)])),
        ..FlowTotals::default()
    };
    text(&Scrape {
        state: &state,
        surroundings: Surroundings::default(),
        wakeups: 6,
        new_flows: &new_flows,
        conntrack,
        source_ports: Some(&scans()),
        process: Process::default(),
    })
}

fn scans() -> Scans {
    let latest = PortUse {
        flows: BTreeMap::from([((Family::Ipv4, Some(Protocol::Tcp)), 8), ((Family::Ipv4, None), 1)]),
        fullest: BTreeMap::from([((Family::Ipv6, Protocol::Udp), 0.25)]),
    };
    Scans { latest: Some(latest), done: 2, failed: 1 }
}

fn flows() -> Report {
    let fixed = Fixed { looked_at: 9, exempt: 1, masqueraded: 2, vanished: 3, in_doubt: 5, refused: 4 };
    Report::Flows { result: Ok(fixed), interval: "1m".parse().unwrap() }
}

/// The kernel refuses another policy than the one that is in force.
fn refused_another(report: &mut PassReport) {
    refused(report);
    let flags = Flags { ipv6: true, ..Flags::default() };
    report.fingerprint = Some(Fingerprint::of(&Policy::new(report.active.config(), &flags)));
}

#[test]
fn every_metric_changes_when_its_thing_happens() {
    let good = || pass(|_| {});
    let with = |change: fn(&mut PassReport)| vec![good(), pass(change)];
    let fingerprint = "43f5254806aee0a5ffbec932aba010ef652b3c6689a63db69188253cb3f49902";
    let policy =
        |fingerprint: &str, origin: &str| format!("policy_info{{fingerprint=\"{fingerprint}\",origin=\"{origin}\"}} 1");
    for (reports, expected) in [
        (vec![], concat!("build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1").to_owned()),
        (with(|_| {}), policy(fingerprint, "file")),
        (with(invalid), policy(fingerprint, "last_known_good")),
        (with(standing), policy("", "standing")),
        (vec![pass(refused)], policy("", "standing")),
        (with(refused_another), policy(fingerprint, "file")),
        (with(|_| {}), "backend_info{backend=\"nft\",protected=\"true\"} 1".to_owned()),
        (with(|_| {}), "policy_in_force_timestamp_seconds 2000.0".to_owned()),
        (with(|_| {}), "resync_interval_seconds 60.0".to_owned()),
        (with(|_| {}), "policy_valid 1.0".to_owned()),
        (with(invalid), "policy_valid 0.0".to_owned()),
        (with(invalid), "policy_diagnostics{severity=\"error\"} 2.0".to_owned()),
        (with(|_| {}), "policy_diagnostics{severity=\"warning\"} 0.0".to_owned()),
        (with(|_| {}), "policy_ranges{ip_family=\"IPv4\"} 1.0".to_owned()),
        (vec![], "policy_reads_total{result=\"applied\"} 0.0".to_owned()),
        (with(|_| {}), "policy_reads_total{result=\"applied\"} 2.0".to_owned()),
        (with(invalid), "policy_reads_total{result=\"invalid\"} 1.0".to_owned()),
        (with(standing), "policy_reads_total{result=\"missing\"} 1.0".to_owned()),
        (
            with(|report| (report.file, report.cause) = (None, Cause::FileUnchanged)),
            "policy_reads_total{result=\"unchanged\"} 1.0".to_owned(),
        ),
        (with(|_| {}), "state{ip_masq_agent_state=\"ready\"} 1.0".to_owned()),
        (with(invalid), "state{ip_masq_agent_state=\"ready\"} 0.0".to_owned()),
        (with(invalid), "state{ip_masq_agent_state=\"degraded\"} 1.0".to_owned()),
        (with(contested), "state{ip_masq_agent_state=\"contested\"} 1.0".to_owned()),
        (with(refused), "state{ip_masq_agent_state=\"refused\"} 1.0".to_owned()),
        (with(refused), "passes_total{trigger=\"file_changed\",result=\"failed\"} 1.0".to_owned()),
        (with(|_| {}), "pass_duration_seconds_bucket{le=\"0.004\",trigger=\"file_changed\"} 2".to_owned()),
        (with(|_| {}), "pass_duration_seconds_bucket{le=\"0.002\",trigger=\"file_changed\"} 0".to_owned()),
        (with(|_| {}), "last_verified_timestamp_seconds{ip_family=\"IPv6\"} 2000.0".to_owned()),
        (with(|_| {}), "commits_total{result=\"done\"} 2.0".to_owned()),
        (with(|report| report.commits.stale = 7), "commits_total{result=\"stale\"} 7.0".to_owned()),
        (with(|report| report.commits.in_use = 7), "commits_total{result=\"in_use\"} 7.0".to_owned()),
        (with(|report| report.commits.failed = 7), "commits_total{result=\"failed\"} 7.0".to_owned()),
        (with(repaired), "repairs_total{ip_family=\"IPv4\",object=\"jump\"} 1.0".to_owned()),
        (with(repaired), "foreign_commits_total{touched=\"true\"} 3.0".to_owned()),
        (with(|report| report.heard.commits = 2), "foreign_commits_total{touched=\"false\"} 2.0".to_owned()),
        (with(repaired), "repair_delay_seconds_bucket{le=\"0.002\"} 1".to_owned()),
        (vec![], "repair_delay_seconds_count 0".to_owned()),
        (vec![flows()], "flows_renewed_total{result=\"masqueraded\"} 2.0".to_owned()),
        (vec![flows()], "flows_renewed_total{result=\"refused\"} 4.0".to_owned()),
        (vec![flows()], "flows_renewed_total{result=\"in_doubt\"} 5.0".to_owned()),
        (vec![], "conntrack_entries 5.0".to_owned()),
        (vec![], "conntrack_entries_limit 9.0".to_owned()),
        (vec![], "conntrack_events_total{event=\"drop\"} 4.0".to_owned()),
        (vec![], "new_flows_total{ip_family=\"IPv4\",verdict=\"kept\"} 2.0".to_owned()),
        (vec![], "new_flows_total{ip_family=\"IPv6\",verdict=\"masqueraded\"} 3.0".to_owned()),
        (vec![], "range_new_flows_total{ip_family=\"IPv4\",cidr=\"10.0.0.0/8\"} 7.0".to_owned()),
        (vec![], "snat_flows{ip_family=\"IPv4\",protocol=\"tcp\"} 8.0".to_owned()),
        (vec![], "snat_flows{ip_family=\"IPv4\",protocol=\"other\"} 1.0".to_owned()),
        (vec![], "snat_port_saturation_ratio{ip_family=\"IPv6\",protocol=\"udp\"} 0.25".to_owned()),
        (vec![], "snat_scans_total{result=\"done\"} 2.0".to_owned()),
        (vec![], "snat_scans_total{result=\"failed\"} 1.0".to_owned()),
        (vec![], "wakeups_total 6.0".to_owned()),
    ] {
        let text = metrics(&reports);
        let expected = format!("ip_masq_agent_{expected}");
        assert!(text.lines().any(|line| line == expected), "{expected} in\n{text}");
    }
    assert!(
        !metrics(&with(repaired)).contains("object=\"rule\""),
        "what was changed in a family without repair counts not"
    );
}

#[test]
fn the_types_are_those_of_the_documentation_and_the_process_has_the_names_that_every_program_has() {
    let text = metrics(&[pass(repaired), flows()]);
    let types: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ip_masq_agent_")?.split_once(' ')).collect();
    for (name, kind) in [
        ("build", "info"),
        ("policy", "info"),
        ("backend", "info"),
        ("state", "stateset"),
        ("passes", "counter"),
        ("pass_duration_seconds", "histogram"),
        ("last_verified_timestamp_seconds", "gauge"),
    ] {
        assert_eq!(types.get(name), Some(&kind), "{name}");
    }
    let options = Options { chain: ChainName::default(), tells_ranges: false, source_ports: None };
    let text = Scraper::new(health(), options).scrape();
    for name in [
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_max_fds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_threads",
        "process_start_time_seconds",
    ] {
        assert!(text.lines().any(|line| line.starts_with(&format!("{name} "))), "{name} in\n{text}");
    }
}
