//! What follows from events and times, as data.

use super::News::{Finished, Other, Replaced, Touched, Written};
use super::*;

/// What was heard so many milliseconds after the beginning, before which the files were last read that long ago (`None`
/// for never), and when they are read, in milliseconds after the beginning.
type Case<'a> = (&'a str, Option<u64>, &'a [(News, u64)], u64);

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn what_is_complete_is_read_at_once_a_burst_after_silence_and_a_writer_is_waited_for() {
    let cases: [Case<'_>; 17] = [
        ("a rename", Some(60_000), &[(Replaced, 0)], 0),
        ("a rename before any reading", None, &[(Replaced, 0)], 0),
        ("a rename 5 ms after a reading", Some(5), &[(Replaced, 0)], 0),
        ("a rename 4 ms after a reading", Some(4), &[(Replaced, 0)], 5),
        ("renames that go on after a reading", Some(0), &[(Replaced, 1), (Replaced, 4), (Replaced, 8)], 13),
        ("renames that have not been read at once", Some(60_000), &[(Replaced, 0), (Replaced, 4)], 0),
        ("a write in place", Some(60_000), &[(Written, 0), (Finished, 1)], 6),
        ("a write in two parts", Some(60_000), &[(Written, 0), (Finished, 1), (Written, 2), (Finished, 3)], 8),
        ("a writer that does not close", Some(60_000), &[(Written, 0), (Written, 200)], 250),
        ("a writer that changes the mode first", Some(60_000), &[(Written, 0), (Touched, 1)], 250),
        (
            "a writer that goes on after it was waited for",
            Some(60_000),
            &[(Written, 0), (Finished, 1), (Written, 3)],
            250,
        ),
        ("a rename over what is being written", Some(60_000), &[(Written, 0), (Replaced, 1)], 0),
        ("a write into what was renamed", Some(60_000), &[(Replaced, 0), (Written, 1)], 251),
        ("kubelet's swap and the removal of what it swapped out", Some(60_000), &[(Replaced, 0), (Other, 1)], 0),
        ("one of several files", Some(60_000), &[(Finished, 0)], 5),
        ("a file goes", Some(60_000), &[(Other, 0)], 5),
        ("changes without end", Some(60_000), &[(Other, 0), (Finished, 50), (Other, 99)], 100),
    ];
    let start = Instant::now();
    let begin = start + ms(60_000);
    for (name, last_reading, events, expected) in cases {
        let mut changes = Changes::default();
        assert_eq!(changes.read_at(None), None, "nothing was heard");
        for (news, at) in events {
            changes.add(*news, begin + ms(*at));
        }
        let read_at = changes.read_at(last_reading.map(|ago| start + ms(60_000 - ago))).unwrap();
        assert_eq!(read_at.duration_since(begin), ms(expected), "{name}");
    }
}

#[test]
fn what_a_writer_may_be_in_the_middle_of_is_half_until_it_closes_or_was_waited_for() {
    let begin = Instant::now();
    let mut changes = Changes::default();
    assert!(!changes.may_be_half(begin));
    changes.add(Replaced, begin);
    assert!(!changes.may_be_half(begin));
    changes.add(Written, begin);
    changes.add(Touched, begin);
    assert!(changes.may_be_half(begin + ms(249)));
    assert!(!changes.may_be_half(begin + ms(250)));
    changes.add(Finished, begin + ms(1));
    assert!(!changes.may_be_half(begin + ms(1)));
    changes.add(Written, begin + ms(200));
    assert!(changes.may_be_half(begin + ms(249)));
    assert!(!changes.may_be_half(begin + ms(250)), "writers that take turns would be waited for without end");
}

#[test]
fn readings_are_a_gap_apart_whatever_is_heard_in_between() {
    for news in [Replaced, Finished, Written, Touched, Other] {
        for heard in 0..20 {
            let reading = Instant::now();
            let mut changes = Changes::default();
            changes.add(news, reading + ms(heard));
            assert!(changes.read_at(Some(reading)).unwrap() >= reading + BURST_GAP, "{news:?} after {heard} ms");
            changes.add(Finished, reading + ms(heard + 1));
            assert!(
                changes.read_at(Some(reading)).unwrap() >= reading + BURST_GAP,
                "{news:?} after {heard} ms, closed"
            );
        }
    }
}
