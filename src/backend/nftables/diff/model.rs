//! A model of how packets pass the rules while the kernel commits a plan.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::backend::nftables::{Action, Observed, ObservedSet, Plan};
use crate::net::{AddressRange, Cidr};
use crate::policy::{Holds, Packet, Value};
use crate::rules::{Field, Lookup, Outcome, Rule, SetKind, TableId, Test, Verdict};

/// A commit: the rules before it and after it, and the plan that was committed.
pub(super) struct Commit<'a> {
    pub(super) states: [&'a Observed; 2],
    pub(super) plan: &'a Plan,
}

/// Before a commit (0) or after it (1): an index into its states.
type Moment = usize;

impl Commit<'_> {
    pub(super) fn assert_answers(&self, packet: &Packet, allowed: &BTreeSet<Outcome>) {
        let seen = self.answers(packet);
        assert!(
            seen.is_subset(allowed),
            "{packet:?}: {seen:?} of {allowed:?} by {:#?} on {:#?}",
            self.plan,
            self.states
        );
    }

    /// All answers that a packet can get whose way through the rules begins before the commit or after it, and may go on
    /// after it.
    pub(super) fn answers(&self, packet: &Packet) -> BTreeSet<Outcome> {
        let family = packet.family;
        let mut bases: Vec<(i32, TableId, &str)> = Vec::new();
        for table in self.states.iter().flat_map(|state| &state.tables).filter(|table| table.id.family == family) {
            bases.extend(
                table
                    .chains
                    .iter()
                    .filter_map(|chain| chain.base.as_ref().map(|base| (base.priority, table.id, chain.name.as_str()))),
            );
        }
        bases.sort_unstable();
        bases.dedup();
        let mut answers = BTreeSet::new();
        let mut on_the_way = BTreeSet::from([0]);
        for (_, table, chain) in bases {
            // The rules are taken when the packet enters the base chain.
            let entries: BTreeSet<Moment> = on_the_way.iter().flat_map(|moment| *moment..2).collect();
            on_the_way.clear();
            for moment in entries {
                for (masqueraded, moment) in self.walk(packet, table, chain, moment, moment) {
                    if masqueraded {
                        answers.insert(Outcome::Masqueraded);
                    } else {
                        on_the_way.insert(moment);
                    }
                }
            }
        }
        if !on_the_way.is_empty() {
            answers.insert(Outcome::Kept);
        }
        answers
    }

    /// The ends of a packet's way through a chain, whose rules are of one moment: whether it is masqueraded,
    /// and in which moment that is decided.
    fn walk(
        &self,
        packet: &Packet,
        table: TableId,
        chain: &str,
        rules: Moment,
        now: Moment,
    ) -> BTreeSet<(bool, Moment)> {
        let mut ends = BTreeSet::new();
        let mut on_the_way = BTreeSet::from([now]);
        let present = self.states[rules].table(table).and_then(|table| table.chain(chain));
        for rule in present.map_or(&[][..], |chain| &chain.rules) {
            let rule = rule.rule.as_ref().unwrap();
            for now in std::mem::take(&mut on_the_way) {
                for (holds, now) in self.match_(packet, table, rule, rules, now) {
                    match rule.verdict() {
                        _ if !holds => _ = on_the_way.insert(now),
                        Verdict::Return => _ = ends.insert((false, now)),
                        Verdict::Masquerade(_) => _ = ends.insert((true, now)),
                        Verdict::Jump(target) => {
                            for (masqueraded, now) in self.walk(packet, table, target, rules, now) {
                                if masqueraded {
                                    ends.insert((true, now));
                                } else {
                                    on_the_way.insert(now);
                                }
                            }
                        }
                    }
                }
            }
        }
        ends.extend(on_the_way.into_iter().map(|now| (false, now)));
        ends
    }

    fn match_(
        &self,
        packet: &Packet,
        table: TableId,
        rule: &Rule,
        rules: Moment,
        now: Moment,
    ) -> BTreeSet<(bool, Moment)> {
        let mut states = BTreeSet::from([(true, now)]);
        for condition in rule.matches() {
            states = states
                .into_iter()
                .flat_map(|(holds, now)| match (condition.lookup(), condition.test(), condition.field()) {
                    _ if !holds => vec![(false, now)],
                    (Some(Lookup { field, set, prefix_len }), ..) => {
                        let Some(Value::Address(address)) = packet.value(field.into()) else { panic!("{packet:?}") };
                        let key = prefix_len.map_or(Some(address), |len| Some(Cidr::around(address, len)?.network()));
                        let found = |now| {
                            self.elements(table, set, rules, now)
                                .into_iter()
                                .map(move |elements| (key.is_some_and(|key| is_element(&elements, key)), now))
                        };
                        (now..2).flat_map(found).collect()
                    }
                    (_, Test::Packet(test), Field::Packet(field)) => {
                        vec![(test.holds(field, packet) == Holds::Yes, now)]
                    }
                    _ => panic!("{rule:?} is not in these rulesets"),
                })
                .collect();
        }
        states
    }

    /// The elements that a lookup at the moment `now` may find in the set that a rule of the moment `rules` names.
    fn elements(&self, table: TableId, set: &str, rules: Moment, now: Moment) -> Vec<Vec<AddressRange>> {
        let of = |moment: Moment| -> &ObservedSet { self.states[moment].table(table).unwrap().set(set).unwrap() };
        let does = |done: &dyn Fn(&Action) -> bool| {
            self.plan.changes.iter().any(|change| change.table == table && done(&change.action))
        };
        let made_anew = does(&|action| matches!(action, Action::CreateSet { set: created, .. } if created == set));
        let deleted = does(&|action| match action {
            Action::DeleteTable => true,
            Action::DeleteSet { set: deleted } => deleted == set,
            _ => false,
        });
        match (rules, now) {
            (0, 0) => vec![of(0).elements.to_vec()],
            // A deleted set keeps its elements for packets that still look them up.
            (0, _) if deleted => vec![of(0).elements.to_vec()],
            _ if of(1).kind != Ok(SetKind::Intervals) => vec![of(1).elements.to_vec()],
            // The array is exchanged for the new one at the end of the commit.
            _ if made_anew => vec![Vec::new(), of(1).elements.to_vec()],
            _ => {
                // On kernels without arrays neither removed nor added intervals are found for a moment.
                let (before, after) = (&of(0).elements, &of(1).elements);
                let stay = before.iter().filter(|element| after.contains(element)).copied().collect();
                vec![before.to_vec(), after.to_vec(), stay]
            }
        }
    }
}

fn is_element(elements: &[AddressRange], address: IpAddr) -> bool {
    let behind = elements.partition_point(|element| element.first() <= address);
    behind.checked_sub(1).is_some_and(|at| elements[at].contains(address))
}
