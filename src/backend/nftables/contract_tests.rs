//! Both the real kernel and the one in memory pass the tests of the contract of backends.

use std::process::Command;

use super::fake::Kernel;
use super::*;
use crate::backend::contract::{Others, contract};
use crate::net::AddressRange;
use crate::rules::{BaseChain, Elements, Rule, Verdict};

impl<T: Transport> Others for Nftables<T> {
    const PART: usize = super::diff::PART;
    const LONG: usize = LONG;

    fn empty(&mut self) {
        let observed = self.read(&ChainName::default(), Look::Fresh).unwrap();
        let others = |table: &&ObservedTable| matches!(table.owner, Some(Owner::Other(_)));
        assert_eq!(observed.tables.iter().find(others), None);
        let delete = |table: &ObservedTable| Change { table: table.id, action: Action::DeleteTable };
        let changes: Vec<Change> = observed.tables.iter().map(delete).collect();
        if !changes.is_empty() {
            self.commit(&Plan { changes, more: false }, observed).unwrap();
        }
    }

    fn jump_to(&mut self, chain: &ChainName, jumps: bool) {
        let table = TableId::nat(Family::Ipv4);
        let observed = self.read(chain, Look::Fresh).unwrap();
        let jump = Rule::new(Vec::new(), Some("theirs".into()), Verdict::Jump(chain.to_string()));
        let rules = &observed.table(table).unwrap().chain(BaseChain::POSTROUTING).unwrap().rules;
        let from = BaseChain::POSTROUTING.to_owned();
        let action = match rules.iter().find(|rule| rule.is(&jump)) {
            Some(was) if !jumps => Action::Delete { chain: from, was: was.clone() },
            _ => Action::Append { chain: from, rule: jump },
        };
        self.commit(&Plan { changes: vec![Change { table, action }], more: false }, observed).unwrap();
    }

    fn exchange_an_element(&mut self) {
        let observed = self.read(&ChainName::default(), Look::Fresh).unwrap();
        let table = observed.tables.iter().find(|table| !table.sets.is_empty()).unwrap();
        let (id, set) = (table.id, table.sets[0].clone());
        let kind = set.kind.unwrap();
        let elements = |element: AddressRange| Elements::from(vec![element]);
        let [added, removed] =
            [elements(AddressRange::single("192.0.2.0".parse().unwrap())), elements(set.elements[0])];
        let actions = [
            Action::AddElements { set: set.name.clone(), kind, elements: added },
            Action::DeleteElements { set: set.name, kind, elements: removed },
        ];
        let changes = actions.map(|action| Change { table: id, action }).to_vec();
        self.commit(&Plan { changes, more: false }, observed).unwrap();
    }
}

#[test]
fn the_kernel_in_memory_keeps_what_every_backend_promises() {
    let kernel = Kernel::default();
    contract(&|| kernel.backend());
}

#[test]
fn the_real_kernel_keeps_what_every_backend_promises() {
    let name = concat!(module_path!(), "::the_real_kernel_keeps_what_every_backend_promises");
    in_a_network_namespace_of_its_own(name, || contract(&|| Nftables::open().unwrap()));
}

/// A test is one thread among others of its process, so the one of this name runs itself again, as a process in a network
/// namespace of its own, and does this there.
pub(super) fn in_a_network_namespace_of_its_own(name: &str, test: impl FnOnce()) {
    const CHILD: &str = "IP_MASQ_AGENT_TEST_CONTRACT_CHILD";
    if std::env::var_os(CHILD).is_some() {
        return test();
    }
    #[expect(clippy::disallowed_methods, reason = "the rules under test belong to a network namespace")]
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--map-root-user", "--net"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name.trim_start_matches("ip_masq_agent::"), "--nocapture"])
        .env(CHILD, "1");
    let output = unshare.output().expect("unshare is installed");
    let report = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && report.contains("1 passed"), "{report}\n{errors}");
}
