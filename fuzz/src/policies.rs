//! Inputs that are a line of flags and a configuration file, as in `rules/`.

use std::net::IpAddr;

use ip_masq_agent::config::{self, Context, SourceSet};
use ip_masq_agent::net::{AddressRange, Cidr};
use ip_masq_agent::policy::{Decision, Flags, Policy};

/// Of a long list no more ranges than this are asked about.
const SAMPLES: usize = 64;

/// The policy of an input whose first line are upstream's flags and whose rest is a configuration file. `None` if the
/// file is refused. Whatever is said of the file is printed, as that must not panic either.
#[must_use]
pub fn policy(input: &[u8]) -> Option<Policy> {
    let end = input.iter().position(|byte| *byte == b'\n')?;
    let (line, file) = (&input[..end], &input[end + 1..]);
    let flags = flags(str::from_utf8(line).unwrap_or_default());
    let sources = SourceSet::one("/etc/config/ip-masq-agent", Some(file.to_vec()));
    match config::understand(&sources, &Context::from(&flags)) {
        Ok(reading) => {
            for warning in &reading.warnings {
                is_one_line(&warning.in_files(&sources.paths()));
            }
            Some(Policy::new(&reading.config, &flags))
        }
        Err(error) => {
            error.to_string().lines().for_each(is_one_line);
            None
        }
    }
}

/// What is said of a file names it, and whatever the file holds cannot write a line of its own into the log.
fn is_one_line(message: &str) {
    assert!(message.starts_with("/etc/config/ip-masq-agent"), "{message:?}");
    assert!(!message.contains(char::is_control), "{message:?}");
}

/// The flags that decide about rules. A word that is none of them, or has a wrong value, is passed over: `flags` is the
/// target for those.
fn flags(line: &str) -> Flags {
    let mut flags = Flags::default();
    for word in line.split_whitespace() {
        match word.split_once('=') {
            Some(("--masq-chain", name)) => flags.chain = name.parse().unwrap_or_default(),
            Some(("--to-ports", ports)) => flags.to_ports = ports.parse().unwrap_or_default(),
            Some(("--random-fully", value)) => flags.random_fully = value != "false",
            None if word == "--enable-ipv6" => flags.ipv6 = true,
            None if word == "--nomasq-all-reserved-ranges" => flags.all_reserved_ranges = true,
            _ => {}
        }
    }
    flags
}

/// The addresses at both edges of the ranges, inside and outside, and both ends of each address space.
#[must_use]
pub fn edges(policy: &Policy) -> Vec<IpAddr> {
    let ranges: Vec<Cidr> = policy.decisions.iter().filter_map(Decision::kept_destination).collect();
    let step = ranges.len().div_ceil(SAMPLES).max(1);
    let around = |cidr: &Cidr| {
        let range = AddressRange::from(*cidr);
        [before(range.first()), Some(range.first()), Some(range.last()), range.next()]
    };
    let ends = ["0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"];
    let ends = ends.iter().filter_map(|address| address.parse().ok());
    ranges.iter().step_by(step).flat_map(around).flatten().chain(ends).collect()
}

fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4.to_bits().checked_sub(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(v6) => v6.to_bits().checked_sub(1).map(|bits| IpAddr::V6(bits.into())),
    }
}
