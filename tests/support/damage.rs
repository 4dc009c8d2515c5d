//! What others do to the agent's rules.

use std::net::IpAddr;

use ip_masq_agent::net::Family;
use ipnet::IpNet;

use super::netns::Netns;
use super::ran::Ran;
use super::tables::program;
use super::topology::parsed;

/// What is done, in one transaction or by one program, and with what: `$F` before a blank is `ip` or `ip6`.
pub(crate) type Damage = (&'static str, Tool);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// `nft -f -` with this text; `$JUMP`, `$FIRST` and `$LAST` are handles: of the jump, of the first and of the last rule
    /// of our chain. `$SET` is our first set, and `$ELEMENT` one that it should not have.
    Nft(&'static str),
    /// `iptables-nft-restore --noflush` or its like with this text; `$JUMP` is our jump as iptables-save prints it.
    Restore(&'static str),
    /// `iptables-nft -t nat` or `ip6tables-nft -t nat` with these arguments.
    Iptables(&'static str),
}

/// To the rules in iptables' table.
pub(crate) const COMPAT: [Damage; 16] = [
    ("the ruleset is flushed", Tool::Nft("flush ruleset")),
    ("the table is deleted", Tool::Nft("delete table $F nat")),
    ("all rules of the table are flushed", Tool::Nft("flush table $F nat")),
    ("our chain is flushed by nft", Tool::Nft("flush chain $F nat IP-MASQ-AGENT")),
    ("our chain is flushed by iptables", Tool::Iptables("-F IP-MASQ-AGENT")),
    ("POSTROUTING is flushed", Tool::Iptables("-F POSTROUTING")),
    ("the table is flushed by iptables", Tool::Iptables("-F")),
    ("the base chain is deleted", Tool::Nft("flush chain $F nat POSTROUTING\ndelete chain $F nat POSTROUTING")),
    ("the jump is deleted", Tool::Nft("delete rule $F nat POSTROUTING handle $JUMP")),
    ("the jump is doubled", Tool::Restore("*nat\n$JUMP\nCOMMIT\n")),
    ("a rule of ours is deleted", Tool::Nft("delete rule $F nat IP-MASQ-AGENT handle $FIRST")),
    ("the masquerade rule is deleted", Tool::Nft("delete rule $F nat IP-MASQ-AGENT handle $LAST")),
    ("a rule of ours is replaced", Tool::Nft("replace rule $F nat IP-MASQ-AGENT handle $FIRST counter return")),
    ("a foreign rule comes first in our chain", Tool::Iptables("-I IP-MASQ-AGENT -j ACCEPT")),
    ("a foreign rule comes last in our chain", Tool::Iptables("-A IP-MASQ-AGENT -j ACCEPT")),
    ("a rule is inserted in the middle of our chain", Tool::Iptables("-I IP-MASQ-AGENT 2 -p tcp -j RETURN")),
];

/// To tables of the agent's own.
pub(crate) const NATIVE: [Damage; 13] = [
    ("the ruleset is flushed", Tool::Nft("flush ruleset")),
    ("the table is deleted", Tool::Nft("delete table $F ip-masq-agent")),
    ("all rules of the table are flushed", Tool::Nft("flush table $F ip-masq-agent")),
    ("our chain is flushed", Tool::Nft("flush chain $F ip-masq-agent IP-MASQ-AGENT")),
    (
        "the base chain is deleted",
        Tool::Nft("flush chain $F ip-masq-agent postrouting\ndelete chain $F ip-masq-agent postrouting"),
    ),
    ("the table is switched off", Tool::Nft("add table $F ip-masq-agent { flags dormant; }")),
    ("the jump is deleted", Tool::Nft("delete rule $F ip-masq-agent postrouting handle $JUMP")),
    (
        "the jump is doubled and followed",
        Tool::Nft(
            "add rule $F ip-masq-agent postrouting jump IP-MASQ-AGENT\nadd rule $F ip-masq-agent postrouting accept",
        ),
    ),
    ("a rule of ours is deleted", Tool::Nft("delete rule $F ip-masq-agent IP-MASQ-AGENT handle $FIRST")),
    (
        "a rule of ours is replaced",
        Tool::Nft("replace rule $F ip-masq-agent IP-MASQ-AGENT handle $FIRST counter return"),
    ),
    ("a foreign rule comes first", Tool::Nft("insert rule $F ip-masq-agent IP-MASQ-AGENT accept")),
    (
        "a foreign chain and set come",
        Tool::Nft(
            "add chain $F ip-masq-agent x { type filter hook input priority 0; }\nadd set $F ip-masq-agent y { type inet_service; }",
        ),
    ),
    (
        "elements go and come",
        Tool::Nft("flush set $F ip-masq-agent $SET\nadd element $F ip-masq-agent $SET { $ELEMENT }"),
    ),
];

/// What a program is told to do to the rules of a family.
#[derive(Debug)]
pub(crate) struct Order {
    program: String,
    arguments: Vec<String>,
    input: String,
}

impl Order {
    /// Looks up what the damage is done to. `None` if that is not there.
    pub(crate) fn prepare(netns: &Netns, family: Family, table: &str, tool: Tool) -> Option<Self> {
        let text = match tool {
            Tool::Iptables(arguments) => {
                let arguments = ["-t", "nat"].into_iter().chain(arguments.split(' ')).map(str::to_owned).collect();
                return Some(Self { program: program(family, ""), arguments, input: String::new() });
            }
            Tool::Restore(text) => {
                let saved = netns.try_run(&program(family, "-save"), &["-t", "nat"], "").stdout;
                let jump = saved.lines().find(|line| line.ends_with(" -j IP-MASQ-AGENT"))?;
                let input = text.replace("$JUMP", jump);
                return Some(Self {
                    program: program(family, "-restore"),
                    arguments: vec!["--noflush".to_owned()],
                    input,
                });
            }
            Tool::Nft(text) => text,
        };
        let nft_family = match family {
            Family::Ipv4 => "ip",
            Family::Ipv6 => "ip6",
        };
        let mut input = text.replace("$F ", &format!("{nft_family} "));
        if input.contains('$') {
            let listed = netns.try_run("nft", &["-a", "-t", "list", "table", nft_family, table], "").stdout;
            let jump =
                || rules(&listed, "postrouting").find(|rule| rule.contains("jump IP-MASQ-AGENT")).and_then(handle);
            let ours = || rules(&listed, "IP-MASQ-AGENT").filter_map(handle);
            let set = || listed.lines().find_map(|line| line.trim_start().strip_prefix("set ")?.split(' ').next());
            let fill: [(&str, &dyn Fn() -> Option<String>); 5] = [
                ("$JUMP", &|| jump().map(str::to_owned)),
                ("$FIRST", &|| ours().next().map(str::to_owned)),
                ("$LAST", &|| ours().last().map(str::to_owned)),
                ("$SET", &|| set().map(str::to_owned)),
                ("$ELEMENT", &|| set().map(|set| stranger(family, set).to_string())),
            ];
            for (name, value) in fill.into_iter().filter(|(name, _)| text.contains(name)) {
                input = input.replace(name, &value()?);
            }
        }
        Some(Self { program: "nft".to_owned(), arguments: vec!["-f".to_owned(), "-".to_owned()], input })
    }

    /// Runs the program.
    pub(crate) fn run(&self, netns: &Netns) -> Ran {
        netns.try_run(&self.program, &self.arguments.iter().map(String::as_str).collect::<Vec<_>>(), &self.input)
    }
}

/// The rules of a chain, in whatever case its name is, as `nft -a` lists them.
fn rules<'a>(listed: &'a str, chain: &str) -> impl Iterator<Item = &'a str> {
    let of_the_chain = move |line: &&str| {
        let name = line.trim_start().strip_prefix("chain ").and_then(|rest| rest.split(' ').next());
        name.is_some_and(|name| name.eq_ignore_ascii_case(chain))
    };
    let lines = listed.lines().skip_while(move |line| !of_the_chain(line)).skip(1);
    lines.take_while(|line| line.trim() != "}").filter(|line| line.contains("# handle "))
}

fn handle(rule: &str) -> Option<&str> {
    rule.rsplit_once("# handle ").map(|(_, handle)| handle.trim())
}

/// An element for one of our sets with which a destination is exempt that no test exempts.
fn stranger(family: Family, set: &str) -> IpAddr {
    let address = parsed(match family {
        Family::Ipv4 => "11.22.33.44",
        Family::Ipv6 => "2001:db8:ffff::9",
    });
    let len = set.strip_prefix("exempt-").and_then(|len| len.parse().ok());
    len.map_or(address, |len| IpNet::new(address, len).unwrap().network())
}
