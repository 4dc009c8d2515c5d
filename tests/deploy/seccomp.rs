//! `deploy/seccomp.json`, the list of system calls that the agent may make: it is what the agent was seen to call in all that it
//! does, and the agent does all that under it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::files::rename_over;
use crate::support::netns::{AGENT, Netns};
use crate::support::{DEADLINE, wait_until};
use crate::tools::ROOT;

const ADDRESS: &str = "127.0.0.1:10297";
const PROFILE: &str = "deploy/seccomp.json";
const LOADER: &str = "tests/deploy/under_seccomp.py";
const UNITS: [&str; 2] = ["deploy/systemd/ip-masq-agent.service", "deploy/systemd/ip-masq-agent-early.service"];

/// Why calls are allowed that the agent of these tests does not make, or not each time.
const UNSEEN: [(&str, &[&str]); 6] = [
    ("strace does not count a call that does not return", &["exit", "exit_group"]),
    (
        "aarch64 has no older form of a call that is seen on x86-64 (asm-generic/unistd.h)",
        &["epoll_pwait", "faccessat", "mkdirat", "ppoll", "readlinkat", "renameat", "renameat2", "unlinkat"],
    ),
    (
        "another glibc, or musl, makes it in the place of one that is seen",
        &[
            "clock_gettime",
            "clock_nanosleep",
            "clone",
            "fstat",
            "lstat",
            "open",
            "pipe",
            "readv",
            "recvmsg",
            "sendmsg",
            "stat",
        ],
    ),
    (
        "the static binary starts the writer of the state with it, as glibc's `posix_spawn` is not linked into it",
        &["socketpair"],
    ),
    ("the kernel has it made after a signal", &["restart_syscall", "rt_sigreturn"]),
    ("a bug ends the agent by it (abort), so that it is told what happened", &["tgkill"]),
];

/// What the agent does in its life; `starter` and its arguments become the agent, which `flags` may be added to.
fn live(netns: &Netns, starter: &[&str], backend: &str) {
    let path = |name: &str| netns.scratch().join(name).to_str().unwrap().to_owned();
    let manager = netns.scratch().join(format!("notify-{backend}"));
    let manager_socket = UnixDatagram::bind(&manager).unwrap();
    let config = netns.write("config", "nonMasqueradeCIDRs: [10.1.0.0/16]\nresyncInterval: 200ms\n");
    let environment = format!("NOTIFY_SOCKET={}", manager.display());
    let starter = [&["env", &environment, "WATCHDOG_USEC=400000"], starter].concat();
    let socket = path("agent.sock");
    let (socket_flag, state_flag) = (format!("--status-socket={socket}"), format!("--state-dir={}", path("state")));
    let backend_flag = format!("--backend={backend}");
    let flags =
        ["--listen", ADDRESS, &socket_flag, &state_flag, &backend_flag, "--conntrack=fix", "--enable-ipv6", "-v=6"];
    let state = netns.scratch().join("state/last-known-good");
    let is_saved = |text: &str| fs::read_to_string(&state).is_ok_and(|saved| saved.contains(text));
    let listed = || netns.run("nft list ruleset");

    let mut daemon = Daemon::start_by(netns, &starter, &config, &flags);
    daemon.wait_until("the first configuration is saved", || is_saved("10.1.0.0/16"));
    fs::write(&config, "nonMasqueradeCIDRs: [10.2.0.0/16]\nresyncInterval: 200ms\n").unwrap();
    daemon.wait_until("the written file is saved", || is_saved("10.2.0.0/16"));
    daemon.stall_log();
    rename_over(&config, "nonMasqueradeCIDRs: [10.3.0.0/16]\nresyncInterval: 200ms\n");
    daemon.wait_until("the file in its place is saved, though nobody reads the log", || is_saved("10.3.0.0/16"));
    daemon.drain_log();
    daemon.signal(Signal::SIGHUP);
    daemon.wait_until_said("unchanged");
    netns.run("nft flush ruleset");
    daemon.wait_until("the rules are repaired", || listed().contains("10.3.0.0"));
    for request in ["/livez", "/readyz", "/metrics", "/status"] {
        assert!(asked(netns, request).starts_with("HTTP/1.1 200"), "{request}");
    }
    rename_over(&config, "nonMasqueradeCIDRs: [10.3.0.0/8]\n");
    daemon.wait_until("it is not ready", || asked(netns, "/readyz").starts_with("HTTP/1.1 503"));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
    let mut told = [0; 4096];
    assert!(manager_socket.recv(&mut told).unwrap() > 0, "the service manager was told");
}

/// What verbs do.
fn call(netns: &Netns, starter: &[&str], backend: &str) {
    // So many that `apply` remembers them in the one layout; in the other that would only take longer.
    let ranges = if backend == "nft" { 10_240 } else { 10 };
    let list = (0..ranges).map(|number| format!("- 10.{}.{}.0/31", number >> 8, number & 255)).collect::<Vec<_>>();
    let config = netns.write("list", &format!("cidrLimit: {ranges}\nnonMasqueradeCIDRs:\n{}\n", list.join("\n")));
    let flags = [
        format!("--config={}", config.display()),
        format!("--backend={backend}"),
        format!("--runtime-dir={}", netns.scratch().join("memory").display()),
        format!("--state-dir={}", netns.scratch().join("other-state").display()),
    ];
    let (program, starter) = starter.split_first().unwrap();
    for (verb, status) in [
        ("apply", 0),
        ("apply --dry-run", 0),
        ("apply --conntrack=fix", 0),
        ("render", 0),
        ("explain 10.1.2.3", 0),
        ("status --check live", 6),
        ("cleanup", 0),
    ] {
        let mut line = starter.to_vec();
        line.extend(verb.split(' '));
        line.extend(flags.iter().map(String::as_str));
        netns.try_run(program, &line, "").ended_with(status);
    }
}

fn asked(netns: &Netns, path: &str) -> String {
    let address: SocketAddr = ADDRESS.parse().unwrap();
    let mut answer = String::new();
    if let Ok(mut stream) = netns.inside(|| TcpStream::connect_timeout(&address, DEADLINE)) {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: node\r\n\r\n").as_bytes()).unwrap();
        stream.read_to_string(&mut answer).unwrap();
    }
    answer
}

/// The calls that the profile allows the agent. What a container runtime needs besides is a rule of its own.
fn allowed() -> BTreeSet<String> {
    let profile: Value = serde_json::from_str(&fs::read_to_string(Path::new(ROOT).join(PROFILE)).unwrap()).unwrap();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let rules = profile["syscalls"].as_array().unwrap();
    let named: BTreeMap<&str, Vec<&str>> = rules
        .iter()
        .map(|rule| {
            assert!(rule["action"] == "SCMP_ACT_ALLOW" && rule.get("args").is_none(), "{rule}");
            let names = rule["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
            (rule["comment"].as_str().unwrap(), names.collect())
        })
        .collect();
    for names in named.values() {
        assert!(names.is_sorted(), "{names:?}");
    }
    let all: Vec<&&str> = named.values().flatten().collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "each call once");
    assert_eq!(
        named.keys().collect::<Vec<_>>(),
        [&"ip-masq-agent", &"runc and crun, between the filter and the agent"]
    );
    named["ip-masq-agent"].iter().map(|name| (*name).to_owned()).collect()
}

fn unseen() -> BTreeMap<String, &'static str> {
    let reasons = UNSEEN.iter().flat_map(|(reason, names)| names.iter().map(|name| ((*name).to_owned(), *reason)));
    reasons.collect()
}

/// The calls in a table that `strace -c` wrote.
fn counted(table: &Path) -> BTreeSet<String> {
    let is_whole = || fs::read_to_string(table).is_ok_and(|text| text.lines().any(|line| line.trim() == "total"));
    wait_until(DEADLINE, "strace has written its table", is_whole);
    let text = fs::read_to_string(table).unwrap();
    let is_name = |line: &&str| !line.starts_with('-') && !matches!(*line, "syscall" | "total" | "");
    text.lines().map(str::trim).filter(is_name).map(str::to_owned).collect()
}

#[test]
fn the_list_is_what_the_agent_calls_and_what_has_a_reason() {
    let Some(netns) = Netns::new("strace") else { return };
    let mut seen = BTreeSet::new();
    for backend in ["nft-compat", "nft"] {
        let table: PathBuf = netns.scratch().join(format!("calls-{backend}"));
        let strace = |table: &str| ["strace", "-D", "-f", "-c", "-U", "name", "-o", table].map(str::to_owned).to_vec();
        let starter = strace(table.to_str().unwrap());
        let starter: Vec<&str> = starter.iter().map(String::as_str).chain([AGENT]).collect();
        live(&netns, &starter, backend);
        seen.append(&mut counted(&table));
        let tables = netns.scratch().join("verbs");
        fs::create_dir_all(&tables).unwrap();
        let line = format!("exec strace -f -c -U name -o {}/{backend}-$$ {AGENT} \"$@\"", tables.display());
        call(&netns, &["sh", "-c", &line, "sh"], backend);
        for table in fs::read_dir(&tables).unwrap() {
            seen.append(&mut counted(&table.unwrap().path()));
        }
    }
    let (allowed, unseen) = (allowed(), unseen());
    let missing: Vec<_> = seen.difference(&allowed).collect();
    assert!(missing.is_empty(), "the agent makes these calls, and {PROFILE} does not allow them: {missing:?}");
    let idle: Vec<_> = allowed.iter().filter(|name| !seen.contains(*name) && !unseen.contains_key(*name)).collect();
    assert!(idle.is_empty(), "{PROFILE} allows these calls for no reason: {idle:?}");
    // Some of these are seen now and then, by how threads happen to run.
    let stale: Vec<_> = unseen.keys().filter(|name| !allowed.contains(*name)).collect();
    assert!(stale.is_empty(), "these have a reason, and are not allowed: {stale:?}");
}

#[test]
fn the_agent_does_all_that_it_does_under_the_list() {
    let Some(netns) = Netns::new("seccomp") else { return };
    let (loader, profile) = (Path::new(ROOT).join(LOADER), Path::new(ROOT).join(PROFILE));
    let starter = ["/usr/bin/python3", loader.to_str().unwrap(), profile.to_str().unwrap(), AGENT];
    for backend in ["nft-compat", "nft"] {
        live(&netns, &starter, backend);
        call(&netns, &starter, backend);
    }
    // The filter is there.
    let refused = netns.try_run(starter[0], &[starter[1], starter[2], "/bin/mount", "-t", "tmpfs", "none", "/mnt"], "");
    assert!(!refused.succeeded() && refused.stderr.contains("Function not implemented"), "{}", refused.stderr);
}

#[test]
fn the_units_have_the_same_list() {
    // What systemd allows by itself, or what only other ways to start the agent need, does no harm: one list is one to review.
    let mut lines: Vec<String> = Vec::new();
    for name in allowed() {
        match lines.last_mut().filter(|line| line.len() + name.len() < 118) {
            Some(line) => write!(line, " {name}").unwrap(),
            None => lines.push(format!("SystemCallFilter={name}")),
        }
    }
    for unit in UNITS {
        let path = Path::new(ROOT).join(unit);
        let text = fs::read_to_string(&path).unwrap();
        let is_list = |line: &&str| line.starts_with("SystemCallFilter=");
        let there: Vec<&str> = text.lines().filter(is_list).collect();
        if std::env::var_os("BLESS").is_some() {
            let before = text.lines().take_while(|line| !is_list(line));
            let after = text.lines().skip_while(|line| !is_list(line)).filter(|line| !is_list(line));
            let blessed: Vec<&str> = before.chain(lines.iter().map(String::as_str)).chain(after).collect();
            fs::write(&path, blessed.join("\n") + "\n").unwrap();
        } else {
            assert_eq!(
                there, lines,
                "{unit}: `BLESS=1 cargo test --test deploy seccomp` writes the list of {PROFILE} into it"
            );
        }
    }
}
