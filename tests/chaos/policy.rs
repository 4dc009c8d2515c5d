//! Policies, made up at random, and what each means for the destinations that packets are sent to.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::random::Random;
use super::support::topology::parsed;

/// How a file decides about a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Every file exempts it.
    Always,
    /// No file does.
    Never,
    /// One does, another does not.
    Sometimes,
}

/// Where packets are sent to; all of them are addresses of world.
pub(crate) const PROBED: [(&str, Habit); 10] = [
    ("10.200.0.9", Habit::Always),
    ("fd00:200::9", Habit::Always),
    ("11.22.33.44", Habit::Never),
    ("2001:db8:ffff::9", Habit::Never),
    ("11.22.33.45", Habit::Sometimes),
    ("172.16.5.5", Habit::Sometimes),
    ("192.168.55.5", Habit::Sometimes),
    ("100.64.0.9", Habit::Sometimes),
    ("198.51.100.9", Habit::Sometimes),
    ("2001:db8:ffff:1::10", Habit::Sometimes),
];

/// The destinations that are exempt: a bit for each of [`PROBED`], by its place.
pub(crate) type Exempt = u16;

/// A configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) text: String,
    pub(crate) exempt: Exempt,
    /// In a few words.
    pub(crate) what: String,
}

impl Policy {
    /// What an empty file means, and none.
    pub(crate) fn defaults() -> Self {
        let ranges = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].map(|range| range.parse().unwrap());
        Self { text: String::new(), exempt: exempt(&ranges), what: "the defaults".to_owned() }
    }

    /// One of at most so many ranges. No two of different numbers are the same, so that the rules tell which is in force.
    pub(crate) fn random(random: &mut Random, number: u32, most: u32) -> Self {
        let mut ranges = vec![mark(random, number)];
        for (address, habit) in PROBED {
            let address = parsed(address);
            let times = match habit {
                Habit::Always => random.between(1, 2),
                Habit::Never => 0,
                Habit::Sometimes => random.below(2),
            };
            ranges.extend((0..times).map(|_| around(random, address)));
        }
        let lengths = random.pick(&[0, 1, 2, 5, 8, 9]);
        for (network, bits, step) in [(0x1400_0000, 32, 8), (0x2001_0db8_4000 << 80, 128, 64)] {
            let noise = match random.below(10) {
                0 => random.between(1_000.min(most), most),
                1..=4 => random.below(8),
                _ => random.below(60),
            };
            for index in 0..noise {
                let len = bits - step + index % (lengths + 1).min(step);
                ranges.push(net(network + (u128::from(index) << step), bits, len));
            }
        }
        let interval = random.pick(&["1h", "1h", "1h", "5s"]);
        let listed = ranges.iter().map(ToString::to_string);
        let text = if random.probability(30) {
            let listed: Vec<String> = listed.map(|range| format!("{range:?}")).collect();
            format!(
                "{{\"nonMasqueradeCIDRs\": [{}], \"cidrLimit\": 100000, \"resyncInterval\": \"{interval}\"}}\n",
                listed.join(", ")
            )
        } else {
            // The list first: what is read of it while it is written in place is nothing, or no YAML.
            let listed: Vec<String> = listed.collect();
            format!("nonMasqueradeCIDRs: [{}]\ncidrLimit: 100000\nresyncInterval: {interval}\n", listed.join(", "))
        };
        let exempt = exempt(&ranges);
        let mut what = format!("policy {number} of {} ranges, every {interval}, exempt", ranges.len());
        for (place, (address, _)) in PROBED.iter().enumerate().filter(|(place, _)| exempt & 1 << place != 0) {
            let _ = write!(what, "{}{address}", if place == 0 { " " } else { ", " });
        }
        Self { text, exempt, what }
    }
}

/// Files that no agent may apply. A number keeps them apart.
pub(crate) fn bad(random: &mut Random, number: u32) -> String {
    let range = random.pick(&["10.0.0.0/8", "10.1.2.3/8", "10.0.0.0/33", "fd00::1/8", "everything"]);
    let end = if range == "10.0.0.0/8" { "" } else { "]" };
    format!("# {number}\nnonMasqueradeCIDRs: [10.{}.0.0/16, {range}{end}\n", number % 256)
}

fn exempt(ranges: &[IpNet]) -> Exempt {
    let is_exempt = |address: &str| ranges.iter().any(|range| range.contains(&parsed(address)));
    let bits = PROBED.iter().enumerate().map(|(place, (address, _))| u16::from(is_exempt(address)) << place);
    bits.sum()
}

/// A range that no packet is sent to. All of the last 512 numbers have another (198.18.0.0/15, RFC 2544).
fn mark(random: &mut Random, number: u32) -> IpNet {
    net(u128::from(0xc612_0000 + ((number % 512) << 8)), 32, random.between(24, 32))
}

/// A range with an address in it, and none that is never exempt.
fn around(random: &mut Random, address: IpAddr) -> IpNet {
    let (value, bits) = match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let never = PROBED.iter().filter(|(_, habit)| *habit == Habit::Never).map(|(address, _)| parsed(address));
    let never: Vec<IpAddr> = never.collect();
    loop {
        let range = net(value, bits, random.between(8, bits));
        if !never.iter().any(|never| range.contains(never)) {
            return range;
        }
    }
}

fn net(value: u128, bits: u32, len: u32) -> IpNet {
    let address = if bits == 32 {
        IpAddr::V4(Ipv4Addr::from(u32::try_from(value).expect("an IPv4 address")))
    } else {
        IpAddr::V6(Ipv6Addr::from(value))
    };
    IpNet::new(address, u8::try_from(len).expect("a prefix length")).expect("a prefix length").trunc()
}

#[test]
fn policies_keep_to_the_habits_of_the_destinations_and_differ_from_each_other() {
    let mut random = Random::new(1);
    let policies: Vec<Policy> = (0..300).map(|number| Policy::random(&mut random, number, 2_000)).collect();
    for (place, (address, habit)) in PROBED.iter().enumerate() {
        let times = policies.iter().filter(|policy| policy.exempt & 1 << place != 0).count();
        match habit {
            Habit::Always => assert_eq!(times, 300, "{address}"),
            Habit::Never => assert_eq!(times, 0, "{address}"),
            Habit::Sometimes => assert!((100..250).contains(&times), "{address}: {times}"),
        }
    }
    let texts: std::collections::BTreeSet<&str> = policies.iter().map(|policy| policy.text.as_str()).collect();
    assert_eq!(texts.len(), 300);
}
