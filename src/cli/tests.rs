//! The command line as its users type it.

use std::path::Path;

use super::*;
use crate::net::Protocol;

fn parsed(line: &str) -> Cli {
    let words = line.split_whitespace().map(OsString::from);
    parse(iter::once("ip-masq-agent".into()).chain(words)).unwrap_or_else(|stop| panic!("{line}: {stop}"))
}

/// The words with which a wrong command line is refused.
fn refused(args: &[&str]) -> String {
    match parse(iter::once("ip-masq-agent").chain(args.iter().copied()).map(OsString::from)) {
        Err(stop @ Stop::Usage(_)) => {
            assert_eq!(stop.exit(), Exit::Usage);
            stop.to_string()
        }
        other => panic!("{args:?} is not refused: {other:?}"),
    }
}

fn answer(line: &str) -> String {
    let words = line.split_whitespace().map(OsString::from);
    match parse(iter::once("ip-masq-agent".into()).chain(words)) {
        Err(stop @ Stop::Answer(_)) => {
            assert_eq!(stop.exit(), Exit::Done);
            stop.to_string()
        }
        other => panic!("{line} is not answered: {other:?}"),
    }
}

#[test]
fn no_argument_at_all_is_the_agent_with_upstreams_defaults() {
    let expected = Cli {
        backend: Wanted::Auto,
        protect: Protect::Auto,
        conntrack: ExistingFlows::Keep,
        flags: Flags {
            chain: "IP-MASQ-AGENT".parse().unwrap(),
            all_reserved_ranges: false,
            ipv6: false,
            random_fully: true,
            to_ports: "".parse().unwrap(),
        },
        config: "/etc/config/ip-masq-agent".into(),
        state_dir: None,
        sandbox: false,
        verbosity: Verbosity::default(),
        verb: Verb::Run,
    };
    assert_eq!(parsed(""), expected);
    assert_eq!(parsed("run"), expected);
    assert_eq!(parse([]), Ok(expected), "not even the program's name");
}

#[test]
fn upstreams_flags_are_taken_with_one_dash_and_with_two() {
    for line in [
        "--masq-chain=CUSTOM --nomasq-all-reserved-ranges --enable-ipv6 --random-fully=false --to-ports=1024-29999,40000",
        "-masq-chain CUSTOM -nomasq-all-reserved-ranges=true -enable-ipv6=1 -random-fully=F -to-ports 1024-29999,40000",
    ] {
        let expected = Flags {
            chain: "CUSTOM".parse().unwrap(),
            all_reserved_ranges: true,
            ipv6: true,
            random_fully: false,
            to_ports: "1024-29999,40000".parse().unwrap(),
        };
        assert_eq!(parsed(line).flags, expected, "{line}");
    }
}

#[test]
fn the_arguments_of_the_usual_manifests_are_taken() {
    let gke =
        parsed("--masq-chain=IP-MASQ --nomasq-all-reserved-ranges --logtostderr=true -v=2 -stderrthreshold WARNING");
    assert_eq!((gke.flags.chain.as_str(), gke.verbosity), ("IP-MASQ", "2".parse().unwrap()));
    let klog = "-log_dir /x -log_file y -log_file_max_size 1800 -logtostderr -alsologtostderr=false -add_dir_header \
        -legacy_stderr_threshold_behavior=true -skip_headers -one_output -skip_log_headers -stderrthreshold=2 \
        -alsologtostderrthreshold 1 -vmodule=a=1,b=2 -log_backtrace_at file.go:1";
    assert_eq!(parsed(klog), parsed(""));
}

#[test]
fn flags_may_stand_on_either_side_of_the_verb_and_the_last_one_counts() {
    let apply = Verb::Apply { dry_run: true, print_rules: false };
    for line in [
        "--masq-chain=A -v 4 --masq-chain B apply --dry-run",
        "--masq-chain=A apply --dry-run=false -v=4 --masq-chain=B --dry-run",
        "--v=9 apply --masq-chain=A -dry-run --masq-chain=B -v=4",
    ] {
        let cli = parsed(line);
        assert_eq!(cli.verb, apply, "{line}");
        assert_eq!((cli.flags.chain.as_str(), cli.verbosity), ("B", "4".parse().unwrap()), "{line}");
    }
    assert!(!parsed("--enable-ipv6 run --enable-ipv6=false").flags.ipv6);
    assert!(parsed("--sandbox=false --sandbox").sandbox);
}

#[test]
fn each_verb_is_read_with_what_belongs_to_it() {
    let packet = Packet {
        destination: "192.0.2.1".parse().unwrap(),
        source: None,
        protocol: None,
        source_port: None,
        destination_port: None,
        destination_is_local: false,
    };
    let full = Packet {
        source: Some("10.0.0.9".parse().unwrap()),
        protocol: Some(Protocol::Tcp),
        source_port: Some(40_000),
        destination_port: Some(443),
        destination_is_local: true,
        ..packet
    };
    for (line, verb) in [
        ("apply", Verb::Apply { dry_run: false, print_rules: false }),
        ("apply --print-rules", Verb::Apply { dry_run: false, print_rules: true }),
        ("render", Verb::Render { format: Format::Iptables }),
        ("render --format ip6tables", Verb::Render { format: Format::Ip6tables }),
        ("render -format=json", Verb::Render { format: Format::Json }),
        ("cleanup", Verb::Cleanup { dry_run: false }),
        ("cleanup -dry-run", Verb::Cleanup { dry_run: true }),
        ("explain 192.0.2.1", Verb::Explain(packet)),
        (
            "explain --source=10.0.0.9 --protocol tcp --source-port 40000 192.0.2.1 --destination-port=443 --local",
            Verb::Explain(full),
        ),
    ] {
        assert_eq!(parsed(line).verb, verb, "{line}");
    }
    assert_eq!(parsed("render --config /tmp/x").config, Path::new("/tmp/x"));
    for line in ["--state-dir /tmp/x run", "apply -state-dir=/tmp/x"] {
        assert_eq!(parsed(line).state_dir.as_deref(), Some(Path::new("/tmp/x")), "{line}");
    }
}

#[test]
fn each_wrong_argument_is_refused_with_the_reason() {
    let long = "C".repeat(29);
    let cases: [(&[&str], &str); 23] = [
        (&["--nope"], "unexpected argument '--nope' found"),
        (&["-nope=1"], "unexpected argument '--nope' found"),
        (&["-v5"], "unexpected argument '--v5' found"),
        (&["--enable-ip6"], "a similar argument exists: '--enable-ipv6'"),
        (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (&["aply"], "a similar subcommand exists: 'apply'"),
        (&["run", "apply"], "unexpected argument 'apply' found"),
        (&["--enable-ipv6", "false"], "write --enable-ipv6=false instead of --enable-ipv6 false"),
        (&["apply", "-dry-run", "0"], "write --dry-run=0 instead of --dry-run 0"),
        (&["--enable-ipv6=yes"], "'yes' for '--enable-ipv6[=<BOOL>]': expected true or false"),
        (&["--masq-chain="], "a chain name cannot be empty"),
        (&["--masq-chain", &long], "too long for a chain name"),
        (&["--masq-chain", "MY CHAIN"], "has the character ' '"),
        (&["--masq-chain", "--enable-ipv6"], "would be read as an option by iptables"),
        (&["--masq-chain=POSTROUTING"], "built-in chain or target of iptables"),
        (&["--to-ports=0"], "port 0 in \"0\" does not exist"),
        (&["--to-ports=1-100,100-200"], "1-100 and 100-200 overlap"),
        (&["--to-ports"], "a value is required for '--to-ports <RANGES>'"),
        (&["--state-dir"], "a value is required for '--state-dir <DIR>'"),
        (&["-v=loud"], "'loud' for '--v <N>': invalid digit"),
        (&["explain", "example.com"], "'example.com' for '<DESTINATION>': invalid IP address syntax"),
        (&["explain", "10.0.0.1", "--source=::1"], "--source ::1 is an IPv6 address, but the destination 10.0.0.1"),
        (&["explain", "10.0.0.1", "--source-port=53"], "not provided:\n  --protocol"),
    ];
    for (args, reason) in cases {
        let text = refused(args);
        assert!(text.contains(reason), "{args:?}: {text}");
    }
}

#[test]
fn the_version_is_one_line_on_stdout() {
    let number = env!("CARGO_PKG_VERSION");
    for line in ["--version", "-version", "--version=true", "apply --version=1"] {
        assert_eq!(answer(line), format!("ip-masq-agent {number}\n"), "{line}");
    }
    assert_eq!(answer("--version=raw"), format!("{number}\n"));
    assert_eq!(parsed("--version=false"), parsed(""));
}

#[test]
fn help_names_every_verb_every_flag_and_every_exit_status() {
    for line in ["--help", "-h", "-help"] {
        let help = answer(line);
        let statuses = Exit::ALL.map(|exit| format!("  {}  {}\n", exit.code(), exit.meaning())).concat();
        assert!(help.contains(&statuses), "{help}");
        for word in ["run ", "apply ", "render ", "explain ", "cleanup ", "--masq-chain <NAME>", "--to-ports <RANGES>"]
            .into_iter()
            .chain(["--nomasq-all-reserved-ranges", "--enable-ipv6", "--random-fully", "-v, ", "--logtostderr, "])
            .chain(["--config <PATH>", "--state-dir <DIR>", "--sandbox", "--version"])
        {
            assert!(help.contains(word), "{word} is missing in:\n{help}");
        }
        assert!(!help.contains("--log_backtrace_at"), "klog's flags stay out of the list:\n{help}");
    }
    assert!(answer("explain --help").contains("--destination-port <N>"));
}

#[test]
fn the_command_keeps_claps_own_rules() {
    arguments::command().debug_assert();
}
