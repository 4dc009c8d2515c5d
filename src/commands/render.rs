//! `render`: the rules of a configuration, without any privilege.

use anyhow::Result;
use tracing::warn;

use super::{configuration, print};
use crate::cli::{Cli, Format};
use crate::exit::Exit;
use crate::net::Family;
use crate::policy::Policy;
use crate::render::{iptables_save, json};
use crate::ruleset::{Shape, compile};

pub(super) fn render(cli: &Cli, format: Format) -> Result<Exit> {
    let ruleset = compile(&Policy::new(&configuration(cli)?, &cli.flags), Shape::Compat);
    if format == Format::Ip6tables && !cli.flags.ipv6 {
        warn!("there are no IPv6 rules, because IPv6 is not enabled; add --enable-ipv6");
    }
    print(&match format {
        Format::Iptables => iptables_save(&ruleset, Family::Ipv4),
        Format::Ip6tables => iptables_save(&ruleset, Family::Ipv6),
        Format::Json => json(&ruleset),
    })?;
    Ok(Exit::Done)
}
