//! Arguments, one a line: none make it panic, and what is accepted can be written down again, and as rules.

#![no_main]

use std::ffi::{OsStr, OsString};
use std::iter;
use std::os::unix::ffi::OsStrExt;

use clap::ValueEnum;
use ip_masq_agent::cli::{CheckFiles, Cli, StatusQuestion, Verb, parse};
use ip_masq_agent::config::{Config, Context};
use ip_masq_agent::diagnostics::Fixes;
use ip_masq_agent::last_good::{VERB, WriterTask};
use ip_masq_agent::net::{ChainName, Family, PortRanges};
use ip_masq_agent::policy::{AddressType, Flags, Packet, Policy, Transport};
use ip_masq_agent::rules::render::{iptables_save, nft};
use ip_masq_agent::rules::{Layout, Protection, compile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let words = input.split(|byte| *byte == b'\n').map(|word| OsStr::from_bytes(word).to_owned());
    match parse([OsString::from("ip-masq-agent")].into_iter().chain(words)) {
        Ok(cli) => {
            // How much is logged cannot be read from it, and what was odd is not written again.
            let again =
                parse(written(&cli)).map(|again| Cli { verbosity: cli.verbosity, odd: cli.odd.clone(), ..again });
            assert_eq!(again.as_ref(), Ok(&cli));
            for odd in &cli.odd {
                assert!(!odd.to_string().contains(char::is_control), "{odd:?}");
            }
            rendered(&cli.flags);
        }
        Err(stop) => assert!(!stop.to_string().is_empty()),
    }
});

/// The arguments that say the same.
fn written(cli: &Cli) -> Vec<OsString> {
    let flags = &cli.flags;
    let mut words: Vec<OsString> = vec![
        "ip-masq-agent".into(),
        format!("--masq-chain={}", flags.chain).into(),
        format!("--to-ports={}", ports(&flags.to_ports)).into(),
        format!("--nomasq-all-reserved-ranges={}", flags.all_reserved_ranges).into(),
        format!("--enable-ipv6={}", flags.ipv6).into(),
        format!("--random-fully={}", flags.random_fully).into(),
        format!("--backend={}", name(&cli.backend)).into(),
        format!("--protect={}", name(&cli.protect)).into(),
        format!("--watch-rules={}", cli.watch_rules).into(),
        format!("--conntrack={}", name(&cli.conntrack)).into(),
        format!("--sandbox={}", cli.sandbox).into(),
        format!("--metrics-ranges={}", cli.metrics_ranges).into(),
        format!("--log-format={}", name(&cli.log_format)).into(),
        format!("--color={}", name(&cli.colour)).into(),
        format!("--snat-scan-interval={}", cli.snat_scan_interval).into(),
        with_path("--config=", cli.config.as_os_str()),
    ];
    words.push(with_path("--runtime-dir=", cli.runtime_dir.as_os_str()));
    words.extend(cli.state_dir.as_ref().map(|dir| with_path("--state-dir=", dir.as_os_str())));
    words.extend(cli.listen.address.map(|address| format!("--listen={address}").into()));
    words.extend(cli.listen.socket.as_ref().map(|socket| with_path("--status-socket=", socket.path().as_os_str())));
    words.extend(verb(&cli.verb));
    words
}

fn ports(ranges: &PortRanges) -> String {
    ranges.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn with_path(flag: &str, path: &OsStr) -> OsString {
    let mut word = OsString::from(flag);
    word.push(path);
    word
}

fn verb(verb: &Verb) -> Vec<OsString> {
    let words = |words: &[&str]| words.iter().map(OsString::from).collect();
    match verb {
        Verb::Run => words(&["run"]),
        Verb::Apply { dry_run, print_rules } => {
            words(&["apply", &format!("--dry-run={dry_run}"), &format!("--print-rules={print_rules}")])
        }
        Verb::Render { format } => {
            let format = format.iter().map(|format| format!("--format={}", name(format)));
            iter::once("render".to_owned()).chain(format).map(OsString::from).collect()
        }
        Verb::StateWriter(task) => {
            let task = match task {
                WriterTask::SetAside(flaw) => Some(format!("--set-aside={}", name(flaw))),
                WriterTask::Remember => Some("--remember".to_owned()),
                WriterTask::Save => None,
            };
            iter::once(VERB.to_owned()).chain(task).map(OsString::from).collect()
        }
        Verb::Cleanup { dry_run: true, .. } => words(&["cleanup", "--dry-run"]),
        Verb::Cleanup { dry_run: false, wait } => words(&["cleanup", &format!("--wait={wait}")]),
        Verb::Status(asked) => {
            let asked = match asked {
                StatusQuestion::All(format) => format!("--format={}", name(format)),
                StatusQuestion::Check(check) => format!("--check={}", name(check)),
                StatusQuestion::Problem(problem) => format!("--reason={}", name(problem)),
            };
            words(&["status", &asked])
        }
        Verb::Check(asked) => check(asked),
        Verb::ExplainCode(code) => words(&["explain", code.id()]),
        Verb::Explain(packet) => explain(packet).into_iter().map(OsString::from).collect(),
    }
}

fn check(asked: &CheckFiles) -> Vec<OsString> {
    let CheckFiles { files, is_strict, form, key, fixes } = asked;
    let mut words: Vec<OsString> =
        ["check".to_owned(), format!("--strict={is_strict}"), format!("--format={}", name(form))]
            .map(Into::into)
            .into();
    words.extend(key.as_ref().map(|key| with_path("--key=", OsStr::new(key))));
    if let Some(fixes) = fixes {
        words.extend(["--fix".to_owned(), format!("--unsafe-fixes={}", *fixes == Fixes::All)].map(OsString::from));
    }
    words.push("--".into());
    words.extend(files.iter().map(OsString::from));
    words
}

fn explain(packet: &Packet) -> Vec<String> {
    let is_local = packet.destination_type == Some(AddressType::Local);
    let mut words = vec!["explain".to_owned(), format!("--local={is_local}")];
    words.extend(packet.destination.map(|destination| destination.to_string()));
    if let Some(Transport::WithPorts(protocol)) = packet.protocol {
        words.push(format!("--protocol={protocol}"));
    }
    words
}

fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// A chain's name and ports stand in the rules as they were given, and change nothing else there.
fn rendered(flags: &Flags) {
    let context = Context::from(flags);
    let with = |flags: &Flags| Policy::new(&Config::defaults(&context), flags);
    let plain = Flags { chain: ChainName::default(), ..flags.clone() };
    let lines =
        |flags: &Flags| iptables_save(&compile(&with(flags), Layout::IptablesNat), Family::Ipv4).lines().count();
    assert_eq!(lines(flags), lines(&plain), "{}", flags.chain);
    let braces = |flags: &Flags| {
        let text = nft(&compile(&with(flags), Layout::OwnTable(Protection::Off)));
        (text.matches(['{', '}', ';', '#']).count(), text.lines().count())
    };
    assert_eq!(braces(flags), braces(&plain), "{}", flags.chain);
    assert_eq!(flags.chain.as_str().parse(), Ok(flags.chain.clone()));
}
