//! The command line as its users type it.

use std::path::Path;

use super::*;
use crate::health::Problem;
use crate::http::SocketPath;
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
        snat_scan_interval: ScanInterval::default(),
        backend: BackendOption::Auto,
        protect: Protect::Auto,
        watch_rules: WatchRules::Notify,
        listen: Listen::default(),
        metrics_ranges: false,
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
        runtime_dir: "/run/ip-masq-agent".into(),
        sandbox: false,
        colour: Colour::default(),
        verbosity: Verbosity::default(),
        log_format: LogFormat::Auto,
        verb: Verb::Run,
        odd: Vec::new(),
    };
    assert_eq!(parsed(""), expected);
    assert_eq!(parsed("run"), expected);
    assert_eq!(parse([]), Ok(expected), "not even the program's name");
}

#[test]
fn the_format_of_the_log_is_taken_beside_klogs_flags_and_another_one_is_refused() {
    for (line, format) in [
        ("--logtostderr --log-format text", LogFormat::Text),
        ("-log-format=json -v=2", LogFormat::Json),
        ("run --log-format=journal --alsologtostderr", LogFormat::Journal),
        ("apply --log-format=json --log-format=auto", LogFormat::Auto),
    ] {
        assert_eq!(parsed(line).log_format, format, "{line}");
    }
    assert!(refused(&["--log-format=klog"]).contains("auto, text, json, journal"));
}

#[test]
fn protection_that_the_backend_cannot_have_is_refused_with_the_ways_out() {
    for verb in ["run", "apply", "cleanup"] {
        let told = refused(&["--protect=on", verb, "--backend=nft-compat"]);
        assert!(told.contains("--backend=nft or auto") && told.contains("--protect=auto"), "{told}");
    }
    assert_eq!(parsed("--backend=nft-compat --protect=auto").protect, Protect::Auto);
    assert_eq!(parsed("--protect=on").backend, BackendOption::Auto);
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
    let packet = Packet { destination_type: None, ..Packet::to("192.0.2.1".parse().unwrap()) };
    let (protocol, local) = (Transport::WithPorts(Protocol::Tcp), AddressType::Local);
    let full = Packet { protocol: Some(protocol), destination_type: Some(local), ..packet };
    for (line, verb) in [
        ("apply", Verb::Apply { dry_run: false, print_rules: false }),
        ("apply --print-rules", Verb::Apply { dry_run: false, print_rules: true }),
        ("render", Verb::Render { format: None }),
        ("render --format ip6tables", Verb::Render { format: Some(Format::Ip6tables) }),
        ("render -format=json", Verb::Render { format: Some(Format::Json) }),
        ("cleanup", Verb::Cleanup { dry_run: false, wait: false }),
        ("cleanup -dry-run", Verb::Cleanup { dry_run: true, wait: false }),
        ("cleanup --wait", Verb::Cleanup { dry_run: false, wait: true }),
        ("explain 192.0.2.1", Verb::Explain(packet)),
        ("explain --protocol tcp 192.0.2.1 --local", Verb::Explain(full)),
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
    let cases: [(&[&str], &str); 33] = [
        (&["--nope"], "unexpected argument '--nope' found"),
        (&["-nope=1"], "unexpected argument '--nope' found"),
        (&["-v5"], "unexpected argument '--v5' found"),
        (&["--enable-ip6"], "a similar argument exists: '--enable-ipv6'"),
        (&["aply"], "a similar subcommand exists: 'apply'"),
        (&["--enable-ipv6", "rnu"], "unrecognized subcommand 'rnu'"),
        (&["frobnicate", "apply"], "unrecognized subcommand 'frobnicate'"),
        (&["frobnicate", "--dry-run"], "unrecognized subcommand 'frobnicate'"),
        (&["--config=/x", "frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (&["run", "apply"], "unexpected argument 'apply' found"),
        (&["--enable-ipv6", "false"], "write --enable-ipv6=false instead of --enable-ipv6 false"),
        (&["apply", "-dry-run", "0"], "write --dry-run=0 instead of --dry-run 0"),
        (&["--enable-ipv6=yes"], "'yes' for '--enable-ipv6[=<BOOL>]': expected true or false"),
        (&["--masq-chain="], "a chain name cannot be empty"),
        (&["--masq-chain", &long], "too long for a chain name"),
        (&["--masq-chain", "MY CHAIN"], "\"MY CHAIN\" has white space"),
        (&["--masq-chain", "--enable-ipv6"], "so iptables reads it as an option"),
        (&["--masq-chain=POSTROUTING"], "built-in chain of the nat table"),
        (&["--masq-chain=HL", "-enable-ipv6"], "\"HL\" is the name of a target of ip6tables"),
        (&["run", "--to-ports=70000"], "port 70000 in \"70000\" does not exist"),
        (&["--stderrthreshold", "--enable-ipv6"], "expected INFO, WARNING, ERROR, FATAL"),
        (&["-vmodule", "a"], "expected a list of FILE=N"),
        (&["-logtostderr=maybe"], "expected true or false"),
        (&["--to-ports"], "a value is required for '--to-ports <RANGES>'"),
        (&["--state-dir"], "a value is required for '--state-dir <DIR>'"),
        (&["-v=loud"], "'loud' for '--v <N>': invalid digit"),
        (
            &["explain", "example.com"],
            "'example.com' for '<DESTINATION|CODE>': expected an IP address, or a code such as E003",
        ),
        // No answer depends on these.
        (&["explain", "10.0.0.1", "--source=10.0.0.2"], "unexpected argument '--source' found"),
        (&["explain", "10.0.0.1", "--source-port=53"], "unexpected argument '--source-port' found"),
        (&["help", "frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (&["-c", "/etc/x"], "there is no flag -c; the configuration file is given as --config=PATH"),
        (&["--config=/a", "apply", "-config", "/b"], "--config is given more than once: \"/a\" and \"/b\""),
        (&["--config", "/a", "--config", "/a"], "--config is given more than once"),
    ];
    for (args, reason) in cases {
        let text = refused(args);
        assert!(text.contains(reason), "{args:?}: {text}");
    }
}

/// The words of the warnings, one a line.
fn odd(line: &str) -> String {
    let words: Vec<String> = parsed(line).odd.iter().map(ToString::to_string).collect();
    words.join("\n")
}

#[test]
fn words_that_upstream_ignores_are_ignored_and_named_unless_somebody_may_have_meant_a_verb() {
    for (line, ignored) in [
        ("-v=2 frobnicate", "\"frobnicate\""),
        ("-v=2 frobnicate --enable-ipv6 -to-ports x", "\"frobnicate\" \"--enable-ipv6\" \"-to-ports\" \"x\""),
        ("-v=2 $(CHAIN)", "\"$(CHAIN)\""),
        ("-v=2 -- x", "\"--\" \"x\""),
        ("-v=2 -", "\"-\""),
    ] {
        let cli = parsed(line);
        assert_eq!(Cli { odd: Vec::new(), ..cli }, parsed("-v=2"), "{line}");
        assert!(odd(line).contains(&format!("neither a flag nor a verb: {ignored};")), "{line}: {}", odd(line));
    }
    let empty = parse(["ip-masq-agent", "-v=2", "", "--nope"].map(OsString::from));
    assert!(matches!(empty, Err(Stop::Usage(_))), "upstream does not have that flag: {empty:?}");
    assert!(odd("--enable-ipv6 run").is_empty());
}

#[test]
fn ports_that_upstream_takes_are_taken_with_a_warning_where_they_are_odd() {
    for (ports, warning) in [
        ("1024-65535", ""),
        ("0", "--to-ports has port 0: "),
        ("0-65535", "--to-ports has port 0: "),
        ("80,80", "--to-ports: 80 and 80 overlap"),
        ("80-90,85-95", "--to-ports: 80-90 and 85-95 overlap"),
    ] {
        let odd = odd(&format!("--to-ports={ports}"));
        assert!(odd.starts_with(warning) && odd.is_empty() == warning.is_empty(), "{ports}: {odd}");
    }
}

#[test]
fn wrong_ports_have_upstreams_status_where_the_command_line_can_be_upstreams() {
    for (line, status) in [
        ("--to-ports=abc", 1),
        ("-v=2 --to-ports 1-2-3 -enable-ipv6", 1),
        ("run --to-ports=abc", 2),
        ("--to-ports=abc apply", 2),
        ("--to-ports", 2),
        ("--nope", 2),
    ] {
        let words = iter::once("ip-masq-agent").chain(line.split_whitespace()).map(OsString::from);
        assert_eq!(parse(words).unwrap_err().exit().code(), status, "{line}");
    }
}

#[test]
fn no_argument_is_shown_so_that_a_terminal_obeys_it() {
    let hostile = "x\u{1b}[2J\nerror: all is well\u{202e}";
    for arguments in [
        vec![format!("--{hostile}")],
        vec![format!("--masq-chain={hostile}")],
        vec![format!("--to-ports={hostile}")],
        vec![format!("--backend={hostile}")],
        vec![format!("--stderrthreshold={hostile}")],
        vec!["run".to_owned(), hostile.to_owned()],
        vec!["explain".to_owned(), hostile.to_owned()],
    ] {
        let said = parse(iter::once("ip-masq-agent").chain(arguments.iter().map(|word| &**word)).map(OsString::from));
        let said = said.unwrap_err().to_string();
        assert!(!said.lines().any(|line| line.contains(crate::text::is_hidden)), "{said:?}");
        assert!(!said.contains("\nerror: all"), "{said:?}");
    }
    assert!(!parsed(&format!("-v=2 {}", "x\u{1b}")).odd.iter().any(|odd| odd.to_string().contains('\u{1b}')));
}

#[test]
fn the_version_is_one_line_on_stdout() {
    let number = env!("CARGO_PKG_VERSION");
    for line in ["--version", "-version", "--version=true", "apply --version=1", "-V", "version"] {
        assert_eq!(answer(line), format!("ip-masq-agent {number}\n"), "{line}");
    }
    assert_eq!(answer("--version=raw"), format!("{number}\n"));
    assert_eq!(parsed("--version=false"), parsed(""));
}

#[test]
fn help_names_every_verb_every_flag_and_every_exit_status() {
    for line in ["--help", "-h", "-help", "-help=true", "-h=0"] {
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
    for verb in ["run", "apply", "render", "explain", "cleanup"] {
        assert_eq!(answer(&format!("help {verb}")), answer(&format!("{verb} --help")));
    }
    assert_eq!(answer("help"), answer("--help"));
}

#[test]
fn help_is_80_columns_wide_and_begins_with_what_is_the_verbs_own() {
    for (line, own) in [
        ("help", None),
        ("help run", None),
        ("help apply", Some("--dry-run")),
        ("help render", Some("--format")),
        ("help explain", Some("--protocol")),
        ("help cleanup", Some("--dry-run")),
    ] {
        let help = answer(line);
        let widest = help.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{widest:?} columns:\n{help}");
        let order = own.into_iter().chain(["\nFlags:", "--config", "\nUpstream's flags", "--masq-chain"]);
        let places: Vec<usize> =
            order.map(|word| help.find(word).unwrap_or_else(|| panic!("{word}:\n{help}"))).collect();
        assert!(places.is_sorted(), "{help}");
    }
}

#[test]
fn beside_an_agent_its_flags_count_where_none_are_given_and_no_others_of_its_arguments() {
    let words =
        |line: &str| iter::once("ip-masq-agent").chain(line.split_whitespace()).map(OsString::from).collect::<Vec<_>>();
    let agent = lasting_flags(words(
        "run -masq-chain A --masq-chain=B -v 9 --logtostderr --enable-ipv6 -config=relative --runtime-dir /x --state-dir /s",
    ));
    let here = std::env::current_dir().unwrap();
    let config = format!("--config={}", here.join("relative").display());
    assert_eq!(agent, ["--masq-chain=B", "--enable-ipv6", &config, "--state-dir=/s"]);
    for (line, taken, same) in [
        ("apply", &[0, 1, 2, 3][..], format!("apply --masq-chain=B --enable-ipv6 {config} --state-dir=/s")),
        ("-masq-chain C explain ::1 --config /d -v 4", &[1, 3], {
            "explain ::1 --masq-chain=C --config=/d -v 4 --enable-ipv6 --state-dir /s".to_owned()
        }),
        ("cleanup --enable-ipv6=false -state-dir=/t", &[0, 2], {
            format!("cleanup --masq-chain B {config} --enable-ipv6=false --state-dir=/t")
        }),
    ] {
        let beside = beside(agent.iter().map(OsString::from), words(line)).unwrap();
        assert_eq!(beside.cli, parsed(&same), "{line}");
        assert_eq!(beside.taken, taken.iter().map(|at| agent[*at].clone()).collect::<Vec<_>>(), "{line}");
    }
    let newer = beside(["--enable-ipv6=perhaps".into()], words("apply")).unwrap_err();
    assert!(newer.to_string().contains("expected true or false"), "{newer}");
}

#[test]
fn the_command_keeps_claps_own_rules() {
    arguments::command().debug_assert();
}

#[test]
fn where_the_agent_can_be_asked_is_an_address_with_its_port_and_a_path_that_a_socket_can_have() {
    let Listen { address, socket } = parsed("-listen [::1]:10297 --status-socket=/run/agent.sock").listen;
    assert_eq!(address, "[::1]:10297".parse().ok());
    assert_eq!(socket.as_ref().map(SocketPath::path), Some(Path::new("/run/agent.sock")));
    let in_brackets = parsed("--listen=[10.0.0.1]:10297").listen.address;
    assert_eq!(in_brackets, "10.0.0.1:10297".parse().ok(), "whoever writes brackets may not know the family");
    let long = format!("--status-socket=/{}", "s".repeat(107));
    let addresses =
        ["10297", "localhost:10297", "::1:10297", "[::1]", "[10.0.0.1]", "[]:10297", "[10.0.0.1]:", "[10.0.0.1:1]:2"];
    let addresses = addresses.map(|address| format!("--listen={address}"));
    for flag in addresses.iter().map(String::as_str).chain(["--status-socket=", &long]) {
        let told = refused(&[flag]);
        assert!(told.contains("invalid value"), "{told}");
    }
}

#[test]
fn a_running_agent_is_asked_for_all_or_for_one_thing() {
    for (line, expected) in [
        ("status", StatusQuestion::All(StatusFormat::Text)),
        ("status --format json", StatusQuestion::All(StatusFormat::Json)),
        ("status --check ready", StatusQuestion::Check(Check::Ready)),
        ("status --reason RulesContested", StatusQuestion::Problem(Problem::RulesContested)),
    ] {
        assert_eq!(parsed(line).verb, Verb::Status(expected), "{line}");
    }
    assert!(
        refused(&["status", "--reason=rules-contested"]).contains("[possible values: KernelRefused, RulesMissing, ")
    );
    assert!(refused(&["status", "--reason=RulesMissing", "--check=live"]).contains("cannot be used with"));
}

#[test]
fn who_names_one_place_where_an_agent_is_asked_takes_none_from_the_agent_beside() {
    let agent = ["--listen=127.0.0.1:10297".into(), "--status-socket=/run/agent.sock".into()];
    let asked = |line: &str| {
        beside(agent.clone(), iter::once("ip-masq-agent").chain(line.split_whitespace()).map(OsString::from))
            .unwrap()
            .cli
            .listen
            .place()
            .unwrap()
            .to_string()
    };
    for (line, expected) in [
        ("status", "/run/agent.sock"),
        ("status --listen 192.0.2.1:80", "192.0.2.1:80"),
        ("status --status-socket /tmp/s", "/tmp/s"),
        ("status --listen 192.0.2.1:80 --status-socket /tmp/s", "/tmp/s"),
    ] {
        assert_eq!(asked(line), expected, "{line}");
    }
}
