//! The fingerprint of a policy, by which the nodes of a fleet are compared.

use std::fmt;
use std::net::IpAddr;

use sha2::{Digest as _, Sha256};

use super::{Action, Condition, Field, Policy, PortChoice, Run, Test};
use crate::net::{AddressRange, Family};

/// What is hashed first. It changes whenever the same policy gets another fingerprint.
const FORMAT: &str = "ip-masq-agent policy 1";

/// The SHA-256 of what a policy decides. Two policies with the same one treat each packet alike.
///
/// It is made of the chain, the families that are treated, and for each of them the decisions in their order. The ranges of
/// destinations that keep their source without a further condition are taken together, sorted and joined, as far as no other
/// decision stands between them. Each other decision counts with its conditions, in whatever order they are, and its action.
///
/// It does not depend on the bytes of the file, comments, the order of ranges, ranges inside others, where a value comes
/// from, the resync interval, or the layout of the rules.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of a policy.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let mut hash = Hash(Sha256::new());
        hash.text(FORMAT);
        hash.text(policy.chain.as_str());
        for family in &policy.families {
            hash.family(*family);
            let runs = policy.runs(*family);
            hash.number(runs.len());
            for run in &runs {
                hash.run(run);
            }
        }
        Self(hash.0.finalize().into())
    }
}

/// Each thing is hashed with its kind or its length before it, so that no two sequences of things have the same bytes.
struct Hash(Sha256);

impl Hash {
    fn run(&mut self, run: &Run<'_>) {
        match run {
            Run::KeptDestinations(ranges, _) => {
                self.text("kept destinations");
                self.number(ranges.len());
                for range in ranges {
                    self.range(range);
                }
            }
            Run::Other(decision, _) => {
                self.text("decision");
                let mut conditions = decision.when().conditions().to_vec();
                conditions.sort_unstable();
                conditions.dedup();
                self.number(conditions.len());
                for condition in &conditions {
                    self.condition(condition);
                }
                self.action(decision.then());
            }
        }
    }

    fn condition(&mut self, condition: &Condition) {
        self.text(match condition.field() {
            Field::Source => "source",
            Field::Destination => "destination",
            Field::OutputInterface => "output interface",
            Field::Protocol => "protocol",
            Field::SourcePort => "source port",
            Field::DestinationPort => "destination port",
            Field::Mark => "mark",
            Field::DestinationType => "destination type",
        });
        match condition.test() {
            Test::Prefix(range) => {
                self.text("prefix");
                self.range(&range.into());
            }
            Test::Equal(value) => {
                self.text("equal");
                self.text(&value.to_string());
            }
            Test::NotEqual(value) => {
                self.text("not equal");
                self.text(&value.to_string());
            }
            Test::NamePrefix(start) => {
                self.text("name prefix");
                self.text(&start.to_string());
            }
            Test::Masked(bits) => {
                self.text("masked");
                self.text(&bits.to_string());
            }
            Test::Range(protocol, ports) => {
                self.text("ports");
                self.text(&protocol.to_string());
                self.text(&ports.to_string());
            }
        }
    }

    fn action(&mut self, action: &Action) {
        match action {
            Action::KeepSource => self.text("keep source"),
            Action::Masquerade(ports) => {
                let PortChoice { random_fully, to_ports } = &**ports;
                self.text(if *random_fully { "masquerade fully random" } else { "masquerade" });
                self.number(to_ports.as_slice().len());
                for ports in to_ports.as_slice() {
                    self.text(&ports.to_string());
                }
            }
        }
    }

    fn family(&mut self, family: Family) {
        self.text(match family {
            Family::Ipv4 => "IPv4",
            Family::Ipv6 => "IPv6",
        });
    }

    fn range(&mut self, range: &AddressRange) {
        for end in [range.first(), range.last()] {
            match end {
                IpAddr::V4(address) => self.0.update(address.octets()),
                IpAddr::V6(address) => self.0.update(address.octets()),
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.0.update(text.as_bytes());
    }

    fn number(&mut self, number: usize) {
        self.0.update((number as u64).to_be_bytes());
    }
}

impl fmt::Display for Fingerprint {
    /// In hexadecimal digits, as `sha256sum` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Context, parse};
    use crate::net::{PortRanges, Protocol};
    use crate::policy::tests::{deciding, from, interface, keep, masquerade, port, to};
    use crate::policy::{Decision, Flags, Origin, PortField, Selector};

    fn of_file(file: &str, flags: &Flags) -> Fingerprint {
        let reading = parse(file.as_bytes(), &Context::from(flags)).unwrap();
        Fingerprint::of(&Policy::new(&reading.config, flags))
    }

    fn flags() -> Flags {
        Flags { ipv6: true, ..Flags::default() }
    }

    #[test]
    fn files_that_decide_the_same_have_one_fingerprint_however_they_are_written() {
        let expected = of_file("nonMasqueradeCIDRs: [10.0.0.0/8, 192.168.0.0/16, 'fd00::/8']", &flags());
        for file in [
            "# a comment\nnonMasqueradeCIDRs:\n  - 10.0.0.0/8\n  - 192.168.0.0/16\n  - fd00::/8\n",
            r#"{"nonMasqueradeCIDRs": ["10.0.0.0/8", "192.168.0.0/16", "fd00::/8"], "masqLinkLocal": false}"#,
            "nonMasqueradeCIDRs: ['fd00::/8', 192.168.0.0/16, 10.0.0.0/8]",
            "nonMasqueradeCIDRs: [10.0.0.0/8, 10.0.0.0/8, 10.1.0.0/16, 192.168.0.0/16, 'fd00::/8']",
            "nonMasqueradeCIDRs: [10.0.0.0/9, 10.128.0.0/9, 192.168.0.0/16, 'fd00::/8']",
            "nonMasqueradeCIDRs: [10.0.0.0/8, 192.168.0.0/16, 'fd00::/8']\nresyncInterval: 5s",
            "nonMasqueradeCIDRs: [10.0.0.0/8, 192.168.0.0/16, 'fd00::/8', 169.254.0.0/16]",
        ] {
            assert_eq!(of_file(file, &flags()), expected, "{file}");
        }
    }

    #[test]
    fn whatever_makes_a_difference_to_a_packet_or_to_the_chain_makes_another_fingerprint() {
        let file = "nonMasqueradeCIDRs: [10.0.0.0/8]";
        let mut seen = vec![of_file(file, &flags())];
        let others = [
            of_file("nonMasqueradeCIDRs: [10.0.0.0/9]", &flags()),
            of_file("nonMasqueradeCIDRs: []", &flags()),
            of_file("nonMasqueradeCIDRs: [10.0.0.0/8, 'fd00::/8']", &flags()),
            of_file("nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqLinkLocal: true", &flags()),
            of_file("nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqLinkLocalIPv6: true", &flags()),
            of_file(file, &Flags { ipv6: false, ..flags() }),
            of_file(file, &Flags { chain: "OTHER".parse().unwrap(), ..flags() }),
            of_file(file, &Flags { random_fully: false, ..flags() }),
            of_file(file, &Flags { to_ports: "1024-2047".parse().unwrap(), ..flags() }),
            of_file(file, &Flags { to_ports: "1024-2047,3000".parse().unwrap(), ..flags() }),
        ];
        for other in others {
            assert!(!seen.contains(&other), "{other} after {seen:?}");
            seen.push(other);
        }
    }

    #[test]
    fn decisions_with_other_conditions_count_in_their_order_and_each_with_all_it_asks_for() {
        let rest = || masquerade(&[]);
        let plain = |decision: Decision| Fingerprint::of(&deciding(vec![decision, rest()]));
        assert_eq!(
            plain(keep(&[from("10.0.0.0/8"), to("172.16.0.0/12")])),
            plain(keep(&[to("172.16.0.0/12"), from("10.0.0.0/8")])),
        );
        let mut seen = Vec::new();
        for decisions in [
            vec![rest()],
            vec![keep(&[from("10.0.0.0/8")]), rest()],
            vec![keep(&[to("10.0.0.0/8")]), rest()],
            vec![keep(&[from("10.0.0.0/8"), to("172.16.0.0/12")]), rest()],
            vec![keep(&[from("10.0.0.0/8")]), keep(&[to("172.16.0.0/12")]), rest()],
            vec![masquerade(&[from("10.0.0.0/8")]), keep(&[to("172.16.0.0/12")]), rest()],
            vec![keep(&[to("172.16.0.0/12")]), masquerade(&[from("10.0.0.0/8")]), rest()],
            vec![rest(), keep(&[to("172.16.0.0/12")])],
            vec![keep(&[port(PortField::Source, Protocol::Tcp, 1, 9)]), rest()],
            vec![keep(&[port(PortField::Destination, Protocol::Tcp, 1, 9)]), rest()],
            vec![keep(&[port(PortField::Destination, Protocol::Udp, 1, 9)]), rest()],
            vec![keep(&[port(PortField::Destination, Protocol::Udp, 1, 8)]), rest()],
            vec![keep(&[Condition::output_interface(interface("eth0"))]), rest()],
            vec![keep(&[Condition::output_interface_other_than(interface("eth0"))]), rest()],
            vec![keep(&[Condition::output_interface_beginning(interface("eth0"))]), rest()],
        ] {
            let fingerprint = Fingerprint::of(&deciding(decisions.clone()));
            assert!(!seen.contains(&fingerprint), "{decisions:?}");
            seen.push(fingerprint);
        }
    }

    #[test]
    fn the_fingerprint_of_a_policy_stays_the_same_from_version_to_version() {
        let ports = PortChoice { random_fully: true, to_ports: PortRanges::default() };
        let policy = Policy {
            chain: "IP-MASQ-AGENT".parse().unwrap(),
            families: vec![Family::Ipv4],
            decisions: vec![
                keep(&[to("10.0.0.0/8")]),
                Decision::masquerade(&Selector::EVERYTHING, ports, Origin::Default),
            ],
        };
        // The same bytes, by hand, for `sha256sum`.
        let text = |text: &str| [&(text.len() as u64).to_be_bytes(), text.as_bytes()].concat();
        let number = |number: u64| number.to_be_bytes().to_vec();
        let bytes = [
            text(FORMAT),
            text("IP-MASQ-AGENT"),
            text("IPv4"),
            number(2),
            text("kept destinations"),
            number(1),
            vec![10, 0, 0, 0, 10, 255, 255, 255],
            text("decision"),
            number(1),
            text("destination type"),
            text("not equal"),
            text("local"),
            text("masquerade fully random"),
            number(0),
        ];
        let expected = Fingerprint(Sha256::digest(bytes.concat()).into());
        assert_eq!(Fingerprint::of(&policy), expected);
        assert_eq!(expected.to_string(), "32b8230bfdbce8fe1d24ff361864fc68431f7230319d71ef06e05fe0eb27bd7e");
    }
}
