//! Time per request in process: `cargo bench -p privet-benches --bench request_path`.
//!
//! Compare the cases of one run with each other, never figures of two machines or two runs.

use criterion::{Criterion, criterion_group, criterion_main};
use privet_benches::{Bench, Case};

fn request_path(c: &mut Criterion) {
    let mut group = c.benchmark_group("request");
    for case in Case::ALL {
        let bench = Bench::new(case);
        group.bench_function(case.name(), |b| b.iter(|| bench.run(1)));
    }
    group.finish();
}

criterion_group!(benches, request_path);
criterion_main!(benches);
