//! What the service manager is told of reloads, and its watchdog of the loop.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::DEADLINE;
use crate::support::daemon::Daemon;
use crate::support::files::rename_over;
use crate::support::netns::Netns;
use crate::support::tables::saved_text;

const FLAGS: [&str; 1] = ["--backend=nft-compat"];

/// How many SIGHUPs come in a burst.
const BURST: usize = 50;

fn exempting(range: &str) -> String {
    format!("nonMasqueradeCIDRs: [{range}]\nresyncInterval: 1h\n")
}

/// Where a service manager listens.
pub(crate) struct Manager {
    pub(crate) socket: UnixDatagram,
    pub(crate) path: String,
}

impl Manager {
    pub(crate) fn new(netns: &Netns) -> Self {
        let path = netns.scratch().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket, path: path.to_str().unwrap().to_owned() }
    }

    /// The next message, in lines.
    fn told(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let len = self.socket.recv(&mut buffer).unwrap();
        str::from_utf8(&buffer[..len]).unwrap().lines().map(str::to_owned).collect()
    }

    /// The messages up to the one that begins with this.
    fn told_until(&self, start: &str) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        loop {
            let told = self.told();
            let is_last = told[0].starts_with(start);
            all.push(told);
            if is_last {
                return all;
            }
        }
    }
}

/// The time at which a reload began, by the clock that systemd compares it with.
fn began(message: &[String]) -> u128 {
    let [reloading, time] = message else { panic!("{message:?}") };
    assert_eq!(reloading, "RELOADING=1");
    time.strip_prefix("MONOTONIC_USEC=").expect(time).parse().unwrap()
}

fn monotonic_usec() -> u128 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    Duration::from(now).as_micros()
}

#[test]
fn a_reload_is_told_from_its_begin_until_its_rules_are_in_force_be_the_file_new_the_same_or_bad() {
    let Some(netns) = Netns::new("reload") else { return };
    let manager = Manager::new(&netns);
    let config = netns.write("config", &exempting("10.91.0.0/16"));
    let daemon = Daemon::start_with(&netns, &config, &FLAGS, &[("NOTIFY_SOCKET", &manager.path)]);
    assert_eq!(manager.told()[0], "READY=1");
    for (text, status) in [
        (None, None),
        (Some(exempting("10.92.0.0/16, 10.93.0.0/16")), Some("STATUS=2 ranges exempt")),
        (Some("nonMasqueradeCIDRs:\n- 10.1.2.3/8\n- 7\n".to_owned()), Some("STATUS=degraded: ")),
        (None, None),
        (Some(exempting("10.94.0.0/16")), Some("STATUS=1 range exempt")),
    ] {
        let is_new = text.is_some();
        if let Some(text) = &text {
            rename_over(&config, text);
        }
        let asked = monotonic_usec();
        daemon.signal(Signal::SIGHUP);
        // The file may be read before the signal is heard.
        let mut told = manager.told_until("READY=1");
        let mut before = told.iter().position(|message| message[0] == "RELOADING=1").unwrap();
        let time = began(&told.remove(before));
        assert!(asked <= time && time <= monotonic_usec(), "{asked} {time}");
        before = told.len() - 1;
        assert_eq!(told.remove(before), ["READY=1"]);
        let statuses: Vec<&str> = told.iter().map(|message| message[0].as_str()).collect();
        assert_eq!(statuses.len(), usize::from(is_new), "{statuses:?}");
        if let Some(status) = status {
            assert!(statuses[0].starts_with(status), "{statuses:?}");
        }
        if statuses.iter().any(|status| status.starts_with("STATUS=degraded")) {
            assert!(statuses[0].contains("config:2: ") && statuses[0].contains("; and 1 more problem"), "{statuses:?}");
            assert!(saved_text(&netns).contains("-d 10.92.0.0/16"), "the rules of before stay");
        } else if let Some(text) = text {
            let range = text.split(['[', ',', ']']).nth(1).unwrap().to_owned();
            assert!(saved_text(&netns).contains(&format!("-d {range}")), "they are in force when it is ready");
        }
    }
    daemon.signal(Signal::SIGTERM);
    assert_eq!(manager.told(), ["STOPPING=1"]);
}

#[test]
fn after_a_burst_of_reloads_the_last_word_is_ready_and_nothing_is_missing_though_nobody_read_meanwhile() {
    let Some(netns) = Netns::new("burst") else { return };
    let manager = Manager::new(&netns);
    let config = netns.write("config", &exempting("10.91.0.0/16"));
    let mut daemon = Daemon::start_with(&netns, &config, &FLAGS, &[("NOTIFY_SOCKET", &manager.path)]);
    assert_eq!(manager.told()[0], "READY=1");
    for number in 0..BURST {
        rename_over(&config, &exempting(&format!("10.{number}.0.0/16")));
        daemon.signal(Signal::SIGHUP);
    }
    let last = format!("-d 10.{}.0.0/16", BURST - 1);
    daemon.wait_until("the last file is in force", || saved_text(&netns).contains(&last));
    let asked = monotonic_usec();
    daemon.signal(Signal::SIGHUP);
    let (mut is_reloading, mut time) = (false, 0);
    while is_reloading || time < asked {
        let told = manager.told();
        match told[0].as_str() {
            "RELOADING=1" => {
                assert!(began(&told) >= time);
                (is_reloading, time) = (true, began(&told));
            }
            "READY=1" => {
                assert!(is_reloading, "one end for each begin");
                is_reloading = false;
            }
            status => assert!(status.starts_with("STATUS=") && told.len() == 1, "{told:?}"),
        }
    }
    daemon.signal(Signal::SIGTERM);
    assert_eq!(manager.told(), ["STOPPING=1"]);
}

/// The signs of life until then.
fn beats(manager: &Manager, time: Duration) -> usize {
    let until = Instant::now() + time;
    let mut beats = 0;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        manager.socket.set_read_timeout(Some(left)).unwrap();
        let mut buffer = [0; 4096];
        let Ok(len) = manager.socket.recv(&mut buffer) else { continue };
        beats += usize::from(&buffer[..len] == b"WATCHDOG=1");
    }
    beats
}

#[test]
fn the_watchdog_is_told_twice_in_each_interval_and_not_by_a_process_that_is_stopped_or_not_asked() {
    let Some(netns) = Netns::new("watchdog") else { return };
    let manager = Manager::new(&netns);
    let config = netns.write("config", &exempting("10.91.0.0/16"));
    let start = |environment: &[(&str, &str)]| {
        let environment = [&[("NOTIFY_SOCKET", manager.path.as_str())], environment].concat();
        Daemon::start_with(&netns, &config, &FLAGS, &environment)
    };
    let mut daemon = start(&[("WATCHDOG_USEC", "400000")]);
    daemon.wait_until_said("is valid and in force");
    let told = beats(&manager, Duration::from_secs(2));
    assert!((8..=12).contains(&told), "{told} in five intervals");
    daemon.signal(Signal::SIGSTOP);
    beats(&manager, Duration::from_millis(100));
    assert_eq!(beats(&manager, Duration::from_secs(1)), 0, "nobody speaks for it");
    daemon.signal(Signal::SIGCONT);
    assert!(beats(&manager, Duration::from_secs(1)) > 2);
    // The loop sleeps all the while.
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let wakeups = |text: &str| text.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).map(str::to_owned);
    beats(&manager, Duration::from_secs(1));
    let later = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    assert_eq!(wakeups(&status), wakeups(&later));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
    for environment in [
        &[("WATCHDOG_USEC", "400000"), ("WATCHDOG_PID", "1")][..],
        &[("WATCHDOG_USEC", "0")],
        &[("WATCHDOG_USEC", "soon")],
        &[],
    ] {
        let mut daemon = start(environment);
        daemon.wait_until_said("is valid and in force");
        assert_eq!(beats(&manager, Duration::from_millis(500)), 0, "{environment:?}");
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.ended(), Some(0));
    }
}
