//! `explain`: what becomes of a packet, by which rule, from which line of the file.

use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::Result;
use tracing::debug;

use super::{configuration, print};
use crate::backend::{BackendOption, Protect};
use crate::cli::Cli;
use crate::conntrack::LocalAddresses;
use crate::exit::Exit;
use crate::netlink::{Connection, NetlinkFamily};
use crate::policy::{AddressType, Origin, Packet, Policy};
use crate::rules::render::{iptables_rule, nft_rule};
use crate::rules::{Layout, Outcome, Protection, Rule, TableId, TableName, Trace, TracedRule, compile, trace};
use crate::text::Shown;

pub(super) fn explain(cli: &Cli, packet: &Packet) -> Result<Exit> {
    let policy = Policy::new(&configuration(cli)?, &cli.flags);
    // What the kernel can carry is not asked here; both layouts give the same answers by other rules.
    let is_native = cli.backend == BackendOption::Nft || cli.protect == Protect::On;
    let layout = if is_native { Layout::OwnTable(Protection::Off) } else { Layout::IptablesNat };
    let ruleset = compile(&policy, layout);
    let is_own = || packet.destination.is_some_and(is_own);
    let destination_type =
        packet.destination_type.unwrap_or_else(|| if is_own() { AddressType::Local } else { AddressType::Other });
    let packet = Packet { destination_type: Some(destination_type), ..*packet };
    print(&explanation(cli, &policy, &packet, &trace(&ruleset, &packet)))?;
    Ok(Exit::Done)
}

/// Is it an address of this node? Where its interfaces cannot be asked, no more is known than which addresses every node has.
fn is_own(destination: IpAddr) -> bool {
    let addresses = Connection::open(NetlinkFamily::Route).and_then(|mut interfaces| interfaces.addresses());
    let addresses = addresses.inspect_err(|error| debug!("could not list the addresses of this node: {error}"));
    LocalAddresses::new(addresses.unwrap_or_default().iter().map(|info| info.address), []).owns(destination)
}

/// The first word is the answer; the lines below it are the reasons.
fn explanation(cli: &Cli, policy: &Policy, packet: &Packet, trace: &Trace<'_>) -> String {
    let destination = packet.destination.map(|destination| destination.to_string()).unwrap_or_default();
    let mut text = match trace.outcome {
        Outcome::Kept => format!("kept: {destination} sees the source address as it is\n"),
        Outcome::Masqueraded => format!("masqueraded: {destination} sees the node's address\n"),
        Outcome::DependsOn(field) => format!("not known: that depends on the packet's {field}\n"),
    };
    let decision = trace.by.first().and_then(|by| policy.first_of(by.rule.decisions(), packet));
    let origin = decision.map(|decision| (decision.origin(), decision.kept_destination()));
    let reason = match origin {
        _ if packet.destination_type == Some(AddressType::Local) => {
            "the destination is an address of this node".to_owned()
        }
        _ if !policy.treats(packet.family) => {
            format!("{} is not enabled; no rule of ours concerns it (--enable-ipv6)", packet.family.human())
        }
        Some((Origin::File(location), Some(range))) => {
            format!("{}:{}: nonMasqueradeCIDRs has {range}", Shown(&*cli.config), location.line())
        }
        Some((Origin::Default, Some(range))) => format!("{range} is in the default of nonMasqueradeCIDRs"),
        Some((Origin::LinkLocal, Some(range))) => format!("{range} is link-local"),
        _ => format!("no range that keeps its source holds {destination}"),
    };
    let _ = writeln!(text, "  {reason}");
    for TracedRule { table, chain, number, rule, probability } in &trace.by {
        let share = probability.map_or_else(String::new, |probability| {
            format!(", for a share of {probability} of the flows that reach it")
        });
        let _ = writeln!(
            text,
            "  rule {number} of chain {chain} in table {table}{share}: {}",
            in_its_tools_words(*table, chain, rule)
        );
    }
    text
}

/// The rule as the tool that shows its table writes it.
fn in_its_tools_words(table: TableId, chain: &str, rule: &Rule) -> String {
    match table.name {
        TableName::Nat => iptables_rule(chain, rule),
        TableName::Own => nft_rule(table.family, rule),
    }
}
