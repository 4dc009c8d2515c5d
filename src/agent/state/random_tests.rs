//! What holds whatever happens, in whatever order.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::tests::{Clock, INTERVAL, TABLE, end, file, missing, others, unchanged, unusable};
use super::*;
use crate::agent::event::Wait;
use crate::agent::flow_worker::{FlowReport, Job};
use crate::config::{Config, Context};
use crate::conntrack::Fixed;
use crate::last_good::SaveError;
use crate::report::PassResult;

/// What a random event is made of.
#[derive(Clone, Debug)]
enum Kind {
    Valid(u8),
    Unusable,
    Missing,
    Unchanged(u64),
    Others,
    Alarm,
    Reload,
    Flows,
    Saved(bool),
    Owner(bool),
    /// A pass ends, if one is under way: how, and whether it repaired something, and whether lists are assumed.
    Ended(u8, bool, bool),
    Stop,
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        2 => any::<u8>().prop_map(Kind::Valid),
        1 => Just(Kind::Unusable),
        1 => Just(Kind::Missing),
        1 => (0..4_u64).prop_map(Kind::Unchanged),
        6 => Just(Kind::Others),
        6 => Just(Kind::Alarm),
        1 => Just(Kind::Reload),
        1 => Just(Kind::Flows),
        1 => any::<bool>().prop_map(Kind::Saved),
        2 => any::<bool>().prop_map(Kind::Owner),
        20 => (0..6_u8, any::<bool>(), any::<bool>()).prop_map(|(how, repaired, assumed)| Kind::Ended(how, repaired, assumed)),
    ]
}

/// What is known from the effects alone.
struct Seen {
    clock: Clock,
    is_under_way: bool,
    /// Whether that is a quick pass. Only quick passes take long lists to be what they were.
    is_quick: bool,
    wait: Option<Wait>,
    interval: Duration,
    jobs: Vec<Arc<Job>>,
    /// The passes since the clock moved, or something else than a pass and the alarm happened.
    passes_at_once: u32,
    /// Since when a commit of others has been heard of that no pass has followed yet.
    unheeded: Option<Instant>,
    /// Since when a reload has been under way.
    reloading: Option<Instant>,
    has_ended: bool,
}

impl Seen {
    fn event(&mut self, kind: &Kind) -> Event {
        match *kind {
            Kind::Valid(seconds) => {
                file(&format!("resyncInterval: {}s\nnonMasqueradeCIDRs: [10.{seconds}.0.0/16]\n", seconds % 90 + 1))
            }
            Kind::Unusable => unusable(),
            Kind::Missing => missing(),
            Kind::Unchanged(number) => unchanged(number),
            Kind::Others => others(),
            Kind::Alarm => Event::Alarm,
            Kind::Reload => Event::Reload,
            Kind::Flows => match self.jobs.pop() {
                Some(job) => Event::FlowsEnded(FlowReport { job, result: Ok(Fixed::default()) }),
                None => Event::Alarm,
            },
            Kind::Saved(true) => Event::Save(SaveReport::Ended(Ok(true))),
            Kind::Saved(false) => Event::Save(SaveReport::Slow(SaveError::Failed("it is slow".to_owned()))),
            Kind::Owner(is_owned) => Event::OwnerChecked { is_owned },
            Kind::Ended(how, repaired, assumed) => {
                use PassResult::{Failed, InForce, Overtaken, Owned, Stuck, Undone};
                let assumed = assumed && self.is_quick;
                let result = [InForce, Undone, Overtaken, Failed, Stuck, Owned(TABLE)][usize::from(how)];
                end(result, |reconciled| {
                    reconciled.changed = if repaired { vec![Family::Ipv4] } else { Vec::new() };
                    reconciled.is_partly_assumed = assumed && result == InForce;
                    reconciled.long_reading = (!assumed).then_some(Duration::from_millis(50));
                    if let Some(failure) = &mut reconciled.rules.failure {
                        failure.unaffected = if repaired { vec![Family::Ipv4] } else { Vec::new() };
                    }
                })
            }
            Kind::Stop => Event::Stop,
        }
    }

    fn step(&mut self, kind: &Kind, later: Duration) {
        self.clock.now += later;
        if later > Duration::ZERO || !matches!(kind, Kind::Ended(..) | Kind::Alarm) {
            self.passes_at_once = 0;
        }
        if matches!(kind, Kind::Ended(..)) {
            self.is_under_way = false;
        }
        if matches!(kind, Kind::Others) && !self.has_ended {
            self.unheeded.get_or_insert(self.clock.now);
        }
        let event = self.event(kind);
        let effects = self.clock.happens(event);
        assert!(!self.has_ended || effects.is_empty(), "after the end: {effects:?}");
        self.has_ended |= matches!(kind, Kind::Stop);
        for effect in effects {
            self.learn(effect, kind);
        }
        let now = self.clock.now;
        if self.has_ended || self.is_under_way {
            return;
        }
        let wait = self.wait.expect("the alarm is set");
        let interval = self.interval;
        assert!(wait.alarm <= now + interval, "the alarm is due no later than the resync interval");
        assert!(wait.deaf_until.is_none_or(|until| until <= now + interval), "nor is anybody unheard for longer");
        if let Some(since) = self.reloading {
            assert!(wait.alarm <= since.max(now) + FIRST_LOOK, "a reload ends");
        }
        if let Some(since) = self.unheeded {
            assert!(wait.alarm <= since.max(now) + interval, "a repair waits no longer than the resync interval");
        }
    }

    fn learn(&mut self, effect: Effect, kind: &Kind) {
        let stops = matches!(kind, Kind::Stop);
        match effect {
            Effect::Reconcile(request) => {
                assert!(!self.is_under_way, "one pass at a time");
                (self.is_under_way, self.is_quick) = (true, request.is_quick);
                self.unheeded = None;
                self.passes_at_once += 1;
                assert!(self.passes_at_once < 30, "passes follow on each other, and no time passes between them");
                self.interval = request.config.resync_interval.value.into();
            }
            Effect::Wait(wait) => {
                assert!(!self.is_under_way, "what is under way is waited for");
                self.wait = Some(wait);
            }
            Effect::LookAtFlows(job) => self.jobs.push(job),
            Effect::Report(Report::Reloading) => self.reloading = Some(self.clock.now),
            Effect::Report(Report::Reloaded { .. }) => {
                assert!(self.reloading.take().is_some(), "a reload ends that has begun");
            }
            Effect::Report(Report::Stopping(_)) | Effect::End(Ok(())) => assert!(stops, "nobody asked for the end"),
            effect => assert!(!stops, "at the end: {effect:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_happens_one_pass_is_made_at_a_time_and_the_alarm_is_set(
        events in proptest::collection::vec((kinds(), prop_oneof![3 => 0..40_u64, 1 => 0..70_000_u64]), 1..120),
        looks_at_flows: bool,
    ) {
        let clock = Clock::with(looks_at_flows, false);
        let interval = Duration::from(Config::defaults(&Context::default()).resync_interval.value);
        assert_eq!(interval, INTERVAL);
        let mut seen = Seen {
            clock,
            is_under_way: false,
            is_quick: false,
            wait: None,
            interval,
            jobs: Vec::new(),
            passes_at_once: 0,
            unheeded: None,
            reloading: None,
            has_ended: false,
        };
        seen.step(&Kind::Alarm, Duration::ZERO);
        for (kind, millis) in &events {
            // Time does not pass unseen beyond the alarm.
            let later = Duration::from_millis(*millis);
            if let Some(alarm) = seen.wait.filter(|_| !seen.is_under_way).map(|wait| wait.alarm)
                && alarm <= seen.clock.now + later
            {
                seen.step(&Kind::Alarm, alarm.saturating_duration_since(seen.clock.now));
            } else {
                seen.step(kind, later);
            }
        }
        // However it ended: if all passes fail from here on, each is followed by a wait.
        for _ in 0..100 {
            if seen.is_under_way {
                seen.step(&Kind::Ended(3, false, false), Duration::from_millis(1));
            } else {
                let alarm = seen.wait.unwrap().alarm;
                seen.step(&Kind::Alarm, alarm.saturating_duration_since(seen.clock.now));
            }
        }
        prop_assert!(seen.reloading.is_none(), "a reload has ended");
        seen.step(&Kind::Stop, Duration::ZERO);
        for (kind, millis) in events.iter().take(10) {
            seen.step(kind, Duration::from_millis(*millis));
        }
    }
}
