//! The log under systemd, and for programs: fields in the journal, lines with a priority, objects a line.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::files::rename_over;
use crate::support::netns::{AGENT, Netns};
use crate::support::tables::saved_text;
use crate::support::{DEADLINE, wait_until};

const VALID: &str = "nonMasqueradeCIDRs: [10.91.0.0/16]\nresyncInterval: 1h\n";
const OTHER: &str = "nonMasqueradeCIDRs: [10.91.0.0/16, 10.92.0.0/16]\nresyncInterval: 1h\n";
const BROKEN: &str = "nonMasqueradeCIDRs:\n- 10.91.0.0/16\n- 10.91.0.7/16\n";

/// The rules are repaired in this time, whatever becomes of the log.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A program that becomes the agent, with its own socket in the journal's place and, if it is `$1`, its stderr as the journal's
/// stream. `/run` is another one, in a mount namespace of its own.
const UNDER_SYSTEMD: &str = r#"
    mount -t tmpfs none /run && mkdir -p /run/systemd/journal &&
    if [ -n "$1" ]; then touch /run/systemd/journal/socket && mount --bind "$1" /run/systemd/journal/socket; fi &&
    export JOURNAL_STREAM="${2:-$(stat -L -c %d:%i /proc/$$/fd/2)}" && shift 2 && exec "$@"
"#;

/// The journal's socket, of a test's own.
struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

/// What one message to the journal says.
type Fields = BTreeMap<String, String>;

impl Journal {
    fn new(netns: &Netns) -> Self {
        let path = netns.scratch().join("journal");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket, path }
    }

    /// The next message of an event, and how many came before it that had it, too, or not.
    fn next(&self, event: &str) -> Fields {
        loop {
            let mut bytes = vec![0; 1 << 16];
            let len = self.socket.recv(&mut bytes).unwrap_or_else(|error| panic!("waited for {event}: {error}"));
            let fields = parse(&bytes[..len]);
            if fields.get("EVENT").is_some_and(|name| name == event) {
                return fields;
            }
        }
    }
}

/// <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>
fn parse(mut bytes: &[u8]) -> Fields {
    let mut fields = Fields::new();
    while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        let (line, rest) = bytes.split_at(end);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (name, value);
        if let Some(equals) = line.iter().position(|byte| *byte == b'=') {
            (name, value, bytes) = (text(&line[..equals]), text(&line[equals + 1..]), &rest[1..]);
        } else {
            let (len, rest) = rest[1..].split_first_chunk::<8>().unwrap();
            let (content, rest) = rest.split_at(usize::try_from(u64::from_le_bytes(*len)).unwrap());
            (name, value, bytes) = (text(line), text(content), rest.strip_prefix(b"\n").unwrap());
        }
        assert!(name.starts_with(|letter: char| letter.is_ascii_uppercase()), "{name}");
        assert!(name.chars().all(|letter| matches!(letter, 'A'..='Z' | '0'..='9' | '_')), "{name}");
        assert_eq!(fields.insert(name.clone(), value), None, "{name} twice");
    }
    assert!(bytes.is_empty());
    fields
}

/// An agent under systemd: with a journal or without, with this stream or the one that it has.
fn start(netns: &Netns, config: &Path, journal: Option<&Journal>, stream: &str, flags: &[&str]) -> Daemon {
    let path = journal.map_or("", |journal| journal.path.to_str().unwrap());
    let starter = ["unshare", "-m", "sh", "-c", UNDER_SYSTEMD, "sh", path, stream, AGENT];
    Daemon::start_by(netns, &starter, config, &[&["--backend=nft-compat"], flags].concat())
}

/// Ends it, however long that takes on a busy machine.
fn ends(daemon: &mut Daemon) {
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
}

fn in_force(netns: &Netns) -> bool {
    saved_text(netns).contains("-d 10.91.0.0/16")
}

/// The message ID that the documentation has for an event.
fn documented(event: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap();
    let row = text.lines().find(|line| line.starts_with(&format!("| `{event}` |"))).expect(event);
    row.split('`').nth(3).unwrap().to_owned()
}

#[test]
fn the_journal_is_told_in_fields_with_priority_message_id_and_fingerprint() {
    let Some(netns) = Netns::new("journal") else { return };
    let journal = Journal::new(&netns);
    // A name that would end the line, and begin another field.
    let config = netns.write("config\nPRIORITY=0", VALID);
    let mut daemon = start(&netns, &config, Some(&journal), "", &[]);
    let told = journal.next("config_in_force");
    let fingerprint = told["POLICY_FINGERPRINT"].clone();
    assert!(fingerprint.len() == 64 && told["FILE"].ends_with(r"/config\nPRIORITY=0"), "{told:?}");
    assert_eq!((&*told["PRIORITY"], &*told["SYSLOG_IDENTIFIER"], &*told["RANGES"]), ("6", "ip-masq-agent", "1"));
    assert!(told["MESSAGE"].contains(r"config\nPRIORITY=0 is valid and in force"), "{told:?}");
    assert_eq!(told["MESSAGE_ID"], documented("config_in_force"));
    netns.run("iptables-nft -t nat -F");
    let told = journal.next("rules_repaired");
    assert_eq!((&*told["FAMILIES"], &*told["POLICY_FINGERPRINT"]), ("IPv4", &*fingerprint));
    assert_eq!(told["MESSAGE_ID"], documented("rules_repaired"));
    rename_over(&config, BROKEN);
    let told = journal.next("config_unusable");
    assert_eq!((&*told["PRIORITY"], &*told["LINE"], &*told["ACTIVE"]), ("3", "3", "last_valid"));
    assert_eq!((&told["MESSAGE_ID"], &*told["POLICY_FINGERPRINT"]), (&documented("config_unusable"), &*fingerprint));
    ends(&mut daemon);
    assert_eq!(journal.next("stopping").get("MESSAGE_ID"), None);
    assert_eq!(daemon.log(), "", "nothing is said twice");
    // A start that has nothing better.
    let mut daemon = start(&netns, &config, Some(&journal), "", &[]);
    let told = journal.next("degraded");
    assert_eq!((&*told["PRIORITY"], told["MESSAGE_ID"].clone()), ("4", documented("degraded")));
    ends(&mut daemon);
}

#[test]
fn without_a_journal_there_are_lines_with_a_priority_and_with_another_stream_lines_with_a_time() {
    let Some(netns) = Netns::new("nojournal") else { return };
    let config = netns.write("config", VALID);
    let journal = Journal::new(&netns);
    for (journal, stream, flags, is_service) in [
        (None, "", &[][..], true),
        (Some(&journal), "", &["--log-format=text"], true),
        (Some(&journal), "9:4711", &[], false),
        (Some(&journal), "nonsense", &["--log-format=auto"], false),
        (None, "9:4711", &["--log-format=journal"], false),
    ] {
        let mut daemon = start(&netns, &config, journal, stream, flags);
        daemon.wait_until_said("is valid and in force");
        ends(&mut daemon);
        for line in daemon.log().lines() {
            let has_time = line.split_once('Z').is_some_and(|(time, _)| time.len() == 26);
            assert_eq!((line.starts_with("<6>"), has_time), (is_service, !is_service), "{line}");
        }
    }
    journal.socket.set_nonblocking(true).unwrap();
    assert!(journal.socket.recv(&mut [0]).is_err(), "the journal is told nothing");
}

#[test]
fn a_journal_that_is_asked_for_by_the_flag_needs_no_stream_and_comes_back_when_it_is_made_anew() {
    let Some(netns) = Netns::new("asked") else { return };
    let config = netns.write("config", VALID);
    let directory = netns.scratch().join("run");
    fs::create_dir(&directory).unwrap();
    let path = directory.join("socket");
    let bound = format!(
        "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind {} /run/systemd/journal && exec \"$@\"",
        directory.display()
    );
    let starter = ["unshare", "-m", "sh", "-c", &bound, "sh", AGENT];
    let mut daemon = Daemon::start_by(&netns, &starter, &config, &["--backend=nft-compat", "--log-format=journal"]);
    daemon.wait_until_said("is valid and in force");
    for text in [OTHER, VALID] {
        let _ = fs::remove_file(&path);
        let journal = Journal { socket: UnixDatagram::bind(&path).unwrap(), path: path.clone() };
        journal.socket.set_read_timeout(Some(DEADLINE)).unwrap();
        rename_over(&config, text);
        journal.next("config_in_force");
    }
    ends(&mut daemon);
}

#[test]
fn a_journal_that_does_not_read_delays_nothing_and_what_it_misses_is_counted() {
    let Some(netns) = Netns::new("frozen") else { return };
    let journal = Journal::new(&netns);
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"MESSAGE=something else\n", &journal.path).is_ok() {}
    let config = netns.write("config", VALID);
    let mut daemon = start(&netns, &config, Some(&journal), "", &["-v=6"]);
    daemon.wait_until("the rules are in force", || in_force(&netns));
    for _ in 0..3 {
        netns.run("iptables-nft -t nat -F");
        let flushed = Instant::now();
        daemon.wait_until("the rules are repaired", || in_force(&netns));
        assert!(flushed.elapsed() < AT_ONCE, "{:?}", flushed.elapsed());
    }
    // More than may wait.
    let ranges: Vec<String> = (0..6_000).map(|index| format!("11.{}.{}.0/24", index >> 8, index & 255)).collect();
    for text in
        [format!("nonMasqueradeCIDRs: [10.91.0.0/16, {}]\ncidrLimit: 10000\n", ranges.join(", ")), OTHER.to_owned()]
    {
        rename_over(&config, &text);
        let has_ranges = text.contains("11.0.0.0/24");
        daemon.wait_until("the file is followed", || saved_text(&netns).contains("-d 11.0.0.0/24") == has_ranges);
    }
    assert_eq!(daemon.log(), "");
    // It reads again, and hears all that waited, then what it missed.
    journal.next("config_in_force");
    let lost = journal.next("log_lines_lost");
    assert!(
        lost["LOST"].parse::<u32>().unwrap() > 0 && lost["MESSAGE"].contains(" lost: the journal was full"),
        "{lost:?}"
    );
    filler.send_to(b"MESSAGE=something else\n", &journal.path).unwrap();
    daemon.ends_in_time();
}

/// A line of `--log-format=json`.
fn object(line: &str) -> Value {
    let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["event", "fields", "level", "message", "time"], "{line}");
    object
}

#[test]
fn json_has_an_object_a_line_whatever_is_in_it_and_each_lasting_problem_once_and_its_end_once() {
    let Some(netns) = Netns::new("json") else { return };
    let name = "config\n{\"level\":\"error\"}\u{1b}[2J\u{202e}";
    let config = netns.write(name, VALID);
    let mut daemon = start(&netns, &config, None, "", &["--log-format=json"]);
    let said = |daemon: &mut Daemon, event: &str, times| {
        daemon.wait_until_said_times(&format!("\"event\":\"{event}\""), times);
    };
    said(&mut daemon, "config_in_force", 1);
    rename_over(&config, BROKEN);
    said(&mut daemon, "config_unusable", 1);
    for times in 1..4 {
        daemon.signal(Signal::SIGHUP);
        said(&mut daemon, "config_unchanged", times);
    }
    rename_over(&config, OTHER);
    said(&mut daemon, "config_in_force", 2);
    ends(&mut daemon);
    wait_until(DEADLINE, "the last line is read", || daemon.log().contains("\"event\":\"stopping\""));
    let log = daemon.log();
    let lines: Vec<Value> = log.lines().map(object).collect();
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    assert_eq!((of("config_unusable").len(), of("config_in_force").len(), of("starting").len()), (1, 2, 1), "{log}");
    let file = of("config_in_force")[0]["fields"]["file"].clone();
    assert!(file.as_str().unwrap().ends_with(r#"/config\n{"level":"error"}\u{1b}[2J\u{202e}"#), "{file}");
    let unusable = of("config_unusable")[0];
    assert_eq!((&unusable["level"], &unusable["fields"]["line"]), (&"error".into(), &3.into()));
    assert!(!log.contains(['\u{1b}', '\u{202e}']), "no terminal obeys it");
}
