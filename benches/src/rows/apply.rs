//! A whole list into an empty namespace.

use anyhow::Result;

use super::{Bench, kernels_share};
use crate::agent::Backend;
use crate::chart::Chart;
use crate::figures::{Contender, in_turn};
use crate::namespace::{Namespace, settle};
use crate::program::Program;
use crate::ranges;
use crate::report::{Goal, Row, Section};
use crate::texts;

const SIZES: [usize; 5] = [4, 64, 1_000, 10_000, 100_000];
/// Upstream's shape is a rule a range: nobody has more of them.
const COMPAT_SIZES: [usize; 4] = [4, 64, 1_000, 10_000];
/// From here on the kernel's share is what counts.
const LARGE: usize = 10_000;

/// A process is started, reads the file, and puts the rules into a namespace that has none.
pub(super) fn apply(bench: &Bench) -> Result<Section> {
    let mut section = Section {
        title: "Full apply into an empty namespace",
        about: "From the start of the process to its end: `ip-masq-agent apply` with a YAML file, against `nft -f` of \
                the same rules (the text of `ip-masq-agent render --format nft`), and for nft-compat against upstream's \
                three programs. Each run has a namespace of its own. *The kernel's share* is the time from the sending \
                of the same transaction to the kernel's acknowledgement, taken around `Connection::commit` of the \
                agent's library, so that nothing traces what is measured."
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
            for row in of_size(bench, backend, size)? {
                chart.point(&row.ours, size, row.samples.median());
                if let Some((peer, samples)) = &row.peer {
                    chart.point(peer, size, samples.median());
                }
                section.rows.push(row);
            }
        }
    }
    section.charts.push(("apply.svg", chart));
    Ok(section)
}

fn of_size(bench: &Bench, backend: Backend, size: usize) -> Result<[Row; 2]> {
    let ranges = ranges::of_one_length(size, 28);
    let configuration = bench.configuration("apply.yaml", &ranges)?;
    let apply = bench.agent.writing("apply", backend, &configuration);
    let nft_text = bench.file("apply.nft", &bench.nft_text(&configuration)?)?;
    let restore = bench.file("apply.restore", &texts::upstream_restore(&ranges))?;
    let nft = Program::new("nft").argument("-f").argument(nft_text);

    // They are kept until all is measured: the kernel needs a while to take one apart.
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
            Contender::new("the kernel's share", || kernels_share(&*fresh()?, &ranges, backend)),
        ],
    )?;
    drop(kept);
    settle()?;
    let name = format!("apply, {}", backend.name());
    let native = backend == Backend::Native;
    let against = |peer: &str, samples, goal| Row {
        ours: name.clone(),
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
