//! `--fix`: what is written, and that no verdict changes.

use ip_masq_agent::config::{self, Context};
use ip_masq_agent::diagnostics::{Code, Fixes, Input, examine, fix};
use ip_masq_agent::policy::{Fingerprint, Flags, Policy};
use proptest::prelude::*;

fn fixed(text: &str, fixes: Fixes) -> Option<String> {
    fix(text, &Flags::default(), None, fixes).map(|fixed| fixed.text)
}

#[test]
fn safe_fixes_remove_what_changes_nothing_and_leave_the_rest_as_it_is() {
    let cases = [
        // A range that stands twice, or lies within another, with its comment.
        (
            "# ours\nnonMasqueradeCIDRs:\n  - 10.0.0.0/8 # pods\n  - 10.1.0.0/16 # more pods\n  - 10.0.0.0/8\n  - 192.168.0.0/16\n",
            Some("# ours\nnonMasqueradeCIDRs:\n  - 10.0.0.0/8 # pods\n  - 192.168.0.0/16\n"),
        ),
        ("nonMasqueradeCIDRs: [10.1.0.0/16, 10.0.0.0/8]\n", Some("nonMasqueradeCIDRs: [10.0.0.0/8]\n")),
        (
            "nonMasqueradeCIDRs: [10.0.0.0/8, 10.1.0.0/16, \"10.2.0.0/16\"]\n",
            Some("nonMasqueradeCIDRs: [10.0.0.0/8]\n"),
        ),
        (
            "{\"nonMasqueradeCIDRs\": [\n  \"10.0.0.0/8\",\n  \"10.0.0.0/8\"\n]}\n",
            Some("{\"nonMasqueradeCIDRs\": [\n  \"10.0.0.0/8\"\n]}\n"),
        ),
        ("nonMasqueradeCIDRs:\r\n- 10.0.0.0/8\r\n- 10.0.0.0/8\r\n", Some("nonMasqueradeCIDRs:\r\n- 10.0.0.0/8\r\n")),
        ("nonMasqueradeCIDRs:\n- 10.0.0.0/8\n- 10.1.0.0/16", Some("nonMasqueradeCIDRs:\n- 10.0.0.0/8\n")),
        // Keys.
        ("masqlinklocal: true\n", Some("masqLinkLocal: true\n")),
        ("{\"MASQLINKLOCAL\": true}", Some("{\"masqLinkLocal\": true}")),
        ("masqLinkLocal: false # no\nmasqLinkLocal: true\n", Some("masqLinkLocal: true\n")),
        (
            "nonMasqueradeCIDRs:\n- 10.0.0.0/8\nnonMasqueradeCIDRs:\n- 11.0.0.0/8\n",
            Some("nonMasqueradeCIDRs:\n- 11.0.0.0/8\n"),
        ),
        // An anchor that is used elsewhere has to stay, as has what is not understood.
        ("nonMasqueradeCIDRs:\n- 10.0.0.0/8\n- &a 10.0.0.0/8\nx: *a\n", None),
        ("nonMasqueradeCIDRs: [10.1.2.3/8, 10.0.0.0/8, 10.0.0.0/8\n", None),
        ("nonMasqueradeCIDRs: [10.1.2.3/8]\n", None),
        ("nonMasqueradeCIDR: [10.0.0.0/8]\n", None),
        ("nonMasqueradeCIDRs: [10.0.0.0/8]\n", None),
        ("", None),
    ];
    for (text, expected) in cases {
        assert_eq!(fixed(text, Fixes::Safe).as_deref(), expected, "{text:?}");
    }
}

#[test]
fn unsafe_fixes_also_decide_what_was_meant() {
    let cases = [
        (
            "nonMasqueradeCIDRs:\n- 10.1.2.3/8\n- '172.16.0.1/12' # x\n- 192.168.1.1\n- 10.0.0.0/08\n-\n",
            "nonMasqueradeCIDRs:\n- 10.0.0.0/8\n- '172.16.0.0/12' # x\n- 192.168.1.1/32\n",
        ),
        ("nonMasqueradeCIDR: [10.0.0.0/8]\n", "nonMasqueradeCIDRs: [10.0.0.0/8]\n"),
    ];
    for (text, expected) in cases {
        assert_eq!(fixed(text, Fixes::All).as_deref(), Some(expected), "{text:?}");
    }
}

#[test]
fn a_configuration_in_a_manifest_is_mended_where_it_stands() {
    let cases = [
        (
            "apiVersion: v1\nkind: ConfigMap\ndata:\n  config: |\n    nonMasqueradeCIDRs:\n      - 10.0.0.0/8\n      - 10.1.0.0/16 # x\n      - 10.2.0.0/16\n    resyncInterval: 60s\n  other: 1\n",
            "apiVersion: v1\nkind: ConfigMap\ndata:\n  config: |\n    nonMasqueradeCIDRs:\n      - 10.0.0.0/8\n    resyncInterval: 60s\n  other: 1\n",
        ),
        (
            "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"data\": {\"config\": \"nonMasqueradeCIDRs:\\n  - 10.0.0.0/8\\n  - 10.1.0.0/16\\n\"}}\n",
            "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"data\": {\"config\": \"nonMasqueradeCIDRs:\\n  - 10.0.0.0/8\\n\"}}\n",
        ),
        (
            "kind: Namespace\napiVersion: v1\n---\napiVersion: v1\nkind: ConfigMap\ndata:\n  config: 'nonMasqueradeCIDRs: [10.0.0.0/8, 10.0.0.0/8]'\n",
            "kind: Namespace\napiVersion: v1\n---\napiVersion: v1\nkind: ConfigMap\ndata:\n  config: 'nonMasqueradeCIDRs: [10.0.0.0/8]'\n",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(fixed(text, Fixes::Safe).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn the_example_of_each_code_has_it_and_its_mended_form_has_nothing() {
    for code in Code::ALL {
        let Some((wrong, right)) = code.example() else { continue };
        let found = |text: &str| {
            let input = Input { name: String::new(), content: Ok(text.as_bytes().to_vec()) };
            let report = examine(vec![input], &Context::default(), None);
            report.diagnostics.iter().map(|found| found.code).collect::<Vec<_>>()
        };
        assert_eq!(found(wrong), [*code], "{wrong}");
        assert_eq!(found(right), [], "{right}");
    }
}

fn entry() -> impl Strategy<Value = String> {
    let cidr = (0_u8..4, 0_u8..3, 8_u8..=24).prop_map(|(a, b, length)| {
        let address = u32::from_be_bytes([10, a, b, 0]) & (u32::MAX << (32 - u32::from(length)));
        format!("{}/{length}", std::net::Ipv4Addr::from(address))
    });
    (cidr, 0_u8..4).prop_map(|(cidr, style)| match style {
        0 => cidr,
        1 => format!("'{cidr}'"),
        2 => format!("\"{cidr}\""),
        _ => format!("&a{} {cidr}", cidr.len()),
    })
}

proptest! {
    #[test]
    fn a_fixed_file_decides_as_before_and_has_nothing_left_to_fix(
        entries in prop::collection::vec(entry(), 0..12),
        style in 0_u8..3,
        case in any::<bool>(),
    ) {
        let key = if case { "nonMasqueradeCIDRs" } else { "nonmasqueradecidrs" };
        let text = match style {
            0 => format!("{key}:\n- {}\n", entries.join(" # x\n- ")),
            1 => format!("{key}: [{}]\n", entries.join(", ")),
            _ => format!("{key}: [\n{}\n]\n", entries.join(",\n")),
        };
        let meaning = |text: &str| {
            let config = config::parse(text.as_bytes(), &Context::default()).ok()?.config;
            Some(Fingerprint::of(&Policy::new(&config, &Flags::default())))
        };
        let before = meaning(&text);
        if let Some(fixed) = fixed(&text, Fixes::Safe) {
            prop_assert_eq!(before, meaning(&fixed), "{} became {}", text, fixed);
            prop_assert_eq!(super::fixes::fixed(&fixed, Fixes::Safe), None, "{}", fixed);
        }
    }
}
