//! What is said of the node after reports.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::backend::{Commits, Heard, Object, PassTimes};
use crate::config::{self, Config, Context, ReadError};
use crate::last_good::{Fallback, FallbackNotes};
use crate::policy::{Flags, Policy};
use crate::report::{BackendReport, Cause, Failure, RulesReport};

pub(crate) const PATH: &str = "/etc/config/ip-masq-agent";

fn config(text: &str) -> Arc<Config> {
    Arc::new(config::parse(text.as_bytes(), &Context::default()).unwrap().config)
}

/// The state of a node on which nothing has happened.
pub(crate) fn health() -> Health {
    Health::new(setup(), Arc::new(Pulse::new(Instant::now())))
}

fn setup() -> Setup {
    let started = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
    Setup { paths: SourcePaths::one(PATH), families: Family::ALL.to_vec(), host: None, started }
}

/// A pass that brought a valid file into force, with a change.
pub(crate) fn pass(change: impl FnOnce(&mut PassReport)) -> Report {
    let active = ActiveConfig::File { config: config("nonMasqueradeCIDRs: [10.1.0.0/16]\n"), is_outdated: false };
    let fingerprint = Some(Fingerprint::of(&Policy::new(active.config(), &Flags::default())));
    let backend = BackendReport {
        layout: Layout::OwnTable(Protection::OwnerPersist),
        text: "backend: it is taken".to_owned(),
        was_asked: true,
        refused: vec!["not that".to_owned()],
    };
    let mut report = PassReport {
        cause: Cause::FileChanged,
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(2_000),
        file: Some(FileStatus::Valid(Vec::new())),
        rules: RulesReport { was_read: true, backend: Some(backend), ..RulesReport::default() },
        result: PassResult::InForce,
        took: PassTimes { reading: Duration::from_millis(3), committing: Duration::ZERO },
        repaired: Vec::new(),
        active,
        fingerprint,
        last_in_force: None,
        conflict: None,
        heard: Heard::default(),
        repair_delay: None,
        commits: Commits { done: 1, ..Commits::default() },
        counters: Counters { passes: 1, ..Counters::default() },
    };
    change(&mut report);
    Report::Pass(Box::new(report))
}

/// The file has become unusable, with two errors.
pub(crate) fn invalid(report: &mut PassReport) {
    let errors = config::parse(b"nonMasqueradeCIDRs:\n- 10.1.2.3/8\n- 7\n", &Context::default()).unwrap_err();
    let error = ReadError::Invalid { sources: SourcePaths::one(PATH), errors };
    report.file = Some(FileStatus::Unusable { error, notes: None });
    report.active = ActiveConfig::File { config: report.active.config().clone(), is_outdated: true };
}

/// The rules could not be brought into force.
pub(crate) fn refused(report: &mut PassReport) {
    report.result = PassResult::Failed;
    report.rules.backend = None;
    report.rules.failure = Some(Failure { text: "the kernel says no".to_owned(), ..Failure::default() });
}

/// A conflict has started.
pub(crate) fn contested(report: &mut PassReport) {
    let suspects = vec![Process { pid: 4711, name: "rival".to_owned() }];
    report.conflict = Some(ConflictNews::Started { repairs: 9, time: Duration::from_secs(1), suspects });
}

/// A repair of one rule after another program's commits.
pub(crate) fn repaired(report: &mut PassReport) {
    report.file = None;
    report.cause = Cause::RulesChanged;
    report.result = PassResult::Repaired;
    report.repaired = vec![Family::Ipv4];
    report.rules.objects = BTreeMap::from([((Family::Ipv4, Object::Jump), 1), ((Family::Ipv6, Object::Rule), 7)]);
    report.heard.commits = 3;
    report.repair_delay = Some(Duration::from_millis(2));
}

/// Rules of an unknown origin are left standing.
pub(crate) fn standing(report: &mut PassReport) {
    let fallback = Fallback::Defaults(report.active.config().clone());
    report.active = ActiveConfig::KernelRules { standing: Family::ALL.to_vec(), filled: Vec::new(), fallback };
    report.fingerprint = None;
    let error = ReadError::Missing(PATH.into());
    report.file = Some(FileStatus::Unusable { error, notes: Some(FallbackNotes::default()) });
}

fn after(reports: &[Report]) -> NodeState {
    let mut state = NodeState::new(setup());
    for report in reports {
        state.add(report);
    }
    state
}

fn reasons(reports: &[Report]) -> Vec<String> {
    ready(&after(reports), Surroundings::default()).iter().map(Reason::to_string).collect()
}

#[test]
fn the_node_is_ready_once_the_policy_of_the_file_is_in_force_and_each_reason_against_that_is_a_line() {
    let good = || pass(|_| {});
    let none: &[&str] = &[];
    let degraded = "policy degraded: in force is the last valid configuration since the start";
    for (reports, expected) in [
        (vec![], &["starting: no pass over the rules has ended so far"][..]),
        (vec![good()], none),
        (
            vec![good(), pass(invalid)],
            &[
                "policy invalid: /etc/config/ip-masq-agent:2: ",
                "policy invalid: /etc/config/ip-masq-agent:3: ",
                degraded,
            ],
        ),
        (vec![good(), pass(invalid), good()], none),
        (vec![good(), pass(refused)], &["rules not in force: the kernel says no"]),
        (vec![good(), pass(refused), good()], none),
        (vec![good(), pass(contested)], &["rules contested: another program undoes them again and again"]),
        (vec![pass(contested), pass(|report| report.conflict = Some(ConflictNews::Ended))], none),
        (
            vec![pass(standing)],
            &[
                "policy degraded: /etc/config/ip-masq-agent: no such file",
                "policy degraded: in force is the rules that stood",
            ],
        ),
        (vec![pass(|report| report.file = Some(FileStatus::Missing))], none),
    ] {
        let reasons = reasons(&reports);
        let are_these = reasons.len() == expected.len()
            && reasons.iter().zip(expected).all(|(reason, expected)| reason.starts_with(expected));
        assert!(are_these, "{reasons:#?} instead of {expected:#?}");
    }
}

#[test]
fn a_pod_without_the_hosts_network_and_a_loop_that_is_stuck_are_not_ready() {
    let mut state = after(&[pass(|_| {})]);
    let surroundings = Surroundings { stuck: Some(Duration::from_secs(61)), is_on_host: Some(false) };
    assert_eq!(live(surroundings).len(), 1);
    assert_eq!(ready(&state, surroundings), live(surroundings), "the host's address is not known");
    let setup = Setup { host: Some(IpAddr::from([192, 0, 2, 7])), ..setup() };
    state.setup = Arc::new(setup);
    let reasons: Vec<Kind> = ready(&state, surroundings).iter().map(|reason| reason.kind).collect();
    assert_eq!(reasons, [Kind::NotOnHost, Kind::Stuck]);
    for is_on_host in [None, Some(true)] {
        assert_eq!(ready(&state, Surroundings { stuck: None, is_on_host }), []);
    }
    assert_eq!(Surroundings::now(&Pulse::default(), Some(IpAddr::from([192, 0, 2, 7]))).is_on_host, Some(false));
    assert_eq!(Surroundings::now(&Pulse::default(), Some(IpAddr::from([127, 0, 0, 1]))).is_on_host, Some(true));
}

#[test]
fn a_policy_is_in_force_since_it_came_into_force_and_not_since_it_was_looked_at_last() {
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let later = |seconds, change: fn(&mut PassReport)| {
        pass(|report| {
            report.at = at(seconds);
            change(report);
        })
    };
    let since = |reports: &[Report]| after(reports).policy.unwrap().in_force_since;
    assert_eq!(since(&[later(1, |_| {}), later(2, |_| {}), later(3, repaired)]), Some(at(1)));
    assert_eq!(since(&[later(1, refused)]), None);
    assert_eq!(since(&[later(1, refused), later(2, |_| {})]), Some(at(2)));
    assert_eq!(since(&[later(1, standing), later(2, |_| {})]), Some(at(2)), "another origin");
    let state = after(&[
        later(1, |_| {}),
        later(2, |report| {
            refused(report);
            report.rules.failure.as_mut().unwrap().unaffected = vec![Family::Ipv6];
        }),
    ]);
    assert_eq!(state.verified, BTreeMap::from([(Family::Ipv4, at(1)), (Family::Ipv6, at(2))]));
}

#[test]
fn the_status_has_all_of_it_and_is_understood_again() {
    let state = after(&[
        pass(invalid),
        pass(contested),
        pass(|report| {
            refused(report);
            report.file = None;
        }),
    ]);
    let json = status(&state, Surroundings::default()).json();
    let read: serde_json::Value = serde_json::from_str(&json).unwrap();
    for (pointer, expected) in [
        ("/version", serde_json::json!(1)),
        ("/ready", false.into()),
        ("/live", true.into()),
        ("/startedAt", 1000.0.into()),
        ("/policy/origin", "file".into()),
        ("/file/paths/0", PATH.into()),
        ("/file/state", "valid".into()),
        ("/backend/name", "nft".into()),
        ("/backend/protected", true.into()),
        ("/families/0/ipFamily", "IPv4".into()),
        ("/families/0/ranges", 1.into()),
        ("/families/0/lastVerified", 2000.0.into()),
        ("/failure/text", "the kernel says no".into()),
        ("/conflict/suspects/0", "rival (pid 4711)".into()),
        ("/lastError/at", 2000.0.into()),
        ("/counters/passes", 1.into()),
    ] {
        assert_eq!(read.pointer(pointer), Some(&expected), "{pointer} of {json}");
    }
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap().json(), json);
    let invalid = status(&after(&[pass(invalid)]), Surroundings::default());
    let lines: Vec<_> = invalid.file.diagnostics.iter().map(|found| (&*found.severity, found.line)).collect();
    assert_eq!(lines, [("error", Some(2)), ("error", Some(3))]);
}
