//! Every fault at every message of every kind of change.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use ip_masq_agent::backend::nftables::Nftables;
use ip_masq_agent::backend::nftables::{
    Action, Change, Observed, ObservedChain, ObservedRule, ObservedSet, ObservedTable, Plan, Unrecognised,
};
use ip_masq_agent::backend::{
    Backend, Backends, Look, ReconcileError, ReconcileOptions, SelectError, Selection, reconcile,
};
use ip_masq_agent::net::ChainName;
use ip_masq_agent::netlink::{Connection, NetlinkError, NetlinkFamily, NetlinkSocket};
use ip_masq_agent::rules::{Layout, Protection, Rule, Ruleset, TableId};

use crate::changes::{CASES, Case, Goal, rules};
use crate::faulty::{Fault, Faulty, Receive, Wire};
use crate::support::DEADLINE;
use crate::support::native::Tables;
use crate::support::netns::Netns;
use crate::support::tables::{FAMILIES, restore, saved_text};
use crate::table::{FAULTS, Promise, Row};

/// Others' rules around ours.
const FOREIGN: &str = "*nat\n:POSTROUTING ACCEPT [0:0]\n:KUBE-POSTROUTING - [0:0]\n-A POSTROUTING -j KUBE-POSTROUTING\n\
                       -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN\n-A KUBE-POSTROUTING -j MASQUERADE\nCOMMIT\n";

/// Every fault is tried at some messages, and at every message some faults. With `FAULTS=all` it is every fault at every
/// message, which takes minutes.
#[test]
fn whatever_goes_wrong_at_whichever_message_the_rules_are_the_old_or_the_new_and_the_next_pass_makes_them_the_new() {
    let started = Instant::now();
    let counts: Vec<Option<Counts>> = std::thread::scope(|scope| {
        let workers: Vec<_> = CASES.iter().map(|case| scope.spawn(|| check(case))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut total = Counts::default();
    for (case, counts) in CASES.iter().zip(counts) {
        let Some(counts) = counts else { return };
        println!("{}: {counts}", case.what);
        total.add(&counts);
    }
    println!("all: {total}, in {:?}", started.elapsed());
    assert!(total.points > 3_000, "{total}");
}

/// How it went.
#[derive(Default)]
struct Counts {
    points: usize,
    /// How many passes ended with an error.
    failed: usize,
    /// How many were told a lie.
    lies: usize,
    /// How many believed it, and said that the new rules were in force when they were not.
    deceived: usize,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.points += other.points;
        self.failed += other.failed;
        self.lies += other.lies;
        self.deceived += other.deceived;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { points, failed, lies, deceived } = self;
        write!(f, "{points} faults, {failed} passes failed; {lies} lies, {deceived} were believed until the next pass")
    }
}

fn check(case: &Case) -> Option<Counts> {
    let netns = Netns::new("faults")?;
    if case.old != Goal::Empty {
        for family in FAMILIES {
            restore(&netns, family, FOREIGN);
        }
    }
    Some(netns.inside(|| Bench::new(&netns, case).run()))
}

/// A kernel in which one change is made again and again.
struct Bench<'a> {
    netns: &'a Netns,
    case: &'a Case,
    /// Another socket, on which nothing goes wrong.
    eye: Rc<RefCell<Eye>>,
    /// The states after each transaction since this was cleared.
    seen: Rc<RefCell<Vec<State>>>,
}

impl<'a> Bench<'a> {
    fn new(netns: &'a Netns, case: &'a Case) -> Self {
        let eye = Rc::new(RefCell::new(Eye(Nftables::open().unwrap())));
        Self { netns, case, eye, seen: Rc::default() }
    }

    fn run(self) -> Counts {
        let (eye, seen) = (Rc::clone(&self.eye), Rc::clone(&self.seen));
        let wire =
            Rc::new(RefCell::new(Wire::new(NetlinkSocket::open(NetlinkFamily::Netfilter).unwrap(), move || {
                let state = eye.borrow_mut().state();
                seen.borrow_mut().push(state);
            })));

        // What happens when nothing goes wrong.
        let mut goal = self.prepare(&wire);
        let mut way = vec![self.state()];
        self.seen.borrow_mut().clear();
        wire.borrow_mut().arm(None, 0);
        let layout = goal.pass().unwrap();
        let (sends, receives) = wire.borrow().counted();
        assert_eq!(wire.borrow().echoes(), self.case.echoes, "{}", self.case.what);
        way.append(&mut self.seen.borrow_mut());
        let listed = self.listed();
        assert!(way.len() > 1 && way.first() != way.last(), "{}: nothing changes", self.case.what);

        let all = std::env::var_os("FAULTS").is_some_and(|value| value == "all");
        let mut counts = Counts::default();
        for (index, row) in FAULTS.iter().enumerate() {
            // What the kernel sends back comes before its answer to the transaction; all else is as in the other cases.
            let sends_back = self.case.echoes > 0;
            let places: Vec<usize> = if row.fault.is_of_sending() {
                (0..if sends_back { 0 } else { sends }).collect()
            } else {
                let is_place = |at: &usize| {
                    let Receive { is_datagram, is_of_batch } = receives[*at];
                    (is_datagram || !row.fault.needs_a_datagram()) && (is_of_batch || !sends_back)
                };
                (0..receives.len()).filter(is_place).collect()
            };
            let every = row.stride.max(if all { 1 } else { self.case.sample });
            for (number, place) in places.into_iter().enumerate() {
                // Each fault at other places, and at each place other faults.
                for seed in (0..row.times).filter(|seed| (index + number + seed) % every == 0) {
                    let point = Point { row, place, seed: u64::try_from(place * row.times + seed).unwrap() };
                    counts.add(&self.strike(&wire, &point, &way, layout));
                }
            }
        }
        assert_eq!(self.listed(), listed, "{}: the tools see something else than after the first time", self.case.what);
        counts
    }

    /// Lets one thing go wrong.
    fn strike(&self, wire: &Rc<RefCell<Wire>>, point: &Point<'_>, way: &[State], layout: Option<Layout>) -> Counts {
        let context = || format!("{}: {} at {} ({})", self.case.what, point.row.name, point.place, point.seed);
        let [old, .., new] = way else { panic!("a way has two ends") };
        let mut goal = self.prepare(wire);
        assert_eq!(self.state(), *old, "{}: not as at first", context());

        self.seen.borrow_mut().clear();
        wire.borrow_mut().arm(Some((point.row.fault, point.place)), point.seed);
        let started = Instant::now();
        let ended = goal.pass();
        assert!(started.elapsed() < DEADLINE, "{}: took {:?}", context(), started.elapsed());
        assert!(wire.borrow().has_struck(), "{}: nothing went wrong", context());
        let state = self.state();
        let mut counts = Counts { points: 1, failed: usize::from(ended.is_err()), ..Counts::default() };
        if point.row.promise == Promise::Lie {
            counts.lies = 1;
            counts.deceived = usize::from(ended.is_ok() && state != *new);
        } else {
            for seen in self.seen.borrow().iter().chain([&state]) {
                assert!(way.contains(seen), "{}: {seen:#?}", context());
            }
            assert!(ended.is_err() || state == *new, "{}: not in force: {state:#?}", context());
        }
        match &ended {
            Ok(used) => assert_eq!(*used, layout, "{}: another layout", context()),
            Err(error) => {
                assert_ne!(point.row.promise, Promise::SamePass, "{}: {error}", context());
                assert!(is_as_promised(point.row, error), "{}: {error}", context());
            }
        }

        let next = goal.pass();
        let used = next.unwrap_or_else(|error| panic!("{}, the next pass: {error}", context()));
        assert_eq!(used, layout, "{}, the next pass: another layout", context());
        assert_eq!(self.state(), *new, "{}, the next pass", context());
        counts
    }

    /// Brings the old rules about, and gives what is wanted next.
    fn prepare(&self, wire: &Rc<RefCell<Wire>>) -> Aim {
        let mut aim = Aim::new(self.case.old, wire);
        aim.pass().unwrap();
        if self.case.old == Goal::Empty {
            self.eye.borrow_mut().empty();
        }
        aim.renew(self.case.new);
        aim
    }

    fn state(&self) -> State {
        self.eye.borrow_mut().state()
    }

    /// What the tools say.
    fn listed(&self) -> (String, Tables) {
        (saved_text(self.netns), Tables::of(self.netns))
    }
}

/// A fault at a place.
struct Point<'a> {
    row: &'a Row,
    place: usize,
    seed: u64,
}

/// An error says whether the next pass can fare better, and a lost privilege and a too small buffer say so themselves.
fn is_as_promised(row: &Row, error: &SelectError) -> bool {
    let SelectError::Reconcile(reconcile) = error else { return false };
    match (reconcile, row.fault) {
        _ if error.is_transient() => true,
        (error, _) if error.is_denied() => row.name.contains("EPERM") || row.promise == Promise::Lie,
        (ReconcileError::Backend(error) | ReconcileError::Look { source: error, .. }, fault)
            if matches!(error.source.downcast_ref(), Some(NetlinkError::TooLarge { .. })) =>
        {
            matches!(fault, Fault::NotSent(nix::errno::Errno::EMSGSIZE))
        }
        _ => row.promise == Promise::Lie,
    }
}

/// What is wanted, and by whom.
struct Aim {
    goal: Goal,
    wire: Rc<RefCell<Wire>>,
    agent: Agent,
}

enum Agent {
    /// Brings rules into force.
    Selection(Box<Selection>),
    /// Takes them away.
    Cleaner(Box<Nftables<Faulty>>),
}

impl Aim {
    fn new(goal: Goal, wire: &Rc<RefCell<Wire>>) -> Self {
        let nftables = Nftables::over(Connection::new(Faulty(Rc::clone(wire))));
        let agent = match goal {
            Goal::Empty | Goal::Nothing => Agent::Cleaner(Box::new(nftables)),
            Goal::Rules(option, protect, list) => {
                let compile = |layout| rules(list, layout);
                Agent::Selection(Box::new(Selection::new(Backends::over(nftables), option, protect, &compile)))
            }
        };
        Self { goal, wire: Rc::clone(wire), agent }
    }

    fn renew(&mut self, goal: Goal) {
        match (&mut self.agent, self.goal, goal) {
            (Agent::Selection(selection), Goal::Rules(was, before, _), Goal::Rules(is, after, list))
                if (was, before) == (is, after) =>
            {
                selection.renew(&|layout| rules(list, layout));
                self.goal = goal;
            }
            _ => *self = Self::new(goal, &self.wire),
        }
    }

    /// The layout in which the rules are in force, if there are any.
    fn pass(&mut self) -> Result<Option<Layout>, SelectError> {
        let options = ReconcileOptions { hold: true, ..ReconcileOptions::default() };
        match (&mut self.agent, self.goal) {
            (Agent::Selection(selection), Goal::Rules(_, _, list)) => {
                let selected = selection.reconcile(&options, &|layout| rules(list, layout))?;
                Ok(Some(selected.layout))
            }
            (Agent::Cleaner(nftables), _) => {
                reconcile(&mut **nftables, &Ruleset::nothing(ChainName::default()), &options)?;
                Ok(None)
            }
            (Agent::Selection(_), _) => panic!("there is no list"),
        }
    }
}

/// Looks at the rules over a socket of its own.
struct Eye(Nftables<NetlinkSocket>);

impl Eye {
    fn state(&mut self) -> State {
        State::of(self.look().tables)
    }

    fn look(&mut self) -> Observed {
        self.0.read(&ChainName::default(), Look::Fresh).unwrap()
    }

    /// Takes iptables' tables away.
    fn empty(&mut self) {
        let observed = self.look();
        let delete = |id| Change { table: id, action: Action::DeleteTable };
        let changes = observed.tables.iter().map(|table| delete(table.id)).collect();
        self.0.commit(&Plan { changes, more: false }, observed).unwrap();
        assert_eq!(self.state(), State(BTreeMap::new()));
    }
}

/// What the rules mean, without handles.
#[derive(Debug, PartialEq, Eq)]
struct State(BTreeMap<TableId, TableState>);

#[derive(Debug, PartialEq, Eq)]
struct TableState {
    protection: Result<Protection, Unrecognised>,
    sets: Vec<ObservedSet>,
    chains: Vec<(ObservedChain, Vec<Result<Rule, Unrecognised>>)>,
}

impl State {
    fn of(tables: Vec<ObservedTable>) -> Self {
        let table = |table: ObservedTable| {
            let mut sets = table.sets;
            sets.sort_by(|a, b| a.name.cmp(&b.name));
            let chain = |mut chain: ObservedChain| {
                let rules = std::mem::take(&mut chain.rules).into_iter().map(|rule: ObservedRule| rule.rule).collect();
                (chain, rules)
            };
            let mut chains: Vec<_> = table.chains.into_iter().map(chain).collect();
            chains.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
            (table.id, TableState { protection: table.protection, sets, chains })
        };
        Self(tables.into_iter().map(table).collect())
    }
}
