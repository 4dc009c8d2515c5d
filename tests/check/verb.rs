//! The verb: files and stdin, exit statuses, colours, what is written.

use std::fs;

use crate::support::netns::AGENT;
use crate::support::ran::{Ran, without_privileges};

const VALID: &str = "nonMasqueradeCIDRs: [10.0.0.0/8]\n";
const ODD: &str = "nonMasqueradeCIDRs: [10.0.0.0/8, 10.0.0.0/8]\n";
const WRONG: &str = "nonMasqueradeCIDRs: [10.1.2.3/8]\n";

/// Runs `check` with these arguments in a folder with the three files.
fn check(arguments: &str, input: &str) -> (Ran, tempfile::TempDir) {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in [("valid", VALID), ("odd", ODD), ("wrong", WRONG)] {
        fs::write(root.path().join(name), text).unwrap();
    }
    let mut agent = without_privileges(AGENT);
    agent.current_dir(root.path()).arg("check").args(arguments.split_whitespace());
    (Ran::with_input(agent, input), root)
}

#[test]
fn the_exit_status_tells_errors_and_with_strict_warnings_too() {
    let cases = [
        ("valid", 0, "1 file: valid\n"),
        ("--strict valid", 0, "1 file: valid\n"),
        ("odd", 0, "1 file: 1 warning\n"),
        ("--strict odd", 1, "1 file: 1 warning\n"),
        ("wrong", 3, "1 file: 1 error\n"),
        ("--strict wrong", 3, "1 file: 1 error\n"),
        ("valid odd wrong", 3, "3 files: 1 error, 1 warning\n"),
        ("valid nothing", 3, "2 files: 1 error\n"),
        (".", 3, "1 file: 1 error\n"),
    ];
    for (arguments, status, summary) in cases {
        let ran = check(arguments, "").0;
        assert!(ran.stdout.contains(summary), "{arguments}: {ran:?}");
        assert_eq!(ran.status, Some(status), "{arguments}");
    }
}

#[test]
fn stdin_is_read_and_its_mended_form_goes_to_stdout() {
    let (ran, _root) = check("-", WRONG);
    assert!(ran.stdout.contains(" --> -:1:22"), "{ran:?}");
    let (ran, _root) = check("--fix -", ODD);
    assert_eq!((ran.stdout.as_str(), ran.status), (VALID, Some(0)), "{ran:?}");
    assert_eq!(ran.stderr, "-: 1 change made\n");
    let (ran, _root) = check("--fix -", WRONG);
    assert_eq!((ran.stdout.as_str(), ran.status), (WRONG, Some(3)), "{ran:?}");
}

#[test]
fn files_are_written_only_where_something_is_mended_and_what_is_left_is_reported() {
    let (ran, root) = check("--fix valid odd wrong", "");
    let read = |name: &str| fs::read_to_string(root.path().join(name)).unwrap();
    assert_eq!((read("valid").as_str(), read("odd").as_str(), read("wrong").as_str()), (VALID, VALID, WRONG));
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(3), "odd: 1 change made\n"), "{ran:?}");
    assert!(ran.stdout.contains("3 files: 1 error\n"), "{ran:?}");
    let (ran, root) = check("--fix --unsafe-fixes wrong", "");
    assert_eq!(fs::read_to_string(root.path().join("wrong")).unwrap(), VALID);
    assert_eq!(ran.status, Some(0), "{ran:?}");
}

#[test]
fn without_a_file_that_of_config_is_checked_with_the_flags_that_go_with_it() {
    let (ran, _root) = check("--config wrong", "");
    assert!(ran.stdout.contains(" --> wrong:1:22"), "{ran:?}");
    let ipv6 = "nonMasqueradeCIDRs: ['fd00::/8']\n";
    assert_eq!(check("-", ipv6).0.status, Some(3));
    assert_eq!(check("--enable-ipv6 -", ipv6).0.status, Some(0));
}

#[test]
fn colours_are_for_terminals_unless_asked_for() {
    let has_colour = |arguments: &str| check(arguments, "").0.stdout.contains('\u{1b}');
    assert!(!has_colour("wrong"));
    assert!(!has_colour("--color=never wrong"));
    assert!(has_colour("--color=always wrong"));
}

#[test]
fn a_code_is_explained_by_its_number_and_by_its_name() {
    let explain = |what: &str| {
        let mut agent = without_privileges(AGENT);
        agent.args(["explain", what]);
        Ran::of(agent)
    };
    let by_number = explain("E003");
    assert!(by_number.stdout.starts_with("E003 cidr-host-bits (error)\n\n10.1.2.3/8 names"), "{by_number:?}");
    assert!(by_number.stdout.contains("\nMended:\n\n    nonMasqueradeCIDRs: [10.0.0.0/8]\n"), "{by_number:?}");
    assert_eq!(explain("cidr-host-bits").stdout, by_number.stdout);
    assert!(by_number.stdout.lines().all(|line| line.chars().count() <= 80));
    let unknown = explain("cidr-hostbits");
    assert_eq!(unknown.status, Some(2));
    assert!(unknown.stderr.contains("did you mean E003 (cidr-host-bits)?"), "{unknown:?}");
}

#[test]
fn another_key_of_a_manifest_can_be_named() {
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mine}\ndata: {masq: 'nonMasqueradeCIDRs: [x]'}\n";
    let (ran, _root) = check("--format concise -", manifest);
    assert_eq!(
        ran.stdout,
        "-: error[E015] no-configuration: the ConfigMap has no key config; it has masq; give the configuration itself, or name its \
         key by --key=NAME\n"
    );
    let (ran, _root) = check("--format concise --key masq -", manifest);
    assert!(ran.stdout.starts_with("-:4:36: error[E004] no-cidr: "), "{ran:?}");
}
