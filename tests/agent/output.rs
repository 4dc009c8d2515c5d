//! The reader of the agent's log may stop reading: that stops nothing else.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;

use crate::support::daemon::Daemon;
use crate::support::fifo::Fifo;
use crate::support::files::rename_over;
use crate::support::netns::{AGENT, Netns};
use crate::support::tables::saved_text;
use crate::support::{DEADLINE, wait_until};

/// So many ranges that the lines about them do not fit into what waits for stderr.
const MANY: u32 = 10_000;

/// A repair takes milliseconds; this allows for a machine that does other things.
const AT_ONCE: Duration = Duration::from_secs(2);

fn exempting(ranges: &str) -> String {
    format!("nonMasqueradeCIDRs: [{ranges}]\nresyncInterval: 1h\ncidrLimit: 100000\n")
}

fn in_force(netns: &Netns) -> bool {
    saved_text(netns).contains("-d 10.91.0.0/16")
}

/// The rules are put in force and repaired, and the agent ends in time.
fn works(netns: &Netns, daemon: &mut Daemon) {
    daemon.wait_until("the rules are in force", || in_force(netns));
    for _ in 0..3 {
        netns.run("iptables-nft -t nat -F");
        let flushed = Instant::now();
        daemon.wait_until("the rules are repaired", || in_force(netns));
        assert!(flushed.elapsed() < AT_ONCE, "{:?}", flushed.elapsed());
    }
    daemon.ends_in_time();
}

fn apply(netns: &Netns, config: &Path, stderr: impl Into<Stdio>) {
    let mut command = netns.command(AGENT);
    command.args(["apply", "-v=6", "--backend", "nft-compat", "--config"]).arg(config);
    let began = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
    let mut status = None;
    wait_until(DEADLINE, "it has ended", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(in_force(netns));
}

const FLAGS: [&str; 3] = ["--backend", "nft-compat", "-v=6"];

fn full_device() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

#[test]
fn nothing_stops_where_stderr_cannot_be_written() {
    let Some(netns) = Netns::new("unwritable") else { return };
    let config = netns.write("config", &exempting("10.91.0.0/16"));
    let abandoned = || {
        let (_, writer) = std::io::pipe().unwrap();
        writer
    };
    works(&netns, &mut Daemon::start_to(&netns, &config, &FLAGS, full_device()));
    works(&netns, &mut Daemon::start_to(&netns, &config, &FLAGS, abandoned()));
    apply(&netns, &config, full_device());
    apply(&netns, &config, abandoned());
}

#[test]
fn nothing_stops_where_nobody_reads_stderr() {
    for flags in [OFlag::empty(), OFlag::O_NONBLOCK] {
        let Some(netns) = Netns::new("unread") else { return };
        let config = netns.write("config", &exempting("10.91.0.0/16"));
        let fifo = Fifo::new(&netns, "stderr");
        let _reader = fifo.reader();
        fifo.fill();
        works(&netns, &mut Daemon::start_to(&netns, &config, &FLAGS, fifo.writer(flags)));
        apply(&netns, &config, fifo.writer(flags));
    }
}

#[test]
fn lines_that_nobody_read_in_time_are_counted_and_that_is_told_as_soon_as_somebody_reads() {
    let Some(netns) = Netns::new("overflow") else { return };
    let ranges: Vec<String> = (0..MANY).map(|index| format!("11.{}.{}.0/24", index >> 8, index & 255)).collect();
    let config = netns.write("config", &exempting("10.91.0.0/16"));
    let fifo = Fifo::new(&netns, "stderr");
    let mut reader = fifo.reader();
    fifo.fill();
    let mut daemon = Daemon::start_to(&netns, &config, &FLAGS, fifo.writer(OFlag::empty()));
    daemon.wait_until("the rules are in force", || in_force(&netns));
    rename_over(&config, &exempting(&format!("10.91.0.0/16, {}", ranges.join(", "))));
    let last = ranges.last().unwrap();
    daemon.wait_until("the ranges have come", || saved_text(&netns).contains(last));
    rename_over(&config, &exempting("10.91.0.0/16"));
    daemon.wait_until("the ranges are gone", || !saved_text(&netns).contains(last));
    assert!(in_force(&netns));
    daemon.wait_until("the loss is told", || reader.read().contains(" log lines were lost: stderr was full"));
    // From then on nothing is missing.
    netns.run("iptables-nft -t nat -F");
    daemon.wait_until("the repair is told", || reader.read().contains("and they were repaired"));
    daemon.ends_in_time();
    assert!(reader.read().contains("ending, as SIGTERM"), "the last words are written");
}

#[test]
fn lines_that_could_not_be_written_are_counted_and_that_is_told_once_it_works_again() {
    let Some(netns) = Netns::new("again") else { return };
    let config = netns.write("config", &exempting("10.91.0.0/16"));
    let fifo = Fifo::new(&netns, "stderr");
    let mut reader = fifo.reader();
    let mut daemon = Daemon::start_to(&netns, &config, &FLAGS[..2], fifo.writer(OFlag::empty()));
    daemon.wait_until("the rules are in force", || reader.read().contains("were changed and read back"));
    drop(reader);
    netns.run("iptables-nft -t nat -F");
    daemon.wait_until("the rules are repaired", || in_force(&netns));
    // Looked at twice, the loop has come round after it told of the repair.
    rename_over(&config, &exempting("10.91.0.0/16, 10.92.0.0/16"));
    daemon.wait_until("the file is read", || saved_text(&netns).contains("10.92.0.0/16"));
    let mut reader = fifo.reader();
    rename_over(&config, &exempting("10.91.0.0/16, 10.93.0.0/16"));
    daemon.wait_until("the loss is told", || {
        reader.read().contains(" lost: stderr could not be written (Broken pipe)\n")
    });
    daemon.ends_in_time();
}
