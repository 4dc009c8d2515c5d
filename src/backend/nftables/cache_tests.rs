//! What the cache knows, and for how long.

use super::*;
use crate::backend::nftables::tests::plans::standing;
use crate::backend::nftables::{Planned, plan_for};
use crate::net::Family;
use crate::rules::tests::policy;
use crate::rules::{Layout, compile};

const TABLE: TableId = TableId::own(Family::Ipv4);
const SET: &str = "exempt-8";
const LATER: Generation = Generation(7);

fn kernel(owner: Option<Owner>) -> Observed {
    let mut observed = standing(&compile(&policy(&["10.0.0.0/8"], ""), Layout::OwnTable(Protection::OwnerPersist)));
    observed.tables.iter_mut().for_each(|table| table.owner = owner);
    observed
}

#[test]
fn elements_outlast_the_generation_only_while_the_table_was_and_is_ours_alone() {
    let (us, nobody) = (Some(Owner::Us), None);
    let other = Some(Owner::Other(7));
    for (was, is, lasts) in [
        (us, us, true),
        (us, nobody, false),
        (us, other, false),
        (nobody, us, false),
        (nobody, nobody, false),
        (other, us, false),
        (other, other, false),
    ] {
        let observed = kernel(was);
        let generation = observed.generation;
        let cache = Cache::of(observed);
        let count = |generation| cache.elements(generation, TABLE, is, SET).map(|elements| elements.len());
        assert_eq!(count(generation), Some(1), "{was:?} {is:?}");
        assert_eq!(count(LATER), lasts.then_some(1), "{was:?} {is:?}");
        assert_eq!(cache.elements(generation, TABLE, is, "exempt-9"), None);
    }
}

#[test]
fn a_long_list_that_is_as_long_as_before_may_be_assumed_and_is_never_certain_from_that() {
    let mut observed = kernel(None);
    for certain in [true, false] {
        observed.is_partly_assumed = !certain;
        let cache = Cache::of(observed.clone());
        let is_certain = |generation| cache.is_certain(generation, TABLE, None);
        assert_eq!((is_certain(observed.generation), is_certain(LATER)), (certain, false));
        let is_known = |cache: &Cache, generation| cache.elements(generation, TABLE, None, SET).is_some();
        assert_eq!((is_known(&cache, observed.generation), is_known(&cache, LATER)), (certain, false));
        let after = Cache::after(observed.clone(), &Plan::default(), Echoes::default());
        assert_eq!(after.is_certain(observed.generation.next(), TABLE, None), certain);
        assert!(is_known(&cache.assuming(true), LATER));
    }
}

#[test]
fn what_was_assumed_is_not_certain_either_once_the_table_is_ours() {
    let adoption = Action::CreateTable { protection: Protection::OwnerPersist };
    let plan = Plan { changes: vec![Change { table: TABLE, action: adoption }], more: false };
    for certain in [true, false] {
        let is_partly_assumed = !certain;
        let adopted = Cache::after(Observed { is_partly_assumed, ..kernel(None) }, &plan, Echoes::default());
        let read_back = Cache::of(Observed { is_partly_assumed, ..kernel(Some(Owner::Us)) });
        for cache in [adopted, read_back] {
            assert_eq!(cache.is_certain(LATER, TABLE, Some(Owner::Us)), certain, "{cache:?}");
        }
    }
}

#[test]
fn a_long_chain_is_known_while_it_has_as_many_uses_and_nothing_of_ours_changes_it() {
    const NAT: TableId = TableId::nat(Family::Ipv4);
    let ranges: Vec<String> = (0..LONG).map(|index| format!("10.{}.{}.0/24", index / 200, index % 200)).collect();
    let ranges: Vec<&str> = ranges.iter().map(String::as_str).collect();
    let desired = compile(&policy(&ranges, ""), Layout::IptablesNat);
    let mut observed = standing(&desired);
    let uses = u32::try_from(LONG).unwrap() + 1;
    for chain in observed.tables.iter_mut().flat_map(|table| &mut table.chains).filter(|chain| chain.base.is_none()) {
        // The jump in POSTROUTING, and a jump of others elsewhere.
        chain.uses = uses + 2;
    }
    let chain = desired.chain.as_str();
    let cache = Cache::of(observed.clone()).assuming(true);
    for (uses, is_known) in [(uses + 1, true), (uses, false), (uses + 2, false)] {
        assert_eq!(cache.rules(LATER, NAT, chain, uses).is_some(), is_known, "{uses}");
    }
    let of_the_jump = |table: &ObservedTable| table.chain(BaseChain::POSTROUTING).unwrap().rules.first().cloned();
    let was = observed.table(NAT).and_then(of_the_jump).unwrap();
    let jump = Action::Delete { chain: BaseChain::POSTROUTING.to_owned(), was };
    let flush = Action::Flush { chain: chain.to_owned() };
    for (action, is_known) in [(jump, true), (flush, false), (Action::DeleteTable, false)] {
        let plan = Plan { changes: vec![Change { table: NAT, action }], more: false };
        let cache = Cache::after(observed.clone(), &plan, Echoes::default());
        assert_eq!(cache.rules(observed.generation.next(), NAT, chain, uses + 1).is_some(), is_known, "{plan:?}");
    }
}

#[test]
fn what_we_commit_is_known_and_a_table_is_ours_from_the_commit_that_makes_it_so() {
    let desired = |exempt: &[&str], protection| compile(&policy(exempt, ""), Layout::OwnTable(protection));
    for (observed, desired, lasts) in [
        (Observed::default(), desired(&["10.0.0.0/8", "20.0.0.0/8"], Protection::OwnerPersist), true),
        (kernel(None), desired(&["10.0.0.0/8", "20.0.0.0/8"], Protection::OwnerPersist), true),
        (kernel(Some(Owner::Us)), desired(&["20.0.0.0/8", "30.0.0.0/8"], Protection::OwnerPersist), true),
        (kernel(Some(Owner::Us)), desired(&["10.0.0.0/8", "20.0.0.0/8"], Protection::Off), false),
    ] {
        let Planned { plan, .. } = plan_for(&Family::ALL, &desired, &observed, &Cache::default(), true);
        let next = observed.generation.next();
        let cache = Cache::after(observed, &plan, Echoes::default());
        let elements = |generation| cache.elements(generation, TABLE, Some(Owner::Us), SET);
        let wanted = desired.table(TABLE).unwrap().set(SET).map(|set| &set.elements);
        assert_eq!(elements(next), wanted, "{plan:?}");
        assert_eq!(elements(LATER), wanted.filter(|_| lasts), "{plan:?}");
    }
}
