//! The units of `deploy/systemd/`, as systemd itself reads them. What they do on a running systemd: `make acceptance-systemd`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ip_masq_agent::exit::Exit;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::netns::AGENT;
use crate::support::ran::{Ran, command};
use crate::tools::ROOT;

const AGENT_UNIT: &str = "ip-masq-agent.service";
const EARLY_UNIT: &str = "ip-masq-agent-early.service";
const UNITS: [&str; 2] = [AGENT_UNIT, EARLY_UNIT];
/// Ten times the score that `systemd-analyze security` may give at most. docs/systemd.md says what it is made of.
const SCORE: &str = "11";

/// Which ends of the agent a restart does not mend.
const FOR_GOOD: [(Exit, bool); 7] = [
    (Exit::Done, false),
    (Exit::Differs, true),
    (Exit::Usage, true),
    (Exit::Configuration, true),
    // What the kernel refuses, somebody else may be about to mend.
    (Exit::Kernel, false),
    (Exit::NotPermitted, true),
    // No end of `run`.
    (Exit::NoAgent, false),
];

fn unit(name: &str) -> String {
    let path = Path::new(ROOT).join("deploy/systemd").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The values of a setting, in the order in which it is given.
fn values<'a>(unit: &'a str, setting: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(setting)?.strip_prefix('=')).collect()
}

/// Both units in a directory, with the agent under test in the place of the installed one, and these drop-ins.
fn installed(drop_ins: &[PathBuf]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in UNITS {
        fs::write(directory.path().join(name), unit(name).replace("/usr/bin/ip-masq-agent", AGENT)).unwrap();
    }
    for drop_in in drop_ins {
        let place = directory.path().join(AGENT_UNIT.to_owned() + ".d");
        fs::create_dir_all(&place).unwrap();
        let name = drop_in.file_name().unwrap().to_str().unwrap().strip_suffix(".example").unwrap();
        fs::copy(drop_in, place.join(name)).unwrap();
    }
    directory
}

fn analyze(directory: &TempDir, arguments: &[&str]) -> Ran {
    let mut command = command("systemd-analyze");
    // A colon at the end: and the directories where systemd looks itself.
    command.env("SYSTEMD_UNIT_PATH", format!("{}:", directory.path().display())).args(arguments);
    command.args(UNITS.map(|name| directory.path().join(name)));
    Ran::of(command)
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units_and_the_examples_of_drop_ins() {
    let examples: Vec<_> =
        fs::read_dir(Path::new(ROOT).join("deploy/systemd/ip-masq-agent.service.d")).unwrap().collect();
    let examples: Vec<_> = examples.into_iter().map(|entry| entry.unwrap().path()).collect();
    assert!(!examples.is_empty());
    for drop_ins in [&[][..], &examples] {
        let ran = analyze(&installed(drop_ins), &["verify", "--man=no"]).ended_with(0);
        assert_eq!(ran.stderr, "", "{drop_ins:?}");
    }
}

#[test]
fn what_systemd_finds_exposed_is_what_the_documentation_gives_a_reason_for() {
    let directory = installed(&[]);
    analyze(&directory, &["security", "--offline=true", "--no-pager", "--threshold", SCORE]).ended_with(0);
    let documentation = fs::read_to_string(Path::new(ROOT).join("docs/systemd.md")).unwrap();
    let table =
        documentation.split("| what `systemd-analyze security` finds").nth(1).expect("the table of the hardening");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| "));
    let documented: BTreeSet<String> = rows.map(|row| row.split('`').nth(1).expect("an option").to_owned()).collect();
    let mut exposed = BTreeSet::new();
    for name in UNITS {
        let mut command = command("systemd-analyze");
        command.args(["security", "--offline=true", "--no-pager", "--json=short"]).arg(directory.path().join(name));
        let found: Value = serde_json::from_str(&Ran::of(command).stdout()).unwrap();
        let open = found.as_array().unwrap().iter().filter(|one| one["set"] == false);
        exposed.extend(open.map(|one| one["name"].as_str().unwrap().to_owned()));
    }
    assert_eq!(documented, exposed);
}

#[test]
fn an_end_that_a_restart_does_not_mend_is_not_restarted() {
    assert_eq!(FOR_GOOD.map(|(exit, _)| exit), Exit::ALL);
    let for_good = FOR_GOOD.iter().filter(|(_, for_good)| *for_good).map(|(exit, _)| exit.code().to_string());
    let expected = for_good.collect::<Vec<_>>().join(" ");
    let unit = unit(AGENT_UNIT);
    assert_eq!(values(&unit, "RestartPreventExitStatus"), [expected.as_str()]);
    assert_eq!(values(&unit, "Restart"), ["on-failure"]);
}

#[test]
fn both_units_are_the_same_user_with_the_same_rights_files_and_flags() {
    let [agent, early] = UNITS.map(unit);
    let hardening = |unit: &str| {
        let from = unit.find("# One user for both units").expect("where the hardening begins");
        unit.get(from..unit.find("[Install]").unwrap()).unwrap().to_owned()
    };
    assert_eq!(hardening(&agent), hardening(&early));
    let flags = |unit: &str, setting: &str| -> Vec<BTreeMap<String, String>> {
        let lines = values(unit, setting).into_iter().filter(|line| line.contains("ip-masq-agent "));
        let pairs = lines.map(|line| line.split(' ').filter_map(|word| word.split_once('=')));
        pairs.map(|pairs| pairs.map(|(flag, value)| (flag.to_owned(), value.to_owned())).collect()).collect()
    };
    let of_early = flags(&early, "ExecStart");
    let mut of_agent = flags(&agent, "ExecStart");
    assert_eq!(of_agent[0].remove("--status-socket").as_deref(), Some("/run/ip-masq-agent/agent.sock"));
    assert_eq!((&of_agent, flags(&agent, "ExecReload")), (&of_early, of_early.clone()));
    for unit in [&agent, &early] {
        assert_eq!(values(unit, "EnvironmentFile"), ["-/etc/default/ip-masq-agent"]);
        let commands = [values(unit, "ExecStart"), values(unit, "ExecReload")].concat();
        for command in commands.iter().filter(|command| command.starts_with("/usr/bin/ip-masq-agent")) {
            assert!(command.ends_with(" $IP_MASQ_AGENT_FLAGS"), "{command}");
        }
    }
}
