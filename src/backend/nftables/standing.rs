//! Whether rules of ours stand already, whatever they exempt.

use super::{Observed, ObservedChain, ObservedTable, our_jump};
use crate::net::{ChainName, Family};
use crate::policy::{AddressType, Packet};
use crate::rules::{
    BaseChain, Chain, Masquerade, Protection, Rule, Ruleset, Table, TableName, TracedRule, Verdict, trace,
};

/// Whether rules of ours, as they were found, masquerade outbound traffic of this family: in either layout, under any chain
/// name, whatever they exempt. Such rules are complete, but need not be the desired ones. Tested is a packet of which nothing
/// is known but that its destination is not this node: rules of ours have to masquerade it if no rule returns it.
///
/// A decision to masquerade may be compiled to several rules, of which those with ports share the flows of some protocols.
/// The last of them is without ports; where it stands, all of them do.
#[must_use]
pub fn stands(family: Family, observed: &Observed) -> bool {
    let tables = observed.tables.iter().filter(|table| table.id.family == family && !table.dormant);
    let ruleset = Ruleset { tables: tables.map(without_returns).collect(), ..Ruleset::nothing(ChainName::default()) };
    let packet = Packet { destination_type: Some(AddressType::Other), ..Packet::of(family) };
    let masquerades_the_rest = |by: &TracedRule<'_>| {
        matches!(by.rule.verdict(), Verdict::Masquerade(Masquerade { ports: None, .. })) && by.probability.is_none()
    };
    trace(&ruleset, &packet).by.iter().any(masquerades_the_rest)
}

/// The table as [`stands`] tests it: of base chains that the kernel enters, the rules that lead to a chain of ours; of other
/// chains, the recognised rules that do not return.
fn without_returns(table: &ObservedTable) -> Table {
    let chain = |chain: &ObservedChain| {
        let is_entered = is_entered(table, chain);
        let counts = |rule: &&Rule| {
            *rule.verdict() != Verdict::Return && (chain.base.is_none() || is_entered && leads_on(table, rule))
        };
        let rules = chain.rules.iter().filter_map(|rule| rule.rule.as_ref().ok()).filter(counts).cloned().collect();
        Chain { name: chain.name.clone(), base: chain.base.clone().filter(|_| is_entered), rules }
    };
    let chains = table.chains.iter().map(chain).collect();
    Table { id: table.id, protection: Protection::Off, sets: Vec::new(), chains }
}

/// Whether the kernel enters the chain where it translates sources. In iptables' table only POSTROUTING counts, as everywhere
/// else in this module; in a table of our own every base chain is ours, even if another version gave it another priority.
fn is_entered(table: &ObservedTable, chain: &ObservedChain) -> bool {
    let Some(base) = &chain.base else { return false };
    match table.id.name {
        TableName::Nat => chain.name == BaseChain::POSTROUTING && *base == BaseChain::IPTABLES_POSTROUTING,
        TableName::Own => base.kind == "nat" && base.hook == BaseChain::HOOK_POSTROUTING,
    }
}

/// Whether the rule leads to a chain of ours.
fn leads_on(table: &ObservedTable, rule: &Rule) -> bool {
    match table.id.name {
        TableName::Nat => our_jump(rule).is_some(),
        TableName::Own => matches!(rule.verdict(), Verdict::Jump(_)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::nftables::tests::plans::standing;
    use crate::backend::nftables::{Cache, Handle, ObservedRule, Planned, Unrecognised, plan, plan_for};
    use crate::net::Protocol;
    use crate::policy::tests::{deciding, from, keep, masquerade, to};
    use crate::policy::{Condition, Decision, Origin, Policy, PortChoice, Selector};
    use crate::rules::tests::policy;
    use crate::rules::{Layout, Protection, Ruleset, TableId, compile};

    const LAYOUTS: [Layout; 3] =
        [Layout::IptablesNat, Layout::OwnTable(Protection::Off), Layout::OwnTable(Protection::OwnerPersist)];

    fn rules(layout: Layout, exempt: &[&str]) -> Ruleset {
        compile(&policy(exempt, "1024-2047,3000-3999"), layout)
    }

    /// The kernel with these rules, after a change to the family's table.
    fn but(layout: Layout, family: Family, change: impl Fn(&mut ObservedTable)) -> Observed {
        let mut observed = standing(&rules(layout, &["10.0.0.0/8", "fd00::/8"]));
        change(observed.tables.iter_mut().find(|table| table.id.family == family).unwrap());
        observed
    }

    fn chain(table: &mut ObservedTable, base: bool) -> &mut ObservedChain {
        table.chains.iter_mut().find(|chain| chain.base.is_some() == base).unwrap()
    }

    fn foreign() -> ObservedRule {
        ObservedRule { handle: Handle(99), rule: Err(Unrecognised("an unknown match".to_owned())) }
    }

    #[test]
    fn rules_stand_if_the_kernel_enters_them_and_what_is_not_returned_is_masqueraded() {
        type Change = fn(&mut ObservedTable);
        let cases: [(&str, Change, bool); 14] = [
            ("as they were written", |_| (), true),
            ("without exempt ranges", |table| drop(chain(table, false).rules.drain(..1)), true),
            ("with a foreign rule in the chain", |table| chain(table, false).rules.insert(0, foreign()), true),
            ("with a foreign rule at its end", |table| chain(table, false).rules.push(foreign()), true),
            ("with a foreign rule beside the jump", |table| chain(table, true).rules.insert(0, foreign()), true),
            (
                "with the jump twice",
                |table| {
                    let jumps = chain(table, true).rules.clone();
                    chain(table, true).rules.extend(jumps);
                },
                true,
            ),
            ("switched off", |table| table.dormant = true, false),
            ("without masquerade", |table| drop(chain(table, false).rules.pop()), false),
            ("with an empty chain", |table| chain(table, false).rules.clear(), false),
            (
                "with a masquerade that nobody can read",
                |table| {
                    *chain(table, false).rules.last_mut().unwrap() = foreign();
                },
                false,
            ),
            ("without the chain", |table| table.chains.retain(|chain| chain.base.is_some()), false),
            ("without the jump", |table| chain(table, true).rules.clear(), false),
            ("without the base chain", |table| table.chains.retain(|chain| chain.base.is_none()), false),
            (
                "in a chain that sees no outbound traffic",
                |table| {
                    chain(table, true).base = Some(BaseChain { hook: 0, ..BaseChain::AFTER_IPTABLES });
                },
                false,
            ),
        ];
        for layout in LAYOUTS {
            for family in Family::ALL {
                for (what, change, expected) in cases {
                    let observed = but(layout, family, change);
                    assert_eq!(stands(family, &observed), expected, "{layout} {family}: {what}");
                    let others = Family::ALL.into_iter().filter(|other| *other != family);
                    assert!(others.into_iter().all(|other| stands(other, &observed)), "{layout} {family}: {what}");
                }
                assert!(!stands(family, &Observed::default()));
            }
        }
    }

    #[test]
    fn rules_that_masquerade_under_conditions_stand_if_all_of_a_decisions_rules_are_there() {
        let ports = || PortChoice { random_fully: true, to_ports: "1024-2047,3000-3999".parse().unwrap() };
        let when = |conditions: &[Condition]| Selector::all(conditions.to_vec());
        let with_ports = |conditions| Decision::masquerade(&when(conditions), ports(), Origin::EverythingElse);
        for (what, decisions) in [
            ("of some sources", vec![keep(&[to("10.0.0.0/8")]), masquerade(&[from("10.0.0.0/8")])]),
            ("to some destinations", vec![masquerade(&[to("192.0.2.0/24")])]),
            ("of some sources, behind ports", vec![with_ports(&[from("10.0.0.0/8")])]),
            ("of one protocol, behind ports", vec![with_ports(&[Condition::protocol(Protocol::Udp)])]),
        ] {
            let policy = Policy { families: vec![Family::Ipv4], ..deciding(decisions) };
            for layout in LAYOUTS {
                let mut observed = standing(&compile(&policy, layout));
                assert!(stands(Family::Ipv4, &observed), "{layout}: {what}");
                assert!(!stands(Family::Ipv6, &observed), "{layout}: {what}");
                drop(chain(&mut observed.tables[0], false).rules.pop());
                assert!(!stands(Family::Ipv4, &observed), "{layout}: {what}, less the last rule");
            }
        }
    }

    #[test]
    fn what_another_version_or_another_chain_name_left_stands_too_and_other_peoples_rules_do_not() {
        let native = Layout::OwnTable(Protection::Off);
        let elsewhere: fn(&mut ObservedTable) =
            |table| chain(table, true).base = Some(BaseChain { priority: 99, ..BaseChain::AFTER_IPTABLES });
        assert!(stands(Family::Ipv4, &but(native, Family::Ipv4, elsewhere)));
        assert!(!stands(Family::Ipv4, &but(Layout::IptablesNat, Family::Ipv4, elsewhere)), "iptables would not see it");

        let mut renamed = policy(&["10.0.0.0/8"], "");
        renamed.chain = "OLD".parse().unwrap();
        for layout in LAYOUTS {
            assert!(stands(Family::Ipv4, &standing(&compile(&renamed, layout))), "{layout}");
        }

        let of_others = but(Layout::IptablesNat, Family::Ipv4, |table| {
            let jump = &mut chain(table, true).rules[0].rule;
            let verdict = jump.as_ref().unwrap().verdict().clone();
            *jump = Ok(Rule::new(Vec::new(), Some("theirs".into()), verdict));
        });
        assert!(!stands(Family::Ipv4, &of_others));
    }

    #[test]
    fn a_family_that_is_not_asked_for_is_left_alone_even_where_it_conflicts() {
        let desired = rules(Layout::IptablesNat, &["192.0.2.0/24"]);
        let observed = but(Layout::IptablesNat, Family::Ipv4, |table| {
            chain(table, true).base = Some(BaseChain { priority: 50, ..BaseChain::IPTABLES_POSTROUTING });
        });
        assert!(
            plan(&desired, &observed, &Cache::default())
                .is_err_and(|conflict| conflict.to_string().contains("priority 50"))
        );
        let Planned { plan: only_ipv6, conflicts, leftovers } =
            plan_for(&[Family::Ipv6], &desired, &observed, &Cache::default(), false);
        assert_eq!((conflicts, leftovers), (Vec::new(), Vec::new()));
        assert!(!only_ipv6.is_empty());
        assert!(only_ipv6.changes.iter().all(|change| change.table == TableId::nat(Family::Ipv6)));
        assert_eq!(plan_for(&[], &desired, &observed, &Cache::default(), false), Planned::default());
    }
}
