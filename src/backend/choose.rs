//! Which shape of rules this kernel can carry: found out by asking it, with transactions that leave nothing behind.

use thiserror::Error;

use super::{BackendError, Nftables};
use crate::net::Family;
use crate::netlink::Transport;
use crate::ruleset::{
    Action, BaseChain, Change, Masquerade, Match, Plan, Protection, Rule, SetKind, Shape, TableId, Verdict,
};

/// `--backend`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Wanted {
    /// The first of the others that the kernel can carry
    #[default]
    Auto,
    /// Upstream's rules in iptables' nat table
    NftCompat,
    /// Tables of the agent's own, with the ranges in sets
    Nft,
}

/// `--protect`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Protect {
    /// Protected where the kernel knows how
    #[default]
    Auto,
    /// Protected, or an error
    On,
    /// Open to whoever has the privilege
    Off,
}

/// A shape, and how it came to be chosen.
#[derive(Debug)]
pub struct Choice {
    /// The shape.
    pub shape: Shape,
    /// What was tried and why it decided, in sentences.
    pub reasons: Vec<String>,
}

/// Why no shape will do.
#[derive(Debug, Error)]
pub enum ChoiceError {
    /// The way to the kernel failed, or the privilege is missing.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The kernel carries neither shape.
    #[error(
        "no backend works on this kernel; nft-compat: {compat}; nft: {native}; it needs nf_tables with nat (modules \
         nf_tables, nft_chain_nat, nft_masq, nft_fib), or for nft-compat also nft_compat, xt_MASQUERADE, xt_addrtype and \
         xt_comment"
    )]
    Neither {
        /// Why not nft-compat.
        compat: BackendError,
        /// Why not nft.
        native: BackendError,
    },
    /// `--protect=on`, and the kernel cannot.
    #[error("--protect=on, but the kernel cannot protect a table ({0}); Linux 6.9 can; use --protect=auto or off")]
    Unprotected(BackendError),
}

/// Chooses the shape for these families.
///
/// # Errors
///
/// [`ChoiceError`]; nothing was changed.
pub fn choose<T: Transport>(
    backend: &mut Nftables<T>,
    wanted: Wanted,
    protect: Protect,
    families: &[Family],
) -> Result<Choice, ChoiceError> {
    let mut reasons = Vec::new();
    if wanted == Wanted::NftCompat {
        reasons.push("nft-compat, as asked for".to_owned());
        return Ok(Choice { shape: Shape::Compat, reasons });
    }
    if wanted == Wanted::Auto {
        match backend.probe(&compat_probe(families)) {
            Ok(()) => {
                reasons.push("nft-compat: the kernel takes the rules that iptables would write".to_owned());
                return Ok(Choice { shape: Shape::Compat, reasons });
            }
            Err(error) if error.is_denied() => return Err(error.into()),
            Err(compat) => {
                if let Err(native) = backend.probe(&native_probe(families)) {
                    return Err(ChoiceError::Neither { compat, native });
                }
                reasons.push(format!("not nft-compat: {compat}"));
            }
        }
    }
    let protection = match protect {
        Protect::Off => Protection::Off,
        Protect::Auto | Protect::On => match (backend.probe(&protection_probe(families)), protect) {
            (Ok(()), _) => Protection::OwnerPersist,
            (Err(error), _) if error.is_denied() => return Err(error.into()),
            (Err(error), Protect::On) => return Err(ChoiceError::Unprotected(error)),
            (Err(error), _) => {
                reasons.push(format!("without protection, which this kernel does not have: {error}"));
                Protection::Off
            }
        },
    };
    let protected = if protection == Protection::OwnerPersist { ", protected from other programs" } else { "" };
    let why = if wanted == Wanted::Nft { "as asked for" } else { "the kernel takes it" };
    reasons.push(format!("nft, {why}{protected}"));
    Ok(Choice { shape: Shape::Native(protection), reasons })
}

/// The expressions of the compat shape, in a chain of a name that nobody uses.
fn compat_probe(families: &[Family]) -> Plan {
    let chain = "IP-MASQ-AGENT-PROBE".to_owned();
    let rule = masquerade(vec![Match::DestinationNotLocal]);
    let actions = [
        Action::CreateTable { protection: Protection::Off },
        Action::CreateChain { chain: chain.clone(), base: Some(BaseChain::IPTABLES_POSTROUTING) },
        Action::Append { chain, rule },
    ];
    probe(families, TableId::nat, &actions)
}

/// The expressions of the native shape.
fn native_probe(families: &[Family]) -> Plan {
    let (chain, set) = ("probe".to_owned(), "exempt".to_owned());
    let lookup = Match::DestinationIn { set: set.clone(), prefix_len: Some(8) };
    let rule = masquerade(vec![Match::DestinationNotLocal, lookup]);
    let actions = [
        Action::CreateTable { protection: Protection::Off },
        Action::CreateSet { set, kind: SetKind::Addresses },
        Action::CreateChain { chain: chain.clone(), base: Some(BaseChain::AFTER_IPTABLES) },
        Action::Append { chain, rule },
    ];
    probe(families, TableId::probe, &actions)
}

fn protection_probe(families: &[Family]) -> Plan {
    probe(families, TableId::probe, &[Action::CreateTable { protection: Protection::OwnerPersist }])
}

/// The actions, in a table of each family.
fn probe(families: &[Family], table: fn(Family) -> TableId, actions: &[Action]) -> Plan {
    let of_family = |family: &Family| {
        let table = table(*family);
        actions.iter().map(move |action| Change { table, action: action.clone() })
    };
    Plan { changes: families.iter().flat_map(of_family).collect() }
}

fn masquerade(matches: Vec<Match>) -> Rule {
    Rule::new(
        matches,
        Some("ip-masq-agent".into()),
        Verdict::Masquerade(Masquerade { fully_random: true, ports: None }),
    )
}
