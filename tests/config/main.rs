//! The configuration file, through the public face of `config`.

// Helpers of tests may panic as the tests themselves may: it is a failed test with a line number.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod odd;
mod random;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use ip_masq_agent::config::{self, Config, ConfigErrors, Context, Problem, ReadError, Reading, SourcePaths, SourceSet};

const IPV4: Context = Context { all_reserved_ranges: false, ipv6: false };
const DUAL: Context = Context { all_reserved_ranges: false, ipv6: true };

/// The context of a file in `testdata/config`: `.ipv6.` in its name stands for `--enable-ipv6`.
fn context_of(path: &Path) -> Context {
    if path.to_string_lossy().contains(".ipv6.") { DUAL } else { IPV4 }
}

/// Compares what `describe` says of each file in `folder` with the `.expected` file beside it. `BLESS=1` writes those.
fn golden(folder: &str, describe: impl Fn(&Path) -> String) {
    let bless = std::env::var_os("BLESS").is_some();
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (expected, inputs): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|path| path.extension().is_some_and(|extension| extension == "expected"));
    assert!(!inputs.is_empty(), "{folder} is empty");
    let mut wrong = String::new();
    for input in &inputs {
        let golden = input.with_file_name(format!("{}.expected", input.file_name().unwrap().to_str().unwrap()));
        let found = describe(input) + "\n";
        if bless {
            fs::write(&golden, &found).unwrap();
        }
        match fs::read_to_string(&golden) {
            Ok(text) if text == found => {}
            Ok(text) => writeln!(wrong, "{}:\n  expected {text}  found    {found}", input.display()).unwrap(),
            Err(error) => writeln!(wrong, "{}: {error}; found {found}", golden.display()).unwrap(),
        }
    }
    for golden in expected.iter().filter(|golden| !golden.with_extension("").exists()) {
        writeln!(wrong, "{}: no file belongs to it", golden.display()).unwrap();
    }
    assert!(wrong.is_empty(), "BLESS=1 writes what is found:\n{wrong}");
}

#[test]
fn each_bad_file_is_refused_with_the_message_that_says_how_to_mend_it() {
    golden("testdata/config/bad", |path| match config::read(path, &context_of(path)) {
        Err(error) => error.to_string(),
        Ok(reading) => panic!("{} is read as {reading:?}", path.display()),
    });
}

#[test]
fn each_odd_file_is_read_and_warned_about() {
    golden("testdata/config/odd", |path| match config::read(path, &context_of(path)) {
        Err(error) => panic!("{error}"),
        Ok(Reading { config, warnings }) => {
            let lines = std::iter::once(describe(&config)).chain(warnings.iter().map(ToString::to_string));
            lines.collect::<Vec<_>>().join("\n")
        }
    });
}

fn problems(errors: &ConfigErrors) -> Vec<Problem> {
    errors.iter().map(|error| error.problem.clone()).collect()
}

#[test]
fn all_that_is_wrong_with_a_file_is_told_in_its_order_and_no_more_than_twenty_one_by_one() {
    let told = |text: &str| config::parse(text.as_bytes(), &IPV4).unwrap_err().to_string();
    // What makes a file be refused, and what is told of it, in parts.
    let cases: [(&str, &[&str]); 6] = [
        (
            "masqLinkLocal: 3\nresyncInterval: soon\nnonMasqueradeCIDRs:\n- 10.0.0.1/8\n- 10.0.0.0/8\n- fd00::/8\n- nonsense\n",
            &[
                "line 1: masqLinkLocal: found",
                "line 2: resyncInterval: ",
                "line 4: nonMasqueradeCIDRs[0]: ",
                "line 6: nonMasqueradeCIDRs[2]: fd00::/8 is an IPv6 range",
                "line 7: nonMasqueradeCIDRs[3]: ",
            ],
        ),
        (
            "nonMasqueradeCIDRs:\n- 10.0.0.1/8\n- 5\n- null\nmasqLinkLocal: 3\n",
            &[
                "line 2: nonMasqueradeCIDRs[0]",
                "line 3: nonMasqueradeCIDRs[1]",
                "line 4: nonMasqueradeCIDRs[2]",
                "line 5: ",
            ],
        ),
        (
            "cidrLimit: 1\nnonMasqueradeCIDRs: [10.0.0.0/8, nonsense]\n",
            &["line 2: nonMasqueradeCIDRs: more ranges (2)", "line 2: nonMasqueradeCIDRs[1]"],
        ),
        // Without a limit nothing can be held against it, and a list that is replaced has no ranges.
        ("cidrLimit: x\nnonMasqueradeCIDRs: [nonsense]\nnonMasqueradeCIDRs: [10.0.0.0/8]\n", &["line 1: cidrLimit"]),
        ("{\"masqLinkLocal\": 3,\n\"nonMasqueradeCIDRs\": [\"x\",\n\"y\"]}", &["line 1: ", "line 2: ", "line 3: "]),
        ("masqLinkLocal: 3\n- x\n", &["line 2: not valid YAML"]),
    ];
    for (text, expected) in cases {
        let found = told(text);
        let mut rest = found.as_str();
        for part in expected {
            let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is missing, or not in order: {found}"));
            rest = &rest[at + part.len()..];
        }
        assert_eq!(found.matches("; line ").count() + 1, expected.len(), "{found}");
    }
    for (wrong, more) in [(20, None), (21, Some(1)), (5_000, Some(4_980))] {
        for entry in ["nonsense", "fd00::/8", "5"] {
            let list = format!("- {entry}\n").repeat(wrong);
            let found = told(&format!("cidrLimit: 10000\nnonMasqueradeCIDRs:\n{list}"));
            assert!(found.contains("nonMasqueradeCIDRs[19]") && !found.contains("nonMasqueradeCIDRs[20]"), "{found}");
            let end = found.rsplit("; and ").next().unwrap();
            assert_eq!(
                more.map(|more| format!("{more} more errors")).as_deref(),
                end.ends_with("errors").then_some(end),
                "{found}"
            );
        }
    }
}

/// The values of a configuration with the lines from which they come.
fn describe(config: &Config) -> String {
    let line = |location: Option<config::Location>| {
        location.map(|location| format!(" (line {})", location.line())).unwrap_or_default()
    };
    let ranges = config.non_masquerade_cidrs.iter();
    let ranges: Vec<String> = ranges.map(|entry| format!("{}{}", entry.cidr, line(entry.location))).collect();
    let Config { masq_link_local: v4, masq_link_local_ipv6: v6, resync_interval: interval, .. } = config;
    format!(
        "[{}]\nmasqLinkLocal {}{}, masqLinkLocalIPv6 {}{}, resyncInterval {}{}",
        ranges.join(", "),
        v4.value,
        line(v4.location),
        v6.value,
        line(v6.location),
        interval.value,
        line(interval.location)
    )
}

#[test]
fn a_path_without_a_readable_file_says_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let read = |name: &str| config::read(&at(name), &IPV4);
    fs::write(at("file"), "masqLinkLocal: true\n").unwrap();
    std::os::unix::fs::symlink("nothing", at("dangling")).unwrap();
    std::os::unix::fs::symlink("loop", at("loop")).unwrap();
    std::os::unix::fs::symlink("file", at("link")).unwrap();
    nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();

    assert!(read("link").unwrap().config.masq_link_local.value);
    for missing in ["absent", "dangling", "absent/file"] {
        assert!(matches!(read(missing), Err(ReadError::Missing(path)) if path == at(missing)), "{missing}");
    }
    for (broken, reason) in [("loop", "symbolic links"), ("file/file", "Not a directory")] {
        let error = read(broken).unwrap_err();
        assert!(matches!(error, ReadError::Io { .. }) && error.to_string().contains(reason), "{error}");
    }
    for (other, kind) in [("", "a directory"), ("pipe", "a named pipe"), ("socket", "a socket")] {
        let error = read(other).unwrap_err();
        assert!(matches!(error, ReadError::NotAFile { kind: found, .. } if found == kind), "{error}");
    }
    let device = config::read(Path::new("/dev/zero"), &IPV4).unwrap_err();
    assert!(matches!(device, ReadError::NotAFile { kind: "a device", .. }), "{device}");
}

#[test]
fn a_file_may_have_64_mebibytes_whatever_it_says_and_the_list_what_its_limit_says() {
    const LARGEST: u64 = 64 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        config::read(&path, &IPV4)
    };
    let comment = |len: u64| format!("#{}\n", "x".repeat(usize::try_from(len).unwrap() - 2));
    // The limit is written in ways that only a reader of YAML understands.
    let list = "nonMasqueradeCIDRs: [10.0.0.0/8, 11.0.0.0/8, 12.0.0.0/8]\n";
    for (limit, allowed) in [("0x3", true), ("0o3", true), ("\n  3", true), ("2 # cidrLimit: 3", false)] {
        let result = read(&format!("{}cidrLimit: {limit}\n{list}", comment(2 << 20)));
        assert_eq!(result.is_ok(), allowed, "{limit:?}: {result:?}");
    }
    assert_eq!(read(&comment(LARGEST)).unwrap().config, Config::defaults(&IPV4));
    let error = read(&format!("{}#", comment(LARGEST))).unwrap_err();
    assert!(matches!(error, ReadError::TooLarge { limit: LARGEST, .. }), "{error}");
    // What has no size beforehand is read to its end, or to the limit.
    assert!(!config::read(Path::new("/proc/self/status"), &IPV4).unwrap().warnings.is_empty());
    for (written, allowed) in [(LARGEST, true), (LARGEST + 1, false)] {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let pipe = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        let loaded = std::thread::scope(|scope| {
            // Fails once the reader has seen enough.
            scope.spawn(move || drop(writer.write_all(comment(written).as_bytes())));
            let loaded = SourceSet::load_once(&SourcePaths::one(&pipe));
            drop(reader);
            loaded
        });
        assert_eq!(loaded.is_ok(), allowed, "{written}");
    }
}

#[test]
fn a_hundred_thousand_ranges_are_read_with_their_lines() {
    let range = |i: u32| format!("{}/28", std::net::Ipv4Addr::from(0x1400_0000 + 16 * i));
    let mut text = "cidrLimit: 100000\nnonMasqueradeCIDRs:\n".to_owned();
    for i in 0..100_000 {
        writeln!(text, "- {}", range(i)).unwrap();
    }
    let Reading { config, warnings } = config::parse(text.as_bytes(), &IPV4).unwrap();
    assert_eq!(warnings, []);
    let end = config.non_masquerade_cidrs.last().unwrap();
    let line = end.location.map(|location| location.line());
    assert_eq!((end.cidr.to_string(), line), (range(99_999), Some(100_002)));
    assert_eq!(config.non_masquerade_cidrs.len(), 100_000);
}

/// A broken scanner needs time or stack that grows with the square of the depth.
#[test]
fn nesting_is_read_to_ten_thousand_levels_in_any_form_and_refused_beyond() {
    let forms: [(&str, &str, &str, &str); 5] = [
        ("a: ", "[", "]", "\n"),
        ("a: ", "{a: ", "}", "\n"),
        ("a:\n  ", "- ", "", "x\n"),
        (r#"{"a": "#, "[", "]", "}"),
        (r#"{"a": "#, r#"{"a": "#, "}", "}"),
    ];
    for (start, open, close, end) in forms {
        let inner = if open.ends_with(": ") && start.starts_with('{') { "1" } else { "" };
        let text = |depth: usize| format!("{start}{}{inner}{}{end}", open.repeat(depth), close.repeat(depth));
        config::parse(text(9_999).as_bytes(), &IPV4).unwrap();
        for depth in [10_000, 200_000] {
            let error = config::parse(text(depth).as_bytes(), &IPV4).unwrap_err();
            assert_eq!(problems(&error), [Problem::Syntax(goyaml::Problem::Depth)], "{start}{open}");
        }
    }
    // Through an alias too: what it stands for counts, not the one word.
    let (open, close) = ("[".repeat(6_000), "]".repeat(6_000));
    let aliased = format!("a: &a {open}{close}\nb: {open}*a{close}\n");
    assert_eq!(
        problems(&config::parse(aliased.as_bytes(), &IPV4).unwrap_err()),
        [Problem::Syntax(goyaml::Problem::Depth)]
    );
}

#[test]
fn the_reserved_ranges_stand_in_upstreams_order_and_only_without_a_list() {
    let context = Context { all_reserved_ranges: true, ipv6: false };
    let ranges = |text: &str| -> Vec<String> {
        let config = config::parse(text.as_bytes(), &context).unwrap().config;
        config.non_masquerade_cidrs.iter().map(|entry| entry.cidr.to_string()).collect()
    };
    let all = "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 \
               198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4";
    assert_eq!(ranges("").join(" "), all);
    assert_eq!(ranges("nonMasqueradeCIDRs: []"), Vec::<String>::new());
}
