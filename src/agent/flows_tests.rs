//! When flows are looked at, and what is said of the policies before.

use std::cell::RefCell;
use std::rc::Rc;

use nix::errno::Errno;

use super::*;
use crate::net::ChainName;
use crate::net::Family;
use crate::ruleset::tests::policy;
use crate::ruleset::{Action, Change, Plan, Protection, Shape, TableId};

/// Remembers what it was told, and fails so many times first.
#[derive(Clone, Debug, Default)]
struct Fixer {
    told: Rc<RefCell<Vec<(Before, Decisions)>>>,
    failures: Rc<RefCell<usize>>,
}

impl FixFlows for Fixer {
    fn fix(&mut self, before: &Before, now: &Decisions) -> Result<Fixed, ConntrackError> {
        self.told.borrow_mut().push((before.clone(), now.clone()));
        let mut failures = self.failures.borrow_mut();
        if *failures > 0 {
            *failures -= 1;
            return Err(ConntrackError::Unsupported(Errno::EINVAL));
        }
        Ok(Fixed::default())
    }
}

/// What a pass over the rules came to.
#[derive(Clone, Copy, Debug)]
enum Rules {
    Changed,
    /// Only the tables came to be ours again.
    Adopted,
    AsTheyShallBe,
    NotLookedAt,
    Failed,
}
use Rules::{Adopted, AsTheyShallBe, Changed, Failed, NotLookedAt};

impl Rules {
    fn result(self) -> Result<Option<Fitted<Outcome>>, FitError> {
        let change = |action| Change { table: TableId::own(Family::Ipv4), action };
        let adoption = change(Action::CreateTable { protection: Protection::OwnerPersist });
        let changes = match self {
            Changed => {
                vec![adoption, change(Action::CreateChain { chain: ChainName::default().to_string(), base: None })]
            }
            Adopted => vec![adoption],
            AsTheyShallBe => Vec::new(),
            NotLookedAt => return Ok(None),
            Failed => return Err(FitError::Nothing(Vec::new())),
        };
        let result = Outcome { plan: Plan { changes, ..Plan::default() }, ..Outcome::default() };
        Ok(Some(Fitted { shape: Shape::Compat, refused: Vec::new(), result }))
    }
}

/// Policies, by what they exempt.
fn says(range: &str) -> Decisions {
    Decisions::of(&policy(&[range], ""))
}

const A: &str = "10.0.0.0/8";
const B: &str = "11.0.0.0/8";
const C: &str = "12.0.0.0/8";

/// Passes: the policy if it is renewed, and how the rules fared; with how many failures to fix first. Gives what the
/// fixer was told: the policies before, none for unknown, and the one now.
fn told(failures: usize, passes: &[(Option<&str>, Rules)]) -> Vec<(Option<Vec<Decisions>>, Decisions)> {
    let fixer = Fixer { failures: Rc::new(RefCell::new(failures)), ..Fixer::default() };
    let mut flows = EarlierFlows::new(Box::new(fixer.clone()));
    for (renewed, rules) in passes {
        let told_before = fixer.told.borrow().len();
        let answer = flows.follow(renewed.map(says), &rules.result());
        assert_eq!(answer.is_some(), fixer.told.borrow().len() > told_before);
    }
    let known = |before| match before {
        Before::Unknown => None,
        Before::OneOf(policies) => Some(policies),
    };
    fixer.told.take().into_iter().map(|(before, now)| (known(before), now)).collect()
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
