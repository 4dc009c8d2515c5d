//! What follows from each event, as data.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::support::settings;
use super::*;
use crate::agent::FileNews;
use crate::agent::config_files::Content;
use crate::agent::event::PassEnded;
use crate::agent::file_thread::Ask;
use crate::agent::flow_worker::FlowReport;
use crate::agent::reconcile::Reconciled;
use crate::backend::PassTimes;
use crate::backend::Process;
use crate::config::{self, Context, ReadError, SourceSet};
use crate::conntrack::Fixed;
use crate::last_good::StateDir;
use crate::report::{Failure, PassResult};
use crate::rules::TableId;

/// The resync interval of the file that says nothing else.
pub(super) const INTERVAL: Duration = Duration::from_secs(60);
pub(super) const TABLE: TableId = TableId::own(Family::Ipv4);

/// A state, and a clock that a test moves.
pub(super) struct Clock {
    pub(super) state: State,
    start: Instant,
    pub(super) now: Instant,
}

fn news(news: FileNews) -> Event {
    Event::File(Answer { news: Some(news), reload: None })
}

/// The answer to the operator's request of this number, that nothing is new.
pub(super) fn unchanged(number: u64) -> Event {
    Event::File(Answer { news: None, reload: Some(number) })
}

fn content(text: Option<&str>) -> Event {
    let sources = SourceSet::one("config", text.map(|text| text.as_bytes().to_vec()));
    let reading = config::understand(&sources, &Context::default()).unwrap();
    news(Ok(Content { sources, reading }))
}

pub(super) fn missing() -> Event {
    content(None)
}

pub(super) fn file(text: &str) -> Event {
    content(Some(text))
}

pub(super) fn valid() -> Event {
    file("nonMasqueradeCIDRs: [10.0.0.0/8]\n")
}

pub(super) fn unusable() -> Event {
    news(Err(ReadError::NotAFile { path: "config".into(), kind: "a directory" }))
}

pub(super) fn others() -> Event {
    Event::RulesChanged(heard())
}

fn heard() -> Heard {
    Heard { commits: 1, lost: false, processes: vec![Process { pid: 7, name: "rival".to_owned() }] }
}

/// A pass that found this. Reading took two milliseconds.
pub(super) fn ended(result: PassResult) -> Event {
    end(result, |_| {})
}

pub(super) fn end(result: PassResult, change: impl FnOnce(&mut Reconciled)) -> Event {
    let mut reconciled = Reconciled::of(result);
    reconciled.took = PassTimes { reading: Duration::from_millis(2), committing: Duration::ZERO };
    match result {
        PassResult::InForce | PassResult::Repaired => {
            reconciled.rules.was_read = true;
            reconciled.token = Some(Token::default());
        }
        _ => reconciled.rules.failure = Some(Failure { text: "it failed".to_owned(), ..Failure::default() }),
    }
    change(&mut reconciled);
    Event::PassEnded(Box::new(PassEnded { at: SystemTime::now(), heard: Heard::default(), reconciled }))
}

fn repair() -> Event {
    end(PassResult::InForce, |reconciled| reconciled.changed = vec![Family::Ipv4])
}

fn long_lists(are_assumed: bool) -> Event {
    end(PassResult::InForce, |reconciled| {
        reconciled.is_partly_assumed = are_assumed;
        reconciled.long_reading = (!are_assumed).then_some(Duration::from_millis(100));
    })
}

fn denied() -> Event {
    end(PassResult::Stuck, |reconciled| {
        reconciled.rules.failure = Some(Failure { is_denied: true, ..Failure::default() });
    })
}

impl Clock {
    fn new() -> Self {
        Self::with(false, false)
    }

    pub(super) fn with(looks_at_flows: bool, has_service_manager: bool) -> Self {
        let now = Instant::now();
        let path = "/etc/config/ip-masq-agent";
        let settings = Settings { looks_at_flows, has_service_manager, ..settings(path, Flags::default()) };
        let store = LastGoodStore::new(StateDir::new(Path::new("/nowhere")), None);
        Self { state: State::new(settings, store, now), start: now, now }
    }

    /// An agent whose rules are in force, at the time 0.
    pub(super) fn in_force() -> Self {
        let mut clock = Self::new();
        for event in [Event::Start, valid(), ended(PassResult::InForce), Event::Save(SaveReport::Ended(Ok(true)))] {
            clock.happens(event);
        }
        clock
    }

    pub(super) fn happens(&mut self, event: Event) -> Vec<Effect> {
        self.state.step(self.now, event)
    }

    /// What follows from an event so many milliseconds after the start, a few words each.
    fn says(&mut self, millis: u64, event: Event) -> Vec<String> {
        self.now = self.start + Duration::from_millis(millis);
        let start = self.start;
        self.happens(event).iter().map(|effect| words(effect, start)).collect()
    }
}

fn words(effect: &Effect, start: Instant) -> String {
    let at = |instant: Instant| instant.saturating_duration_since(start).as_millis();
    match effect {
        Effect::AskFile(Ask::Resync) => "ask file".to_owned(),
        Effect::AskFile(Ask::Reload(_)) => "ask file for the operator".to_owned(),
        Effect::InterruptFlows(_) => "interrupt flows".to_owned(),
        Effect::LookAtFlows(_) => "look at flows".to_owned(),
        Effect::Reconcile(request) => {
            let quickly = if request.is_quick { " quickly" } else { "" };
            let settled = if request.settled.is_some() { " if somebody committed" } else { "" };
            let standing = if request.keep_standing.is_empty() { "" } else { " where none stand" };
            format!("reconcile{quickly}{settled}{standing}: {}", request.cause.name())
        }
        Effect::CheckOwner(table) => format!("check owner of {table}"),
        Effect::Save(_) => "save".to_owned(),
        Effect::Report(Report::Pass(report)) => {
            let conflict = match &report.conflict {
                None => "",
                Some(crate::report::ConflictNews::Started { .. }) => ", conflict started",
                Some(crate::report::ConflictNews::Ended) => ", conflict ended",
            };
            format!("report {}{conflict}", report.result.name())
        }
        Effect::Report(Report::Flows { .. }) => "report flows".to_owned(),
        Effect::Report(Report::Save(_)) => "report save".to_owned(),
        Effect::Report(Report::Reloading) => "report reloading".to_owned(),
        Effect::Report(Report::Reloaded { is_answered }) => format!("report reloaded: {is_answered}"),
        Effect::Report(Report::Stopping(_)) => "report stopping".to_owned(),
        Effect::GiveBackMemory => "give back memory".to_owned(),
        Effect::Wait(Wait { alarm, deaf_until }) => {
            let deaf = deaf_until.map(|until| format!(", deaf until {}", at(until))).unwrap_or_default();
            format!("wait until {}{deaf}", at(*alarm))
        }
        Effect::End(Ok(())) => "end".to_owned(),
        Effect::End(Err(error)) => format!("end: {error:?}"),
    }
}

/// Each event with its time, and what is to follow from it.
pub(super) type Steps<'a> = Vec<(u64, Event, &'a [&'a str])>;

pub(super) fn check(mut clock: Clock, steps: Steps<'_>) {
    for (number, (millis, event, expected)) in steps.into_iter().enumerate() {
        let shown = format!("step {number}: {event:?}");
        assert_eq!(clock.says(millis, event), expected, "{shown}");
    }
}

#[test]
fn a_start_waits_for_the_first_look_at_the_file_and_then_for_the_resync_interval() {
    check(
        Clock::new(),
        vec![
            (0, Event::Start, &["wait until 5000, deaf until 5000"]),
            (1, Event::Reload, &["wait until 5000, deaf until 5000"]),
            (2, others(), &["wait until 5000, deaf until 5000"]),
            (3, valid(), &["reconcile: start"]),
            (
                9,
                ended(PassResult::InForce),
                &["report in_force", "save", "give back memory", "wait until 60009, deaf until 27"],
            ),
            (10, Event::Save(SaveReport::Ended(Ok(true))), &["report save", "wait until 60009, deaf until 27"]),
            (60_009, Event::Alarm, &["ask file", "reconcile if somebody committed: tick"]),
            (60_010, ended(PassResult::InForce), &["report in_force", "wait until 120010"]),
        ],
    );
}

#[test]
fn a_file_system_that_does_not_answer_in_time_is_a_file_that_cannot_be_used_and_its_answer_is_news() {
    check(
        Clock::new(),
        vec![
            (0, Event::Start, &["wait until 5000, deaf until 5000"]),
            (5_000, Event::Alarm, &["reconcile where none stand: start"]),
            (5_001, ended(PassResult::InForce), &["report in_force", "give back memory", "wait until 65001"]),
            (9_000, valid(), &["reconcile: file_changed"]),
            (9_001, ended(PassResult::InForce), &["report in_force", "save", "give back memory", "wait until 69001"]),
        ],
    );
}

#[test]
fn a_commit_of_others_leads_to_a_quick_pass_and_then_to_a_pause() {
    check(
        Clock::in_force(),
        vec![
            (10, others(), &["reconcile quickly if somebody committed: rules_changed"]),
            (12, ended(PassResult::InForce), &["report in_force", "wait until 60000, deaf until 30"]),
            // Who is heard all the same waits until then.
            (15, others(), &["wait until 30, deaf until 30"]),
            (30, Event::Alarm, &["reconcile quickly if somebody committed: rules_changed"]),
            (32, repair(), &["report repaired", "wait until 60000"]),
        ],
    );
}

#[test]
fn long_lists_are_read_again_after_a_pause_that_their_reading_decides() {
    check(
        Clock::in_force(),
        vec![
            (10, others(), &["reconcile quickly if somebody committed: rules_changed"]),
            (12, long_lists(true), &["report in_force", "wait until 12, deaf until 30"]),
            (12, Event::Alarm, &["reconcile: verify"]),
            (112, long_lists(false), &["report in_force", "wait until 60000"]),
            (120, others(), &["reconcile quickly if somebody committed: rules_changed"]),
            (122, long_lists(true), &["report in_force", "wait until 2012, deaf until 140"]),
            (2_012, Event::Alarm, &["reconcile: verify"]),
        ],
    );
}

#[test]
fn what_fails_is_tried_again_ever_later_and_a_new_file_at_once() {
    check(
        Clock::in_force(),
        vec![
            (10, valid(), &["reconcile: file_changed"]),
            (20, ended(PassResult::Failed), &["report failed", "give back memory", "wait until 120"]),
            (120, Event::Alarm, &["reconcile: retry"]),
            (130, ended(PassResult::Failed), &["report failed", "wait until 330"]),
            (200, valid(), &["reconcile: file_changed"]),
            (210, ended(PassResult::InForce), &["report in_force", "save", "give back memory", "wait until 60210"]),
        ],
    );
}

#[test]
fn while_another_process_owns_a_table_it_is_asked_for_and_nothing_is_read_until_it_has_ended() {
    check(
        Clock::in_force(),
        vec![
            (10, others(), &["reconcile quickly if somebody committed: rules_changed"]),
            (12, ended(PassResult::Owned(TABLE)), &["report owned", "wait until 262, deaf until 30"]),
            (262, Event::Alarm, &["check owner of ip ip-masq-agent", "wait until 60000, deaf until 30"]),
            (263, Event::OwnerChecked { is_owned: true }, &["wait until 513, deaf until 30"]),
            (513, Event::Alarm, &["check owner of ip ip-masq-agent", "wait until 60000, deaf until 30"]),
            (514, Event::OwnerChecked { is_owned: false }, &["reconcile: retry"]),
            (515, ended(PassResult::InForce), &["report in_force", "wait until 60000"]),
            // An answer that is not waited for has no effect.
            (516, Event::OwnerChecked { is_owned: false }, &["wait until 60000"]),
        ],
    );
}

#[test]
fn what_happens_while_a_pass_is_under_way_leads_to_another_one_right_after_it() {
    check(
        Clock::in_force(),
        vec![
            (10, others(), &["reconcile quickly if somebody committed: rules_changed"]),
            (11, others(), &[]),
            (12, valid(), &[]),
            (13, Event::Alarm, &[]),
            (20, ended(PassResult::InForce), &["report in_force", "wait until 20, deaf until 38"]),
            (20, Event::Alarm, &["reconcile: file_changed"]),
            (
                21,
                ended(PassResult::InForce),
                &["report in_force", "save", "give back memory", "wait until 60021, deaf until 39"],
            ),
        ],
    );
}

#[test]
fn whatever_is_under_way_the_end_ends_it() {
    check(
        Clock::in_force(),
        vec![
            (10, others(), &["reconcile quickly if somebody committed: rules_changed"]),
            (11, Event::Stop, &["report stopping", "end"]),
            (12, ended(PassResult::InForce), &[]),
            (13, valid(), &[]),
        ],
    );
}

#[test]
fn a_start_that_cannot_succeed_ends_the_agent_only_if_somebody_waits_for_it() {
    for (has_service_manager, result) in
        [(true, PassResult::Stuck), (true, PassResult::Failed), (false, PassResult::Stuck)]
    {
        let mut clock = Clock::with(false, has_service_manager);
        clock.says(0, Event::Start);
        clock.says(1, valid());
        let said = clock.says(2, ended(result));
        let ends = has_service_manager && result == PassResult::Stuck;
        assert_eq!(said.last().unwrap() == "end: NotReady", ends, "{said:?}");
    }
    let mut clock = Clock::new();
    clock.says(0, Event::Start);
    clock.says(1, valid());
    assert_eq!(
        clock.says(2, denied()),
        ["end: Denied(\"\")"],
        "nothing is in force, and there is nothing else to tell"
    );
}

#[test]
fn flows_are_looked_at_once_the_rules_are_in_force_and_no_longer_under_another_policy() {
    let mut clock = Clock::with(true, false);
    clock.says(0, Event::Start);
    clock.says(1, valid());
    let changed = end(PassResult::InForce, |reconciled| reconciled.affects_packets = true);
    let said = clock.says(2, changed);
    assert_eq!(said[..2], ["look at flows", "report in_force"]);
    let said = clock.says(3, file("nonMasqueradeCIDRs: [11.0.0.0/8]\n"));
    assert_eq!(said, ["interrupt flows", "reconcile: file_changed"]);
    let effects = clock.happens(ended(PassResult::InForce));
    let Some(Effect::LookAtFlows(job)) = effects.into_iter().next() else { panic!("no flows are looked at") };
    let report = FlowReport { job, result: Ok(Fixed::default()) };
    assert_eq!(clock.says(5, Event::FlowsEnded(report))[0], "report flows");
}

#[test]
fn repairs_of_one_family_lead_to_a_conflict_also_while_others_are_in_the_way_of_the_other_family() {
    let partly = || {
        end(PassResult::Stuck, |reconciled| {
            reconciled.changed = vec![Family::Ipv4];
            let failure = reconciled.rules.failure.as_mut().unwrap();
            failure.unaffected = vec![Family::Ipv4];
            failure.in_conflict = vec![Family::Ipv6];
        })
    };
    let mut clock = Clock::in_force();
    let mut said = Vec::new();
    for count in 0..10 {
        clock.says(10 + count, others());
        said.push(clock.says(10 + count, partly()));
    }
    assert_eq!(said[7], ["report stuck", "wait until 60000"]);
    assert_eq!(said[8], ["report stuck, conflict started", "wait until 60000, deaf until 118"]);
    assert_eq!((clock.state.counters.repairs, clock.state.counters.conflicts), (9, 1));
}
