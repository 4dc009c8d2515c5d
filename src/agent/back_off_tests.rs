use super::*;
use crate::backend::Process;
use crate::net::Family;

const INTERVAL: Duration = Duration::from_secs(60);
/// What each look takes.
const LOOK: Duration = Duration::from_millis(2);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn heard(name: &str) -> Heard {
    Heard { commits: 1, lost: false, processes: vec![Process { pid: 7, name: name.to_owned() }] }
}

/// Passes of a made-up clock.
struct Life {
    back_off: BackOff,
    now: Instant,
}

impl Life {
    fn new() -> Self {
        Self { back_off: BackOff::default(), now: Instant::now() }
    }

    /// A pass after so much time. Returns for how long others' commits are not listened to after it.
    fn pass(&mut self, after: Duration, result: PassResult, heard: Heard) -> (Option<ConflictNews>, Option<Duration>) {
        self.pass_that_took(PassTimes { reading: LOOK, ..PassTimes::default() }, after, result, heard)
    }

    fn pass_that_took(
        &mut self,
        took: PassTimes,
        after: Duration,
        result: PassResult,
        heard: Heard,
    ) -> (Option<ConflictNews>, Option<Duration>) {
        self.now += after + took.whole();
        let news = self.back_off.learn(self.now, took, (result, result == PassResult::Repaired), heard, INTERVAL);
        (news, self.back_off.not_before().map(|until| until.duration_since(self.now)))
    }

    /// The time until the next attempt, if there is one.
    fn retry(&self) -> Option<Duration> {
        self.back_off.retry().map(|retry| retry.duration_since(self.now))
    }
}

#[test]
fn repairs_are_made_at_once_until_they_are_too_many_then_ever_later_up_to_the_resync_interval() {
    let mut life = Life::new();
    let mut pauses = Vec::new();
    let mut news = Vec::new();
    let mut wait = Duration::ZERO;
    for _ in 0..22 {
        let (new, pause) = life.pass(wait + ms(1), PassResult::Repaired, heard("rival"));
        wait = pause.unwrap_or_default();
        pauses.push(pause.map(|pause| pause.as_millis()));
        news.extend(new);
    }
    let expected = [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 60_000, 60_000, 60_000, 60_000];
    assert_eq!(pauses, [None; 8].into_iter().chain(expected.map(Some)).collect::<Vec<_>>());
    // Told once, with the one who is suspected.
    let [ConflictNews::Started { repairs: 9, time, suspects }] = &news[..] else { panic!("{news:?}") };
    assert_eq!(*time, (LOOK + ms(1)) * 8);
    assert_eq!(suspects.iter().map(ToString::to_string).collect::<Vec<_>>(), ["rival (pid 7)"]);
}

#[test]
fn a_quiet_time_ends_the_pauses_and_is_told() {
    let mut life = Life::new();
    for _ in 0..10 {
        life.pass(ms(300), PassResult::Repaired, heard("rival"));
    }
    let (news, _) = life.pass(ms(59_000), PassResult::InForce, Heard::default());
    assert_eq!(news, None);
    let (news, _) = life.pass(ms(1_000), PassResult::InForce, Heard::default());
    assert_eq!(news, Some(ConflictNews::Ended));
    let (news, pause) = life.pass(ms(1), PassResult::Repaired, heard("rival"));
    assert_eq!((news, pause), (None, None));
}

#[test]
fn whoever_undoes_each_repair_for_ever_gets_one_repair_per_resync_interval_for_ever() {
    let mut life = Life::new();
    let mut wait = Duration::ZERO;
    for _ in 0..30 {
        wait = life.pass(wait + ms(1), PassResult::Repaired, heard("rival")).1.unwrap_or_default();
    }
    for _ in 0..30 {
        assert_eq!(life.pass(wait + ms(1), PassResult::Repaired, heard("rival")), (None, Some(INTERVAL)));
    }
}

#[test]
fn a_repair_now_and_then_is_no_conflict() {
    let mut life = Life::new();
    for _ in 0..100 {
        assert_eq!(life.pass(INTERVAL * 2, PassResult::Repaired, heard("nft")), (None, None));
    }
}

#[test]
fn commits_of_others_that_touch_nothing_of_ours_get_a_tenth_of_the_time() {
    let mut life = Life::new();
    assert_eq!(life.pass(ms(1), PassResult::InForce, heard("kube-proxy")), (None, Some(LOOK * 9)));
    assert_eq!(life.pass(ms(18), PassResult::InForce, Heard::default()), (None, None));
    let lost = Heard { lost: true, ..Heard::default() };
    assert_eq!(life.pass(ms(1), PassResult::InForce, lost), (None, Some(LOOK * 9)));
}

#[test]
fn what_is_waited_for_after_a_look_is_the_time_of_the_look_and_not_of_commits_and_never_more_than_the_resync_interval()
{
    for (reading, committing, pause) in
        [(2, 0, 18), (2, 10_000, 18), (6_000, 0, 54_000), (7_000, 0, 60_000), (100_000, 1, 60_000)]
    {
        let took = PassTimes { reading: ms(reading), committing: ms(committing) };
        let mut life = Life::new();
        let (_, waits) = life.pass_that_took(took, ms(1), PassResult::InForce, heard("kube-proxy"));
        assert_eq!(waits, Some(ms(pause)), "{took:?}");
    }
}

#[test]
fn being_overtaken_by_commits_of_others_is_neither_a_failure_nor_a_conflict() {
    let mut life = Life::new();
    for _ in 0..30 {
        assert_eq!(life.pass(ms(1), PassResult::Overtaken, heard("kube-proxy")), (None, Some(LOOK * 9)));
        assert_eq!(life.retry(), Some(LOOK * 9), "no longer each time");
    }
    assert_eq!(life.pass(ms(1), PassResult::Repaired, heard("kube-proxy")), (None, None), "the first repair");
}

#[test]
fn a_failure_is_tried_again_ever_later_and_success_begins_anew() {
    let mut life = Life::new();
    let mut wait = Duration::ZERO;
    let mut retries = Vec::new();
    for _ in 0..12 {
        life.pass(wait, PassResult::Failed, Heard::default());
        wait = life.retry().unwrap();
        retries.push(wait.as_millis());
    }
    assert_eq!(retries, [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 60_000, 60_000]);
    life.pass(ms(1), PassResult::InForce, Heard::default());
    assert_eq!(life.retry(), None);
    life.pass(ms(1), PassResult::Failed, Heard::default());
    assert_eq!(life.retry(), Some(FIRST_PAUSE));
}

#[test]
fn after_a_failure_a_commit_of_somebody_else_leads_to_an_attempt_at_once_which_puts_off_nothing() {
    let mut life = Life::new();
    let mut wait = Duration::ZERO;
    for _ in 0..8 {
        assert_eq!(life.pass(wait, PassResult::Failed, Heard::default()), (None, None), "anybody is listened to");
        wait = life.retry().unwrap();
    }
    assert_eq!(wait, ms(12_800));
    // A program commits without end. Of each attempt the whole counts, as what fails may be the commit.
    let took = PassTimes { reading: LOOK, committing: ms(8) };
    for _ in 0..100 {
        let due = life.back_off.retry();
        let (_, pause) = life.pass_that_took(took, ms(1), PassResult::Failed, heard("kube-proxy"));
        assert_eq!((pause, life.back_off.retry()), (Some(ms(90)), due));
    }
    // But for no longer than until the attempt that is due anyway.
    let rest = life.retry().unwrap().saturating_sub(ms(20));
    let (_, pause) = life.pass(rest, PassResult::Failed, heard("kube-proxy"));
    assert_eq!(pause, Some(ms(18)));
    life.pass(ms(18), PassResult::Failed, Heard::default());
    assert_eq!(life.retry(), Some(ms(25_600)), "as if nobody had committed");
}

#[test]
fn while_another_process_owns_a_table_that_is_looked_at_four_times_a_second_and_everybody_is_listened_to() {
    let table = TableId::own(Family::Ipv4);
    let mut life = Life::new();
    for _ in 0..30 {
        assert_eq!(life.pass(ms(1), PassResult::Owned(table), Heard::default()), (None, None));
        assert_eq!((life.retry(), life.back_off.owned()), (Some(ms(250)), Some(table)));
        life.now += ms(250);
        life.back_off.check_owner_later(life.now);
        assert_eq!((life.retry(), life.back_off.owned()), (Some(ms(250)), Some(table)));
    }
    assert_eq!(life.pass(ms(1), PassResult::Owned(table), heard("kube-proxy")), (None, Some(LOOK * 9)));
    life.pass(ms(1), PassResult::InForce, Heard::default());
    assert_eq!((life.retry(), life.back_off.owned()), (None, None));
}

#[test]
fn whoever_undoes_a_repair_before_it_is_seen_counts_as_well_and_it_is_tried_again() {
    let mut life = Life::new();
    for count in 1..=10 {
        let (news, pause) = life.pass(ms(1), PassResult::Undone, heard("rival"));
        assert_eq!(news.is_some(), count == 9);
        assert_eq!(life.retry(), Some(pause.unwrap_or_default()));
        assert_eq!(pause, [(9, ms(100)), (10, ms(200))].iter().find(|(at, _)| *at == count).map(|(_, pause)| *pause));
    }
}

#[test]
fn what_cannot_be_put_right_is_looked_at_again_when_somebody_commits_and_not_before() {
    let mut life = Life::new();
    assert_eq!(life.pass(ms(1), PassResult::Stuck, Heard::default()), (None, None));
    assert_eq!(life.back_off.retry(), None);
    assert_eq!(life.pass(ms(1), PassResult::Stuck, heard("kube-proxy")), (None, Some(LOOK * 9)));
}

#[test]
fn the_operator_can_end_all_waiting() {
    let mut life = Life::new();
    for _ in 0..12 {
        life.pass(ms(1), PassResult::Repaired, heard("rival"));
    }
    assert!(life.back_off.not_before().is_some());
    life.back_off.start_afresh();
    assert_eq!(life.back_off.not_before(), None);
    assert_eq!(life.pass(ms(1), PassResult::Repaired, heard("rival")), (None, None));
}

#[test]
fn repairs_of_one_family_count_while_others_are_in_the_way_of_the_other_family() {
    let table = TableId::own(Family::Ipv6);
    for result in [PassResult::Stuck, PassResult::Owned(table)] {
        let mut life = Life::new();
        let mut news = Vec::new();
        let mut pauses = Vec::new();
        for _ in 0..11 {
            life.now += LOOK;
            let took = PassTimes { reading: LOOK, ..PassTimes::default() };
            news.extend(life.back_off.learn(life.now, took, (result, true), heard("rival"), INTERVAL));
            pauses.push(life.back_off.not_before().map(|until| until.duration_since(life.now).as_millis()));
        }
        assert!(matches!(&news[..], [ConflictNews::Started { repairs: 9, .. }]), "{news:?}");
        let expected = [None; 8].into_iter().chain([Some(100), Some(200), Some(400)]);
        assert_eq!(pauses, expected.collect::<Vec<_>>(), "{result:?}");
        // Whether the owner has ended is looked for all the same.
        let owned = matches!(result, PassResult::Owned(_)).then_some(OWNER_CHECK);
        assert_eq!(life.retry(), owned);
        life.now += QUIET;
        assert_eq!(life.pass(ms(1), result, Heard::default()), (Some(ConflictNews::Ended), None));
    }
}
