//! A node: its network namespace, its agent, what kubelet does there, and what goes wrong.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use ip_masq_agent::http::{self, SocketPath, ask};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::audit::{PolicyInfo, policy_info};
use super::cost::{Done, Used, is_stopped};
use super::plan::{Character, Fault, Way};
use super::policy::Policy;
use super::rollout::Seen;
use super::sample::Sample;
use super::support::daemon::Daemon;
use super::support::files::ConfigMap;
use super::support::netns::Netns;
use super::support::ran::{command, host};

/// Each node's agent is a user of its own, as each real node has a kernel of its own: the kernel counts inotify instances
/// by user. 200 agents of one user would need more than it allows them by default (`fs.inotify.max_user_instances`, 128).
const FIRST_USER: u32 = 64_000;

/// Takes all inotify instances of a user, and keeps them until its stdin ends.
const TAKES_INOTIFY: &str = "import ctypes, sys\n\
    libc = ctypes.CDLL(None)\n\
    while libc.inotify_init() >= 0: pass\n\
    print('taken', flush=True)\n\
    sys.stdin.read()\n";

/// Undoes our rules again and again: `$0` is the table.
const CONTEST: &str = "for i in $(seq 30); do nft \"flush chain ip $0 IP-MASQ-AGENT; flush chain ip6 $0 IP-MASQ-AGENT\"; sleep 0.05; done";

/// Where a node is.
#[derive(Debug)]
pub(crate) enum Place<'a> {
    /// In a namespace with nobody else.
    Alone(Netns),
    /// Between a pod and the world.
    Sampled(&'a Sample),
}

/// A node and its agent.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) number: usize,
    pub(crate) character: Character,
    place: Place<'a>,
    binary: PathBuf,
    map: ConfigMap,
    maps: u32,
    starts: u32,
    socket: SocketPath,
    agent: Option<Daemon>,
    /// The agent before, which has been stopped and keeps its tables.
    lingering: Option<Daemon>,
    past_log: String,
    /// Of the agents that have ended.
    past: (Used, Done),
    contest: Option<Child>,
    /// Who has taken the inotify instances.
    taker: Option<Child>,
}

impl<'a> Node<'a> {
    /// Its first ConfigMap and its directories. Nothing runs yet.
    pub(crate) fn new(number: usize, character: Character, place: Place<'a>, binary: &Path, first: &Policy) -> Self {
        let scratch = place.netns().scratch();
        fs::set_permissions(scratch, fs::Permissions::from_mode(0o755)).unwrap();
        let map = ConfigMap::create(scratch.join("volume-0"), &first.text);
        let socket = SocketPath::new(scratch.join("run-0/agent.sock")).unwrap();
        let mut node = Self {
            number,
            character,
            binary: binary.to_owned(),
            map,
            maps: 0,
            starts: 0,
            socket,
            agent: None,
            lingering: None,
            past_log: String::new(),
            past: (Used::default(), Done::default()),
            contest: None,
            taker: None,
            place,
        };
        node.make_state_directory();
        if character.fault == Some(Fault::Deaf) {
            node.take_inotify();
        }
        node
    }

    /// Its namespace.
    pub(crate) fn netns(&self) -> &Netns {
        self.place.netns()
    }

    /// What its packets meet, if it has a pod.
    pub(crate) const fn sample(&self) -> Option<&'a Sample> {
        match self.place {
            Place::Alone(_) => None,
            Place::Sampled(sample) => Some(sample),
        }
    }

    fn user(&self) -> u32 {
        FIRST_USER + u32::try_from(self.number).expect("a few hundred nodes")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.netns().scratch().join(name)
    }

    fn make_state_directory(&self) {
        let path = self.path("state");
        fs::create_dir(&path).unwrap();
        chown(&path, Some(self.user()), Some(self.user())).unwrap();
        let text = path.to_str().expect("a scratch path in UTF-8");
        match self.character.fault {
            Some(Fault::FullState) => {
                let options = format!("size=4k,mode=0700,uid={0},gid={0}", self.user());
                host("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", text]);
                // The one page that there is.
                fs::write(path.join("of-somebody-else"), [b'x'; 4096]).unwrap();
            }
            Some(Fault::ReadOnlyState) => {
                host("mount", &["-t", "tmpfs", "-o", "ro,size=4k", "tmpfs", text]);
            }
            _ => {}
        }
    }

    fn take_inotify(&mut self) {
        let mut taker = command("setpriv");
        taker.args(["--reuid", &self.user().to_string(), "--clear-groups", "/usr/bin/python3", "-c", TAKES_INOTIFY]);
        let mut taker = taker.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let stdout = taker.stdout.take().expect("stdout is piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut said).unwrap();
        assert_eq!(said, "taken\n");
        self.taker = Some(taker);
    }

    /// Starts an agent as a pod's container is started: with the one capability that it needs, and a run directory of its
    /// own.
    pub(crate) fn start(&mut self) {
        let run = self.path(&format!("run-{}", self.starts));
        self.starts += 1;
        fs::create_dir(&run).unwrap();
        chown(&run, Some(self.user()), Some(self.user())).unwrap();
        self.socket = SocketPath::new(run.join("agent.sock")).unwrap();
        let user = self.user().to_string();
        let mut command = self.netns().command("setpriv");
        command
            .args(["--reuid", &user, "--regid", &user, "--clear-groups", "--no-new-privs"])
            .args(["--inh-caps=-all,+net_admin", "--ambient-caps=-all,+net_admin", "--bounding-set=-all,+net_admin"])
            .arg(&self.binary)
            .arg("run")
            .args(self.character.layout.flags())
            .arg("--config")
            .arg(self.map.file())
            .arg("--state-dir")
            .arg(self.path("state"))
            .arg("--runtime-dir")
            .arg(&run)
            .arg("--status-socket")
            .arg(self.socket.path());
        self.agent = Some(Daemon::run(command));
    }

    /// Ends the agent as kubelet ends a pod, or kills it.
    pub(crate) fn end(&mut self, signal: Signal) {
        let Some(mut agent) = self.agent.take() else { return };
        let metrics = self.metrics().unwrap_or_default();
        self.past.0 += Used::by(agent.pid());
        self.past.1 += Done::of(&metrics);
        agent.signal(signal);
        agent.ended();
        self.past_log += &agent.log();
    }

    /// A text comes to the node as its way has it.
    pub(crate) fn deliver(&mut self, text: &str) {
        self.maps += 1;
        match self.character.way {
            Way::Swap => self.map.update(&format!("..{}", self.maps), text),
            Way::Restart => {
                self.mount_another_map(text);
                self.end(Signal::SIGTERM);
                self.start();
            }
        }
    }

    /// kubelet swaps the volume that the agent has, whatever the way.
    pub(crate) fn swap(&mut self, text: &str) {
        self.maps += 1;
        self.map.update(&format!("..{}", self.maps), text);
    }

    /// A new agent is started with another file while the old one is stopped and does not end, as a node may have it whose
    /// container runtime hangs.
    pub(crate) fn start_beside_the_old_one(&mut self, text: &str) {
        self.maps += 1;
        self.mount_another_map(text);
        let old = self.agent.take().expect("an agent runs");
        old.signal(Signal::SIGSTOP);
        self.lingering = Some(old);
        self.start();
    }

    /// The old agent and the new one are gone for good, and one with this file takes their place. The new one goes first, or
    /// it would take over the tables.
    pub(crate) fn replace_both(&mut self, text: &str) {
        self.end(Signal::SIGKILL);
        if let Some(mut old) = self.lingering.take() {
            self.past.0 += Used::by(old.pid());
            old.signal(Signal::SIGKILL);
            old.ended();
            self.past_log += &old.log();
        }
        self.maps += 1;
        self.mount_another_map(text);
        self.start();
    }

    fn mount_another_map(&mut self, text: &str) {
        self.map = ConfigMap::create(self.path(&format!("volume-{}", self.maps)), text);
    }

    /// Sends the agent a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(agent) = &self.agent {
            agent.signal(signal);
        }
    }

    /// Somebody flushes all rules of the node.
    pub(crate) fn flush(&self) {
        self.netns().try_run("nft", &["flush", "ruleset"], "").ended_with(0);
    }

    /// Somebody begins to undo our rules again and again.
    pub(crate) fn contest(&mut self) {
        let mut command = self.netns().command("sh");
        command.args(["-c", CONTEST, self.character.layout.table()]).stderr(Stdio::null());
        self.contest = Some(command.spawn().unwrap());
    }

    /// Whether somebody still undoes our rules.
    pub(crate) fn is_contested(&mut self) -> bool {
        self.contest.as_mut().is_some_and(|contest| matches!(contest.try_wait(), Ok(None)))
    }

    /// Whether its agent has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.agent.as_mut().is_some_and(|agent| !agent.lives())
    }

    /// What a probe sees.
    pub(crate) fn seen(&self) -> Seen {
        let Some(status) = self.asked("/status") else { return Seen::default() };
        let status: Value = serde_json::from_str(&status).expect("the status is JSON");
        let fingerprint = status["policy"]["fingerprint"].as_str().unwrap_or_default().to_owned();
        Seen { is_ready: status["ready"] == true, fingerprint }
    }

    /// What Prometheus sees.
    pub(crate) fn metrics(&self) -> Option<String> {
        self.asked("/metrics")
    }

    /// What the audit goes by.
    pub(crate) fn policy(&self) -> Option<PolicyInfo> {
        policy_info(&self.metrics()?)
    }

    /// Who asks a stopped agent waits until its patience ends, which this saves.
    fn asked(&self, path: &str) -> Option<String> {
        let agent = self.agent.as_ref()?;
        if is_stopped(agent.pid()) {
            return None;
        }
        ask(&http::Place::Socket(self.socket.clone()), path).ok().map(|asked| asked.body)
    }

    /// The agent's process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.agent.as_ref().map(Daemon::pid)
    }

    /// What all its agents together have used and done.
    pub(crate) fn cost(&self) -> (Used, Done) {
        let (mut used, mut done) = self.past.clone();
        if let Some(pid) = self.pid() {
            used += Used::by(pid);
        }
        done += Done::of(&self.metrics().unwrap_or_default());
        (used, done)
    }

    /// What its agents have said.
    pub(crate) fn log(&self) -> String {
        let now = [&self.lingering, &self.agent].map(|agent| agent.as_ref().map(Daemon::log).unwrap_or_default());
        self.past_log.clone() + &now.concat()
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        for mut child in [self.contest.take(), self.taker.take()].into_iter().flatten() {
            // Both fail if it has already ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Place<'_> {
    fn netns(&self) -> &Netns {
        match self {
            Self::Alone(netns) => netns,
            Self::Sampled(sample) => &sample.topology.node,
        }
    }
}
