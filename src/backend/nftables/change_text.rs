//! A plan as text: one line for each change, with `+` for what is added and `-` for what is removed.

use crate::backend::nftables::{Action, Change, ObservedRule, Plan};
use crate::net::AddressRange;
use crate::rules::render::{iptables_rule, nft_rule};
use crate::rules::{Protection, Rule, TableId, TableName};
use crate::text::visible;

/// The changes of a plan, in their order, one line each.
pub fn plan_lines(plan: &Plan) -> impl Iterator<Item = String> {
    plan.changes.iter().map(change_line)
}

/// One change, in one line, whatever characters the names of others have.
#[must_use]
pub fn change_line(change: &Change) -> String {
    visible(&words(change))
}

fn words(Change { table, action }: &Change) -> String {
    match action {
        Action::CreateTable { protection: Protection::Off } => format!("+ table {table}"),
        Action::CreateTable { protection: Protection::OwnerPersist } => format!("+ table {table} (owner, persist)"),
        Action::DeleteTable => format!("- table {table}"),
        Action::CreateSet { set, .. } => format!("+ {table} set {set}"),
        Action::DeleteSet { set } => format!("- {table} set {set}"),
        Action::AddElements { set, elements, .. } => format!("+ {table} set {set}: {}", list(elements)),
        Action::DeleteElements { set, elements, .. } => format!("- {table} set {set}: {}", list(elements)),
        Action::DeleteForeignObject { foreign_object } => format!("- {table} {foreign_object}"),
        Action::CreateChain { chain, base: None } => format!("+ {table} chain {chain}"),
        Action::CreateChain { chain, base: Some(base) } => {
            format!("+ {table} chain {chain} ({base})")
        }
        Action::Append { chain, rule } | Action::Insert { chain, rule, .. } => {
            format!("+ {table} {}", rule_text(*table, chain, rule))
        }
        Action::Delete { chain, was } => format!("- {table} {}", found(*table, chain, was)),
        Action::Flush { chain } => format!("- {table} all rules of chain {chain}"),
        Action::DeleteChain { chain } => format!("- {table} chain {chain}"),
    }
}

/// The first elements of a list, and how many there are.
fn list(elements: &[AddressRange]) -> String {
    const SHOWN: usize = 16;
    let shown: Vec<String> = elements.iter().take(SHOWN).map(ToString::to_string).collect();
    match elements.len().checked_sub(SHOWN) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{}, … and {more} more", shown.join(", ")),
    }
}

/// A rule in the language of the tool that shows the table it stands in.
fn rule_text(table: TableId, chain: &str, rule: &Rule) -> String {
    match table.name {
        TableName::Nat => iptables_rule(chain, rule),
        TableName::Own => format!("chain {chain}: {}", nft_rule(table.family, rule)),
    }
}

/// A rule that was found, readable or not.
fn found(table: TableId, chain: &str, ObservedRule { handle, rule }: &ObservedRule) -> String {
    match rule {
        Ok(rule) => rule_text(table, chain, rule),
        Err(why) => format!("chain {chain}: a rule that is not ours ({why}; handle {handle})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Family;

    #[test]
    fn what_a_chain_of_others_is_called_cannot_make_two_lines_of_a_change() {
        let chain = "OLD\n+ table ip nat\u{1b}[2K".to_owned();
        let change = Change { table: TableId::nat(Family::Ipv4), action: Action::DeleteChain { chain } };
        assert_eq!(change_line(&change), r"- ip nat chain OLD\n+ table ip nat\u{1b}[2K");
    }
}
