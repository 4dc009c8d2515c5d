//! What the iptables tools say about a namespace, and their texts.

use ip_masq_agent::net::Family;

use super::netns::Netns;

/// Both families, IPv4 first.
pub(crate) const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// `iptables-nft`, `ip6tables-nft-save` and so on: the program for a family. `suffix` is empty, `-save` or `-restore`.
pub(crate) fn program(family: Family, suffix: &str) -> String {
    let name = match family {
        Family::Ipv4 => "iptables-nft",
        Family::Ipv6 => "ip6tables-nft",
    };
    format!("{name}{suffix}")
}

/// What `iptables-nft-save -t nat` prints, without comments and counters.
#[track_caller]
pub(crate) fn saved(netns: &Netns, family: Family) -> Vec<String> {
    let text = netns.try_run(&program(family, "-save"), &["-t", "nat"], "").stdout();
    assert!(!text.contains("incompatible"), "{} cannot read the table:\n{text}", program(family, "-save"));
    without_counters(&text)
}

/// The rules of both families, one text: for looking whether something is in it, and for failures to show.
#[track_caller]
pub(crate) fn saved_text(netns: &Netns) -> String {
    FAMILIES.map(|family| saved(netns, family).join("\n") + "\n").concat()
}

/// The lines of an iptables-save text without comments, blank lines and counters.
pub(crate) fn without_counters(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| match (line.starts_with(':'), line.rfind(" [")) {
            (true, Some(counters)) => line[..counters].to_owned(),
            _ => line.to_owned(),
        })
        .collect()
}

/// The chains that are not base chains, and the rules: what an iptables-save text says about rules, not about which of
/// iptables' own base chains happen to exist.
pub(crate) fn chains_and_rules(lines: &[String]) -> Vec<&str> {
    lines
        .iter()
        .map(String::as_str)
        .filter(|line| line.starts_with("-A ") || (line.starts_with(':') && line.ends_with(" -")))
        .collect()
}

/// Loads an iptables-save text over what is there (`iptables-nft-restore --noflush`).
#[track_caller]
pub(crate) fn restore(netns: &Netns, family: Family, text: &str) {
    netns.try_run(&program(family, "-restore"), &["--noflush"], text).ended_with(0);
}

/// Runs `iptables-nft -t nat` or `ip6tables-nft -t nat` with a rule as iptables-save prints it, its first word replaced
/// by `action` (`-C`, `-D`).
pub(crate) fn on_rule(netns: &Netns, family: Family, action: &str, rule: &str) -> super::ran::Ran {
    let words = words(rule);
    let mut arguments = vec!["-t", "nat", action];
    arguments.extend(words.iter().skip(1).map(String::as_str));
    netns.try_run(&program(family, ""), &arguments, "")
}

/// Splits a line as iptables-restore does: at spaces, except those between double quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for character in line.chars() {
        let word = words.last_mut().expect("there is always a last word");
        match character {
            _ if escaped => {
                word.push(character);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => word.push(character),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
