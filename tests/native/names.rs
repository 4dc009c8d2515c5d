//! The names in tables of our own are fixed: `--masq-chain` is for iptables' table alone.

use crate::support::generation::generation;
use crate::support::native::{Tables, listed};
use crate::support::netns::Netns;

const CONFIG: &str = "nonMasqueradeCIDRs: [10.0.0.0/8]\n";
/// Names that iptables takes: of our own base chain, no words to nft, keywords of nft.
const ODD: [&str; 6] = ["postrouting", "1a", "a+b", "drop", "counter", "@x"];

#[test]
fn whatever_the_chain_in_iptables_table_is_called_our_own_tables_are_the_same_and_nft_reads_what_is_rendered() {
    let Some(usual) = Netns::new("usual") else { return };
    usual.agent("apply --backend nft --protect off", CONFIG).ended_with(0);
    for name in ODD {
        let Some(netns) = Netns::new("odd") else { return };
        netns.agent(&format!("apply --backend nft --protect off --masq-chain {name}"), CONFIG).ended_with(0);
        assert_eq!(Tables::of(&netns), Tables::of(&usual), "{name}");
        let rendered = netns.agent(&format!("render --format nft --masq-chain {name}"), CONFIG).stdout();
        let Some(loaded) = Netns::new("loaded") else { return };
        loaded.nft(&rendered);
        assert_eq!(listed(&loaded), listed(&usual), "{name}");
        for (destination, answer) in [("10.1.2.3", "kept: "), ("192.0.2.1", "masqueraded: ")] {
            let said = netns.agent(&format!("explain {destination} --backend nft --masq-chain {name}"), CONFIG);
            assert!(said.stdout().starts_with(answer), "{name} {destination}");
        }
        // And where iptables shows it, it is the user's.
        netns.agent(&format!("apply --backend nft-compat --masq-chain {name}"), CONFIG).ended_with(0);
        assert!(netns.run("iptables-nft -t nat -S").contains(&format!("-N {name}\n")), "{name}");
    }
}

#[test]
fn the_users_name_that_an_older_version_wrote_into_a_table_of_our_own_goes_in_one_transaction() {
    let Some(usual) = Netns::new("usual") else { return };
    usual.agent("apply --backend nft --protect off --masq-chain CUSTOM", CONFIG).ended_with(0);
    let Some(netns) = Netns::new("older") else { return };
    netns.nft(&listed(&usual).replace("IP-MASQ-AGENT", "CUSTOM"));
    let before = generation(&netns);
    netns.agent("apply --backend nft --protect off --masq-chain CUSTOM", CONFIG).ended_with(0);
    assert_eq!(generation(&netns), before + 1);
    assert_eq!(Tables::of(&netns), Tables::of(&usual));
}
