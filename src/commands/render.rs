//! `render`: the rules of a configuration, without any privilege.

use anyhow::Result;
use tracing::warn;

use super::{configuration, print};
use crate::backend::BackendOption;
use crate::cli::{Cli, Format};
use crate::exit::Exit;
use crate::net::Family;
use crate::policy::{Fingerprint, Policy};
use crate::rules::render::{iptables_save, json, nft};
use crate::rules::{Layout, Protection, compile};

pub(super) fn render(cli: &Cli, format: Option<Format>) -> Result<Exit> {
    let format = format.unwrap_or(match cli.backend {
        BackendOption::Nft => Format::Nft,
        BackendOption::Auto | BackendOption::NftCompat => Format::Iptables,
    });
    let policy = Policy::new(&configuration(cli)?, &cli.flags);
    let compat = || compile(&policy, Layout::IptablesNat);
    if format == Format::Ip6tables && !cli.flags.ipv6 {
        warn!(event = "ipv6_not_enabled", "there are no IPv6 rules, because IPv6 is not enabled; add --enable-ipv6");
    }
    print(&match format {
        Format::Nft => nft(&compile(&policy, Layout::OwnTable(Protection::Off))),
        Format::Iptables => iptables_save(&compat(), Family::Ipv4),
        Format::Ip6tables => iptables_save(&compat(), Family::Ipv6),
        Format::Json => json(&compat(), Fingerprint::of(&policy)),
    })?;
    Ok(Exit::Done)
}
