//! How long the node is without rules that another program has removed.

use std::os::fd::AsFd as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use ip_masq_agent::backend::Heard;
use ip_masq_agent::backend::nftables::{Action, Change, Monitor, Transaction};
use ip_masq_agent::net::{ChainName, Family};
use ip_masq_agent::netlink::{Connection, NetlinkFamily, NetlinkSocket};
use ip_masq_agent::rules::{BaseChain, TableId};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Bench;
use crate::agent::{Backend, Running};
use crate::figures::{Samples, Unit};
use crate::namespace::Namespace;
use crate::program::Program;
use crate::ranges;
use crate::report::{Goal, Row, Section};

const SIZES: [usize; 3] = [64, 1_000, 10_000];

/// The agent repairs so many times in a row without a pause. It begins anew when it is told to reload.
const IN_A_ROW: usize = 7;

/// Upstream's default `resyncInterval`, in seconds.
const UPSTREAMS_INTERVAL: f64 = 60.0;

/// Who takes the rules out.
#[derive(Clone, Copy)]
enum Foe {
    /// A process that keeps its socket open.
    Stays,
    /// `nft`, which ends after it.
    Ends,
}

/// From a foreign commit to the repair.
pub(super) fn repair(bench: &Bench) -> Result<Section> {
    let mut section = Section {
        title: "Repair of what somebody else took out",
        about: "From the kernel's announcement of the commit that deletes our table (nft) or flushes our chain (nft-compat) \
                to its announcement of the running agent's commit with all rules, seen by a third process. *By a process \
                that stays*: the deletion comes over a socket that stays open. *By nft*: `nft` ends after its commit, and \
                the kernel closes its socket; while it does, it lets nobody commit until what was deleted is free, which \
                is a grace period of RCU (6 to 16 ms). The peer is upstream's model: nothing is looked at before the \
                resync interval (60 s) is over, so after half of it on average, and all of it at the longest."
            .to_owned(),
        ..Section::default()
    };
    for backend in Backend::ALL {
        for size in bench.effort.sizes(&SIZES).collect::<Vec<_>>() {
            for foe in [Foe::Stays, Foe::Ends] {
                section.rows.extend(of_size(bench, backend, size, foe)?);
            }
        }
    }
    Ok(section)
}

fn of_size(bench: &Bench, backend: Backend, size: usize, foe: Foe) -> Result<[Row; 3]> {
    let configuration = bench.watched_configuration(&ranges::of_one_length(size, 28), "1h")?;
    let namespace = Namespace::new()?;
    // Without protection: with it, no other program could remove the table.
    let agent = bench.agent.writing("run", backend, &configuration).words("--protect off");
    let running = Running::start(&namespace, &agent, &bench.scratch.path().join("repair.log"))?;
    let mut watcher = namespace.inside(|| Watcher::open(backend))?;
    let mut taken = Vec::new();
    for number in 0..bench.effort.repairs(size, backend) {
        if number % IN_A_ROW == 0 {
            running.signal_reload()?;
            thread::sleep(Duration::from_millis(30));
        }
        let took = match foe {
            Foe::Stays => watcher.take_out()?,
            Foe::Ends => watcher.watch(&namespace, &backend.taken_out_by_nft())?,
        };
        taken.push(took.as_secs_f64());
        // The agent reads back what it has committed.
        thread::sleep(Duration::from_millis(3) + took);
    }
    let who = match foe {
        Foe::Stays => "by a process that stays",
        Foe::Ends => "by nft",
    };
    let samples = Samples::new(Unit::Time, taken);
    let row = |what: &str, samples: Samples, upstream: f64, goal| Row {
        ours: format!("{what}, {}, {who}", backend.name()),
        ranges: size,
        samples,
        peer: Some(("upstream's resync".to_owned(), Samples::new(Unit::Time, vec![upstream]))),
        goal,
    };
    let one = |share| Samples::new(Unit::Time, vec![samples.quantile(share)]);
    let goal = (size <= 1_000).then_some(Goal::AtMost(20e-3));
    Ok([
        row("p50", samples.clone(), UPSTREAMS_INTERVAL / 2.0, None),
        row("p99", one(0.99), UPSTREAMS_INTERVAL * 0.99, goal),
        row("longest", one(1.0), UPSTREAMS_INTERVAL, None),
    ])
}

/// Takes rules out, and sees when they are back.
struct Watcher {
    connection: Connection<NetlinkSocket>,
    monitor: Monitor<NetlinkSocket>,
    backend: Backend,
    /// The commits that were announced and not yet waited for.
    announced: u64,
}

impl Watcher {
    fn open(backend: Backend) -> Result<Self> {
        let connection = Connection::open(NetlinkFamily::Netfilter)?;
        let monitor = Monitor::open(connection.port())?;
        Ok(Self { connection, monitor, backend, announced: 0 })
    }

    /// Takes the rules out and tells how long they stayed away.
    fn take_out(&mut self) -> Result<Duration> {
        let mut transaction = Transaction::begin(None);
        transaction.push(&self.backend.taken_out());
        let batch = transaction.seal()?;
        self.forget()?;
        self.connection.commit(&batch)?;
        self.repair(Instant::now())
    }

    /// A program takes the rules out; tells how long they stayed away.
    fn watch(&mut self, namespace: &Namespace, program: &Program) -> Result<Duration> {
        self.forget()?;
        thread::scope(|scope| {
            let foe = scope.spawn(|| namespace.run(program));
            self.next_commit()?;
            let took = self.repair(Instant::now())?;
            foe.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
            Ok(took)
        })
    }

    /// Waits for the commit that puts the rules into force. A large set is filled by commits before that one.
    fn repair(&mut self, start: Instant) -> Result<Duration> {
        loop {
            self.next_commit()?;
            let took = start.elapsed();
            let (table, chain) = self.backend.entrance();
            if !self.connection.rules(Family::Ipv4, table.name.as_str(), chain)?.is_empty() {
                return Ok(took);
            }
        }
    }

    fn forget(&mut self) -> Result<()> {
        self.announced = 0;
        self.monitor.listen(&mut Heard::default())?;
        Ok(())
    }

    fn next_commit(&mut self) -> Result<()> {
        while self.announced == 0 {
            let readable = PollFd::new(self.monitor.as_fd(), PollFlags::POLLIN);
            if poll(&mut [readable], PollTimeout::from(20_000_u16))? == 0 {
                bail!("nobody has committed anything for 20 s");
            }
            let mut heard = Heard::default();
            self.monitor.listen(&mut heard)?;
            self.announced += heard.commits;
        }
        self.announced -= 1;
        Ok(())
    }
}

impl Backend {
    /// The chain that holds a rule only while all rules are in force.
    const fn entrance(self) -> (TableId, &'static str) {
        match self {
            Self::Native => (TableId::own(Family::Ipv4), BaseChain::OWN_POSTROUTING),
            Self::Compat => (TableId::nat(Family::Ipv4), "IP-MASQ-AGENT"),
        }
    }

    fn taken_out(self) -> Change {
        match self {
            Self::Native => Change { table: TableId::own(Family::Ipv4), action: Action::DeleteTable },
            Self::Compat => {
                let chain = ChainName::default().to_string();
                Change { table: TableId::nat(Family::Ipv4), action: Action::Flush { chain } }
            }
        }
    }

    fn taken_out_by_nft(self) -> Program {
        Program::new("nft").words(match self {
            Self::Native => "delete table ip ip-masq-agent",
            Self::Compat => "flush chain ip nat IP-MASQ-AGENT",
        })
    }
}
