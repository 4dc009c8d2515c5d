//! The agent's start as a service: what the service manager is told, what is waited for, and how the start ends.

use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::service_manager::Manager;
use crate::support::daemon::Daemon;
use crate::support::files::rename_over;
use crate::support::native::listed;
use crate::support::netns::{AGENT, Netns};
use crate::support::tables::saved_text;
use crate::support::{DEADLINE, wait_until};

/// The end that is asked for comes in this time, whatever the agent is doing.
const PROMPT: Duration = Duration::from_millis(100);

/// In iptables' place stands a chain that sees no packet.
const IN_THE_WAY: &str = "table ip nat { chain POSTROUTING { type filter hook postrouting priority 0; }; }";

fn exempting(range: &str) -> String {
    format!("nonMasqueradeCIDRs: [{range}]\nresyncInterval: 1h\n")
}

fn told(socket: &UnixDatagram) -> io::Result<String> {
    let mut buffer = [0; 4096];
    let len = socket.recv(&mut buffer)?;
    Ok(String::from_utf8(buffer[..len].to_vec()).unwrap())
}

#[test]
fn the_service_manager_hears_of_readiness_once_the_rules_are_in_force_and_of_the_end() {
    let Some(netns) = Netns::new("ready") else { return };
    let Manager { socket, path } = Manager::new(&netns);
    let config = netns.write("config", &exempting("10.91.0.0/16"));
    let mut daemon = Daemon::start_with(&netns, &config, &[], &[("NOTIFY_SOCKET", &path)]);
    let ready = told(&socket).unwrap();
    let rules = saved_text(&netns);
    assert!(ready.starts_with("READY=1\nSTATUS=1 range exempt"), "{ready}");
    assert!(rules.contains("-d 10.91.0.0/16") && rules.contains("-j MASQUERADE"), "{rules}");
    rename_over(&config, &exempting("10.91.0.0/16, 10.92.0.0/16"));
    assert!(told(&socket).unwrap().starts_with("STATUS=2 ranges exempt"));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(told(&socket).unwrap(), "STOPPING=1");
    assert_eq!(daemon.ended(), Some(0));
}

#[test]
fn a_start_in_a_conflict_that_only_others_can_mend_ends_with_status_4_where_a_service_manager_waits() {
    let Some(netns) = Netns::new("unready") else { return };
    netns.nft(IN_THE_WAY);
    let Manager { socket, path } = Manager::new(&netns);
    let config = netns.write("config", &exempting("10.91.0.0/16"));
    let flags = ["--backend", "nft-compat"];
    let mut daemon = Daemon::start_with(&netns, &config, &flags, &[("NOTIFY_SOCKET", &path)]);
    assert_eq!(daemon.ended(), Some(4));
    let status = told(&socket).unwrap();
    assert!(status.starts_with("STATUS=the rules are not in force: chain POSTROUTING of table ip nat is "), "{status}");
    socket.set_nonblocking(true).unwrap();
    assert_eq!(told(&socket).unwrap_err().kind(), io::ErrorKind::WouldBlock, "nothing is ready");
    let log = daemon.log();
    for words in ["config is valid, but not in force: chain POSTROUTING", "the start has failed"] {
        assert!(log.contains(words), "{words}: {log}");
    }
    assert!(!log.contains("valid and in force"), "{log}");
}

#[test]
fn a_conflict_in_one_family_does_not_end_a_start_that_has_the_other_familys_rules_in_force() {
    let Some(netns) = Netns::new("partly") else { return };
    netns.nft(&IN_THE_WAY.replace("table ip ", "table ip6 "));
    let Manager { socket, path } = Manager::new(&netns);
    let config = netns.write("config", &exempting("10.91.0.0/16"));
    let flags = ["--backend", "nft-compat", "--enable-ipv6"];
    let mut daemon = Daemon::start_with(&netns, &config, &flags, &[("NOTIFY_SOCKET", &path)]);
    let ready = told(&socket).unwrap();
    let status = "STATUS=the IPv6 rules are not in force: chain POSTROUTING of table ip6 nat is ";
    assert!(ready.starts_with(&format!("READY=1\n{status}")) && ready.ends_with("; IPv4 is not affected"), "{ready}");
    netns.nft("flush chain ip nat IP-MASQ-AGENT");
    daemon.wait_until_said("somebody changed our rules, and they were repaired");
    netns.nft("delete table ip6 nat");
    assert!(told(&socket).unwrap().starts_with("STATUS=1 range exempt"));
}

#[test]
fn without_a_service_manager_such_a_start_waits_until_the_obstacle_has_gone() {
    let Some(netns) = Netns::new("waits") else { return };
    netns.nft(IN_THE_WAY);
    let config = netns.write("config", &exempting("10.91.0.0/16"));
    let mut daemon = Daemon::start(&netns, &config, &["--backend", "nft-compat"]);
    daemon.wait_until_said("config is valid, but not in force: chain POSTROUTING");
    daemon.wait_until_said("it is tried again when the file or the rules change, at the latest after 1h");
    netns.nft("delete table ip nat");
    daemon.wait_until_said("config is valid and in force: ");
    assert!(saved_text(&netns).contains("-d 10.91.0.0/16"), "{}", saved_text(&netns));
}

#[test]
fn at_a_start_with_a_bad_file_the_service_manager_hears_what_holds() {
    const BAD: &str = "nonMasqueradeCIDRs: [10.1.2.3/8]\n";
    const DEGRADED: &str = "degraded: the configuration file cannot be used (";
    let Some(netns) = Netns::new("degraded") else { return };
    let Manager { socket, path } = Manager::new(&netns);
    for (before, holds) in [
        (None, "); in force: the flags' defaults ("),
        (Some("10.93.0.0/16"), "); the rules that stood before the start stay, their origin is unknown"),
    ] {
        netns.agent("cleanup", "").ended_with(0);
        if let Some(range) = before {
            netns.agent("apply", &exempting(range)).ended_with(0);
        }
        let config = netns.write("config", BAD);
        let daemon = Daemon::start_with(&netns, &config, &[], &[("NOTIFY_SOCKET", &path)]);
        let ready = told(&socket).unwrap();
        assert!(ready.starts_with(&format!("READY=1\nSTATUS={DEGRADED}")), "{ready}");
        assert!(ready.contains("/config:1: ") && ready.contains(holds), "{ready}");
        rename_over(&config, &exempting("10.91.0.0/16"));
        let status = told(&socket).unwrap();
        assert!(status.starts_with("STATUS=1 range exempt"), "{status}");
        drop(daemon);
    }
}

#[test]
fn an_agent_that_replaces_another_one_takes_protected_tables_over_within_a_second_of_its_end() {
    let Some(netns) = Netns::new("rolling") else { return };
    let flags = ["--backend", "nft", "--protect", "on"];
    let config = netns.write("old", &exempting("10.91.0.0/16"));
    let mut old = Daemon::start(&netns, &config, &flags);
    old.wait_until_said("were changed and read back");
    let Manager { socket, path } = Manager::new(&netns);
    let config = netns.write("new", &exempting("10.92.0.0/16"));
    let mut new = Daemon::start_with(&netns, &config, &flags, &[("NOTIFY_SOCKET", &path)]);
    new.wait_until_said("it is tried again at once when that process has ended");
    let status = told(&socket).unwrap();
    let owned = "STATUS=the rules are not in force: table ip ip-masq-agent belongs to another process";
    assert!(status.starts_with(owned), "{status}");
    // However long it has waited.
    let began = Instant::now();
    new.wait_until("it has waited for a while", || began.elapsed() > Duration::from_secs(4));
    assert!(listed(&netns).contains("10.91.0.0"), "{}", listed(&netns));
    old.signal(Signal::SIGTERM);
    assert_eq!(old.ended(), Some(0));
    let ended = Instant::now();
    let ready = told(&socket).unwrap();
    let took = ended.elapsed();
    assert!(ready.starts_with("READY=1\nSTATUS=1 range exempt"), "{ready}");
    assert!(listed(&netns).contains("10.92.0.0") && !listed(&netns).contains("10.91.0.0"), "{}", listed(&netns));
    println!("taken over {took:?} after the old one's end");
    assert!(took < Duration::from_secs(1), "{took:?}");
    // While it waited, it did not make passes.
    assert_eq!(new.log().matches("belongs to another process").count(), 1, "{}", new.log());
}

/// Asks it to end, and wants it to have ended in time.
fn ends_at_once(daemon: &mut Daemon, when: &str) {
    let asked = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0), "{when}");
    let took = asked.elapsed();
    println!("{when}: ended {took:?} after SIGTERM");
    assert!(took < PROMPT, "{when}: {took:?}");
}

#[test]
fn the_end_that_is_asked_for_comes_at_every_moment_of_a_start_with_a_huge_file() {
    const RANGES: u32 = 300_000;
    let Some(netns) = Netns::new("loading") else { return };
    let ranges: Vec<String> =
        (0..RANGES).map(|at| format!("{}/30", std::net::Ipv4Addr::from((11 << 24) + at * 8))).collect();
    let text = format!("cidrLimit: 1000000\nnonMasqueradeCIDRs:\n- {}\n", ranges.join("\n- "));
    let config = netns.write("config", &text);
    for moment in [0, 2, 5, 20, 50, 100, 300] {
        let mut daemon = Daemon::start(&netns, &config, &["--backend=nft"]);
        let process = format!("/proc/{}/status", daemon.pid());
        // From here on it handles signals.
        daemon.wait_until("signals are held back", || {
            let status = fs::read_to_string(&process).unwrap_or_default();
            let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap_or_default();
            let mask = u64::from_str_radix(blocked.trim(), 16).unwrap_or_default();
            mask >> (Signal::SIGTERM as i32 - 1) & 1 == 1
        });
        let began = Instant::now();
        let moment = Duration::from_millis(moment);
        wait_until(DEADLINE, "the moment has come", || began.elapsed() >= moment);
        ends_at_once(&mut daemon, &format!("{moment:?} after the start"));
        assert!(!daemon.log().contains("valid and in force"), "{moment:?}: it had loaded the file already");
    }
}

/// A program that does not outlive a test that fails.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    /// Both fail if it has already ended, which is just as good. What strace traces goes on without it, and ends.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_end_that_is_asked_for_comes_while_the_start_hangs_on_the_state_directory() {
    let Some(netns) = Netns::new("hung") else { return };
    let config = netns.write("config", &exempting("10.91.0.0/16"));
    let state = netns.scratch().join("state");
    fs::create_dir(&state).unwrap();
    let file = netns.write("state/last-known-good", "whatever");
    // Opening the state file takes three seconds.
    let mut command = netns.command("strace");
    command.args(["-qq", "-o", "/dev/null", "-e", "inject=openat:delay_enter=3000000", "-P"]).arg(&file);
    command.args([AGENT, "run", "--config"]).arg(config).arg("--state-dir").arg(state);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut strace = KilledOnDrop(command.spawn().unwrap());
    let children = format!("/proc/{0}/task/{0}/children", strace.0.id());
    let process = || fs::read_to_string(&children).ok()?.trim().parse::<i32>().ok();
    let state = || {
        let status = fs::read_to_string(format!("/proc/{}/status", process()?)).ok()?;
        Some(status.lines().find_map(|line| line.strip_prefix("State:\t"))?.chars().take(1).collect::<String>())
    };
    let mut stopped = 0;
    wait_until(DEADLINE, "the start hangs", || {
        // strace stops it at every system call, but for this long at none but that one.
        stopped = if state().is_some_and(|state| state == "t") { stopped + 1 } else { 0 };
        stopped == 10
    });
    assert_eq!(
        fs::read_dir(format!("/proc/{}/task", process().unwrap())).unwrap().count(),
        3,
        "signals and the log have one"
    );
    let asked = Instant::now();
    kill(Pid::from_raw(process().unwrap()), Signal::SIGTERM).unwrap();
    // Only the thread that strace holds is left of it, until the three seconds are over.
    let threads = || fs::read_dir(format!("/proc/{}/task", process().unwrap())).unwrap().count();
    wait_until(DEADLINE, "it has ended", || threads() == 1);
    let took = asked.elapsed();
    assert_eq!(state().as_deref(), Some("t"), "it has ended in the middle of the start");
    println!("ended {took:?} after SIGTERM");
    assert_eq!(strace.0.wait().unwrap().code(), Some(0));
    assert!(took < PROMPT, "{took:?}");
}

#[test]
fn a_service_manager_that_does_not_read_stops_nothing_and_hears_the_latest_when_it_reads_again() {
    let Some(netns) = Netns::new("stalled") else { return };
    let Manager { socket, path } = Manager::new(&netns);
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    let mut fillings = 0;
    while filler.send_to(b"STATUS=something else", &path).is_ok() {
        fillings += 1;
    }
    let config = netns.write("config", &exempting("10.91.0.0/16"));
    let mut daemon = Daemon::start_with(&netns, &config, &[], &[("NOTIFY_SOCKET", &path)]);
    daemon.wait_until("the rules are in force", || saved_text(&netns).contains("10.91.0.0/16"));
    rename_over(&config, &exempting("10.91.0.0/16, 10.92.0.0/16"));
    daemon.wait_until("the new rules are in force", || saved_text(&netns).contains("10.92.0.0/16"));
    netns.run("iptables-nft -t nat -F");
    daemon.wait_until("they are repaired", || saved_text(&netns).contains("10.92.0.0/16"));
    for _ in 0..fillings {
        assert_eq!(told(&socket).unwrap(), "STATUS=something else");
    }
    let ready = told(&socket).unwrap();
    assert!(ready.starts_with("READY=1\nSTATUS=2 ranges exempt"), "{ready}");
    while filler.send_to(b"STATUS=something else", &path).is_ok() {}
    daemon.ends_in_time();
}
