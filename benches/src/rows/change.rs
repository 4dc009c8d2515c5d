//! One range more, one range less.

use anyhow::{Context as _, Result};

use super::in_process::InProcess;
use super::{Bench, Picture, Place, Question};
use crate::agent::Backend;
use crate::figures::{Samples, Turns};
use crate::kernel;
use crate::namespace::{Namespace, settle};
use crate::program::Program;
use crate::ranges::{self, Range};
use crate::section::{Goal, Row};
use crate::texts::{self, PEERS_SET, PEERS_TABLE};

const SIZES: [usize; 5] = [4, 64, 1_000, 10_000, 100_000];
const COMPAT_SIZES: [usize; 4] = [4, 64, 1_000, 10_000];
const PREFIX_LEN: u8 = 28;

/// How long it takes to add a range to so many that are in force, and to take it away.
pub(super) const QUESTION: Question = Question {
    name: "change",
    title: "One range added, one range removed",
    about: "From the start of the process to its end, with the other ranges in force: `ip-masq-agent apply` with the changed \
            file, which has one range more or less than is in force. Its peers for nft: `nft add element` and `nft delete \
            element` on *the same sets* as ours (loaded from `render --format nft`: a hash set for each prefix length) and on \
            *an interval set*, and `nft -f` of a text that replaces the table; for nft-compat: `iptables -I` and `-D` of both \
            flavours. The range is in the middle of the list. *As the running agent*: one pass of its loop \
            (`SteppedAgent`), which reads the file, over a socket that stays open; a process that has deleted something is \
            made to wait by the kernel when it closes its socket. *The kernel's listing* is the time of the system calls \
            that list all that is in force, which a process needs that remembers nothing.",
    pictures: &[Picture {
        file: "change.svg",
        title: "One range added",
        axis: "time, median",
        shows: |ours| ours.contains("added"),
    }],
    ask: |bench, section| {
        for (backend, sizes) in [(Backend::Native, &SIZES[..]), (Backend::Compat, &COMPAT_SIZES)] {
            for size in bench.effort.sizes(sizes) {
                section.group(&format!("{}, {size} ranges", backend.name()), || of_size(bench, backend, size));
            }
        }
    },
};

/// Somebody else who has the same ranges in force: how they are added and removed there.
struct Rival {
    added: &'static str,
    removed: &'static str,
    namespace: Namespace,
    add: Program,
    remove: Program,
}

fn of_size(bench: &Bench, backend: Backend, size: usize) -> Result<Vec<Row>> {
    let with = ranges::of_one_length(size, PREFIX_LEN);
    let mut without = with.clone();
    let range = without.remove(size / 2);
    let [with_text, without_text] = [&with, &without].map(|ranges| texts::configuration(ranges, "60s"));
    let with_file = bench.configuration("with.yaml", &with)?;
    let without_file = bench.configuration("without.yaml", &without)?;
    let rivals = match backend {
        Backend::Native => natives(bench, &with, &without, range)?,
        Backend::Compat => ["nft", "legacy"]
            .into_iter()
            .map(|flavour| iptables(bench, flavour, &with, range))
            .collect::<Result<Vec<_>>>()?,
    };

    let apply = |place: &Place<'_>, file| place.namespace.run(&place.writing("apply", backend, file));
    let ours = bench.places()?;
    ours.each(|place| apply(place, &with_file))?;
    let running_in = Namespace::new()?;
    let running = InProcess::new(bench, &running_in, backend)?;
    running.pass(&with_text)?;

    let mut turns = Turns::of_time();
    let listing = turns.add("the kernel's listing", || kernel::listing(&ours.now.namespace));
    let removed = turns.add_each("removed by apply", &ours, |place| apply(place, &without_file));
    let removed_running = turns.add("removed by the running agent", || running.pass(&without_text));
    let removed_by: Vec<usize> =
        rivals.iter().map(|rival| turns.add(rival.removed, || rival.namespace.run(&rival.remove))).collect();
    let added = turns.add_each("added by apply", &ours, |place| apply(place, &with_file));
    let added_running = turns.add("added by the running agent", || running.pass(&with_text));
    let added_by: Vec<usize> =
        rivals.iter().map(|rival| turns.add(rival.added, || rival.namespace.run(&rival.add))).collect();
    let taken = turns.take(bench.effort.repetitions(size))?;

    let goal = match (backend, size) {
        (Backend::Native, 100_000..) => Some(Goal::TimesLess(25.0)),
        (Backend::Native, 10_000..) => Some(Goal::TimesLess(10.0)),
        (Backend::Compat, ..=1_000) => Some(Goal::TimesLess(1.0)),
        _ => None,
    };
    let row = |what: &str, samples: &dyn Fn() -> Result<Row>, peer: &str, theirs: &Samples| -> Result<Row> {
        Ok(Row { ours: format!("one {what}, {}", backend.name()), ..samples()? }.against(peer, theirs))
    };
    let of_added = || Ok(Row::new("", size, taken.of_each(&added)?));
    let of_removed = || Ok(Row::new("", size, taken.of_each(&removed)?));
    let of_added_running = || Ok(Row::new("", size, taken.of(added_running)?));
    let of_removed_running = || Ok(Row::new("", size, taken.of(removed_running)?));
    let mut rows = Vec::new();
    for ((rival, added_by), removed_by) in rivals.iter().zip(added_by).zip(removed_by) {
        let (added_by, removed_by) = (taken.of(added_by)?, taken.of(removed_by)?);
        rows.push(row("added", &of_added, rival.added, &added_by)?.with_goal(goal));
        rows.push(row("added as the running agent", &of_added_running, rival.added, &added_by)?);
        rows.push(row("removed", &of_removed, rival.removed, &removed_by)?);
        rows.push(row("removed as the running agent", &of_removed_running, rival.removed, &removed_by)?);
    }
    rows.push(row("added", &of_added, "the kernel's listing", &taken.of(listing)?)?);
    drop((rivals, ours, running_in));
    settle()?;
    Ok(rows)
}

/// `nft` on the same sets as ours, on an interval set, and replacing the whole.
fn natives(bench: &Bench, with: &[Range], without: &[Range], range: Range) -> Result<Vec<Rival>> {
    const OWN_TABLE: &str = "ip ip-masq-agent";
    let nft = |words: &str| Program::new("nft").words(words);
    let load = |name: &str, text: &str| -> Result<Program> { Ok(nft("-f").argument(bench.file(name, text)?)) };
    let element = |verb: &str, table: &str, set: &str, element: &str| {
        nft(&format!("{verb} element {table} {set}")).argument(format!("{{ {element} }}"))
    };
    let rendered = bench.nft_text(&bench.configuration("same.yaml", with)?)?;
    let set = format!("exempt-{PREFIX_LEN}");
    rendered
        .contains(&format!("set {set} {{"))
        .then_some(())
        .context("the rendered rules have no set for the length")?;
    let network = range.to_string();
    let network = network.split('/').next().unwrap_or_default();
    let interval_set = texts::interval_set(with);
    let replacing = |ranges| texts::replacing(PEERS_TABLE, &texts::interval_set(ranges));

    let same = Rival {
        added: "nft add element, same sets",
        removed: "nft delete element, same sets",
        namespace: Namespace::new()?,
        add: element("add", OWN_TABLE, &set, network),
        remove: element("delete", OWN_TABLE, &set, network),
    };
    same.namespace.run(&load("same.nft", &rendered)?)?;
    let interval = Rival {
        added: "nft add element, interval set",
        removed: "nft delete element, interval set",
        namespace: Namespace::new()?,
        add: element("add", PEERS_TABLE, PEERS_SET, &range.to_string()),
        remove: element("delete", PEERS_TABLE, PEERS_SET, &range.to_string()),
    };
    interval.namespace.run(&load("peer.nft", &interval_set)?)?;
    let replaced = Rival {
        added: "nft -f, replacing",
        removed: "nft -f, replacing",
        namespace: Namespace::new()?,
        add: load("with.nft", &replacing(with))?,
        remove: load("without.nft", &replacing(without))?,
    };
    replaced.namespace.run(&load("peer.nft", &interval_set)?)?;
    Ok(vec![same, interval, replaced])
}

/// `iptables` of a flavour on upstream's chain. The rule is inserted at the chain's head, which is the least that it can do.
fn iptables(bench: &Bench, flavour: &str, with: &[Range], range: Range) -> Result<Rival> {
    let namespace = Namespace::new()?;
    let restore = bench.file("change.restore", &texts::upstream_restore(with))?;
    bench.upstream_start(&namespace, flavour, &restore)?;
    let rule = |verb: &str| {
        let program =
            bench.iptables(&format!("iptables-{flavour}")).words(&format!("-w 5 -t nat {verb} IP-MASQ-AGENT"));
        program.words("-m comment --comment").argument(texts::RETURN_COMMENT).words(&format!("-d {range} -j RETURN"))
    };
    let (added, removed) = match flavour {
        "nft" => ("iptables-nft -I", "iptables-nft -D"),
        _ => ("iptables-legacy -I", "iptables-legacy -D"),
    };
    Ok(Rival { added, removed, namespace, add: rule("-I"), remove: rule("-D") })
}
