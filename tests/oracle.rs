//! iptables' own tools as the judge: what they say about our rules, and about the golden text of the same case.

#[cfg(test)]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use ip_masq_agent::net::Family;

use support::netns::{AGENT, Netns};
use support::tables::{FAMILIES, chains_and_rules, on_rule, program, restore, saved, without_counters};

/// One folder of `rules/`.
struct Case {
    folder: PathBuf,
    config: PathBuf,
    flags: Vec<String>,
}

#[test]
fn iptables_prints_our_rules_as_it_prints_the_golden_text() {
    for case in cases() {
        let Some((ours, theirs)) = case.applied_and_restored() else { return };
        for family in FAMILIES {
            let (printed, golden) = (saved(&ours, family), case.golden(family));
            assert_eq!(printed, saved(&theirs, family), "{case} {family:?}");
            assert_eq!(chains_and_rules(&printed), chains_and_rules(&without_counters(&golden)), "{case} {family:?}");
        }
    }
}

#[test]
fn iptables_lists_finds_and_deletes_each_of_our_rules() {
    for case in cases() {
        let Some((ours, _)) = case.applied_and_restored() else { return };
        for family in FAMILIES {
            let rules: Vec<String> = saved(&ours, family).into_iter().filter(|line| line.starts_with("-A ")).collect();
            let listing = ours.try_run(&program(family, ""), &["-t", "nat", "-S"], "").stdout();
            for rule in &rules {
                assert!(listing.contains(rule.as_str()), "{case}: {listing}");
                on_rule(&ours, family, "-C", rule).ended_with(0);
            }
            if let Some(chain) = rules.iter().find_map(|rule| rule.rsplit_once(" -j ")).map(|(_, chain)| chain) {
                let listing = ours.run(&format!("{} -t nat -n -L {chain}", program(family, "")));
                // A line for the chain, one for the columns, one for each rule.
                let of_chain = rules.iter().filter(|rule| rule.starts_with(&format!("-A {chain} "))).count();
                assert_eq!(listing.lines().count(), 2 + of_chain, "{case}: {listing}");
            }
            for rule in &rules {
                on_rule(&ours, family, "-D", rule).ended_with(0);
            }
            let left = saved(&ours, family).into_iter().find(|line| line.starts_with("-A "));
            assert_eq!(left, None, "{case} {family:?}");
        }
    }
}

/// The cases, in the order of their names; there must be some.
fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let mut cases: Vec<Case> = fs::read_dir(&root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .map(Case::read)
        .collect();
    cases.sort_by(|one, other| one.folder.cmp(&other.folder));
    assert!(!cases.is_empty(), "{} has no case", root.display());
    cases
}

impl Case {
    fn read(folder: PathBuf) -> Self {
        let config =
            ["config.yaml", "config.json"].map(|name| folder.join(name)).into_iter().find(|path| path.exists());
        assert!(config.is_some(), "{} has neither config.yaml nor config.json", folder.display());
        let flags = fs::read_to_string(folder.join("flags")).unwrap_or_default();
        let flags = flags.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        Self { config: config.unwrap_or_default(), flags, folder }
    }

    /// The golden text of a family; none means no rules.
    fn golden(&self, family: Family) -> String {
        let name = match family {
            Family::Ipv4 => "iptables",
            Family::Ipv6 => "ip6tables",
        };
        let path = self.folder.join(name);
        assert!(path.exists() || family == Family::Ipv6, "{} is missing", path.display());
        fs::read_to_string(path).unwrap_or_default()
    }

    /// A namespace in which the agent has applied the case, and one into which iptables has restored it.
    fn applied_and_restored(&self) -> Option<(Netns, Netns)> {
        let (ours, theirs) = (Netns::new("ours")?, Netns::new("theirs")?);
        let mut arguments = vec!["apply", "--config", self.config.to_str().unwrap_or_default()];
        arguments.extend(self.flags.iter().map(String::as_str));
        ours.try_run(AGENT, &arguments, "").ended_with(0);
        for family in FAMILIES {
            restore(&theirs, family, &self.golden(family));
        }
        Some((ours, theirs))
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.folder.display().fmt(f)
    }
}
