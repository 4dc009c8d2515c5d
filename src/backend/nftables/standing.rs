//! Do rules of ours stand already, whatever they exempt?

use super::{Observed, ObservedChain, ObservedTable, our_jump};
use crate::net::Family;
use crate::rules::{BaseChain, Rule, TableName, Verdict};

/// Is outbound traffic of this family masqueraded by rules of ours as they were found: of either layout, under whatever
/// chain name, with whatever ranges? They are complete, if not necessarily what shall be there: the kernel enters a base
/// chain, which it does not in a dormant table, a jump of ours leads on, and what the chain behind it does not return is masqueraded.
#[must_use]
pub fn stands(family: Family, observed: &Observed) -> bool {
    observed.tables.iter().filter(|table| table.id.family == family && !table.dormant).any(|table| {
        let mut bases = table.chains.iter().filter(|chain| is_entered(table, chain));
        bases.any(|base| rules(base).filter_map(|rule| target(table, rule)).any(|chain| masquerades(table, &chain)))
    })
}

/// Does the kernel enter the chain where sources are translated? In iptables' table that is its POSTROUTING, as everywhere
/// else in this room; in a table of our own any base chain is ours, also at the priority of another version.
fn is_entered(table: &ObservedTable, chain: &ObservedChain) -> bool {
    let Some(base) = &chain.base else { return false };
    match table.id.name {
        TableName::Nat => chain.name == BaseChain::POSTROUTING && *base == BaseChain::IPTABLES_POSTROUTING,
        TableName::Own => base.kind == "nat" && base.hook == BaseChain::HOOK_POSTROUTING,
    }
}

/// Where a rule of ours leads.
fn target(table: &ObservedTable, rule: &Rule) -> Option<String> {
    match (table.id.name, rule.verdict()) {
        (TableName::Nat, _) => our_jump(rule).map(|chain| chain.to_string()),
        (TableName::Own, Verdict::Jump(chain)) => Some(chain.clone()),
        (TableName::Own, _) => None,
    }
}

/// Does no packet that is not returned leave the chain as it came? What stands behind such a rule is never reached.
fn masquerades(table: &ObservedTable, chain: &str) -> bool {
    table.chain(chain).is_some_and(|chain| {
        rules(chain).any(|rule| rule.matches().is_empty() && matches!(rule.verdict(), Verdict::Masquerade(_)))
    })
}

fn rules(chain: &ObservedChain) -> impl Iterator<Item = &Rule> {
    chain.rules.iter().filter_map(|rule| rule.rule.as_ref().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::nftables::tests::plans::standing;
    use crate::backend::nftables::{Cache, Handle, ObservedRule, Planned, Unrecognised, plan, plan_for};
    use crate::rules::tests::policy;
    use crate::rules::{Layout, Protection, Ruleset, TableId, compile};

    const LAYOUTS: [Layout; 3] =
        [Layout::IptablesNat, Layout::OwnTable(Protection::Off), Layout::OwnTable(Protection::OwnerPersist)];

    fn rules(layout: Layout, exempt: &[&str]) -> Ruleset {
        compile(&policy(exempt, "1024-2047,3000-3999"), layout)
    }

    /// The kernel with these rules, but for what is done to the family's table.
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
            plan_for(&[Family::Ipv6], &desired, &observed, &Cache::default());
        assert_eq!((conflicts, leftovers), (Vec::new(), Vec::new()));
        assert!(!only_ipv6.is_empty());
        assert!(only_ipv6.changes.iter().all(|change| change.table == TableId::nat(Family::Ipv6)));
        assert_eq!(plan_for(&[], &desired, &observed, &Cache::default()), Planned::default());
    }
}
