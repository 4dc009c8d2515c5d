//! What is told at the end: what the agents have cost, and what the packets have met.

use std::time::Duration;

use super::cost::{Done, Used, pss_kib};
use super::fleet::{Broken, Checked, Fleet};
use super::oracle::Tally;
use super::plan::Fault;

/// A release build was seen to take 1 MiB, a debug build twice as much.
const MOST_MEMORY_KIB: u64 = 8 * 1024;
/// So many packets of a node have to come through with each answer, or they prove nothing.
const ENOUGH: u64 = 100;

/// Prints both, for a run that took so long.
pub(crate) fn figures(fleet: &Fleet<'_>, took: Duration) -> Checked {
    cost(fleet, took)?;
    packets(fleet)
}

/// What the agents have cost.
fn cost(fleet: &Fleet<'_>, took: Duration) -> Checked {
    let (mut used, mut done) = (Used::default(), Done::default());
    let mut memory = Vec::new();
    for node in &fleet.nodes {
        let (of_it, by_it) = node.cost();
        used += of_it;
        done += by_it;
        memory.push(node.pid().map(pss_kib).unwrap_or_default());
    }
    let most = memory.iter().copied().max().unwrap_or_default();
    let sum: u64 = memory.iter().sum();
    println!(
        "  in {took:.1?}: {:.1?} of a processor, {} wake-ups of loops, {} passes, {} repairs; memory (PSS) {} KiB, {} KiB \
         an agent, {most} KiB at most",
        used.cpu,
        done.wakeups,
        done.passes,
        done.repairs,
        sum,
        sum / memory.len() as u64
    );
    if most > MOST_MEMORY_KIB {
        let nodes = (0..memory.len()).filter(|node| memory[*node] == most).collect();
        return Err(Broken { what: format!("an agent holds {most} KiB"), nodes });
    }
    Ok(())
}

/// What the packets of the sample have met. Only at nodes where somebody changed our rules may these have been damaged.
fn packets(fleet: &Fleet<'_>) -> Checked {
    let mut tallies: Vec<Tally> = Vec::new();
    let mut times = Vec::new();
    for node in &fleet.nodes {
        let Some(sample) = node.sample() else { continue };
        let (tally, of_it) = sample.figures();
        let broken = |what: String| Broken { what: format!("node {}: {what}", node.number), nodes: vec![node.number] };
        if !of_it.is_empty() && !node.character.fault.is_some_and(Fault::damages_rules) {
            return Err(broken(format!("its rules were damaged for {of_it:?}")));
        }
        if tally.answers.iter().any(|answers| *answers < ENOUGH) {
            return Err(broken(format!("too few packets came through to prove anything: {tally:?}")));
        }
        tallies.push(tally);
        times.extend(of_it);
    }
    let sum = |count: fn(&Tally) -> u64| tallies.iter().map(count).sum::<u64>();
    println!(
        "  packets of {} nodes: {} under one policy, {} between two that agree about them, {} between two that differ, \
         none with a third answer\n  while somebody else had changed the rules of a faulty node: {} right and {} not; {} \
         times, the longest for {:.1?}",
        tallies.len(),
        sum(|tally| tally.settled),
        sum(|tally| tally.agreed),
        sum(|tally| tally.either_or),
        sum(|tally| tally.damaged_right),
        sum(|tally| tally.damaged_wrong),
        times.len(),
        times.iter().max().copied().unwrap_or_default()
    );
    Ok(())
}
