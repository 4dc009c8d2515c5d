//! When flows are looked at, and what is said of the policies before.

use nix::errno::Errno;

use super::*;
use crate::rules::tests::policy;

/// How a pass over the rules ended.
#[derive(Clone, Copy, Debug)]
enum Rules {
    Changed,
    /// Only the ownership of the tables was taken again.
    Adopted,
    AsTheyShallBe,
    NotLookedAt,
    Failed,
}
use Rules::{Adopted, AsTheyShallBe, Changed, Failed, NotLookedAt};

impl Rules {
    /// Whether the rules are in force after it, and whether it changed what packets may meet.
    fn result(self) -> (bool, bool) {
        match self {
            Changed => (true, true),
            Adopted | AsTheyShallBe | NotLookedAt => (true, false),
            Failed => (false, false),
        }
    }
}

/// The policy becomes this one. A job for another one is interrupted.
fn renew(flows: &mut EarlierFlows, now: Decisions) {
    if let Some(job) = flows.renew(now) {
        job.interrupt();
    }
}

/// Policies, by what they exempt.
fn says(range: &str) -> Decisions {
    Decisions::of(&policy(&[range], ""))
}

const A: &str = "10.0.0.0/8";
const B: &str = "11.0.0.0/8";
const C: &str = "12.0.0.0/8";

/// What a job says: the policies before, none for unknown, and the one now.
type Said = (Option<Vec<Decisions>>, Decisions);

fn said(job: &Job) -> Said {
    let before = match &job.before {
        Before::Unknown => None,
        Before::OneOf(policies) => Some(policies.clone()),
    };
    (before, job.now.clone())
}

fn pass(flows: &mut EarlierFlows, (renewed, rules): (Option<&str>, Rules)) -> Option<Arc<Job>> {
    if let Some(range) = renewed {
        renew(flows, says(range));
    }
    let (is_in_force, affects_packets) = rules.result();
    flows.follow(is_in_force, affects_packets)
}

fn end(flows: &mut EarlierFlows, job: Arc<Job>, fails: bool) -> bool {
    let result = if fails { Err(ConntrackError::Unsupported(Errno::EINVAL)) } else { Ok(Fixed::default()) };
    flows.ended(FlowReport { job, result }).is_some()
}

/// Passes: the policy if it is renewed, and how the rules fared; and each job has ended before the next pass, so many with
/// a failure first. Gives what the jobs said.
fn told(failures: usize, passes: &[(Option<&str>, Rules)]) -> Vec<Said> {
    let mut flows = EarlierFlows::new();
    let mut told = Vec::new();
    for one in passes {
        if let Some(job) = pass(&mut flows, *one) {
            told.push(said(&job));
            assert!(end(&mut flows, job, told.len() <= failures));
        }
    }
    told
}

#[test]
fn flows_are_looked_at_after_a_change_of_the_policy_and_at_no_other_time() {
    let start = (Some(A), AsTheyShallBe);
    let after = |passes: &[(Option<&str>, Rules)]| told(0, &[&[start], passes].concat());
    assert_eq!(after(&[]), [], "rules that are in force already");
    assert_eq!(after(&[(None, NotLookedAt), (None, AsTheyShallBe)]), [], "nothing happens");
    assert_eq!(after(&[(None, Changed)]), [], "a repair");
    assert_eq!(after(&[(Some(A), AsTheyShallBe)]), [], "a file that says the same in other words");
    assert_eq!(after(&[(Some(B), Changed)]), [(Some(vec![says(A)]), says(B))]);
    assert_eq!(after(&[(Some(B), AsTheyShallBe)]), [(Some(vec![says(A)]), says(B))], "somebody else was quicker");
    let twice = [(Some(vec![says(A)]), says(B)), (Some(vec![says(B)]), says(C))];
    assert_eq!(after(&[(Some(B), Changed), (None, NotLookedAt), (Some(C), Changed)]), twice);
}

#[test]
fn at_the_start_the_policy_before_is_unknown_and_matters_only_if_rules_had_to_change() {
    let unknown = [(None, says(A))];
    assert_eq!(told(0, &[(Some(A), Changed)]), unknown);
    assert_eq!(told(0, &[(Some(A), AsTheyShallBe)]), []);
    assert_eq!(told(0, &[(Some(A), Adopted)]), []);
    assert_eq!(told(0, &[(Some(A), Failed), (None, Changed)]), unknown);
    assert_eq!(told(0, &[(Some(A), Failed), (None, AsTheyShallBe)]), unknown, "a commit whose answer was lost");
    assert_eq!(told(0, &[(Some(A), Failed), (Some(B), Changed)]), [(None, says(B))]);
}

#[test]
fn rules_that_did_not_come_into_force_move_no_flow_but_may_have_been_there() {
    let passes = [(Some(A), AsTheyShallBe), (Some(B), Failed), (None, Failed), (Some(C), Changed)];
    assert_eq!(told(0, &passes), [(Some(vec![says(A), says(B)]), says(C))]);
}

#[test]
fn a_failure_is_made_good_by_the_next_pass_whatever_that_is_for() {
    let before = || Some(vec![says(A)]);
    for next in [NotLookedAt, AsTheyShallBe, Changed] {
        let passes = [(Some(A), AsTheyShallBe), (Some(B), Changed), (None, next), (None, next)];
        assert_eq!(told(1, &passes), [(before(), says(B)), (before(), says(B))], "{next:?}");
    }
    let passes =
        [(Some(A), AsTheyShallBe), (Some(B), Changed), (None, Failed), (Some(C), Changed), (None, NotLookedAt)];
    assert_eq!(told(1, &passes), [(before(), says(B)), (Some(vec![says(A), says(B)]), says(C))]);
}

#[test]
fn a_newer_policy_interrupts_what_is_being_done_for_an_older_one_and_takes_over_what_that_had_left_to_do() {
    let mut flows = EarlierFlows::new();
    assert!(pass(&mut flows, (Some(A), AsTheyShallBe)).is_none());
    let older = pass(&mut flows, (Some(B), Changed)).unwrap();
    assert!(!older.is_interrupted());
    // Before the rules are touched: what began under the newer policy is not judged by the older one.
    renew(&mut flows, says(C));
    assert!(older.is_interrupted());
    let newer = flows.follow(true, true).unwrap();
    assert_eq!(said(&newer), (Some(vec![says(A), says(B)]), says(C)));
    // The result of the older job is not reported any more.
    assert!(!end(&mut flows, older, false));
    assert!(!newer.is_interrupted());
    assert!(end(&mut flows, newer, false));
    assert!(pass(&mut flows, (None, Changed)).is_none(), "nothing is left to do");
}

#[test]
fn what_is_being_done_is_not_begun_again_by_a_pass_under_the_same_policy() {
    for next in [NotLookedAt, AsTheyShallBe, Changed, Failed] {
        let mut flows = EarlierFlows::new();
        pass(&mut flows, (Some(A), AsTheyShallBe));
        let job = pass(&mut flows, (Some(B), Changed)).unwrap();
        for renewed in [None, Some(B)] {
            assert!(pass(&mut flows, (renewed, next)).is_none(), "{next:?}");
        }
        assert!(!job.is_interrupted(), "{next:?}");
        assert!(end(&mut flows, job, false));
    }
}

#[test]
fn what_was_interrupted_for_a_policy_that_did_not_come_into_force_is_done_with_the_next_one_that_does() {
    let mut flows = EarlierFlows::new();
    pass(&mut flows, (Some(A), AsTheyShallBe));
    let first = pass(&mut flows, (Some(B), Changed)).unwrap();
    assert!(pass(&mut flows, (Some(C), Failed)).is_none());
    assert!(first.is_interrupted());
    assert!(!end(&mut flows, first, true));
    let second = pass(&mut flows, (None, Changed)).unwrap();
    assert_eq!(said(&second), (Some(vec![says(A), says(B)]), says(C)));
    assert!(end(&mut flows, second, false));
}
