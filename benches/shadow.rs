//! The four everyday costs: open and show, one obs column, a slab of X, and adding an embedding; in every container.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

#[path = "../tests/stores/mod.rs"]
mod stores;

use std::hint::black_box;

use anndata_shadow::ndarray::Array2;
use anndata_shadow::{AnnDataShadow, OpenOptions, WriteOptions};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use stores::{CELLS, Copy, data};

fn reads(c: &mut Criterion) {
    for name in CELLS {
        let path = data(name);
        let mut group = c.benchmark_group(name);
        group.bench_function("open and show", |b| {
            b.iter(|| black_box(AnnDataShadow::open(&path).unwrap().to_string()));
        });
        let shadow = AnnDataShadow::open_with(&path, &OpenOptions::default().cache_budget(0)).unwrap();
        group.bench_function("obs column", |b| b.iter(|| black_box(shadow.obs().column("louvain").unwrap())));
        group.bench_function("100 rows of X", |b| {
            b.iter(|| black_box(shadow.select(0..100, ..).unwrap().x().read::<Array2<f32>>().unwrap()));
        });
        group.finish();
    }
}

fn add(c: &mut Criterion) {
    let embedding = Array2::from_shape_fn((700, 50), |(r, c)| (r * 50 + c) as f32);
    for name in CELLS {
        let mut group = c.benchmark_group(name);
        group.sample_size(20);
        let fresh = || {
            let copy = Copy::of(name);
            let shadow = copy.open_to_write();
            shadow.obsm().insert("X_new", embedding.clone()).unwrap();
            (copy, shadow)
        };
        group.bench_function("add an embedding", |b| {
            b.iter_batched(
                fresh,
                |(copy, shadow)| (shadow.write(WriteOptions::default()).unwrap(), copy),
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, reads, add);
criterion_main!(benches);
