//! A list that grows beyond what its set has room for.

use crate::support::generation::generation;
use crate::support::native::Tables;
use crate::support::netns::Netns;

/// A set for few ranges has room for 64; no two of these touch, so that they are not merged.
fn list(ranges: usize) -> String {
    let texts = (0..ranges).flat_map(|number| {
        let third = number * 2;
        [format!("10.{}.{}.0/24", third / 256, third % 256), format!("\"fd00:{third:x}::/48\"")]
    });
    let texts: Vec<String> = texts.collect();
    format!("cidrLimit: 1000\nnonMasqueradeCIDRs: [{}]\n", texts.join(", "))
}

#[test]
fn the_kernel_holds_the_longer_list_whatever_room_the_shorter_one_had_made() {
    for (protect, set) in [("off", "exempt-24"), ("on", "exempt-48")] {
        let apply = format!("apply --backend nft --protect {protect} --enable-ipv6");
        let Some(netns) = Netns::new("outgrown") else { return };
        for ranges in [1, 64, 65, 400, 3] {
            let before = generation(&netns);
            netns.agent(&apply, &list(ranges)).ended_with(0);
            assert_eq!(generation(&netns), before + 1, "{ranges}: in one transaction");
            let Some(fresh) = Netns::new("fresh") else { return };
            fresh.agent("apply --backend nft --protect off --enable-ipv6", &list(ranges)).ended_with(0);
            if protect == "off" {
                assert_eq!(Tables::of(&netns), Tables::of(&fresh), "{ranges}");
            }
            // nft's own word for it, in either family.
            let family = if set == "exempt-24" { "ip" } else { "ip6" };
            let listed = netns.run(&format!("nft list set {family} ip-masq-agent {set}"));
            let elements = listed.split_once("elements = {").map_or("", |(_, elements)| elements);
            assert_eq!(elements.split(',').count(), ranges, "{listed}");
        }
    }
}
