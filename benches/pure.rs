//! Criterion over the pure part: each stage between the bytes of a configuration and those of a transaction.

#![allow(missing_docs, reason = "criterion's macros make a function that nobody calls by name")]

use anyhow::Result;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use ip_masq_agent::rules::compile;
use ip_masq_agent_benches::agent::Backend;
use ip_masq_agent_benches::{pure, ranges, texts};

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

fn stages(criterion: &mut Criterion) -> Result<()> {
    for backend in Backend::ALL {
        let layout = pure::layout(backend);
        let mut group = criterion.benchmark_group(backend.name());
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
        for size in SIZES {
            let text = texts::configuration(&ranges::of_one_length(size, 28), "60s");
            let config = pure::parse(&text)?;
            let policy = pure::policy(&config);
            let ruleset = compile(&policy, layout);
            let plan = pure::plan_from_nothing(&ruleset)?;
            pure::encode(&plan, None)?;
            let whole = || pure::encode(&pure::plan_from_nothing(&pure::ruleset(&text, layout)?)?, None);
            whole()?;

            group.throughput(Throughput::Elements(size as u64));
            let mut stage = |name: &str, work: &mut dyn FnMut()| {
                group.bench_function(BenchmarkId::new(name, size), |bencher| bencher.iter(&mut *work));
            };
            stage("parse", &mut || drop(std::hint::black_box(pure::parse(&text))));
            stage("policy", &mut || drop(std::hint::black_box(pure::policy(&config))));
            stage("compile", &mut || drop(std::hint::black_box(compile(&policy, layout))));
            stage("plan", &mut || drop(std::hint::black_box(pure::plan_from_nothing(&ruleset))));
            stage("encode", &mut || drop(std::hint::black_box(pure::encode(&plan, None))));
            stage("whole", &mut || drop(std::hint::black_box(whole())));
        }
        group.finish();
    }
    Ok(())
}

fn all(criterion: &mut Criterion) {
    if let Err(error) = stages(criterion) {
        eprintln!("{error:#}");
        std::process::exit(1);
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
