//! How long the node is without rules that another program has removed.

use std::cell::RefCell;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use ip_masq_agent::backend::nftables::{Action, Change, Transaction};
use ip_masq_agent::net::{ChainName, Family};
use ip_masq_agent::netlink::{Connection, NetlinkFamily, NetlinkSocket};
use ip_masq_agent::rules::{BaseChain, TableId};

use super::{Bench, Place, Question};
use crate::agent::{Backend, Running, Versions};
use crate::figures::{Samples, Unit};
use crate::listener::Listener;
use crate::namespace::Namespace;
use crate::program::Program;
use crate::ranges;
use crate::section::{Goal, Row, known};

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
pub(super) const QUESTION: Question = Question {
    name: "repair",
    title: "Repair of what somebody else took out",
    about: "From the kernel's announcement of the commit that deletes our table (nft) or flushes our chain (nft-compat) to its \
            announcement of the running agent's commit with all rules, seen by a third process. *By a process that stays*: \
            the deletion comes over a socket that stays open. *By nft*: `nft` ends after its commit, and the kernel closes \
            its socket; while it does, it lets nobody commit until what was deleted is free, which is a grace period of RCU \
            (6 to 16 ms). The peer is upstream's model, and not measured: nothing is looked at before the resync interval \
            (60 s) is over, so after half of it on average, and all of it at the longest.",
    pictures: &[],
    ask: |bench, section| {
        for backend in Backend::ALL {
            for size in bench.effort.sizes(&SIZES) {
                for foe in [Foe::Stays, Foe::Ends] {
                    section.group(&format!("{}, {size} ranges, {}", backend.name(), foe.name()), || {
                        of_size(bench, backend, size, foe)
                    });
                }
            }
        }
    },
};

/// An agent, and what takes its rules out.
struct Target<'a> {
    place: &'a Place<'a>,
    running: Running,
    watcher: RefCell<Watcher>,
}

fn of_size(bench: &Bench, backend: Backend, size: usize, foe: Foe) -> Result<Vec<Row>> {
    let configuration = bench.watched_configuration(&ranges::of_one_length(size, 28), "1h")?;
    let log = bench.scratch.path().join("repair.log");
    let places = bench.places()?;
    let targets = places.each(|place| Target::new(place, backend, &configuration, &log))?;
    let mut taken = Versions { now: Vec::new(), before: targets.before.as_ref().map(|_| Vec::new()) };
    for number in 0..bench.effort.repairs(size, backend) {
        taken.now.push(targets.now.sample(number, backend, foe)?.as_secs_f64());
        if let (Some(target), Some(taken)) = (&targets.before, &mut taken.before) {
            taken.push(target.sample(number, backend, foe)?.as_secs_f64());
        }
    }
    let samples = taken.each(|taken| Ok(Samples::new(Unit::Time, taken.clone())))?;
    let one = |share| samples.each(|samples| Ok(Samples::new(Unit::Time, vec![samples.quantile(share)])));
    let row = |what: &str, samples, upstream: f64| {
        let row = Row::new(format!("{what}, {}, {}", backend.name(), foe.name()), size, samples);
        row.against("upstream's resync", &known(upstream))
    };
    let goal = (size <= 1_000).then_some(Goal::AtMost(20e-3));
    Ok(vec![
        row("p50", samples.clone(), UPSTREAMS_INTERVAL / 2.0),
        row("p99", one(0.99)?, UPSTREAMS_INTERVAL * 0.99).with_goal(goal),
        row("longest", one(1.0)?, UPSTREAMS_INTERVAL),
    ])
}

impl Foe {
    const fn name(self) -> &'static str {
        match self {
            Self::Stays => "by a process that stays",
            Self::Ends => "by nft",
        }
    }
}

impl<'a> Target<'a> {
    fn new(place: &'a Place<'a>, backend: Backend, configuration: &Path, log: &Path) -> Result<Self> {
        // Without protection: with it, no other program could remove the table.
        let agent = place.writing("run", backend, configuration).words("--protect off");
        let running = Running::start(&place.namespace, &agent, log)?;
        let watcher = Watcher::open(&place.namespace, backend)?.into();
        Ok(Self { place, running, watcher })
    }

    fn sample(&self, number: usize, backend: Backend, foe: Foe) -> Result<Duration> {
        if number.is_multiple_of(IN_A_ROW) {
            self.running.signal_reload()?;
            thread::sleep(Duration::from_millis(30));
        }
        let mut watcher = self.watcher.borrow_mut();
        let took = match foe {
            Foe::Stays => watcher.take_out()?,
            Foe::Ends => watcher.watch(&self.place.namespace, &backend.taken_out_by_nft())?,
        };
        // The agent reads back what it has committed.
        thread::sleep(Duration::from_millis(3) + took);
        Ok(took)
    }
}

/// Takes rules out, and sees when they are back.
struct Watcher {
    connection: Connection<NetlinkSocket>,
    listener: Listener,
    backend: Backend,
    /// The commits that were announced and not yet waited for.
    announced: usize,
}

impl Watcher {
    fn open(namespace: &Namespace, backend: Backend) -> Result<Self> {
        let connection = namespace.inside(|| Ok(Connection::open(NetlinkFamily::Netfilter)?))?;
        let listener = Listener::open(namespace, Some(connection.port()))?;
        Ok(Self { connection, listener, backend, announced: 0 })
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
        self.listener.announced()?;
        self.announced = 0;
        Ok(())
    }

    fn next_commit(&mut self) -> Result<()> {
        const LONGEST: Duration = Duration::from_secs(20);
        while self.announced == 0 {
            if !self.listener.wait(LONGEST)? {
                bail!("nobody has committed anything for {LONGEST:?}");
            }
            self.announced += self.listener.announced()?;
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
