//! When a reload begins and ends.

use super::tests::{Clock, check, ended, unchanged, unusable, valid};
use super::*;
use crate::report::PassResult;

/// What is new by this event, as the answer to the operator's request of this number.
fn answering(number: u64, event: Event) -> Event {
    match event {
        Event::File(Answer { news, .. }) => Event::File(Answer { news, reload: Some(number) }),
        event => event,
    }
}

#[test]
fn the_operator_has_the_file_read_and_is_told_if_it_says_what_it_said() {
    check(
        Clock::in_force(),
        vec![
            (10, Event::Reload, &RELOAD),
            (11, ended(PassResult::InForce), &["report in_force", "wait until 5010"]),
            (12, unchanged(1), &["reconcile if somebody committed: file_unchanged"]),
            (13, ended(PassResult::InForce), &["report in_force", "report reloaded: true", "wait until 60011"]),
        ],
    );
}

/// What follows from SIGHUP.
const RELOAD: [&str; 3] = ["report reloading", "ask file for the operator", "reconcile if somebody committed: reload"];

#[test]
fn a_reload_ends_with_the_pass_over_what_was_read_after_the_last_request_whatever_comes_of_that() {
    for (answer, result, after) in [
        (valid(), PassResult::InForce, vec!["save", "give back memory", "wait until 60018"]),
        (unusable(), PassResult::InForce, vec!["give back memory", "wait until 60018"]),
        (valid(), PassResult::Failed, vec!["give back memory", "wait until 118"]),
    ] {
        let report = format!("report {}", result.name());
        let expected: Vec<&str> = [&*report, "report reloaded: true"].into_iter().chain(after).collect();
        check(
            Clock::in_force(),
            vec![
                (10, Event::Reload, &RELOAD),
                (11, ended(PassResult::InForce), &["report in_force", "wait until 5010"]),
                (12, Event::Reload, &RELOAD),
                (13, ended(PassResult::InForce), &["report in_force", "wait until 5012"]),
                // What was read before the second request does not answer that.
                (14, unchanged(1), &["reconcile if somebody committed: file_unchanged"]),
                (15, ended(PassResult::InForce), &["report in_force", "wait until 5012"]),
                (16, answering(2, answer), &["reconcile: file_changed"]),
                (18, ended(result), &expected),
            ],
        );
    }
}

#[test]
fn a_reload_whose_file_is_not_answered_for_is_given_up_and_the_answer_is_news_later() {
    check(
        Clock::in_force(),
        vec![
            (10, Event::Reload, &RELOAD),
            (11, ended(PassResult::InForce), &["report in_force", "wait until 5010"]),
            (5_010, Event::Alarm, &["report reloaded: false", "wait until 60011"]),
            (6_000, answering(1, valid()), &["reconcile: file_changed"]),
            (6_001, ended(PassResult::InForce), &["report in_force", "save", "give back memory", "wait until 66001"]),
        ],
    );
}
