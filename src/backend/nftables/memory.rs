//! What one process remembers of the rules for the next one ([`Backend::remember`](super::Backend::remember)): the elements of
//! long sets and the rules of long chains, as they were in one generation of one network namespace of one boot.
//!
//! ```text
//! ip-masq-agent remembered-rules 1 <crc32> <length>
//! {"boot":"…","namespace":4026531840,"generation":17}
//! {"sets":[…],"chains":[…]}
//! ```
//!
//! The checksum (CRC-32 as in IEEE 802.3) and the length are those of all that is behind the first line. Ranges are sorted, so
//! each is written as how many addresses are between it and the one before and, after a `+`, how many it has behind its first.
//! A rule is written as the kernel lists it, as far as the one before it differs, so that the codec reads both alike.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::cache::long_chains;
use super::codec::{compat, rule};
use super::{Cache, Generation, Handle, LONG, Observed, ObservedRule, ObservedSet, Rules, decode as decode_rule};
use crate::net::{AddressRange, Family};
use crate::netlink::{Attributes, Connection, NetlinkSocket, Writer};
use crate::rules::{Elements, Rule, TableId, TableName};

/// What every memory begins with, whatever its version.
const MAGIC: &str = "ip-masq-agent remembered-rules ";
/// The version of the format.
const VERSION: &str = "1";

/// From this many entries of long lists on reading them takes longer than having them written by a process: some
/// milliseconds.
pub(super) const WORTHWHILE: usize = 10_000;

/// What tells one network namespace of one boot from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// `/proc/sys/kernel/random/boot_id`.
    pub(crate) boot: String,
    /// `SO_NETNS_COOKIE`.
    pub(crate) namespace: u64,
}

/// Why a memory is of no use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Misfit {
    #[error("it is of another boot")]
    Boot,
    #[error("it is of another network namespace")]
    Namespace,
    #[error("the rules were changed since")]
    Generation,
    #[error("another version of the agent wrote it")]
    Version,
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
}

/// The second line.
#[derive(Serialize, Deserialize)]
struct Head {
    boot: String,
    namespace: u64,
    generation: u32,
}

/// The third line.
#[derive(Serialize, Deserialize)]
struct Lists<'a> {
    #[serde(borrow)]
    sets: Vec<SetOfRanges<'a>>,
    #[serde(borrow)]
    chains: Vec<ChainOfRules<'a>>,
}

/// A set in a table of our own.
#[derive(Serialize, Deserialize)]
struct SetOfRanges<'a> {
    is_ipv6: bool,
    name: String,
    ranges: Cow<'a, str>,
}

/// A chain in iptables' `nat` table.
#[derive(Serialize, Deserialize)]
struct ChainOfRules<'a> {
    is_ipv6: bool,
    name: String,
    /// Its uses without the jumps in POSTROUTING.
    uses: u32,
    #[serde(borrow)]
    rules: Vec<ChangedBytes<'a>>,
}

/// A rule: its handle, and its attributes, which are those of the rule before but for some bytes: how many are kept at the
/// beginning and at the end, and what is between these, in hexadecimal digits.
#[derive(Serialize, Deserialize)]
struct ChangedBytes<'a>(u64, usize, usize, Cow<'a, str>);

/// The bytes of an ordinary range: a few digits each for what is before it and for what it has.
const TYPICAL_RANGE: usize = 8;
/// The digits of the largest number of 64 bits.
const MOST_DIGITS: usize = 20;

const SHORT: Misfit = Misfit::Damaged("it ends early");

/// The network namespace of a connection. Where the kernel or the container does not say, there is none.
pub(super) fn here(connection: &Connection<NetlinkSocket>) -> Option<Place> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
    let namespace = connection.namespace_cookie().ok()?;
    Some(Place { boot, namespace })
}

/// How many entries the long lists have.
pub(super) fn entries(observed: &Observed) -> usize {
    let rules = long_chains(observed).values().map(|(_, rules)| rules.len()).sum::<usize>();
    long_sets(observed).map(|set| set.elements.len()).sum::<usize>() + rules
}

/// What is to be remembered; `None` if no list is long.
pub(super) fn encode(observed: &Observed, place: &Place) -> Option<Vec<u8>> {
    let sets: Vec<_> = long_sets(observed).filter_map(|set| written_set(&set.name, &set.elements)).collect();
    let chains = long_chains(observed).into_iter().filter(|((table, _), _)| table.name == TableName::Nat);
    let chains: Vec<_> =
        chains.filter_map(|((table, name), (uses, rules))| written_chain(table, name, uses, &rules)).collect();
    if sets.is_empty() && chains.is_empty() {
        return None;
    }
    let Place { boot, namespace } = place.clone();
    let head = Head { boot, namespace, generation: observed.generation.0 };
    let mut body = serde_json::to_vec(&head).ok()?;
    body.push(b'\n');
    serde_json::to_writer(&mut body, &Lists { sets, chains }).ok()?;
    body.push(b'\n');
    let mut bytes = format!("{MAGIC}{VERSION} {:08x} {}\n", crc32fast::hash(&body), body.len()).into_bytes();
    bytes.append(&mut body);
    Some(bytes)
}

fn long_sets(observed: &Observed) -> impl Iterator<Item = &ObservedSet> {
    let own_tables = observed.tables.iter().filter(|table| table.id.name == TableName::Own);
    own_tables.flat_map(|table| &table.sets).filter(|set| set.kind.is_ok() && set.elements.len() >= LONG)
}

/// The lists that were remembered here in this generation.
///
/// # Errors
///
/// [`Misfit`], if they were not, or if one bit is not as [`encode`] made it.
pub(super) fn decode(memory: &[u8], place: &Place, generation: Generation) -> Result<Cache, Misfit> {
    let (title, body) = line(memory)?;
    let title = str::from_utf8(title).ok().and_then(|title| title.strip_prefix(MAGIC));
    let title = title.ok_or(Misfit::Damaged("its first line is not the agent's"))?;
    let (version, sum) = title.split_once(' ').ok_or(SHORT)?;
    if version != VERSION {
        return Err(Misfit::Version);
    }
    if sum != format!("{:08x} {}", crc32fast::hash(body), body.len()) {
        return Err(Misfit::Damaged("its checksum or its length does not fit its content"));
    }
    let (head, lists) = line(body)?;
    let unreadable = |_| Misfit::Damaged("it cannot be read");
    let head: Head = serde_json::from_slice(head).map_err(unreadable)?;
    if head.boot != place.boot {
        return Err(Misfit::Boot);
    }
    if head.namespace != place.namespace {
        return Err(Misfit::Namespace);
    }
    if head.generation != generation.0 {
        return Err(Misfit::Generation);
    }
    let Lists { sets, chains } = serde_json::from_slice(lists).map_err(unreadable)?;
    let (mut elements, mut rules) = (BTreeMap::new(), BTreeMap::new());
    for set in sets {
        let family = family(set.is_ipv6);
        let read = read_set(family, &set.ranges).ok_or(Misfit::Damaged("a range is none"))?;
        elements.insert((TableId::own(family), set.name), read.into());
    }
    for chain in chains {
        let table = TableId::nat(family(chain.is_ipv6));
        let read = read_chain(table, &chain).ok_or(Misfit::Damaged("a rule cannot be read"))?;
        rules.insert((table, chain.name), (chain.uses, read));
    }
    Ok(Cache::of_lists(generation, elements, rules))
}

fn line(bytes: &[u8]) -> Result<(&[u8], &[u8]), Misfit> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(SHORT)?;
    let (line, behind) = bytes.split_at_checked(end).ok_or(SHORT)?;
    Ok((line, behind.strip_prefix(b"\n").ok_or(SHORT)?))
}

fn written_set<'a>(name: &str, elements: &Elements) -> Option<SetOfRanges<'a>> {
    let is_ipv6 = elements.first()?.first().is_ipv6();
    let mut ranges = String::with_capacity(TYPICAL_RANGE * elements.len());
    let mut next = Some(0);
    for range in elements {
        let [first, last] = [range.first(), range.last()].map(bits);
        let (gap, more) = (first.checked_sub(next?)?, last.checked_sub(first)?);
        push_number(&mut ranges, gap);
        if more > 0 {
            ranges.push('+');
            push_number(&mut ranges, more);
        }
        ranges.push(' ');
        next = last.checked_add(1);
    }
    Some(SetOfRanges { is_ipv6, name: name.to_owned(), ranges: ranges.into() })
}

/// In decimal digits. `write!` takes twice as long, and a long list has two numbers for each range.
fn push_number(text: &mut String, number: u128) {
    let Ok(mut left) = u64::try_from(number) else {
        let _ = write!(text, "{number}");
        return;
    };
    let mut digits = [0; MOST_DIGITS];
    let mut unused = MOST_DIGITS;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(left % 10).unwrap_or_default();
        left /= 10;
        unused -= 1;
        if left == 0 {
            break;
        }
    }
    let digits = digits.get(unused..).and_then(|digits| str::from_utf8(digits).ok());
    text.push_str(digits.unwrap_or_default());
}

/// The ranges, sorted and without overlap; `None` if there are no such.
fn read_set(family: Family, ranges: &str) -> Option<Vec<AddressRange>> {
    let mut read = Vec::with_capacity(ranges.bytes().filter(|byte| *byte == b' ').count());
    let mut next = Some(0_u128);
    for range in ranges.split_terminator(' ') {
        let (gap, more) = range.split_once('+').unwrap_or((range, "0"));
        let first = next?.checked_add(gap.parse().ok()?)?;
        let last = first.checked_add(more.parse().ok()?)?;
        read.push(AddressRange::new(address(family, first)?, address(family, last)?)?);
        next = last.checked_add(1);
    }
    Some(read)
}

const fn family(is_ipv6: bool) -> Family {
    if is_ipv6 { Family::Ipv6 } else { Family::Ipv4 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn address(family: Family, bits: u128) -> Option<IpAddr> {
    match family {
        Family::Ipv4 => u32::try_from(bits).ok().map(|bits| IpAddr::V4(bits.into())),
        Family::Ipv6 => Some(IpAddr::V6(bits.into())),
    }
}

/// `None` if it has a rule that is none of ours, as nobody knows its attributes any more.
fn written_chain<'a>(table: TableId, name: String, uses: u32, rules: &Rules) -> Option<ChainOfRules<'a>> {
    let mut before: Vec<u8> = Vec::new();
    let mut written = Vec::with_capacity(rules.len());
    for ObservedRule { handle, rule } in rules {
        let now = attributes(table.family, rule.as_ref().ok()?);
        let most = before.len().min(now.len());
        let at_beginning = before.iter().zip(&now).take_while(|(one, other)| one == other).count();
        let both_ends = before.iter().rev().zip(now.iter().rev()).take_while(|(one, other)| one == other);
        let at_end = both_ends.take(most - at_beginning).count();
        let between = now.get(at_beginning..now.len() - at_end)?;
        let mut digits = String::with_capacity(2 * between.len());
        for byte in between {
            let _ = write!(digits, "{byte:02x}");
        }
        written.push(ChangedBytes(handle.0, at_beginning, at_end, digits.into()));
        before = now;
    }
    Some(ChainOfRules { is_ipv6: table.family == Family::Ipv6, name, uses, rules: written })
}

/// The rules; `None` if they cannot be those of a chain of ours.
fn read_chain(table: TableId, chain: &ChainOfRules<'_>) -> Option<Rules> {
    let mut head = Writer::new();
    let mut before: Vec<u8> = Vec::new();
    let mut read = Vec::with_capacity(chain.rules.len());
    for ChangedBytes(handle, at_beginning, at_end, digits) in &chain.rules {
        let handle = Handle(*handle);
        head.clear();
        rule::emit_handle(&mut head, table.name.as_str(), &chain.name, handle);
        let mut now = before.get(..*at_beginning)?.to_vec();
        for pair in digits.as_bytes().chunks(2) {
            now.push(u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?);
        }
        now.extend(before.get(before.len().checked_sub(*at_end)?..)?);
        head.raw(&now);
        let info = rule::parse(Attributes::new(head.bytes()), table.name.as_str(), &chain.name).ok()??;
        read.push(ObservedRule { handle, rule: Ok(decode_rule(table, &info).ok()?) });
        before = now;
    }
    Some(read.into())
}

/// As the kernel lists the rule, but for its table, chain and handle.
fn attributes(family: Family, rule: &Rule) -> Vec<u8> {
    let mut writer = Writer::new();
    rule::emit_expressions(&mut writer, &compat::encode(family, rule));
    if let Some(comment) = compat::comment_beside(rule) {
        rule::emit_comment(&mut writer, comment);
    }
    writer.into_bytes()
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
