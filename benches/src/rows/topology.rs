//! A pod, a node and the world: three namespaces in a row, and packets that go through them.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::Bench;
use crate::machine::CpuTimes;
use crate::namespace::Namespace;
use crate::program::Program;

pub(super) const POD: &str = "10.77.0.2";
const NODE_TO_POD: &str = "10.77.0.1";
const NODE_TO_WORLD: &str = "10.78.0.1";
const WORLD: &str = "10.78.0.2";

/// The cost of new flows on a busy machine is that of the other work, too.
const BUSY: f64 = 0.1;

/// Packets before each sample that do not count.
const WARM_UP: u32 = 300;

/// The three namespaces. Packets from the pod pass the node and end in the world, which counts and drops them.
#[derive(Debug)]
pub(super) struct Topology {
    pod: Namespace,
    node: Namespace,
    world: Namespace,
}

/// One sample of what a packet costs that begins a flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// In seconds.
    pub(super) per_packet: f64,
    /// Whether the other processors had other work in the meantime.
    pub(super) disturbed: bool,
}

impl Topology {
    /// Makes them, and connects them by veth.
    pub(super) fn new(bench: &Bench) -> Result<Self> {
        let topology = Self { pod: Namespace::new()?, node: Namespace::new()?, world: Namespace::new()? };
        let Self { pod, node, world } = &topology;
        let (to_pod, to_world) = (pod.path(), world.path());
        // The addresses of the interfaces are chosen, so that neighbours are known and need not be looked up.
        let ip = |namespace: &Namespace, lines: &str| {
            let file = bench.file("ip.batch", lines)?;
            namespace.run(&Program::new("ip").argument("-batch").argument(file))
        };
        ip(
            node,
            &format!(
                "link add pod0 address 02:00:00:00:00:01 type veth peer name eth0 address 02:00:00:00:00:02 netns {}\n\
                 link add world0 address 02:00:00:00:00:03 type veth peer name eth0 address 02:00:00:00:00:04 netns {}\n\
                 address add {NODE_TO_POD}/24 dev pod0\n\
                 address add {NODE_TO_WORLD}/24 dev world0\n\
                 link set pod0 up\n\
                 link set world0 up\n\
                 neighbour add {POD} lladdr 02:00:00:00:00:02 dev pod0 nud permanent\n\
                 neighbour add {WORLD} lladdr 02:00:00:00:00:04 dev world0 nud permanent\n\
                 route add default via {WORLD}\n",
                to_pod.display(),
                to_world.display()
            ),
        )?;
        ip(
            pod,
            &format!(
                "address add {POD}/24 dev eth0\n\
                 link set eth0 up\n\
                 neighbour add {NODE_TO_POD} lladdr 02:00:00:00:00:01 dev eth0 nud permanent\n\
                 route add default via {NODE_TO_POD}\n"
            ),
        )?;
        ip(world, &format!("address add {WORLD}/24 dev eth0\nlink set eth0 up\n"))?;
        let forwarding =
            [("ipv4/ip_forward", "1"), ("ipv4/conf/all/rp_filter", "0"), ("ipv4/conf/pod0/rp_filter", "0")];
        node.sysctl(&forwarding)?;
        // As early as possible, so that the end of the way costs little.
        let sink = format!(
            "table netdev sink {{\n\
             counter arrived {{ }}\n\
             counter masqueraded {{ }}\n\
             chain ingress {{\n\
             type filter hook ingress device \"eth0\" priority 0;\n\
             ip saddr {NODE_TO_WORLD} counter name masqueraded\n\
             ip protocol udp counter name arrived\n\
             drop\n\
             }}\n}}\n"
        );
        world.run(&Program::new("nft").argument("-f").argument(bench.file("sink.nft", &sink)?))?;
        Ok(topology)
    }

    /// Where the rules go.
    pub(super) const fn node(&self) -> &Namespace {
        &self.node
    }

    /// Where the packets come from.
    pub(super) const fn pod(&self) -> &Namespace {
        &self.pod
    }

    /// Has the node forget all flows.
    pub(super) fn forget(&self) -> Result<()> {
        self.node.run(&pinned(CpuTimes::now()?.last(), "conntrack -F")).map(drop)
    }

    /// Proves that new flows to these destinations arrive, and are masqueraded; gives the rough cost of one, in seconds.
    pub(super) fn prove(&self, bench: &Bench, destinations: &Path) -> Result<f64> {
        const PACKETS: u32 = 1_000;
        let before = self.counters()?;
        let sample = self.sample(bench, destinations, PACKETS)?;
        let after = self.counters()?;
        let [arrived, masqueraded] = [after.0 - before.0, after.1 - before.1];
        let sent = WARM_UP + PACKETS;
        if [arrived, masqueraded] != [u64::from(sent); 2] {
            bail!("{sent} packets were sent, {arrived} arrived, {masqueraded} of them masqueraded");
        }
        Ok(sample.per_packet)
    }

    /// Sends packets, each of them the first of its flow.
    pub(super) fn sample(&self, bench: &Bench, destinations: &Path, packets: u32) -> Result<Sample> {
        let processor = CpuTimes::now()?.last();
        self.forget()?;
        self.pod.run(&bench.flood(WARM_UP, destinations))?;
        self.forget()?;
        let before = CpuTimes::now()?;
        let said = self.pod.output(&bench.flood(packets, destinations))?;
        let disturbed = CpuTimes::now()?.busy_since(&before, Some(processor)) > BUSY;
        self.forget()?;
        let per_packet = said.trim().parse::<f64>().with_context(|| format!("flood says {said:?}"))?;
        Ok(Sample { per_packet, disturbed })
    }

    /// How many packets have arrived in the world, and how many of them with the node's address.
    fn counters(&self) -> Result<(u64, u64)> {
        let listed = self.world.output(&Program::new("nft").words("list counters table netdev sink"))?;
        let counter = |name: &str| {
            let mut words = listed.split_whitespace().skip_while(|word| *word != name);
            words.find(|word| *word == "packets")?;
            words.next()?.parse().ok()
        };
        counter("arrived").zip(counter("masqueraded")).with_context(|| format!("nft lists {listed:?}"))
    }
}

impl Bench {
    /// The program that sends so many packets from the pod, alone on a processor.
    pub(super) fn flood(&self, packets: u32, destinations: &Path) -> Program {
        let processor = CpuTimes::now().map_or(0, |times| times.last());
        let flood = pinned(processor, "chrt -f 10").argument(&self.flood);
        flood.words(&format!("{POD} {packets}")).input(destinations)
    }
}

fn pinned(processor: usize, program: &str) -> Program {
    Program::new("taskset").words(&format!("-c {processor} {program}"))
}

/// The destinations as `flood` reads them.
pub(super) fn lines(destinations: &[Ipv4Addr]) -> String {
    destinations.iter().fold(String::new(), |mut text, destination| {
        let _ = writeln!(text, "{destination}");
        text
    })
}
