//! `explain`: what is done to a packet, by which rule, from which line of the file.

use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::Result;
use tracing::debug;

use super::{WIDTH, configuration, print};
use crate::backend::{BackendOption, Protect};
use crate::cli::Cli;
use crate::config::SourcePaths;
use crate::conntrack::LocalAddresses;
use crate::diagnostics::{Code, wrapped};
use crate::exit::Exit;
use crate::netlink::{Connection, NetlinkFamily};
use crate::policy::{AddressType, Origin, Packet, Policy};
use crate::rules::render::{iptables_rule, nft_rule};
use crate::rules::{Layout, Outcome, Protection, Rule, TableId, TableName, Trace, TracedRule, compile, trace};
use crate::text::Shown;

pub(super) fn explain(cli: &Cli, packet: &Packet) -> Result<Exit> {
    let policy = Policy::new(&configuration(cli)?, &cli.flags);
    // The kernel is not asked which layout it takes: both give the same answers, by different rules.
    let is_native = cli.backend == BackendOption::Nft || cli.protect == Protect::On;
    let layout = if is_native { Layout::OwnTable(Protection::Off) } else { Layout::IptablesNat };
    let ruleset = compile(&policy, layout);
    let is_own = || packet.destination.is_some_and(is_own);
    let destination_type =
        packet.destination_type.unwrap_or_else(|| if is_own() { AddressType::Local } else { AddressType::Other });
    let packet = Packet { destination_type: Some(destination_type), ..*packet };
    print(&explanation(&SourcePaths::one(&cli.config), &policy, &packet, &trace(&ruleset, &packet)))?;
    Ok(Exit::Done)
}

/// What a code means, with an example of it and of how it is mended.
pub(super) fn explain_code(code: Code) -> Result<Exit> {
    let mut text = format!(
        "{} {} ({})\n\n{}\n",
        code.id(),
        code.name(),
        code.severity().word(),
        wrapped(&code.explanation().replace('\n', " "), WIDTH)
    );
    if let Some((wrong, right)) = code.example() {
        for (title, file) in [("For example:", wrong), ("Mended:", right)] {
            let _ = writeln!(text, "\n{title}\n");
            file.lines().for_each(|line| _ = writeln!(text, "    {line}"));
        }
    }
    print(&text)?;
    Ok(Exit::Done)
}

/// Whether it is an address of this node. If the addresses of its interfaces cannot be listed, only those that every
/// node has are known.
fn is_own(destination: IpAddr) -> bool {
    let addresses = Connection::open(NetlinkFamily::Route).and_then(|mut interfaces| interfaces.addresses());
    let addresses = addresses.inspect_err(|error| {
        debug!(event = "addresses_not_listed", error = %error, "could not list the addresses of this node: {error}");
    });
    LocalAddresses::new(addresses.unwrap_or_default().iter().map(|info| info.address), []).owns(destination)
}

/// The explanation as text: the first word is the answer; the lines below it are the reasons.
fn explanation(paths: &SourcePaths, policy: &Policy, packet: &Packet, trace: &Trace<'_>) -> String {
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
            let file = paths.path(location.file).map_or_else(|| paths.to_string(), |file| Shown(file).to_string());
            format!("{file}:{}: nonMasqueradeCIDRs has {range}", location.line())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Context, Source, SourceSet, understand};
    use crate::policy::Flags;

    #[test]
    fn each_range_is_explained_by_the_file_that_has_it() {
        let source = |(path, text): (&str, &str)| Source { path: path.into(), content: Some(text.into()) };
        let sources = SourceSet::new(
            [("/one", "nonMasqueradeCIDRs: [10.1.0.0/16]\n"), ("/two", "# more\nnonMasqueradeCIDRs:\n- 10.2.0.0/16\n")]
                .map(source)
                .into(),
        )
        .unwrap();
        let config = understand(&sources, &Context::default()).unwrap().config;
        let policy = Policy::new(&config, &Flags::default());
        let ruleset = compile(&policy, Layout::IptablesNat);
        for (destination, reason) in [
            ("10.1.0.1", "/one:1: nonMasqueradeCIDRs has 10.1.0.0/16"),
            ("10.2.0.1", "/two:3: nonMasqueradeCIDRs has 10.2.0.0/16"),
        ] {
            let packet =
                Packet { destination_type: Some(AddressType::Other), ..Packet::to(destination.parse().unwrap()) };
            let text = explanation(&sources.paths(), &policy, &packet, &trace(&ruleset, &packet));
            assert_eq!(text.lines().nth(1), Some(format!("  {reason}").as_str()), "{text}");
        }
    }
}
