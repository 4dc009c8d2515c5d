//! What the agent needs of memory to read its file, and what it keeps.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::Ipv4Addr;

use crate::support::daemon::Daemon;
use crate::support::files::rename_over;
use crate::support::netns::{AGENT, Netns};

const MIB: u64 = 1 << 20;

/// What the kernel says of the process's memory, in bytes: `RssAnon` for what it holds now, without the program itself, `VmHWM`
/// for the most that there was of all.
fn memory(daemon: &Daemon, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// A file that exempts so many ranges, no two of which are one.
fn ranges(count: u32) -> String {
    let mut text = "cidrLimit: 1000000\nresyncInterval: 1h\nnonMasqueradeCIDRs:\n".to_owned();
    for index in 0..count {
        writeln!(text, "- {}/28", Ipv4Addr::from((20 << 24) + 32 * index)).unwrap();
    }
    text
}

fn in_force(count: u32) -> String {
    format!("is valid and in force: {count} range")
}

#[test]
fn a_file_that_is_too_large_is_refused_by_its_size_under_64_mebibytes_of_memory() {
    let Some(netns) = Netns::new("sparse") else { return };
    let config = netns.scratch().join("config");
    let sparse = || {
        let new = config.with_extension("new");
        File::create(&new).unwrap().set_len(10 << 30).unwrap();
        fs::rename(new, &config).unwrap();
    };
    sparse();
    let starter = ["prlimit", &format!("--as={}", 64 * MIB), AGENT];
    let mut daemon = Daemon::start_by(&netns, &starter, &config, &[]);
    let refusal = "larger than the 67108864 bytes that are read at most";
    daemon.wait_until_said(refusal);
    daemon.wait_until_said("degraded");
    rename_over(&config, &ranges(1));
    daemon.wait_until_said(&in_force(1));
    sparse();
    daemon.wait_until_said_times(refusal, 2);
    rename_over(&config, &ranges(2));
    daemon.wait_until_said(&in_force(2));
}

#[test]
fn what_nobody_knows_in_a_file_costs_a_small_multiple_of_its_size() {
    let Some(netns) = Netns::new("unknown") else { return };
    let config = netns.write("config", &ranges(1));
    let mut daemon = Daemon::start(&netns, &config, &[]);
    daemon.wait_until_said(&in_force(1));
    let before = memory(&daemon, "VmHWM");
    let mut text = ranges(2);
    while (text.len() as u64) < 2 * MIB {
        writeln!(text, "k{}: v", text.len()).unwrap();
    }
    rename_over(&config, &text);
    daemon.wait_until_said(&in_force(2));
    daemon.wait_until_said("more unknown keys");
    let needed = memory(&daemon, "VmHWM") - before;
    assert!(needed < 8 * text.len() as u64, "{needed} bytes for a file of {}", text.len());
}

#[test]
fn what_a_long_list_needed_is_given_back_when_it_is_short_again() {
    for (backend, count, most) in [("nft", 100_000, 2 * MIB), ("nft-compat", 4_000, 2 * MIB)] {
        let Some(netns) = Netns::new("given-back") else { return };
        let config = netns.write("config", &ranges(1));
        let mut daemon = Daemon::start(&netns, &config, &["--backend", backend]);
        daemon.wait_until_said(&in_force(1));
        let before = memory(&daemon, "RssAnon");
        rename_over(&config, &ranges(count));
        daemon.wait_until_said(&in_force(count));
        rename_over(&config, &ranges(2));
        daemon.wait_until_said(&in_force(2));
        let kept = || memory(&daemon, "RssAnon").saturating_sub(before);
        println!("{backend}: {} KiB more than before, {} at most", kept() / 1024, memory(&daemon, "VmHWM") / 1024);
        crate::support::wait_until(crate::support::DEADLINE, "it is given back", || kept() < most);
    }
}

#[test]
fn edits_of_a_long_list_leave_no_holes_in_memory() {
    const COUNT: u32 = 50_000;
    let Some(netns) = Netns::new("edited") else { return };
    // After each edit another tenth of the ranges are others.
    let edited = |edits: u32| {
        let mut text = "cidrLimit: 1000000\nresyncInterval: 1h\nnonMasqueradeCIDRs:\n".to_owned();
        for index in 0..COUNT {
            let moved = if index % 10 < edits { 32 } else { 0 };
            writeln!(text, "- {}/28", Ipv4Addr::from((20 << 24) + 64 * index + moved)).unwrap();
        }
        text
    };
    let config = netns.write("config", &edited(0));
    let mut daemon = Daemon::start(&netns, &config, &["--backend", "nft"]);
    daemon.wait_until_said(&in_force(COUNT));
    let before = memory(&daemon, "RssAnon");
    for edits in 1..=10 {
        rename_over(&config, &edited(edits));
        daemon.wait_until_said_times(&in_force(COUNT), 1 + edits as usize);
    }
    let more = || memory(&daemon, "RssAnon").saturating_sub(before);
    println!("{} KiB, and {} KiB more than before", before / 1024, more() / 1024);
    crate::support::wait_until(crate::support::DEADLINE, "it is as much as before", || more() < before / 4);
}
