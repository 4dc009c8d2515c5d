//! A fleet to which nothing happens does nothing but look at its resync interval.

use std::time::{Duration, Instant};

use super::cost::{Done, Used};
use super::fleet::{Broken, Checked, Fleet, pause};
use super::plan::Fault;
use super::support::{DEADLINE, wait_until};

/// A look at the resync interval wakes the loop, the thread that looks at the file, and the one that keeps the node's state.
const WAKEUPS_OF_A_LOOK: u64 = 4;
/// A process is started for a save, and waited for.
const WAKEUPS_OF_A_SAVE: u64 = 10;
/// A save that fails is tried again after a second, and then after twice as long each time: so often while nothing happens.
const SAVES: u64 = 5;
/// What a look may cost of a processor.
const CPU_OF_A_LOOK: Duration = Duration::from_millis(20);
/// What somebody commits in one of the network namespaces meanwhile, which is no business of the agents in the others.
const ELSEWHERE: &str = "add table inet others\ndelete table inet others";
const COMMITS: usize = 20;

/// Nothing happens for so long but commits at one node, and no other does more than its resync interval asks for.
pub(crate) fn rest(fleet: &Fleet<'_>, time: Duration, resync: Option<Duration>) -> Checked {
    let disturbed = fleet.plan.rings[0][0];
    let done_before = done(fleet);
    if resync.is_none() {
        all_sleep(fleet);
    }
    let (began, used_before) = (Instant::now(), used(fleet));
    for _ in 0..COMMITS {
        fleet.nodes[disturbed].netns().nft(ELSEWHERE);
    }
    pause(time.saturating_sub(began.elapsed()));
    let (took, used_after) = (began.elapsed(), used(fleet));
    let done_after = done(fleet);
    let whole = began.elapsed() + Duration::from_secs(1);
    let looks = resync.map_or(0, |resync| whole.as_millis() / resync.as_millis() + 1);
    let looks = u64::try_from(looks).expect("a short time");
    let mut sum = Used::default();
    let mut wakeups = 0.0;
    for node in 0..fleet.nodes.len() {
        let woken = done_after[node].wakeups - done_before[node].wakeups;
        let spent = used_after[node].clone() - &used_before[node];
        let broken = |what: String| Broken { what: format!("in {took:?} without events {what}"), nodes: vec![node] };
        if node == disturbed {
            if woken < 1.0 {
                return Err(broken(format!("the loop of node {node} did not wake, though somebody commits there")));
            }
            continue;
        }
        // With each look, too.
        let saves = if is_stateless(fleet, node) { SAVES + looks } else { 0 };
        let most = u32::try_from(looks + saves).expect("a short time");
        if woken > f64::from(most) {
            return Err(broken(format!("the loop of node {node} woke {woken} times, not {most}")));
        }
        if spent.wakeups() > looks * WAKEUPS_OF_A_LOOK + saves * WAKEUPS_OF_A_SAVE {
            return Err(broken(format!("threads of node {node} woke: {:?}", spent.sleeps)));
        }
        if spent.cpu > CPU_OF_A_LOOK * most {
            return Err(broken(format!("node {node} took {:?} of a processor", spent.cpu)));
        }
        sum += spent;
        wakeups += woken;
    }
    let every = resync.map_or("an hour".to_owned(), |resync| format!("{resync:?}"));
    println!(
        "  rest for {took:.1?}, a look every {every}: the loops woke {wakeups} times, all threads {} times, {:?} of a \
         processor",
        sum.wakeups(),
        sum.cpu
    );
    Ok(())
}

/// Waits until the agents have gone to sleep for good: they have slept through the time between two looks.
fn all_sleep(fleet: &Fleet<'_>) {
    let sound: Vec<usize> = (0..fleet.nodes.len()).filter(|node| !is_stateless(fleet, *node)).collect();
    let wakeups = || -> u64 {
        let used = used(fleet);
        sound.iter().map(|node| used[*node].wakeups()).sum()
    };
    let mut before = 0;
    wait_until(DEADLINE, "the agents are idle", || {
        pause(Duration::from_millis(200));
        std::mem::replace(&mut before, wakeups()) == before
    });
}

/// Whether its agent cannot save anything, and tries again.
fn is_stateless(fleet: &Fleet<'_>, node: usize) -> bool {
    matches!(fleet.nodes[node].character.fault, Some(Fault::FullState | Fault::ReadOnlyState))
}

fn done(fleet: &Fleet<'_>) -> Vec<Done> {
    fleet.nodes.iter().map(|node| Done::of(&node.metrics().unwrap_or_default())).collect()
}

fn used(fleet: &Fleet<'_>) -> Vec<Used> {
    fleet.nodes.iter().map(|node| node.pid().map(Used::by).unwrap_or_default()).collect()
}
