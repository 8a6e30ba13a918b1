//! The four everyday costs: open and show, one obs column, a slab of X, and adding an embedding; in every container.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::hint::black_box;
use std::path::{Path, PathBuf};

use anndata_shadow::ndarray::Array2;
use anndata_shadow::{AnnDataShadow, Mode, OpenOptions, WriteOptions};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const STORES: [&str; 4] =
    ["pbmc68k_reduced.h5ad", "pbmc68k_reduced_v2.zarr", "pbmc68k_reduced_v3.zarr", "pbmc68k_reduced_v013.zarr"];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        std::fs::copy(from, to).unwrap();
    }
}

fn reads(c: &mut Criterion) {
    for name in STORES {
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
    for name in STORES {
        let mut group = c.benchmark_group(name);
        group.sample_size(20);
        let fresh = || {
            let keep = tempfile::tempdir().unwrap();
            let path = keep.path().join(name);
            copy(&data(name), &path);
            let shadow = AnnDataShadow::open_with(&path, &OpenOptions::default().mode(Mode::ReadWrite)).unwrap();
            shadow.obsm().insert("X_new", embedding.clone()).unwrap();
            (keep, shadow)
        };
        group.bench_function("add an embedding", |b| {
            b.iter_batched(
                fresh,
                |(keep, shadow)| (shadow.write(WriteOptions::default()).unwrap(), keep),
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, reads, add);
criterion_main!(benches);
