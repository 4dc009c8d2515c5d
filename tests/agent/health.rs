//! What the agent answers to those who ask how it is, whoever they are.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ip_masq_agent::net::Family;
use nix::sys::signal::Signal;

use crate::support::daemon::Daemon;
use crate::support::http::{ADDRESS, PATIENCE, asked, connect, get};
use crate::support::netns::{AGENT, Netns};
use crate::support::ran::{Ran, command};
use crate::support::tables::saved;
use crate::support::{DEADLINE, wait_until};

const CONFIG: &str = "nonMasqueradeCIDRs: [198.51.100.0/24]\nresyncInterval: 1h\n";
const OTHER: &str = "nonMasqueradeCIDRs: [203.0.113.0/24]\nresyncInterval: 1h\n";
const BROKEN: &str = "nonMasqueradeCIDRs:\n- 198.51.100.0/24\n- 198.51.100.7/24\n";
const IN_FORCE: &str = "were changed and read back";
/// So long may a change of the file take to come into force, whatever clients do: a small part of a probe's interval.
const SOON: Duration = Duration::from_secs(2);

struct Node {
    netns: Netns,
    config: PathBuf,
    socket: PathBuf,
}

impl Node {
    fn new(role: &str) -> Option<Self> {
        let netns = Netns::new(role)?;
        let (config, socket) = (netns.write("config", CONFIG), netns.scratch().join("socket/agent.sock"));
        Some(Self { netns, config, socket })
    }

    fn start(&self, environment: &[(&str, &str)]) -> Daemon {
        let socket = self.socket.to_str().unwrap();
        let flags = ["--listen", ADDRESS, "--status-socket", socket, "--backend=nft-compat"];
        Daemon::start_with(&self.netns, &self.config, &flags, environment)
    }

    fn status(&self, line: &str) -> Ran {
        let dir = self.netns.scratch().join("run");
        let mut words: Vec<&str> = line.split_whitespace().collect();
        words.extend(["--runtime-dir", dir.to_str().unwrap()]);
        self.netns.try_run(AGENT, &words, "")
    }

    fn connect(&self) -> TcpStream {
        connect(&self.netns)
    }

    /// The answer to a request over TCP, head and body.
    fn asked(&self, request: &str) -> String {
        asked(&self.netns, request)
    }

    fn get(&self, path: &str) -> String {
        get(&self.netns, path)
    }

    fn keeps_source(&self, range: &str) -> bool {
        saved(&self.netns, Family::Ipv4).iter().any(|line| line.contains(&format!("-d {range}")))
    }

    /// The file is changed, and its rules come into force in time.
    fn changes_in_time(&self, daemon: &mut Daemon, config: &str, range: &str) {
        let began = Instant::now();
        fs::write(&self.config, config).unwrap();
        daemon.wait_until(&format!("{range} keeps its source"), || self.keeps_source(range));
        let took = began.elapsed();
        assert!(took < SOON, "{took:?}");
    }
}

/// What Prometheus' own reader of `OpenMetrics` takes the text for: its names, each with its type.
fn understood_by_prometheus(text: &str) -> String {
    const READER: &str = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
        for family in read(sys.stdin.read()): print(family.name, family.type)";
    let mut python = command("/usr/bin/python3");
    python.args(["-c", READER]);
    Ran::with_input(python, text).stdout()
}

#[test]
fn probes_over_both_ways_and_the_verb_say_the_same_and_the_socket_is_gone_at_the_end() {
    let Some(node) = Node::new("health") else { return };
    let mut daemon = node.start(&[]);
    daemon.wait_until_said(IN_FORCE);
    daemon.wait_until("the socket is there", || node.status("status --check ready").status == Some(0));
    assert_eq!(node.status("status --check live").ended_with(0).stdout, "live\n");
    assert_eq!(node.status("status --check ready").ended_with(0).stdout, "ready\n");
    let metadata = fs::symlink_metadata(&node.socket).unwrap();
    assert!(metadata.file_type().is_socket() && metadata.permissions().mode() & 0o777 == 0o600, "{metadata:?}");

    let status: serde_json::Value =
        serde_json::from_str(&node.status("status --format json").ended_with(0).stdout).unwrap();
    let rendered: serde_json::Value =
        serde_json::from_str(&node.netns.agent("render --format json", CONFIG).stdout()).unwrap();
    let fingerprint = rendered["policyFingerprint"].as_str().unwrap();
    assert_eq!(status["policy"]["fingerprint"], fingerprint);
    let text = node.status("status").ended_with(0).stdout;
    assert!(text.starts_with("ready\n") && text.contains(fingerprint), "{text}");

    let answer = node.get("/metrics");
    let (head, metrics) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    let understood = understood_by_prometheus(metrics);
    for line in ["ip_masq_agent_state stateset", "ip_masq_agent_policy info", "ip_masq_agent_passes counter"] {
        assert!(understood.lines().any(|found| found == line), "{line} in\n{understood}");
    }
    assert!(metrics.contains(&format!("fingerprint=\"{fingerprint}\"")), "{metrics}");
    for (request, begins) in [
        ("HEAD /metrics HTTP/1.1\r\nHost: node\r\n\r\n", "HTTP/1.1 200 "),
        ("GET / HTTP/1.1\r\nHost: node\r\n\r\n", "HTTP/1.1 404 "),
        ("POST /livez HTTP/1.1\r\nHost: node\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 405 "),
        ("GET /livez HTTP/1.0\r\n\r\n", "HTTP/1.0 200 "),
    ] {
        let answer = node.asked(request);
        assert!(answer.starts_with(begins), "{request}: {answer}");
        assert_eq!(answer.ends_with("\r\n\r\n"), request.starts_with("HEAD"), "only HEAD has no body: {answer}");
    }

    fs::write(&node.config, BROKEN).unwrap();
    let reason = format!("policy invalid: {}:3: ", node.config.display());
    daemon.wait_until("the file is noticed", || node.status("status --check ready").status == Some(1));
    let said = node.status("status --check ready").ended_with(1).stdout;
    assert!(said.starts_with(&format!("not ready: {reason}")) && said.lines().count() == 1, "{said}");
    let answer = node.get("/readyz");
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains(&reason), "{answer}");
    assert_eq!(node.status("status --check live").ended_with(0).stdout, "live\n");

    daemon.ends_in_time();
    assert!(!node.socket.exists());
    let socket = node.socket.to_str().unwrap();
    node.status("status --check live").ended_with(6);
    node.status(&format!("status --check live --status-socket {socket}")).ended_with(6);
}

#[test]
fn an_agent_whose_address_and_socket_are_taken_keeps_its_rules_and_answers_once_they_are_free() {
    let Some(node) = Node::new("taken") else { return };
    let taken = node.netns.inside(|| TcpListener::bind(ADDRESS)).unwrap();
    fs::create_dir(node.socket.parent().unwrap()).unwrap();
    let other = UnixListener::bind(&node.socket).unwrap();
    let mut daemon = node.start(&[]);
    daemon.wait_until_said(IN_FORCE);
    daemon.wait_until_said(&format!("nobody can ask for the status at {ADDRESS} (--listen): "));
    daemon.wait_until_said("(--status-socket): another process listens there");
    node.changes_in_time(&mut daemon, OTHER, "203.0.113.0/24");
    drop((taken, other));
    daemon.wait_until_said_times("answering /livez", 2);
    assert!(node.get("/livez").ends_with("\r\n\r\nlive\n"));
    // A socket that a dead agent has left is replaced.
    daemon.signal(Signal::SIGKILL);
    daemon.ended();
    assert!(node.socket.exists());
    let mut next = node.start(&[]);
    next.wait_until_said_times("answering /livez", 2);
    next.ends_in_time();
}

#[test]
fn a_bad_address_and_a_path_that_no_socket_can_have_are_wrong_usage() {
    let Some(netns) = Netns::new("usage") else { return };
    let long = format!("--status-socket=/{}", "s".repeat(108));
    for flag in ["--listen=localhost", "--listen=10297", "--listen=127.0.0.1", "--status-socket=", &long] {
        netns.try_run(AGENT, &["run", flag], "").ended_with(2);
    }
}

#[test]
fn slow_huge_half_closed_and_thousands_of_clients_delay_no_change_of_the_policy_nor_an_honest_probe() {
    let Some(node) = Node::new("hostile") else { return };
    let mut daemon = node.start(&[]);
    daemon.wait_until_said_times("answering /livez", 2);
    daemon.wait_until_said(IN_FORCE);
    let files = format!("/proc/{}/fd", daemon.pid());
    let open = || fs::read_dir(&files).unwrap().count();
    let before = open();

    // They say nothing, or one byte, and stay.
    let mut slow: Vec<TcpStream> = (0..100).map(|_| node.connect()).collect();
    for stream in slow.iter_mut().skip(50) {
        let _ = stream.write_all(b"G");
    }
    assert!(node.get("/livez").ends_with("live\n"));
    node.changes_in_time(&mut daemon, OTHER, "203.0.113.0/24");
    assert!(open() <= before + 40, "{} files are open", open());

    // A head that has no end is refused, and so is what is no HTTP.
    let mut huge = node.connect();
    let line = format!("x-{}: y\r\n", "x".repeat(1_000));
    let _ = huge.write_all(b"GET /livez HTTP/1.1\r\n");
    let refused = (0..1_000).any(|_| huge.write_all(line.as_bytes()).is_err());
    let mut answer = Vec::new();
    let _ = huge.read_to_end(&mut answer);
    assert!(refused || answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
    let mut other = node.connect();
    let _ = other.write_all(b"\x16\x03\x01 hello\r\n\r\n");
    let mut answer = Vec::new();
    let _ = other.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));

    // Who has said all is answered, also if they will say nothing more.
    let mut half = node.connect();
    half.write_all(b"GET /livez HTTP/1.1\r\nHost: node\r\n\r\n").unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    half.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("live\n"), "{answer}");

    // Ten thousand clients, some hundreds at a time.
    let mut clients: Vec<TcpStream> = Vec::new();
    for number in 0..10_000 {
        let address: SocketAddr = ADDRESS.parse().unwrap();
        if number % 500 == 0 {
            clients.clear();
            assert!(node.get("/livez").ends_with("live\n"));
            let (config, range) =
                if number % 1_000 == 0 { (CONFIG, "198.51.100.0/24") } else { (OTHER, "203.0.113.0/24") };
            node.changes_in_time(&mut daemon, config, range);
            node.netns.inside(|| {
                clients.extend((0..500).filter_map(|_| TcpStream::connect_timeout(&address, PATIENCE).ok()));
            });
            assert!(open() <= before + 40, "{} files are open", open());
        }
    }
    drop(slow);
    daemon.ends_in_time();
}

#[test]
fn a_long_pass_delays_no_answer() {
    let Some(node) = Node::new("long-pass") else { return };
    let mut config = "cidrLimit: 100000\nnonMasqueradeCIDRs:\n".to_owned();
    for number in 0_u32..30_000 {
        let [_, _, high, low] = (number * 2).to_be_bytes();
        writeln!(config, "- 10.{high}.{low}.0/24").unwrap();
    }
    fs::write(&node.config, config).unwrap();
    let mut daemon = node.start(&[]);
    daemon.wait_until_said("answering /livez");
    let mut answers = 0;
    wait_until(DEADLINE, "the pass has ended", || {
        let ready = node.get("/readyz");
        let is_under_way = ready.ends_with("starting: no pass over the rules has ended so far\n");
        answers += usize::from(is_under_way);
        !is_under_way
    });
    assert!(answers > 3, "{answers} answers while it was under way");
    assert!(daemon.lives());
}

#[test]
fn a_pod_that_is_not_in_the_hosts_network_is_not_ready() {
    for (host, expected) in [("192.0.2.7", 1), ("127.0.0.1", 0), ("no address", 0)] {
        let Some(node) = Node::new("pod") else { return };
        let mut daemon = node.start(&[("HOST_IP", host)]);
        daemon.wait_until_said(IN_FORCE);
        daemon.wait_until("the agent answers", || {
            let ran = node.status("status --check ready");
            ran.status != Some(6) && !ran.stdout.contains("starting")
        });
        let said = node.status("status --check ready").ended_with(expected).stdout;
        assert_eq!(said.contains("not in the host's network: 192.0.2.7 (HOST_IP)"), expected == 1, "{said}");
    }
}

#[test]
fn new_flows_are_counted_by_what_becomes_of_them_and_the_numbers_outlive_the_rules() {
    for (backend, range) in [("nft-compat", Some(r#"{ip_family="IPv4",cidr="198.51.100.0/24"}"#)), ("nft", None)] {
        let Some(node) = Node::new("flows") else { return };
        node.netns
            .ip("link add d0 type veth peer name d1\nlink set d1 up\naddress add 192.0.2.1/24 dev d0\nlink set d0 up\nroute add default dev d0\n");
        let flags = ["--listen", ADDRESS, "--backend", backend, "--protect=off", "--metrics-ranges", "-v=4"];
        let mut daemon = Daemon::start(&node.netns, &node.config, &flags);
        daemon.wait_until_said(IN_FORCE);
        daemon.wait_until_said("answering /livez");
        let send = |kept: usize, masqueraded: usize| {
            node.netns.inside(|| {
                for to in [vec!["198.51.100.1:9"; kept], vec!["203.0.113.1:9"; masqueraded]].concat() {
                    // Each from a port of its own, so that each is a flow.
                    UdpSocket::bind("192.0.2.1:0").unwrap().send_to(b"x", to).unwrap();
                }
            });
        };
        let shows = |kept: usize, masqueraded: usize| {
            let mut expected = vec![
                format!("ip_masq_agent_new_flows_total{{ip_family=\"IPv4\",verdict=\"kept\"}} {kept}.0"),
                format!("ip_masq_agent_new_flows_total{{ip_family=\"IPv4\",verdict=\"masqueraded\"}} {masqueraded}.0"),
            ];
            expected.extend(range.map(|range| format!("ip_masq_agent_range_new_flows_total{range} {kept}.0")));
            let mut metrics = String::new();
            wait_until(DEADLINE, &format!("{expected:?} are in\n{metrics}"), || {
                metrics = node.get("/metrics");
                expected.iter().all(|line| metrics.lines().any(|found| found == line))
            });
            assert_eq!(metrics.contains("range_new_flows"), range.is_some(), "{metrics}");
        };
        shows(0, 0);
        send(3, 2);
        shows(3, 2);
        let metrics = node.get("/metrics");
        let value = |name: &str| -> f64 {
            let line =
                metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {metrics}"));
            line.trim().parse().unwrap()
        };
        // The scrapes themselves are flows, too.
        assert!(value("ip_masq_agent_conntrack_entries ") > 5.0);
        assert!(value("ip_masq_agent_conntrack_events_total{event=\"insert_failed\"} ") < 5.0);
        // The rules are made anew, and count from 0.
        let table = if backend == "nft" { "ip-masq-agent" } else { "nat" };
        let repairs = daemon.log().matches("they were repaired").count();
        node.netns.nft(&format!("flush chain ip {table} IP-MASQ-AGENT\n"));
        daemon.wait_until_said_times("they were repaired", repairs + 1);
        send(1, 1);
        shows(4, 3);
    }
}
