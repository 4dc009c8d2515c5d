//! The verbs as a person meets them: what is printed where, and the exit status.

#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

#[cfg(test)]
mod support;

use std::io::Read as _;
use std::process::Stdio;

use support::netns::{AGENT, Netns};
use support::ran::{Ran, command, without_privileges};

/// Runs the agent without a privilege, on this text as its configuration file.
fn agent(arguments: &str, config: &str) -> Ran {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("config"), config).unwrap();
    let mut agent = without_privileges(AGENT);
    agent.args(arguments.split_whitespace()).arg("--config").arg(root.path().join("config"));
    agent.arg("--runtime-dir").arg(root.path().join("run"));
    Ran::of(agent)
}

const CONFIG: &str = "# ours\nnonMasqueradeCIDRs:\n- 10.0.0.0/8\n- 172.16.0.0/12\n";

#[test]
fn explain_answers_in_its_first_word_and_names_line_and_rule() {
    // Arguments, and what every line of the answer begins with.
    let cases: [(&str, &[&str]); 11] = [
        (
            "10.1.2.3",
            &["kept: 10.1.2.3 ", "config:3: nonMasqueradeCIDRs has 10.0.0.0/8", "rule 2 of chain IP-MASQ-AGENT "],
        ),
        ("172.31.0.1", &["kept: ", "config:4: nonMasqueradeCIDRs has 172.16.0.0/12", "rule 3 of chain IP-MASQ-AGENT "]),
        ("169.254.169.254", &["kept: ", "169.254.0.0/16 is link-local", "rule 1 of chain "]),
        ("192.0.2.1", &["masqueraded: ", "no range that keeps its source holds 192.0.2.1", "rule 4 of chain "]),
        ("192.0.2.1 --local", &["kept: ", "the destination is an address of this node"]),
        ("127.0.0.1", &["kept: ", "the destination is an address of this node"]),
        ("127.5.5.5", &["kept: ", "the destination is an address of this node"]),
        ("::1", &["kept: ", "the destination is an address of this node"]),
        ("fd00::1", &["kept: ", "IPv6 is not enabled"]),
        ("fd00::1 --enable-ipv6", &["masqueraded: ", "no range ", "rule 2 of chain IP-MASQ-AGENT in table ip6 nat"]),
        (
            "192.0.2.1 --protocol udp --to-ports 1000-1999,3000-3999",
            &[
                "masqueraded: ",
                "no range ",
                "rule 6 of chain IP-MASQ-AGENT in table ip nat, for a share of 0.50000000000 of the flows",
                "rule 7 of chain IP-MASQ-AGENT in table ip nat: ",
            ],
        ),
    ];
    for (arguments, expected) in cases {
        let answer = agent(&format!("explain {arguments}"), CONFIG).stdout();
        let lines: Vec<&str> = answer.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{arguments}: {answer}");
        for (line, expected) in lines.iter().zip(expected) {
            let found = line.trim_start().starts_with(expected) || line.contains(&format!("/{expected}"));
            assert!(found, "{arguments}: {line:?} should begin with {expected:?}");
        }
    }
}

#[test]
fn what_is_wrong_decides_the_exit_status_and_the_message_says_how_to_mend_it() {
    for (arguments, config, status, said) in [
        ("render", "nonMasqueradeCIDRs: [10.0.0.1/8]", 3, "write 10.0.0.0/8 for the range"),
        ("apply", "nonMasqueradeCIDRs: [10.0.0.1/8]", 3, "nothing was changed"),
        ("render", "nonMasqueradeCIDRs: [fd00::/8]", 3, "--enable-ipv6"),
        ("render", "nonMasqueradeCIDRs: [nonsense]\nmasqLinkLocal: 3\n", 3, "error: "),
        ("apply --enable-ipv6 false", "", 2, "--enable-ipv6=false"),
        ("apply --to-ports 70000", "", 2, "expected 0 to 65535"),
        ("--to-ports abc", "", 1, "no port range"),
        ("apply --to-ports abc", "", 2, "no port range"),
        ("--stderrthreshold --enable-ipv6", "", 2, "expected INFO, WARNING"),
        ("apply --masq-chain POSTROUTING", "", 2, "choose another"),
        ("explain nonsense", "", 2, "nonsense"),
        ("aply", "", 2, "'apply'"),
        ("frobnicate --dry-run", "", 2, "frobnicate"),
        ("apply", "", 5, "CAP_NET_ADMIN"),
        ("apply --dry-run", "", 5, "CAP_NET_ADMIN"),
        ("cleanup", "", 5, "CAP_NET_ADMIN"),
        ("run", "", 5, "CAP_NET_ADMIN"),
    ] {
        // Of a repeated flag the last one counts, and the harness adds --config at the end.
        let ran = if arguments.contains("--config") {
            let mut agent = command(AGENT);
            agent.args(arguments.split_whitespace());
            Ran::of(agent)
        } else {
            agent(arguments, config)
        };
        assert_eq!(ran.status, Some(status), "{arguments}: {ran:?}");
        assert!(ran.stderr.contains(said), "{arguments} should say {said:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{arguments}: words go to stderr");
    }
}

#[test]
fn neither_a_file_nor_its_path_nor_an_argument_forges_a_line_of_the_log() {
    let forged = "10.0.0.0/8\n2026-01-01T00:00:00.000000Z  INFO all is well";
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("config\n2026-01-01T00:00:00.000000Z  INFO all is well");
    let other = root.path().join("config");
    std::fs::write(&path, "masqLinkLocal: 1\n").unwrap();
    std::fs::write(&other, format!("nonMasqueradeCIDRs: [{forged:?}]")).unwrap();
    let missing = root.path().join("missing\r\n\u{1b}[2Kall is well");
    for (config, status, said) in
        [(&path, 3, "found the number 1"), (&other, 3, "is not a CIDR"), (&missing, 0, "does not exist")]
    {
        let mut agent = without_privileges(AGENT);
        agent.args(["render", "--config"]).arg(config);
        let said_all = Ran::of(agent).ended_with(status).stderr;
        assert_eq!(said_all.lines().count(), 1, "{said_all}");
        assert!(said_all.contains(said), "{said_all}");
        assert!(!said_all.trim_end().contains(char::is_control), "{said_all:?}");
    }
    let ran = agent(&format!("-v=2 foreign_object\u{1b}[2K --config={}", other.display()), "");
    assert!(!ran.stderr.contains('\u{1b}'), "{ran:?}");
}

#[test]
fn without_a_file_render_and_explain_go_by_the_defaults_as_the_agent_does_and_say_so() {
    for (arguments, expected) in [
        ("render", "-A IP-MASQ-AGENT -d 172.16.0.0/12 "),
        ("render --nomasq-all-reserved-ranges", "-A IP-MASQ-AGENT -d 100.64.0.0/10 "),
        ("explain 10.1.2.3", "10.0.0.0/8 is in the default of nonMasqueradeCIDRs"),
    ] {
        let mut agent = command(AGENT);
        agent.args(arguments.split_whitespace()).args(["--config", "/nonexistent/file", "--runtime-dir=/nonexistent"]);
        let ran = Ran::of(agent).ended_with(0);
        assert!(ran.stdout.contains(expected), "{arguments}: {ran:?}");
        assert_eq!(ran.stderr, "/nonexistent/file does not exist: these are the flags' defaults\n", "{arguments}");
    }
}

#[test]
fn a_verb_tells_what_is_wrong_with_a_file_as_compilers_do_a_line_each() {
    let config = "nonMasqueradeCIDRs: [nonsense]\nmasqLinkLocal: 3\ncidrlimit: 9\n";
    for verb in ["render", "explain 10.0.0.1", "apply"] {
        let ran = agent(verb, config).ended_with(3);
        let lines: Vec<&str> = ran.stderr.lines().collect();
        let [first, second] = lines.as_slice() else { panic!("{verb}: {ran:?}") };
        assert!(first.starts_with("error: /") && first.contains("/config:1: nonMasqueradeCIDRs[0]: "), "{first}");
        assert!(second.starts_with("error: /") && second.contains("/config:2: masqLinkLocal: "), "{second}");
        assert_eq!(second.ends_with("; nothing was changed"), verb == "apply", "{second}");
    }
    let said = agent("render", "cidrlimit: 9\n").ended_with(0).stderr;
    assert!(said.starts_with("warning: /") && said.contains("/config:1: the key \"cidrlimit\""), "{said}");
}

#[test]
fn render_prints_the_layout_of_the_backend_unless_a_format_is_given() {
    for (arguments, start) in [
        ("render", "*nat\n"),
        ("render --backend nft-compat", "*nat\n"),
        ("render --backend nft", "table ip ip-masq-agent\n"),
        ("render --backend nft --format iptables", "*nat\n"),
        ("render --format nft", "table ip ip-masq-agent\n"),
    ] {
        let text = agent(arguments, CONFIG).stdout();
        assert!(text.starts_with(start), "{arguments}: {text}");
    }
}

#[test]
fn explain_knows_the_addresses_of_this_node() {
    let Some(netns) = Netns::new("own") else { return };
    netns.ip("address add 192.0.2.1/24 dev lo\naddress add 2001:db8::1/64 dev lo\n");
    for (destination, answer) in [
        ("192.0.2.1", "kept: "),
        ("192.0.2.2", "masqueraded: "),
        ("2001:db8::1", "kept: "),
        ("2001:db8::2", "masqueraded: "),
    ] {
        let text = netns.agent(&format!("explain {destination} --enable-ipv6"), CONFIG).stdout();
        assert!(text.starts_with(answer), "{text}");
        assert_eq!(text.contains("is an address of this node"), answer == "kept: ", "{text}");
    }
}

#[test]
fn a_limit_of_open_files_that_stops_the_agent_is_named_with_its_value_and_how_to_raise_it() {
    let Some(netns) = Netns::new("files") else { return };
    let config = netns.write("config", CONFIG);
    let mut stopped = 0;
    // From too few for anything to enough for all: then `timeout` ends the agent.
    for most in 3..=16 {
        let mut agent = netns.command("sh");
        let line = format!(
            "ulimit -n {most}; exec timeout 2 {AGENT} run --runtime-dir=/nonexistent --config {}",
            config.display()
        );
        agent.args(["-c", &line]);
        let ran = Ran::of(agent);
        if ran.status == Some(4) {
            stopped += 1;
            let told =
                format!("this process may have {most} files open: raise that limit (`ulimit -n`, or LimitNOFILE=");
            assert!(ran.stderr.contains(&told), "{most}: {ran:?}");
            assert!(ran.stderr.contains("Too many open files"), "{most}: {ran:?}");
        }
    }
    assert!(stopped >= 3, "{stopped}");
}

#[test]
fn the_sandbox_needs_no_privilege_and_prints_the_rules_that_render_prints() {
    if !support::ran::can_use_the_kernel() {
        return;
    }
    let flags = "--enable-ipv6 --to-ports 1024-2047,4096-8191";
    let config = "nonMasqueradeCIDRs: [10.0.0.0/8, 192.0.2.0/24, \"fd00::/8\"]";
    let in_force = agent(&format!("apply --sandbox --print-rules {flags}"), config).stdout();
    let rendered =
        ["iptables", "ip6tables"].map(|format| agent(&format!("render --format {format} {flags}"), config).stdout());
    assert_eq!(in_force, rendered.concat());
}

#[test]
fn a_dry_run_prints_the_changes_and_makes_none() {
    let Some(netns) = Netns::new("dry") else { return };
    let planned = netns.agent("apply --dry-run", CONFIG).stdout();
    assert_eq!(netns.run("nft list ruleset"), "");
    assert_eq!(netns.agent("apply", CONFIG).stdout(), planned);
    assert!(planned.lines().all(|line| line.starts_with("+ ")) && planned.lines().count() == 8, "{planned}");
    assert_eq!(netns.agent("apply --dry-run", CONFIG).stdout(), "");

    let in_force = netns.run("nft list ruleset");
    let planned = netns.agent("cleanup --dry-run", CONFIG).stdout();
    assert_eq!(netns.run("nft list ruleset"), in_force);
    assert_eq!(netns.agent("cleanup", CONFIG).stdout(), planned);
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let many: Vec<String> = (0..60).map(|number| format!("- 10.{number}.0.0/16")).collect();
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("config");
    std::fs::write(&path, format!("nonMasqueradeCIDRs:\n{}\n", many.join("\n"))).unwrap();
    let mut agent = command(AGENT);
    agent.args(["render", "--config"]).arg(path).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = agent.spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn whoever_stops_reading_stdout_stops_no_work_and_the_status_tells_what_was_done() {
    let Some(netns) = Netns::new("nobody") else { return };
    let config = netns.write("config", CONFIG);
    let agent = |verb: &str| {
        let mut agent = netns.command(AGENT);
        agent.args(verb.split_whitespace()).arg("--config").arg(&config).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = agent.spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (child.wait().unwrap().code(), said)
    };
    let (status, said) = agent("apply --conntrack=fix");
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("deleted from conntrack"), "the flows come after the rules: {said}");
    assert!(!said.contains("stdout"), "{said}");
    assert!(netns.run("nft list ruleset").contains("IP-MASQ-AGENT"));
    let (status, said) = agent("cleanup");
    assert_eq!(status, Some(0), "{said}");
    assert!(!netns.run("nft list ruleset").contains("IP-MASQ-AGENT"));
    // The status is that of what went wrong, too.
    netns.nft("table ip nat { chain IP-MASQ-AGENT { type filter hook input priority 0; }; }");
    assert_eq!(agent("apply --backend nft-compat").0, Some(4));
}

#[test]
fn a_full_stdout_is_told_and_fails_what_was_only_to_be_printed() {
    const FULL: &str = "error: could not write to stdout: No space left on device";
    let Some(netns) = Netns::new("full") else { return };
    let config = netns.write("config", CONFIG);
    for (arguments, status, done) in [
        ("render", 4, false),
        ("explain 10.0.0.1", 4, false),
        ("--version", 4, false),
        ("--help", 4, false),
        ("apply --dry-run", 4, false),
        ("apply", 0, true),
        ("apply --print-rules", 0, true),
        ("cleanup --dry-run", 4, false),
        ("cleanup", 0, true),
    ] {
        let mut agent = netns.command("sh");
        let flag = if arguments.starts_with("--") { String::new() } else { format!("--config {}", config.display()) };
        agent.args(["-c", &format!("exec {AGENT} {arguments} {flag} >/dev/full")]);
        let ran = Ran::of(agent);
        assert_eq!(ran.status, Some(status), "{arguments}: {ran:?}");
        assert!(ran.stderr.contains(FULL), "{arguments}: {ran:?}");
        assert_eq!(ran.stderr.contains("all that was to be done is done"), done, "{arguments}: {ran:?}");
    }
    assert_eq!(netns.run("nft list ruleset").matches("IP-MASQ-AGENT").count(), 0);
}

#[test]
fn help_and_version_go_to_stdout_and_name_every_verb_flag_and_status() {
    let run = |flag: &str| {
        let mut agent = command(AGENT);
        agent.arg(flag);
        Ran::of(agent).stdout()
    };
    assert_eq!(run("-version"), format!("ip-masq-agent {}\n", env!("CARGO_PKG_VERSION")));
    let help = run("--help");
    for word in [
        "run",
        "apply",
        "render",
        "explain",
        "cleanup",
        "--masq-chain",
        "--nomasq-all-reserved-ranges",
        "--enable-ipv6",
        "--random-fully",
        "--to-ports",
        "--config",
        "--sandbox",
        "--version",
        "not permitted",
    ] {
        assert!(help.contains(word), "{word} is missing:\n{help}");
    }
}

#[test]
fn another_programs_nat_chain_that_can_undo_ours_is_named_and_one_that_runs_before_is_not() {
    for (priority, backend, told) in [
        (100, "nft-compat", "which is ours: which of the two runs first"),
        (105, "nft", "which is ours: which of the two runs first"),
        (110, "nft", "after ours at 105"),
        (99, "nft-compat", ""),
        (104, "nft", ""),
    ] {
        let Some(netns) = Netns::new("rival") else { return };
        netns.nft(&format!(
            "table ip other {{ chain late {{ type nat hook postrouting priority {priority}; masquerade; }}; }}\n\
             table ip6 other {{ chain late {{ type nat hook postrouting priority {priority}; masquerade; }}; }}"
        ));
        let said = netns.agent(&format!("apply --backend {backend}"), CONFIG).ended_with(0).stderr;
        let warnings: Vec<&str> = said.lines().filter(|line| line.contains("chain late of table ip other")).collect();
        assert_eq!(warnings.len(), usize::from(!told.is_empty()), "{backend} beside {priority}: {said}");
        assert!(warnings.iter().all(|warning| warning.contains(told)), "{said}");
        assert!(!said.contains("ip6 other"), "IPv6 is not enabled: {said}");
    }
}
