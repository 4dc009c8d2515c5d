//! A whole list into an empty namespace.

use anyhow::Result;

use super::Bench;
use crate::agent::Backend;
use crate::chart::Chart;
use crate::figures::{Contender, in_turn};
use crate::kernel;
use crate::namespace::{Namespace, settle};
use crate::program::Program;
use crate::pure;
use crate::ranges::{self, Range};
use crate::report::{Goal, Row, Section};
use crate::texts;

const SIZES: [usize; 5] = [4, 64, 1_000, 10_000, 100_000];
/// Upstream's layout has one rule for each range: longer lists are unrealistic there.
const COMPAT_SIZES: [usize; 4] = [4, 64, 1_000, 10_000];
/// Lists that go into an interval set.
const INTERVAL_SIZES: [usize; 3] = [1_000, 10_000, 100_000];
/// From here on the kernel's share is what counts.
const LARGE: usize = 10_000;

/// A process is started, reads the file, and puts the rules into a namespace that has none.
pub(super) fn apply(bench: &Bench) -> Result<Section> {
    let mut section = Section {
        title: "Full apply into an empty namespace",
        about: "From the start of the process to its end: `ip-masq-agent apply` with a YAML file, against `nft -f` of \
                the same rules (the text of `ip-masq-agent render --format nft`), and for nft-compat against upstream's \
                three programs. Each run has a namespace of its own. *The kernel's share* is the time from the sending \
                of the same transactions to the kernel's acknowledgement, taken around `Connection::commit` of the \
                agent's library, so that nothing traces what is measured. A list of one prefix length, with link-local's \
                two of them, is kept in hash sets; one of twenty in an interval set, which the kernel takes four times \
                as long to fill, and for which the goal of 1.3 times was stated."
            .to_owned(),
        ..Section::default()
    };
    let mut chart = Chart::new("Full apply into an empty namespace", "time, median");
    for backend in Backend::ALL {
        let sizes: &[usize] = match backend {
            Backend::Native => &SIZES,
            Backend::Compat => &COMPAT_SIZES,
        };
        for size in bench.effort.sizes(sizes) {
            let ranges = ranges::of_one_length(size, 28);
            for row in of_list(bench, backend, &format!("apply, {}", backend.name()), &ranges)? {
                chart.point(&row.ours, size, row.samples.median());
                if let Some((peer, samples)) = &row.peer {
                    chart.point(peer, size, samples.median());
                }
                section.rows.push(row);
            }
        }
    }
    for size in bench.effort.sizes(&INTERVAL_SIZES) {
        let ranges = ranges::of_twenty_lengths(size);
        section.rows.extend(of_list(bench, Backend::Native, "apply, nft, twenty lengths", &ranges)?);
    }
    section.charts.push(("apply.svg", chart));
    Ok(section)
}

fn of_list(bench: &Bench, backend: Backend, name: &str, ranges: &[Range]) -> Result<[Row; 2]> {
    let size = ranges.len();
    let configuration = bench.configuration("apply.yaml", ranges)?;
    let ruleset = pure::ruleset(&texts::configuration(ranges, "60s"), pure::layout(backend))?;
    let apply = bench.agent.writing("apply", backend, &configuration);
    let nft_text = bench.file("apply.nft", &bench.nft_text(&configuration)?)?;
    let restore = bench.file("apply.restore", &texts::upstream_restore(ranges))?;
    let nft = Program::new("nft").argument("-f").argument(nft_text);

    // They are held until all is measured: the kernel needs a while to take one apart.
    let kept = std::cell::RefCell::new(Vec::new());
    let fresh = || -> Result<std::rc::Rc<Namespace>> {
        let namespace = std::rc::Rc::new(Namespace::new()?);
        kept.borrow_mut().push(std::rc::Rc::clone(&namespace));
        Ok(namespace)
    };
    let peer = match backend {
        Backend::Native => "nft -f",
        Backend::Compat => "upstream's programs, iptables-nft",
    };
    let [ours, theirs, share] = in_turn(
        bench.effort.repetitions(size),
        [
            Contender::new("ip-masq-agent apply", || fresh()?.run(&apply)),
            Contender::new(peer, || match backend {
                Backend::Native => fresh()?.run(&nft),
                Backend::Compat => {
                    let namespace = fresh()?;
                    let start = std::time::Instant::now();
                    bench.upstream_start(&namespace, "nft", &restore)?;
                    Ok(start.elapsed())
                }
            }),
            Contender::new("the kernel's share", || kernel::share(&*fresh()?, &ruleset)),
        ],
    )?;
    drop(kept);
    settle()?;
    let native = backend == Backend::Native;
    let against = |peer: &str, samples, goal| Row {
        ours: name.to_owned(),
        ranges: size,
        samples: ours.clone(),
        peer: Some((peer.to_owned(), samples)),
        goal,
    };
    let share_of = format!("the kernel's share, {}", backend.name());
    Ok([
        against(peer, theirs, native.then_some(Goal::TimesLess(1.8))),
        against(&share_of, share, (native && size >= LARGE).then_some(Goal::AtMostTimes(1.3))),
    ])
}
