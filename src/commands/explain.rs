//! `explain`: what becomes of a packet, by which rule, from which line of the file.

use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::Result;
use tracing::debug;

use super::{configuration, print};
use crate::backend::{Protect, Wanted};
use crate::cli::Cli;
use crate::conntrack::LocalAddresses;
use crate::exit::Exit;
use crate::net::Family;
use crate::netlink::{Connection, NetlinkFamily};
use crate::policy::{Origin, Policy};
use crate::rules::render::{iptables_rule, nft_rule};
use crate::rules::{Answer, Decider, Decision, Layout, Packet, Protection, Rule, TableId, TableName, compile, trace};
use crate::text::Shown;

pub(super) fn explain(cli: &Cli, packet: &Packet) -> Result<Exit> {
    let policy = Policy::new(&configuration(cli)?, &cli.flags);
    // What the kernel can carry is not asked here; both layouts give the same answers by other rules.
    let is_native = cli.backend == Wanted::Nft || cli.protect == Protect::On;
    let layout = if is_native { Layout::OwnTable(Protection::Off) } else { Layout::IptablesNat };
    let ruleset = compile(&policy, layout);
    let destination_is_local = packet.destination_is_local || is_own(packet.destination);
    let packet = Packet { destination_is_local, ..*packet };
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
fn explanation(cli: &Cli, policy: &Policy, packet: &Packet, decision: &Decision<'_>) -> String {
    let destination = packet.destination;
    let mut text = match decision.answer {
        Answer::Kept => format!("kept: {destination} sees the source address as it is\n"),
        Answer::Masqueraded => format!("masqueraded: {destination} sees the node's address\n"),
    };
    let family = Family::of(destination);
    let reason = match policy.exemption(destination) {
        _ if packet.destination_is_local => "the destination is an address of this node".to_owned(),
        _ if !policy.families.iter().any(|policy| policy.family == family) => {
            format!("{} is not enabled; no rule of ours concerns it (--enable-ipv6)", family.human())
        }
        None => format!("no range that keeps its source holds {destination}"),
        Some(exemption) => match exemption.origin {
            Origin::File(location) => {
                format!("{}:{}: nonMasqueradeCIDRs has {}", Shown(&*cli.config), location.line(), exemption.cidr)
            }
            Origin::Default => format!("{} is in the default of nonMasqueradeCIDRs", exemption.cidr),
            Origin::LinkLocal => format!("{} is link-local", exemption.cidr),
        },
    };
    let _ = writeln!(text, "  {reason}");
    for Decider { table, chain, number, rule, probability } in &decision.by {
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
