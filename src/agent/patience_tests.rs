use super::*;

const INTERVAL: Duration = Duration::from_secs(60);
const WORK: Duration = Duration::from_millis(2);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn heard(name: &str) -> Heard {
    Heard { commits: 1, lost: false, processes: vec![Process { pid: 7, name: name.to_owned() }] }
}

/// Passes of a made-up clock.
struct Life {
    patience: Patience,
    now: Instant,
}

impl Life {
    fn new() -> Self {
        Self { patience: Patience::default(), now: Instant::now() }
    }

    /// A pass after so much time, and for how long nobody listens after it.
    fn pass(&mut self, after: Duration, finding: Finding, heard: Heard) -> (Option<News>, Option<Duration>) {
        let began = self.now + after;
        self.now = began + WORK;
        let news = self.patience.learn((began, self.now), finding, heard, INTERVAL);
        (news, self.patience.not_before().map(|until| until.duration_since(self.now)))
    }
}

#[test]
fn repairs_are_made_at_once_until_they_are_too_many_then_ever_later_up_to_the_resync_interval() {
    let mut life = Life::new();
    let mut pauses = Vec::new();
    let mut news = Vec::new();
    let mut wait = Duration::ZERO;
    for _ in 0..22 {
        let (new, pause) = life.pass(wait + ms(1), Finding::Repaired, heard("rival"));
        wait = pause.unwrap_or_default();
        pauses.push(pause.map(|pause| pause.as_millis()));
        news.extend(new);
    }
    let expected = [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 60_000, 60_000, 60_000, 60_000];
    assert_eq!(pauses, [None; 8].into_iter().chain(expected.map(Some)).collect::<Vec<_>>());
    // Told once, with the one who is suspected.
    let [News::Quarrel(Quarrel { repairs: 9, time, suspects })] = &news[..] else { panic!("{news:?}") };
    assert_eq!(*time, (WORK + ms(1)) * 8);
    assert_eq!(suspects.iter().map(ToString::to_string).collect::<Vec<_>>(), ["rival (pid 7)"]);
}

#[test]
fn a_quiet_time_ends_the_pauses_and_is_told() {
    let mut life = Life::new();
    for _ in 0..10 {
        life.pass(ms(300), Finding::Repaired, heard("rival"));
    }
    let (news, _) = life.pass(ms(59_000), Finding::InOrder, Heard::default());
    assert_eq!(news, None);
    let (news, _) = life.pass(ms(1_000), Finding::InOrder, Heard::default());
    assert_eq!(news, Some(News::Peace));
    let (news, pause) = life.pass(ms(1), Finding::Repaired, heard("rival"));
    assert_eq!((news, pause), (None, None));
}

#[test]
fn whoever_undoes_each_repair_for_ever_gets_one_repair_per_resync_interval_for_ever() {
    let mut life = Life::new();
    let mut wait = Duration::ZERO;
    for _ in 0..30 {
        wait = life.pass(wait + ms(1), Finding::Repaired, heard("rival")).1.unwrap_or_default();
    }
    for _ in 0..30 {
        assert_eq!(life.pass(wait + ms(1), Finding::Repaired, heard("rival")), (None, Some(INTERVAL)));
    }
}

#[test]
fn a_repair_now_and_then_is_no_quarrel() {
    let mut life = Life::new();
    for _ in 0..100 {
        assert_eq!(life.pass(INTERVAL * 2, Finding::Repaired, heard("nft")), (None, None));
    }
}

#[test]
fn commits_of_others_that_touch_nothing_of_ours_get_a_tenth_of_the_time() {
    let mut life = Life::new();
    assert_eq!(life.pass(ms(1), Finding::InOrder, heard("kube-proxy")), (None, Some(WORK * 9)));
    assert_eq!(life.pass(ms(18), Finding::InOrder, Heard::default()), (None, None));
    let lost = Heard { lost: true, ..Heard::default() };
    assert_eq!(life.pass(ms(1), Finding::InOrder, lost), (None, Some(WORK * 9)));
}

#[test]
fn a_failure_is_tried_again_ever_later_and_success_begins_anew() {
    let mut life = Life::new();
    let retry = |life: &mut Life| {
        life.pass(ms(1), Finding::Failed, Heard::default());
        life.patience.retry().unwrap().duration_since(life.now)
    };
    let retries: Vec<u128> = (0..12).map(|_| retry(&mut life).as_millis()).collect();
    assert_eq!(retries, [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 60_000, 60_000]);
    life.pass(ms(1), Finding::InOrder, Heard::default());
    assert_eq!(life.patience.retry(), None);
    assert_eq!(retry(&mut life), FIRST_PAUSE);
}

#[test]
fn whoever_undoes_a_repair_before_it_is_seen_counts_as_well_and_it_is_tried_again() {
    let mut life = Life::new();
    for count in 1..=10 {
        let (news, pause) = life.pass(ms(1), Finding::Undone, heard("rival"));
        assert_eq!(news.is_some(), count == 9);
        let retry = life.patience.retry().unwrap().duration_since(life.now);
        assert_eq!(retry, pause.unwrap_or_default());
        assert_eq!(pause, [(9, ms(100)), (10, ms(200))].iter().find(|(at, _)| *at == count).map(|(_, pause)| *pause));
    }
}

#[test]
fn what_cannot_be_put_right_is_looked_at_again_when_somebody_commits_and_not_before() {
    let mut life = Life::new();
    assert_eq!(life.pass(ms(1), Finding::Stuck, Heard::default()), (None, None));
    assert_eq!(life.patience.retry(), None);
    assert_eq!(life.pass(ms(1), Finding::Stuck, heard("kube-proxy")), (None, Some(WORK * 9)));
}

#[test]
fn the_operator_can_end_all_waiting() {
    let mut life = Life::new();
    for _ in 0..12 {
        life.pass(ms(1), Finding::Repaired, heard("rival"));
    }
    assert!(life.patience.not_before().is_some());
    life.patience.start_afresh();
    assert_eq!(life.patience.not_before(), None);
    assert_eq!(life.pass(ms(1), Finding::Repaired, heard("rival")), (None, None));
}
