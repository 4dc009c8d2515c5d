//! The Debian package: what it is made of (`Cargo.toml`, `deploy/debian/`). What it does when it is installed, upgraded, removed
//! and purged: `make acceptance-systemd`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::netns::AGENT;
use crate::support::ran::{Ran, command};
use crate::tools::ROOT;

const CONFIG: &str = "deploy/debian/default-config.yaml";
const FLAGS: &str = "deploy/debian/default-flags";

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `[package.metadata.deb]`.
fn metadata() -> Value {
    let mut cargo = command(env!("CARGO"));
    cargo.args(["metadata", "--format-version=1", "--no-deps", "--offline", "--locked"]).current_dir(ROOT);
    let metadata: Value = serde_json::from_str(&Ran::of(cargo).stdout()).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().find(|package| package["name"] == "ip-masq-agent").unwrap()["metadata"]["deb"].clone()
}

/// The file in the repository for each path that the package installs, but for patterns.
fn installed(metadata: &Value) -> BTreeMap<String, PathBuf> {
    let assets = metadata["assets"].as_array().unwrap().iter().map(|asset| {
        let [from, to] = [0, 1].map(|index| asset[index].as_str().unwrap());
        let name = if to.ends_with('/') { Path::new(from).file_name().unwrap().to_str().unwrap() } else { "" };
        (format!("/{to}{name}"), Path::new(ROOT).join(from))
    });
    assets.collect()
}

fn render(arguments: &[&str]) -> Ran {
    let mut agent = command(AGENT);
    agent.args(["render", "--format=json"]).args(arguments).current_dir(ROOT);
    Ran::of(agent)
}

#[test]
fn the_default_configuration_says_the_defaults_and_nothing_that_is_warned_of() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let ran = render(&["--config", CONFIG]).ended_with(0);
    assert_eq!(ran.stderr, "");
    let fingerprint = |ran: Ran| serde_json::from_str::<Value>(&ran.stdout()).unwrap()["policyFingerprint"].clone();
    let defaults = fingerprint(render(&["--config", empty.path().to_str().unwrap()]));
    assert!(defaults.is_string());
    assert_eq!(fingerprint(ran), defaults);
}

#[test]
fn the_default_configuration_has_every_key_that_is_documented() {
    let (config, documentation) = (text(CONFIG), text("docs/configuration.md"));
    let table = documentation.split("| key | default | meaning |").nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let keys: Vec<&str> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
    let lines = config.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_alphabetic()));
    assert_eq!(lines.map(|line| line.split(':').next().unwrap()).collect::<Vec<_>>(), keys);
}

#[test]
fn the_flags_that_the_default_file_tells_of_are_flags() {
    let flags = text(FLAGS);
    let told: Vec<&str> = flags.lines().filter_map(|line| line.strip_prefix("#   ")?.split(' ').next()).collect();
    assert!(told.len() > 3 && told.iter().all(|flag| flag.starts_with('-')), "{told:?}");
    for flag in told {
        assert!(render(&["--config", CONFIG, flag]).succeeded(), "{flag}");
    }
    assert!(flags.ends_with("\nIP_MASQ_AGENT_FLAGS=\"\"\n"));
}

#[test]
fn the_package_has_what_its_units_name_and_keeps_what_an_operator_changes() {
    let metadata = metadata();
    let installed = installed(&metadata);
    let mut missing: Vec<_> = installed.values().filter(|path| !path.exists()).collect();
    missing.retain(|path| !path.ends_with("target/release/ip-masq-agent") && !path.to_str().unwrap().contains('*'));
    assert!(missing.is_empty(), "{missing:?}");
    let kept: Vec<&str> =
        metadata["conf-files"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    assert_eq!(kept, ["/etc/ip-masq-agent/config.yaml", "/etc/default/ip-masq-agent"]);
    assert!(kept.iter().all(|path| installed.contains_key(*path)), "{installed:?}");
    assert!(installed.contains_key("/usr/bin/ip-masq-agent"), "{installed:?}");
    let scripts = metadata["systemd-units"].as_array().unwrap();
    let enabled = ["ip-masq-agent-early", "ip-masq-agent"];
    for (unit, name) in scripts.iter().zip(enabled) {
        assert_eq!(
            (&unit["unit-name"], &unit["enable"], &unit["stop-on-upgrade"]),
            (&name.into(), &true.into(), &false.into())
        );
        let unit = text(&format!("deploy/systemd/{name}.service"));
        for path in ["/etc/ip-masq-agent/config.yaml", "/etc/default/ip-masq-agent", "/usr/bin/ip-masq-agent "] {
            assert!(unit.contains(path), "{name}: {path}");
        }
        assert!(unit.contains("\nDocumentation=file:///usr/share/doc/ip-masq-agent/docs/systemd.md\n"), "{name}");
    }
    assert!(installed.contains_key("/usr/share/doc/ip-masq-agent/docs/*.md"), "{installed:?}");
    assert!(metadata["extended-description"].as_str().is_some_and(|text| text.lines().count() > 2));
}

#[test]
fn the_maintainer_scripts_are_shell_and_leave_room_for_the_units() {
    for name in ["postinst", "prerm", "postrm"] {
        let path = format!("deploy/debian/{name}");
        let mut shell = command("sh");
        shell.args(["-n", &path]).current_dir(ROOT);
        Ran::of(shell).ended_with(0);
        let script = text(&path);
        assert!(script.starts_with("#!/bin/sh\nset -e\n") && script.ends_with("\n#DEBHELPER#\n"), "{name}");
        // What is in the agent's own directories, its user could have put there.
        assert!(!script.contains("/var/lib/ip-masq-agent/ip-masq-agent"), "{name}");
        assert!(script.contains("kept=/var/lib/ip-masq-agent-removed\n") || name == "postinst", "{name}");
    }
}
