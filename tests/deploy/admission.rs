//! The admission policy: what it refuses, the agent refuses too.
//!
//! `admission/` holds configurations in three folders, by who refuses them; there is no fourth.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, PoisonError};

use ip_masq_agent::config::{self, Context};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::support::ran::command;

use super::odd::ODD;
use super::tools::{ROOT, assert_golden, kustomized, python};

const CASES: &str = "tests/deploy/admission";

/// With as much allowed as the flags can allow.
const CONTEXT: Context = Context { all_reserved_ranges: true, ipv6: true };

/// The policy in an evaluator that runs on.
struct Policy {
    evaluator: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _manifests: tempfile::TempDir,
}

impl Policy {
    /// That of a component of `deploy/kubernetes/`.
    fn of(component: &str) -> Self {
        let manifests = tempfile::tempdir().unwrap();
        let file = manifests.path().join("policy.yaml");
        fs::write(&file, kustomized(&[], &[component])).unwrap();
        let mut command = python();
        command.arg("tests/deploy/admission.py").arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut evaluator = command.spawn().unwrap();
        let (input, output) = (evaluator.stdin.take().unwrap(), evaluator.stdout.take().unwrap());
        Self { evaluator, input, output: BufReader::new(output), _manifests: manifests }
    }

    /// Why it refuses a ConfigMap; nothing if it lets it through.
    fn refuses(&mut self, name: &str, data: &Value) -> Vec<String> {
        let configmap = json!({"metadata": {"name": name, "namespace": "kube-system"}, "data": data});
        writeln!(self.input, "{configmap}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?} for {configmap:.500}"))
    }

    /// The same of the text of a configuration.
    fn refuses_text(&mut self, text: &str) -> Vec<String> {
        self.refuses("ip-masq-agent", &json!({"config": text}))
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        let _ = self.evaluator.kill();
        let _ = self.evaluator.wait();
    }
}

fn agent_refuses(text: &str) -> bool {
    config::parse(text.as_bytes(), &CONTEXT).is_err()
}

/// The files of a folder of cases, by name.
fn cases(folder: &str) -> Vec<(String, String)> {
    let files = fs::read_dir(Path::new(ROOT).join(CASES).join(folder)).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let read =
        |path: &Path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap());
    files.iter().map(|path| read(path)).collect()
}

#[test]
fn each_case_is_refused_by_those_who_shall_refuse_it() {
    let mut policy = Policy::of("components/admission");
    let mut told = String::new();
    for (folder, by_policy, by_agent) in
        [("refused-by-both", true, true), ("taken-by-both", false, false), ("refused-by-the-agent-only", false, true)]
    {
        for (name, text) in cases(folder) {
            let why = policy.refuses_text(&text);
            assert_eq!((!why.is_empty(), agent_refuses(&text)), (by_policy, by_agent), "{folder}/{name}: {why:?}");
            let mut render = command(env!("CARGO_BIN_EXE_ip-masq-agent"));
            render
                .args(["render", "--enable-ipv6", "--config"])
                .arg(Path::new(ROOT).join(CASES).join(folder).join(&name));
            let status = render.output().unwrap().status.code();
            assert_eq!(status, Some(if by_agent { 3 } else { 0 }), "{folder}/{name}: what render ends with");
            for why in &why {
                told += &(name.clone() + ": " + why + "\n");
            }
        }
    }
    assert_golden("admission-messages.txt", &told);
}

#[test]
fn only_the_agents_own_configmaps_are_judged_and_of_them_only_the_agents_own_key() {
    let wrong = "nonMasqueradeCIDRs: [10.0.0.1/8]";
    let refused = |policy: &mut Policy, name: &str, key: &str| !policy.refuses(name, &json!({key: wrong})).is_empty();
    let mut policy = Policy::of("components/admission");
    for name in ["ip-masq-agent", "ip-masq-agent-7d57f5986h", "ip-masq-agent-config"] {
        assert!(refused(&mut policy, name, "config"), "{name}");
    }
    for (name, key) in [("ip-masq-agents", "config"), ("my-ip-masq-agent", "config"), ("ip-masq-agent", "other")] {
        assert!(!refused(&mut policy, name, key), "{name} {key}");
    }
    let mut azure = Policy::of("components/admission-azure");
    assert!(refused(&mut azure, "azure-ip-masq-agent-config", "ip-masq-agent"));
    assert!(!refused(&mut azure, "azure-ip-masq-agent-config", "config"));
    assert!(!refused(&mut azure, "ip-masq-agent", "ip-masq-agent"));
}

#[test]
fn a_list_is_judged_up_to_the_length_that_is_promised_and_a_longer_one_is_let_through() {
    let mut policy = Policy::of("components/admission");
    let list = |ranges: u32, last: &str| {
        let ranges: Vec<_> = (0..ranges).map(|index| format!("- 10.{}.{}.0/24\n", index / 256, index % 256)).collect();
        let ranges = ranges.concat();
        format!("cidrLimit: 100000\nnonMasqueradeCIDRs:\n{ranges}- {last}\n")
    };
    let (judged, longer) = (list(1500, "10.0.0.1/8"), list(3000, "10.0.0.1/8"));
    assert!(judged.len() <= 30_000, "{}", judged.len());
    assert_eq!(policy.refuses_text(&judged).len(), 1);
    assert!(policy.refuses_text(&list(200, "11.0.0.0/8")).is_empty());
    assert!(policy.refuses_text(&longer).is_empty() && agent_refuses(&longer));
}

/// A range, or what somebody may write for one.
fn entry() -> impl Strategy<Value = String> {
    let ipv4 = (any::<u32>(), 0_u32..=34, any::<bool>()).prop_map(|(bits, length, is_range)| {
        let mask = u32::MAX.checked_shl(32_u32.saturating_sub(length)).unwrap_or_default();
        format!("{}/{length}", std::net::Ipv4Addr::from(if is_range { bits & mask } else { bits }))
    });
    let ipv6 =
        (any::<u128>(), any::<u128>(), 0_u32..=130, any::<bool>()).prop_map(|(bits, zeros, length, is_range)| {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(length)).unwrap_or_default();
            // Groups of zeros, for `::` at all places.
            let zeros: u128 = (0..8).filter(|group| zeros >> group & 1 == 1).map(|group| 0xffff << (group * 16)).sum();
            let bits = bits & !zeros;
            format!("{}/{length}", std::net::Ipv6Addr::from(if is_range { bits & mask } else { bits }))
        });
    let word = select(vec![
        "",
        "~",
        "null",
        "true",
        "10",
        "10.0.0.0",
        "fd00::",
        "::1",
        "10.0.0.0/08",
        "1.2.3/8",
        "::ffff:10.0.0.0/104",
        "64:ff9b::192.0.2.0/120",
        "1:2:3:4:5:6:7::/112",
        "x",
        "10.0.0.0/8,",
        "::ffff:0:0/80",
        "0x10",
        "1e3",
        "2001-12-14",
    ]);
    prop_oneof![3 => ipv4, 2 => ipv6, 1 => word.prop_map(str::to_owned)]
}

/// A configuration as people write them.
fn written() -> impl Strategy<Value = String> {
    let key = select(vec!["nonMasqueradeCIDRs", "NonMasqueradeCIDRs", "nonmasqueradecidrs"]);
    let quotes = select(vec!["", "", "'", "\""]);
    let others = select(vec![
        "",
        "resyncInterval: 60s\n",
        "resyncInterval: 60\n",
        "masqLinkLocal: true\n",
        "masqLinkLocalIPv6: 'false'\n",
        "# ä\n",
        "cidrLimit: 2\n",
        "x:\n",
        "\n",
    ]);
    let style = (key, quotes, 0_usize..5, others.clone(), others);
    (style, prop::collection::vec(entry(), 0..6)).prop_map(|((key, quote, form, before, after), entries)| {
        let in_quotes = |quote: &str| entries.iter().map(|entry| format!("{quote}{entry}{quote}")).collect::<Vec<_>>();
        let lines = |indent: &str| {
            let lines: Vec<_> = in_quotes(quote).iter().map(|entry| format!("{indent}- {entry}\n")).collect();
            lines.concat()
        };
        match form {
            0 => format!("{before}{key}:\n{}{after}", lines("")),
            1 => format!("{before}{key}:\n{}{after}", lines("  ")),
            2 => format!("{before}{key}: [{}]\n{after}", in_quotes(quote).join(", ")),
            3 => format!("{{\"masqLinkLocal\": true, \"{key}\": [{}]}}", in_quotes("\"").join(",")),
            _ => format!("{{\n  \"{key}\": [\n    {}\n  ]\n}}\n", in_quotes("\"").join(",\n    ")),
        }
    })
}

/// What makes a text mean something else: to YAML, and to who looks for the list.
fn odd() -> Vec<&'static str> {
    let keys = ["nonMasqueradeCIDRs: ", "nonMasqueradeCIDRs:\n", "\"nonMasqueradeCIDRs\":"];
    // An escape of C, and what Go takes for s and K.
    let letters = ["\\u0043", "\u{17f}", "\u{212a}", "\r", "  ", "x"];
    ODD.into_iter().chain(keys).chain(letters).collect()
}

/// A text into which others were put, or from which pieces were taken.
fn damaged(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let damage = (any::<prop::sample::Index>(), prop::option::weighted(0.7, select(odd())), 0_usize..3);
    (text, prop::collection::vec(damage, 1..4)).prop_map(|(text, damages)| {
        let mut characters: Vec<char> = text.chars().collect();
        for (place, inserted, taken) in damages {
            let from = place.index(characters.len() + 1);
            let to = (from + taken).min(characters.len());
            characters.splice(from..to, inserted.unwrap_or_default().chars());
        }
        characters.into_iter().collect()
    })
}

/// A case of one of the folders, or of the tests of the reader.
fn known() -> impl Strategy<Value = String> {
    let folders = ["refused-by-both", "taken-by-both", "refused-by-the-agent-only"];
    let mut texts: Vec<String> = folders.into_iter().flat_map(cases).map(|(_, text)| text).collect();
    for folder in ["testdata/config/odd", "testdata/config/bad"] {
        let files = fs::read_dir(Path::new(ROOT).join(folder)).unwrap();
        texts.extend(files.filter_map(|file| fs::read_to_string(file.unwrap().path()).ok()));
    }
    texts.retain(|text| text.len() < 4000);
    select(texts)
}

/// One evaluator for all texts of the random tests.
static POLICY: Mutex<Option<Policy>> = Mutex::new(None);

fn policy_refuses(text: &str) -> Vec<String> {
    let mut policy = POLICY.lock().unwrap_or_else(PoisonError::into_inner);
    policy.get_or_insert_with(|| Policy::of("components/admission")).refuses_text(text)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_policy_refuses_the_agent_refuses(text in prop_oneof![written(), damaged(written()), damaged(known()), known()]) {
        let why = policy_refuses(&text);
        prop_assert!(why.is_empty() || agent_refuses(&text), "{why:?}");
    }

    #[test]
    fn a_range_of_ipv4_that_is_wrong_is_refused_and_a_right_one_is_not(bits: u32, length in 0_u32..=33) {
        let range = format!("{}/{length}", std::net::Ipv4Addr::from(bits));
        let text = format!("nonMasqueradeCIDRs:\n  - {range}\n");
        prop_assert_eq!(!policy_refuses(&text).is_empty(), agent_refuses(&text), "{}", range);
    }
}
