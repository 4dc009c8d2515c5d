//! Each event of the log has a name, and all that its sentence says in fields.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::{Duration as StdDuration, SystemTime};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::{Layer, Registry};

use super::*;
use crate::backend::Heard;
use crate::backend::{ChangeLine, Commits, Object, PassTimes};
use crate::config::{self, Config, ReadError};
use crate::last_good::{ActiveConfig, Fallback, FallbackNotes, FileStatus, SaveError};
use crate::policy::{Fingerprint, Flags, Policy};
use crate::report::LastInForce;
use crate::rules::TableId;
use crate::telemetry::MESSAGE_IDS;

/// The fields of an event, the message among them.
type Fields = BTreeMap<String, String>;

/// Keeps the fields of each event.
#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<Fields>>>);

struct Visitor(Fields);

impl Visit for Visitor {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl<S: Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut visitor = Visitor(Fields::new());
        event.record(&mut visitor);
        self.0.lock().unwrap().push(visitor.0);
    }
}

const PATH: &str = "/etc/config/ip-masq-agent";

fn config(text: &str) -> Arc<Config> {
    Arc::new(config::parse(text.as_bytes(), &config::Context::default()).unwrap().config)
}

fn valid() -> ActiveConfig {
    ActiveConfig::File { config: config("nonMasqueradeCIDRs: [10.1.0.0/16]\n"), is_outdated: false }
}

fn fingerprint() -> Fingerprint {
    Fingerprint::of(&Policy::new(valid().config(), &Flags::default()))
}

fn invalid() -> ReadError {
    let errors = config::parse(b"nonMasqueradeCIDRs:\n- 10.1.2.3/8\n- 7\n", &config::Context::default()).unwrap_err();
    ReadError::Invalid { sources: SourcePaths::one(PATH), errors }
}

/// A pass that found the rules of a valid file in force, with a change.
fn pass(change: impl FnOnce(&mut PassReport)) -> Report {
    let mut report = PassReport {
        cause: Cause::Tick,
        at: SystemTime::UNIX_EPOCH,
        file: None,
        rules: RulesReport { was_read: true, ..RulesReport::default() },
        result: PassResult::InForce,
        took: PassTimes::default(),
        repaired: Vec::new(),
        active: valid(),
        fingerprint: Some(fingerprint()),
        last_in_force: None,
        conflict: None,
        heard: Heard::default(),
        repair_delay: None,
        commits: Commits::default(),
        counters: Counters::default(),
    };
    change(&mut report);
    Report::Pass(Box::new(report))
}

fn failed(result: PassResult, change: impl FnOnce(&mut PassReport, &mut Failure)) -> Report {
    pass(|report| {
        let mut failure = Failure { text: "could not do 1 of 2 things".to_owned(), ..Failure::default() };
        change(report, &mut failure);
        report.rules.was_read = false;
        report.rules.failure = Some(failure);
        report.result = result;
    })
}

fn rival() -> Process {
    Process { pid: 4711, name: "rival".to_owned() }
}

fn backend(report: &mut PassReport) {
    report.rules.backend = Some(BackendReport {
        layout: Layout::IptablesNat,
        text: "backend: it is taken".to_owned(),
        was_asked: true,
        refused: vec!["not that: 3 reasons".to_owned()],
    });
}

/// What is logged of these reports, in their order.
fn logged(reports: &[Report]) -> Vec<Fields> {
    let capture = Capture::default();
    let subscriber = Registry::default().with(capture.clone());
    tracing::subscriber::with_default(subscriber, || {
        let mut log = LogReporter::new(SourcePaths::one(PATH));
        for report in reports {
            log.observe(report, 0);
        }
    });
    let fields = capture.0.lock().unwrap();
    fields.clone()
}

/// All that can be reported.
fn everything() -> Vec<Report> {
    let line = |index| ChangeLine {
        family: Family::Ipv4,
        text: format!("+ change {index}"),
        affects_packets: true,
        object: Object::Rule,
    };
    let interval = config("{}").resync_interval.value;
    let table = TableId::own(Family::Ipv4);
    let kernel_rules = |standing: &[Family], filled: &[Family]| ActiveConfig::KernelRules {
        standing: standing.to_vec(),
        filled: filled.to_vec(),
        fallback: Fallback::Defaults(config("{}")),
    };
    let warnings = config::parse(b"\nnonsense: 1\n", &config::Context::default()).unwrap().warnings;
    vec![
        pass(|report| {
            report.file = Some(FileStatus::Valid(warnings));
            backend(report);
            report.rules.changes = 150;
            report.rules.change_lines = (0..150).map(line).collect();
            report.rules.mishaps = vec!["somebody else changed the rules 2 times".to_owned()];
            report.rules.left_undone = vec!["\"- chain 5\" was left undone".to_owned()];
            report.rules.warnings = vec!["chain 6 may undo it".to_owned()];
        }),
        pass(|report| {
            report.repaired = vec![Family::Ipv4];
            report.heard.processes = vec![rival()];
            report.rules.changes = 1;
            report.rules.change_lines = vec![line(1)];
            report.conflict = Some(ConflictNews::Started {
                repairs: 9,
                time: StdDuration::from_millis(1_234),
                suspects: vec![rival()],
            });
        }),
        pass(|report| report.conflict = Some(ConflictNews::Ended)),
        pass(|report| report.rules.was_read = false),
        pass(|report| report.cause = Cause::FileUnchanged),
        pass(|report| report.file = Some(FileStatus::Missing)),
        pass(|report| report.file = Some(FileStatus::Unusable { error: invalid(), notes: None })),
        pass(|report| {
            let error = ReadError::NotAFile { path: PATH.into(), kind: "a directory" };
            report.file = Some(FileStatus::Unusable { error, notes: Some(FallbackNotes::default()) });
            report.active = kernel_rules(&Family::ALL, &[]);
        }),
        pass(|report| report.active = kernel_rules(&[Family::Ipv4], &[Family::Ipv6])),
        pass(|report| {
            report.active = ActiveConfig::LastKnownGood(config("{}"));
            report.cause = Cause::FileUnchanged;
        }),
        failed(PassResult::Failed, |report, _| report.file = Some(FileStatus::Valid(Vec::new()))),
        failed(PassResult::Failed, |_, _| {}),
        failed(PassResult::Overtaken, |report, failure| {
            failure.text = "overtaken 16 times".to_owned();
            failure.is_of_reading = true;
            let at = SystemTime::UNIX_EPOCH + StdDuration::from_secs(1_795_281_731);
            report.last_in_force = Some(LastInForce { at, was_another_config: true });
            report.cause = Cause::FileUnchanged;
        }),
        failed(PassResult::Owned(table), |_, failure| {
            failure.text = "it is owned".to_owned();
            failure.in_conflict = vec![Family::Ipv6];
            failure.unaffected = vec![Family::Ipv4];
        }),
        failed(PassResult::Stuck, |report, failure| {
            failure.text = "it is stuck".to_owned();
            failure.is_of_reading = true;
            report.file = Some(FileStatus::Missing);
        }),
        pass(|_| {}),
        Report::Flows {
            result: Ok(Fixed { looked_at: 100, exempt: 20, masqueraded: 30, vanished: 4, in_doubt: 6, refused: 5 }),
            interval,
        },
        Report::Flows { result: Err(ConntrackError::Interrupted), interval },
        Report::Flows { result: Err(ConntrackError::Interrupted), interval },
        Report::Save(SaveReport::Ended(Ok(true))),
        Report::Save(SaveReport::Slow(SaveError::Failed("slow for 10 s".to_owned()))),
        Report::Save(SaveReport::Ended(Err(SaveError::Failed("disk 7 is full".to_owned())))),
        Report::Save(SaveReport::Ended(Ok(false))),
        Report::Reloading,
        Report::Reloaded { is_answered: false },
        Report::Reloaded { is_answered: true },
        Report::Stopping(Counters { passes: 1_000, repairs: 200, failures: 30, ..Counters::default() }),
    ]
}

/// The numbers in a text, as they are written.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_ascii_digit()).filter(|number| !number.is_empty())
}

#[test]
fn each_event_has_a_name_and_every_number_of_its_sentence_in_a_field() {
    let events = logged(&everything());
    for fields in &events {
        let message = &fields["message"];
        assert!(fields.contains_key("event"), "{fields:?}");
        // The flag that shows more, and IPv4, are no numbers of the event.
        let sentence = message.replace("-v=4", "").replace("IPv4", "").replace("IPv6", "");
        for number in numbers(&sentence) {
            let mut others = fields.iter().filter(|(name, _)| *name != "message");
            assert!(others.any(|(_, value)| numbers(value).any(|other| other == number)), "{number}: {fields:?}");
        }
    }
    let names: BTreeSet<&str> = events.iter().map(|fields| fields["event"].as_str()).collect();
    let expected = [
        "backend_refused",
        "backend_selected",
        "change_left_undone",
        "config_in_force",
        "config_not_saved",
        "config_saved",
        "config_unchanged",
        "config_unusable",
        "config_warning",
        "conflict_ended",
        "conflict_started",
        "counters",
        "degraded",
        "failure_over",
        "flows_deleted",
        "flows_not_deleted",
        "foreign_rules",
        "interference",
        "reload_unanswered",
        "rules_change",
        "rules_changed",
        "rules_changes_left_out",
        "rules_in_force",
        "rules_not_in_force",
        "rules_not_read",
        "rules_repaired",
        "stopping",
    ];
    assert_eq!(names.iter().copied().collect::<Vec<_>>(), expected);
    // The journal knows some of them by a number. The file's thread logs one.
    for (name, _) in MESSAGE_IDS {
        assert!(names.contains(name) || name == "config_unanswered", "no event is named {name}");
    }
}

#[test]
fn a_program_that_reads_the_log_finds_file_and_line_counts_and_families_without_reading_sentences() {
    let events = logged(&everything());
    let fingerprint = fingerprint().to_string();
    for (event, expected) in [
        ("config_warning", &[("file", PATH), ("line", "2")][..]),
        ("config_unusable", &[("file", PATH), ("line", "2"), ("active", "file")]),
        ("config_in_force", &[("file", PATH), ("ranges", "1"), ("active", "file"), ("resync_interval", "1m0s")]),
        ("config_in_force", &[("policy_fingerprint", &*fingerprint)]),
        ("rules_repaired", &[("policy_fingerprint", &*fingerprint)]),
        ("conflict_started", &[("policy_fingerprint", &*fingerprint)]),
        ("rules_not_in_force", &[("policy_fingerprint", &*fingerprint)]),
        ("config_unusable", &[("policy_fingerprint", &*fingerprint)]),
        ("failure_over", &[("policy_fingerprint", &*fingerprint)]),
        ("rules_changed", &[("changes", "150")]),
        ("rules_change", &[("family", "IPv4"), ("change", "+ change 0")]),
        ("rules_repaired", &[("families", "IPv4"), ("by", "rival (pid 4711)")]),
        ("conflict_started", &[("repairs", "9"), ("time", "1.2s"), ("by", "rival (pid 4711)")]),
        ("degraded", &[("active", "kernel_rules")]),
        ("rules_not_in_force", &[("result", "failed"), ("error", "could not do 1 of 2 things"), ("file", PATH)]),
        ("flows_deleted", &[("deleted", "50"), ("exempt", "20"), ("masqueraded", "30"), ("looked_at", "100")]),
        ("counters", &[("passes", "1000"), ("repairs", "200"), ("failures", "30"), ("conflicts", "0")]),
    ] {
        let fields = events.iter().find(|fields| fields["event"] == event).unwrap();
        for (name, value) in expected {
            assert_eq!(fields.get(*name).map(String::as_str), Some(*value), "{name} of {fields:?}");
        }
    }
}
