//! Never wrong for long, and never a third answer: the agent under everything that can happen to it at once.
//!
//! A pod sends packets without a pause, each the first of a flow, while a script that follows from a seed changes the
//! file, damages the rules, kills and starts agents, takes from them what they need ([`Trouble`](trouble::Trouble)),
//! and makes noise. For each packet that arrives in world the [`oracle`] knows which answers it may have met.
//! `CHAOS_SEED` repeats a run, as far as the machine lets it; `CHAOS_SECONDS` is how long each layout is tried, and
//! `CHAOS_TROUBLES` names those that may happen.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test with a line number"
)]

mod books;
mod driver;
mod event;
mod file;
mod layout;
mod oracle;
mod policy;
mod random;
mod script;
#[path = "../support/mod.rs"]
mod support;
mod surroundings;
mod traffic;
mod trouble;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use driver::Driver;
use layout::Layout;
use script::Script;
use support::disk::Ext4;
use support::netns::Netns;
use support::setting;
use support::topology::Topology;
use surroundings::Surroundings;
use traffic::{Clock, Traffic};
use trouble::Trouble;

/// What every machine tries. `make chaos` tries others.
const SEED: u64 = 4;
const SECONDS: u64 = 14;
/// Between two rounds of packets. The machine has other work to do than this.
const PAUSE: Duration = Duration::from_micros(100);

#[test]
fn rules_in_iptables_table_are_the_old_ones_or_the_new_whatever_happens() {
    survive(Layout::IptablesNat);
}

#[test]
fn tables_of_our_own_hold_the_old_rules_or_the_new_whatever_happens() {
    survive(Layout::OwnTable);
}

#[test]
fn protected_tables_hold_the_old_rules_or_the_new_whatever_happens() {
    survive(Layout::NativeProtected);
}

fn survive(layout: Layout) {
    // One layout at a time, or they wait for each other's programs.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (Some(topology), Some(fresh)) = (Topology::new(), Netns::new("fresh")) else { return };
    let troubles = Trouble::chosen();
    if troubles.contains(&Trouble::StateDisk) {
        Ext4::with(|disk| survive_in(&topology, fresh, Some(disk), layout, &troubles));
    } else {
        survive_in(&topology, fresh, None, layout, &troubles);
    }
}

fn survive_in(topology: &Topology, fresh: Netns, disk: Option<&Ext4>, layout: Layout, troubles: &[Trouble]) {
    let (seed, seconds) = (setting("CHAOS_SEED", SEED), setting("CHAOS_SECONDS", SECONDS));
    println!("{layout:?}; this is repeated by: make chaos SEED={seed} SECONDS={seconds}");
    let traffic = Traffic::new(Clock::start(), PAUSE);
    let mut script = Script::new(seed, layout, troubles.to_vec());
    let first = script.policy();
    let surroundings = Surroundings::new(topology.node.scratch(), disk, troubles);
    let driver = Driver::start(layout, topology, fresh, &traffic, surroundings, first);
    traffic.during(topology, || driver.follow(&mut script, Duration::from_secs(seconds)));
}
