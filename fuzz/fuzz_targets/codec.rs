//! The rules of any configuration, written as netlink messages and read back, are the same rules.

#![no_main]

use ip_masq_agent::backend::nftables::ObservedTable;
use ip_masq_agent::backend::{Backend, Look, Nftables, ReconcileOptions, reconcile};
use ip_masq_agent::netlink::Connection;
use ip_masq_agent::rules::{Layout, Protection, Table, compile};
use libfuzzer_sys::fuzz_target;

use fuzzing::kernel::Kernel;
use fuzzing::policies::policy;

fuzz_target!(|input: &[u8]| {
    let Some(policy) = policy(input) else { return };
    for layout in [Layout::IptablesNat, Layout::OwnTable(Protection::Off)] {
        let desired = compile(&policy, layout);
        let mut kernel = Nftables::over(Connection::new(Kernel::default()));
        // What was written is read again, and not taken for known.
        let options = ReconcileOptions { look: Look::Fresh, ..ReconcileOptions::default() };
        let first = reconcile(&mut kernel, &desired, &options).expect("an empty kernel takes every rule");
        assert!(!first.changes.is_empty() && first.failures.is_empty(), "{first:?}");
        // Without a cache, so that all is read.
        let again = reconcile(&mut kernel, &desired, &options).expect("the rules can be read back");
        assert!(again.changes.is_empty(), "{again:?}");
        let observed = kernel.read(&desired.chain, Look::Fresh).expect("the rules can be read back");
        assert_eq!(observed.tables.len(), desired.tables.len());
        for (table, observed) in desired.tables.iter().zip(&observed.tables) {
            is_same(table, observed);
        }
    }
});

fn is_same(table: &Table, observed: &ObservedTable) {
    assert_eq!((observed.id, &observed.protection), (table.id, &Ok(table.protection)));
    assert_eq!(observed.sets.len(), table.sets.len());
    for (set, observed) in table.sets.iter().zip(&observed.sets) {
        assert_eq!((&observed.name, &observed.kind), (&set.name, &Ok(set.kind)));
        assert_eq!(observed.elements, set.elements, "{}", set.name);
    }
    assert_eq!(observed.chains.len(), table.chains.len());
    for chain in &table.chains {
        let observed = observed.chains.iter().find(|observed| observed.name == chain.name).expect("the chain is there");
        assert_eq!(observed.base, chain.base);
        let rules: Vec<_> = observed.rules.iter().map(|rule| rule.rule.clone().expect("our own rule")).collect();
        assert_eq!(rules, chain.rules, "{}", chain.name);
    }
}
