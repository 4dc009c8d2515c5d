//! What `nft` says about the tables of our own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::netns::Netns;

/// `nft -s list table` of both families, without counters. Of a table that is not there: nothing.
pub(crate) fn listed(netns: &Netns) -> String {
    ["ip", "ip6"]
        .map(|family| netns.try_run("nft", &["-s", "list", "table", family, "ip-masq-agent"], "").stdout)
        .concat()
}

/// The same without what protection adds to it: the flags, of which nft 1.0.6 does not know all, so that it cannot read
/// again what it prints for them; and the owner's name.
pub(crate) fn without_flags(listed: &str) -> String {
    let mut kept = String::new();
    let mut lines = listed.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with("flags ") && lines.next_if(|next| next.is_empty()).is_some() {
            continue;
        }
        kept += line.split(" # progname ").next().unwrap_or_default();
        kept += "\n";
    }
    kept
}

/// The lines of each set and chain in what [`listed`] says, by family, kind and name. The room of a set, its place
/// among others, and which of its two names it has (`exempt-8` or `exempt-8-b`) depend on its history and are left out.
/// Also works for protected tables: for one with flags that it does not know, nft 1.0.6 prints random memory as JSON,
/// or nothing.
pub(crate) fn blocks(listed: &str) -> BTreeMap<String, Vec<String>> {
    let mut blocks: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut family, mut block) = ("", String::new());
    for line in listed.lines() {
        let text = line.trim_start();
        if line.starts_with("table ") {
            family = line.split(' ').nth(1).unwrap_or_default();
        } else if line.starts_with('\t') && !line.starts_with("\t\t") && text.ends_with('{') {
            block = format!("{family} {}", text.replace("-b {", " {"));
            blocks.entry(block.clone()).or_default();
        } else if line.starts_with("\t\t") && !text.starts_with("size ") {
            blocks.entry(block.clone()).or_default().push(text.replace("-b counter ", " counter "));
        }
    }
    blocks
}

/// What the tables of our own mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tables {
    /// The elements of each set, by family and name.
    pub(crate) sets: BTreeMap<String, BTreeSet<String>>,
    /// The kind of each set, without its room; base chains; the rules of each chain in order, without counters.
    pub(crate) rest: BTreeMap<String, Vec<String>>,
}

impl Tables {
    /// Reads `nft -j list table` of both families. Of a table that is not there: nothing.
    pub(crate) fn of(netns: &Netns) -> Self {
        let mut tables = Self::default();
        for family in ["ip", "ip6"] {
            let listed = netns.try_run("nft", &["-j", "list", "table", family, "ip-masq-agent"], "");
            if !listed.succeeded() {
                assert!(listed.stderr.contains("No such file or directory"), "{listed:?}");
                continue;
            }
            let ruleset: Value = serde_json::from_str(&listed.stdout).unwrap();
            for object in ruleset["nftables"].as_array().unwrap() {
                let (kind, object) = object.as_object().unwrap().iter().next().unwrap();
                if object["table"] == "ip-masq-agent" {
                    tables.take(kind, object.clone());
                }
            }
        }
        tables
    }

    fn take(&mut self, kind: &str, mut object: Value) {
        let fields = object.as_object_mut().unwrap();
        fields.remove("handle");
        fields.remove("size");
        let family = fields["family"].as_str().unwrap().to_owned();
        let name = |key: &str| format!("{family} {}", fields[key].as_str().unwrap());
        match kind {
            "set" => {
                let name = name("name");
                let elements = fields.remove("elem").unwrap_or_else(|| Value::Array(Vec::new()));
                let elements = elements.as_array().unwrap().iter().map(ToString::to_string).collect();
                self.sets.insert(name.clone(), elements);
                self.rest.insert(format!("set {name}"), vec![object.to_string()]);
            }
            "chain" => {
                let name = name("name");
                self.rest.entry(format!("chain {name}")).or_default().insert(0, object.to_string());
            }
            "rule" => {
                let name = name("chain");
                let expressions = fields["expr"].as_array_mut().unwrap();
                expressions.retain(|expression| expression.get("counter").is_none());
                self.rest.entry(format!("chain {name}")).or_default().push(object.to_string());
            }
            other => panic!("{other} is nothing of ours: {object}"),
        }
    }

    /// Only what is of a family, `ip` or `ip6`.
    pub(crate) fn of_family(&self, family: &str) -> Self {
        let mut tables = self.clone();
        tables.sets.retain(|name, _| name.split(' ').next() == Some(family));
        tables.rest.retain(|name, _| name.split(' ').nth(1) == Some(family));
        tables
    }

    /// The base chains and the rules.
    pub(crate) fn chains(&self) -> BTreeMap<&str, &[String]> {
        let chains = self.rest.iter().filter(|(name, _)| name.starts_with("chain "));
        chains.map(|(name, rules)| (name.as_str(), rules.as_slice())).collect()
    }

    /// The elements of all sets, each with the name of its set.
    pub(crate) fn elements(&self) -> BTreeSet<(&str, &str)> {
        self.sets
            .iter()
            .flat_map(|(set, elements)| elements.iter().map(move |element| (set.as_str(), element.as_str())))
            .collect()
    }
}
