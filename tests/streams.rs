//! Elements a part at a time: blocks, statistics and minibatches against numpy and against reading the whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod stores;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

use anndata_shadow::ndarray::Array2;
use anndata_shadow::polars::prelude::{ChunkCompareEq, NamedFrom, Series};
use anndata_shadow::store::{Attrs, Style, WriteStore, ZarrStore};
use anndata_shadow::{
    AnnDataShadow, Array, Batch, BlockSize, ElemPath, Element, Error, IoStats, Kind, Rows, Select, Shuffle, Sparse,
    SparseFormat, Stats, StatsOptions, WriteOptions,
};
use rayon::prelude::*;
use serde_json::{Value, json};
use stores::{CELLS, Copy, data};

/// Stores of every container, dtype and form of X, and a column to group by.
const FIXTURES: &[(&str, Option<&str>)] = &[
    ("main.h5ad", Some("cat")),
    ("main_gzip.h5ad", Some("flag")),
    ("main_v2.zarr", Some("text")),
    ("main_v3.zarr", Some("cat_ordered")),
    ("main_v3_sharded.zarr", Some("i8")),
    ("chunks.h5ad", Some("t")),
    ("codecs_v2.zarr", None),
    ("codecs_v3.zarr", Some("t")),
    ("kitchen.h5ad", None),
    ("kitchen_v3.zarr", None),
    ("foreign.h5ad", Some("cat")),
    ("x_csc_f64.h5ad", None),
    ("x_csc_f64_v3.zarr", None),
    ("x_csr_int64_indptr.h5ad", None),
    ("x_dense_f16.h5ad", None),
    ("x_dense_u8_v3.zarr", None),
    ("legacy_05.h5ad", None),
    ("legacy_06.h5ad", None),
    ("legacy_07.h5ad", None),
    ("legacy_07_v2.zarr", None),
    ("nullable_string_index_v3.zarr", None),
    ("zero_0x3_csr.h5ad", None),
    ("zero_3x0_dense_v3.zarr", None),
    ("zero_0x0_dense.h5ad", None),
];

/// Statistics of matrices that must be compared, at least.
const FLOOR: usize = 500;

fn number(text: &Value) -> f64 {
    text.as_str().unwrap().parse().unwrap()
}

/// What differs from numpy by more than 1e-9 of the magnitudes that were added up.
fn faults(name: &str, found: &Stats, wanted: &Value) -> Vec<String> {
    let nonzero: Vec<f64> = found.nonzero.iter().map(|&n| n as f64).collect();
    let all = [
        ("sum", &found.sum),
        ("mean", &found.mean),
        ("variance", &found.variance),
        ("min", &found.min),
        ("max", &found.max),
        ("nonzero", &nonzero),
    ];
    let scales = wanted["scale"].as_array().unwrap();
    let mut faults = Vec::new();
    for (what, values) in all {
        let expected = wanted[what].as_array().unwrap();
        if expected.len() != values.len() {
            faults.push(format!("{name} {what}: {} lines, numpy has {}", values.len(), expected.len()));
        }
        for (i, (&value, expected)) in values.iter().zip(expected).enumerate() {
            let expected = number(expected);
            let scale = number(&scales[i]);
            let (exact, most) = match what {
                "min" | "max" | "nonzero" => (true, 0.0),
                "sum" => (false, scale),
                "mean" => (false, scale / found.count as f64),
                _ => (false, expected),
            };
            let near = value == expected
                || (value.is_nan() && expected.is_nan())
                || (!exact && (value - expected).abs() <= 1e-9 * most.abs());
            if !near {
                faults.push(format!("{name} {what} of line {i}: {value}, numpy has {expected}"));
            }
        }
    }
    faults
}

fn is_matrix(path: &str) -> bool {
    path == "X" || path == "raw/X" || ["layers/", "obsm/", "obsp/"].iter().any(|slot| path.starts_with(slot))
}

#[test]
fn statistics_are_numpys() {
    let (mut compared, mut found_faults) = (0, Vec::new());
    let real = CELLS[..1].iter().map(|name| (data(name), Some("louvain")));
    let made = FIXTURES.iter().map(|(name, by)| (common::fixtures().join(name), *by));
    let (mut stores, mut jobs) = (Vec::new(), Vec::new());
    for (path, by) in made.chain(real) {
        let shadow = AnnDataShadow::open(&path).unwrap();
        let [n, m] = [shadow.n_obs(), shadow.n_vars()].map(|n| n as i64);
        let list = |n: i64| if n > 0 { vec![n - 1, 0, n / 2, 0, n - 1] } else { Vec::new() };
        let slice = |start, stop, step| Select::Slice { start, stop, step };
        let views = [
            (list(n).into(), slice(None, None, -1), json!([{"list": list(n)}, {"slice": [null, null, -1]}])),
            (slice(Some(1), None, 1), list(m).into(), json!([{"slice": [1, null, 1]}, {"list": list(m)}])),
        ];
        let mut chains = vec![json!([])];
        let mut objects = vec![shadow.clone()];
        for (obs, var, chain) in views {
            objects.push(shadow.select(obs, var).unwrap());
            chains.push(json!([chain]));
        }
        let container = if path.extension().is_some_and(|e| e == "h5ad") { "hdf5" } else { "zarr" };
        jobs.push(json!({"path": path, "container": container, "chains": chains, "by": by}));
        stores.push((path, by, objects));
    }
    let answers = common::python("stats.py", &json!({"jobs": jobs}));
    for ((path, by, objects), answer) in stores.iter().zip(answers.as_array().unwrap()) {
        let n = objects[0].n_obs();
        for (object, wanted) in objects.iter().zip(answer.as_array().unwrap()) {
            for (element, wanted) in common::entries(wanted) {
                let member = object.member(element).unwrap();
                if member.info().unwrap().unwrap().shape.len() != 2 {
                    continue;
                }
                let sizes = [BlockSize::default(), BlockSize::Rows(3), BlockSize::Bytes(100)];
                // The large ones in one piece are enough.
                for size in sizes.into_iter().take(if n < 100 { 3 } else { 1 }) {
                    let options = StatsOptions::default().block(size);
                    let name = format!("{} {element} of {:?} by {size:?}", path.display(), object.shape());
                    let both = member.stats(&options).unwrap();
                    found_faults.extend(faults(&format!("{name}, rows:"), &both.rows, &wanted["rows"]));
                    found_faults.extend(faults(&format!("{name}, columns:"), &both.columns, &wanted["columns"]));
                    let single =
                        [(member.row_stats(&options), both.rows), (member.column_stats(&options), both.columns)];
                    for (single, of_both) in single {
                        let (single, of_both) = (format!("{:?}", single.unwrap()), format!("{of_both:?}"));
                        assert_eq!(single, of_both, "{name}");
                    }
                    compared += 1;
                    let Some(by) = by else { continue };
                    let groups = member.stats_by(by, &options).unwrap();
                    let names: BTreeSet<&String> = common::entries(&wanted["groups"]).map(|(name, _)| name).collect();
                    assert_eq!(groups.groups.iter().collect::<BTreeSet<_>>(), names, "{name}");
                    for (group, stats) in groups.groups.iter().zip(&groups.stats) {
                        found_faults.extend(faults(&format!("{name}, {group}:"), stats, &wanted["groups"][group]));
                    }
                }
            }
            for listed in object.elements().unwrap().iter().filter(|e| is_matrix(&e.path)) {
                let real = matches!(listed.info.kind, Kind::Array | Kind::Sparse) && listed.info.shape.len() == 2;
                let told = wanted.get(&listed.path).is_some();
                let error = object.member(&listed.path).unwrap().stats(&StatsOptions::default()).err();
                assert_eq!(error.is_none(), told && real, "{} {}: {error:?}", path.display(), listed.path);
            }
        }
    }
    println!("{compared} matrices compared");
    assert!(found_faults.is_empty(), "{} faults:\n{}", found_faults.len(), found_faults.join("\n"));
    assert!(compared >= FLOOR, "only {compared} compared");
}

/// What `act` reads.
fn cost<T>(shadow: &AnnDataShadow, act: impl FnOnce() -> T) -> IoStats {
    let before = shadow.io_stats();
    act();
    shadow.io_stats() - before
}

#[test]
fn blocks_are_the_element_in_order() {
    for name in CELLS {
        let shadow = AnnDataShadow::open(data(name)).unwrap();
        let view = shadow.select((0..700).rev().step_by(3).collect::<Vec<i64>>(), 5..105).unwrap();
        let shadow = shadow.select(.., ..50).unwrap();
        for object in [&shadow, &view] {
            for path in ["X", "obsm/X_pca", "obsp/distances", "obs/louvain", "varm/PCs"] {
                if !object.member(path).unwrap().exists().unwrap() {
                    continue;
                }
                let member = object.member(path).unwrap();
                let whole = member.element().unwrap();
                object.clear_cache();
                let len = whole.shape()[0];
                for size in [BlockSize::default(), BlockSize::Bytes(40_000), BlockSize::Rows(99)] {
                    let mut next = 0;
                    for block in member.row_blocks(size).unwrap() {
                        let block = block.unwrap();
                        assert_eq!(block.rows.start, next, "{name} {path} {size:?}");
                        let wanted = common::describe(&whole.take(&[Rows::span(block.rows.start, block.rows.end)]));
                        // As described, for NaN is not NaN.
                        assert_eq!(common::describe(&block.element), wanted, "{name} {path}");
                        next = block.rows.end;
                        if let BlockSize::Rows(n) = size {
                            assert!(block.rows.len() == n || next == len);
                        }
                    }
                    assert_eq!(next, len, "{name} {path} {size:?}");
                }
            }
        }
    }
}

#[test]
fn blocks_of_a_dense_matrix_decode_each_chunk_once() {
    for name in CELLS {
        // Opened anew for each question: small chunks that were read in part are remembered.
        let open = || AnnDataShadow::open(data(name)).unwrap();
        let shadow = open();
        let info = shadow.x().info().unwrap().unwrap();
        let chunks = info.chunks.unwrap();
        let grid: u64 = info.shape.iter().zip(&chunks).map(|(&n, &c)| n.div_ceil(c) as u64).product();
        // A row of chunks and a half: blocks of one.
        let bytes = chunks[0] * info.shape[1] * 4 * 3 / 2;
        let mut blocks = 0;
        let read = cost(&shadow, || blocks = shadow.x().row_blocks(BlockSize::Bytes(bytes)).unwrap().count());
        assert_eq!((read.chunks, blocks), (grid, info.shape[0].div_ceil(chunks[0])), "{name}");
        let shadow = open();
        let by_stats = cost(&shadow, || shadow.x().stats(&StatsOptions::default()).unwrap());
        assert_eq!(by_stats.chunks, grid, "{name}");
        // Cells here and there, in order: still each chunk once.
        let shadow = open();
        let some = shadow.select(Select::Slice { start: Some(1), stop: None, step: 3 }, ..).unwrap();
        let read = cost(&shadow, || some.x().row_blocks(BlockSize::Bytes(bytes / 3)).unwrap().count());
        assert_eq!(read.chunks, grid, "{name}");
    }
}

/// A CSR (or CSC) matrix of 700 × 765 in a layer of its own, 100 entries in each tenth line and 4 in others.
fn with_uneven(name: &str, format: SparseFormat) -> Copy {
    let copy = Copy::of(name);
    let shadow = copy.open_to_write();
    let (mut indices, mut indptr) = (Vec::new(), vec![0]);
    let lines = if format == SparseFormat::Csr { 700 } else { 765 };
    for m in 0..lines {
        indices.extend((0..if m % 10 == 0 { 100_i32 } else { 4 }).map(|k| k * 6));
        indptr.push(indices.len() as u64);
    }
    let values = Array::from_vec((0..indices.len()).map(|i| (i % 977) as f32).collect());
    let matrix = Sparse::new(format, [700, 765], values, indices, indptr).unwrap();
    shadow.layers().insert("uneven", Element::Sparse(matrix)).unwrap();
    shadow.write(WriteOptions::default().clear_cache(true)).unwrap();
    copy
}

#[test]
fn blocks_of_a_csr_matrix_have_the_bytes_asked_for() {
    for name in CELLS {
        let copy = with_uneven(name, SparseFormat::Csr);
        let shadow = copy.open();
        let bytes = 8_000;
        let member = shadow.layers().member("uneven").unwrap();
        let blocks: Vec<usize> = member
            .row_blocks(BlockSize::Bytes(bytes))
            .unwrap()
            .map(|block| match block.unwrap().element {
                Element::Sparse(s) => s.nnz() * 8 + s.shape()[0] * 8,
                other => panic!("{other:?}"),
            })
            .collect();
        let (last, full) = blocks.split_last().unwrap();
        assert!(full.iter().all(|n| (bytes - 900..=bytes).contains(n)) && *last <= bytes, "{name}: {blocks:?}");
    }
}

#[test]
fn statistics_of_a_csc_matrix_read_it_once() {
    for name in CELLS {
        let copy = with_uneven(name, SparseFormat::Csc);
        let shadow = copy.open();
        let member = shadow.layers().member("uneven").unwrap();
        let whole = cost(&shadow, || member.read_part::<Element>(&[(0..700).into()]).unwrap());
        let stats = cost(&shadow, || member.stats(&StatsOptions::default()).unwrap());
        // Once more the ends of the columns, and no more than that.
        assert!(stats.bytes_read < whole.bytes_read * 3 / 2, "{name}: {stats:?} {whole:?}");
    }
}

/// The batches, and their rows in the order in which they came.
fn drawn(batches: &[Batch]) -> Vec<usize> {
    batches.iter().flat_map(|batch| batch.rows.iter().copied()).collect()
}

#[test]
fn batches_take_every_row_once_and_depend_on_the_seed_alone() {
    let mut orders = BTreeSet::new();
    for name in CELLS {
        let shadow = AnnDataShadow::open(data(name)).unwrap();
        let view = shadow.select(Select::Slice { start: None, stop: None, step: -2 }, 10..20).unwrap();
        for (object, path) in [(&shadow, "raw/X"), (&view, "X"), (&view, "obsm/X_pca")] {
            let member = object.member(path).unwrap();
            if !member.exists().unwrap() {
                continue;
            }
            let whole = member.element().unwrap();
            object.clear_cache();
            for shuffle in [Shuffle::None, Shuffle::Rows, Shuffle::Blocks(10), Shuffle::Blocks(64)] {
                let draw = |seed| -> Vec<Batch> {
                    member.minibatches(64, seed, shuffle).unwrap().collect::<Result<_, _>>().unwrap()
                };
                let batches = draw(7);
                let mut rows = drawn(&batches);
                if path == "obsm/X_pca" {
                    assert_eq!(rows, drawn(&draw(7)), "{name} {shuffle:?}");
                    assert_eq!(rows == drawn(&draw(8)), shuffle == Shuffle::None, "{name} {shuffle:?}");
                }
                orders.insert((object.n_obs(), format!("{shuffle:?}"), rows.clone()));
                rows.sort_unstable();
                assert!(rows.into_iter().eq(0..object.n_obs()), "{name} {path} {shuffle:?}");
                for (i, batch) in batches.iter().enumerate() {
                    assert!(batch.rows.len() == 64 || i + 1 == batches.len());
                    let wanted = whole.take(&[Rows::picks(batch.rows.clone())]);
                    assert_eq!(batch.element, wanted, "{name} {path} {shuffle:?}");
                }
            }
        }
    }
    // The same in all containers and for all elements.
    assert_eq!(orders.len(), 8);
    let shadow = AnnDataShadow::open(data(CELLS[0])).unwrap();
    let of = |size| shadow.x().minibatches(size, 1, Shuffle::Rows).unwrap();
    assert_eq!((of(64).count(), of(64).drop_last(true).count(), of(10_000).count()), (11, 10, 1));
    assert_eq!(of(10_000).drop_last(true).count(), 0);
}

#[test]
fn shuffled_blocks_decode_each_chunk_once_if_batches_fit_into_16_of_them() {
    let copy = Copy::of("pbmc68k_reduced_v3.zarr");
    common::python("chunked.py", &json!({"path": copy.path, "shape": [700, 765], "rows": 10, "entries": 100}));
    // Chunks are blocks: of 70, 16 are a load.
    for (path, chunks_of_a_block) in [("layers/dense", 1), ("layers/csr", 2)] {
        let read = |size: usize, shuffle| {
            let shadow = copy.open();
            let mut batches = shadow.member(path).unwrap().minibatches(size, 3, shuffle).unwrap();
            batches.next().unwrap().unwrap();
            let first = shadow.io_stats().chunks;
            assert_eq!(batches.map(Result::unwrap).count(), 700_usize.div_ceil(size) - 1);
            [first, shadow.io_stats().chunks]
        };
        let [_, in_order] = read(20, Shuffle::None);
        let [first, in_blocks] = read(20, Shuffle::Blocks(10));
        // Those of indptr, which stays in memory, are what else there is: its beginning, and the whole.
        let once = 70 * chunks_of_a_block;
        assert!((once..=once + 2).contains(&in_blocks), "{path}: {in_blocks}");
        assert!(in_blocks <= in_order + 1, "{path}: {in_blocks}, {in_order} in order");
        // At the first batch there are two loads at most.
        assert!(first <= 2 * 16 * chunks_of_a_block + 2, "{path}: {first}");
        // 160 rows are no multiple of 30: loads are 180, and end within what was shuffled together; a part of its
        // chunks is read twice.
        let [_, askew] = read(30, Shuffle::Blocks(10));
        assert!((once + 3..=once / 4 * 5 + 2).contains(&askew), "{path}: {askew}");
    }
}

#[test]
fn a_chunk_of_a_hundred_million_rows_is_cut_into_blocks_of_the_bytes_asked_for() {
    const ROWS: usize = 100_000_000;
    let copy = Copy::of("pbmc68k_reduced_v3.zarr");
    let array = copy.path.join("uns/long");
    std::fs::create_dir(&array).unwrap();
    let doc = json!({"zarr_format": 3, "node_type": "array", "shape": [ROWS], "data_type": "uint8", "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [ROWS]}},
        "chunk_key_encoding": {"name": "default"}, "codecs": [{"name": "bytes"}, {"name": "zstd"}],
        "attributes": {"encoding-type": "array", "encoding-version": "0.2.0"}});
    std::fs::write(array.join("zarr.json"), doc.to_string()).unwrap();
    ZarrStore::open_write(&copy.path).unwrap().consolidate().unwrap();
    let long = copy.open().member("uns/long").unwrap();
    let mut next = 0;
    for block in long.row_blocks(BlockSize::Bytes(1_000_000)).unwrap() {
        let rows = block.unwrap().rows;
        // No less than that is left over.
        let end = if next == ROWS - 2_000_000 { ROWS } else { next + 1_000_000 };
        assert_eq!(rows, next..end);
        next = end;
    }
    assert_eq!(next, ROWS);
}

/// The most memory that this process has had, in bytes.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// The child of the test below: streams a matrix and tells its memory. On its own it checks nothing.
#[test]
#[cfg(target_os = "linux")]
fn child_streams() {
    let Ok(job) = std::env::var("ADSHADOW_TEST_STREAM") else { return };
    let (task, path) = job.split_once(' ').unwrap();
    let big = AnnDataShadow::open(path).unwrap().member("uns/big").unwrap();
    let before = peak();
    // Slower than the reader, who must wait then.
    let rest = |milliseconds| std::thread::sleep(std::time::Duration::from_millis(milliseconds));
    let seen = match task {
        "statistics" => {
            let tell = |_, _| {
                rest(150);
                ControlFlow::Continue(())
            };
            let stats = big.column_stats(&StatsOptions::default().progress(&tell)).unwrap();
            stats.nonzero.iter().sum::<u64>()
        }
        _ => {
            let batches = big.minibatches(128, 0, Shuffle::Blocks(64)).unwrap();
            let stored = batches.map(|batch| {
                rest(20);
                batch.unwrap().read::<Sparse>().unwrap().nnz() as u64
            });
            stored.sum()
        }
    };
    println!("seen {seen} peak {}", peak() - before);
}

#[test]
#[cfg(target_os = "linux")]
fn streams_take_little_memory_whatever_the_size() {
    // 304 MB decoded, in blocks of about 16 and loads of about 32 MiB.
    const ROWS: usize = 10_000;
    const ENTRIES: usize = 1900;
    let copy = Copy::of("pbmc68k_reduced_v3.zarr");
    let store = ZarrStore::open_write(&copy.path).unwrap();
    let path = |name: &str| ElemPath::parse(name).unwrap();
    let attrs = json!({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [ROWS, 20_000]});
    store.create_group(&path("uns/big"), attrs.as_object().unwrap()).unwrap();
    let style = Style { like: None, resizable: false };
    let (data, indices): (Vec<f64>, Vec<i64>) = (0..100 * ENTRIES).map(|i| (1.0, (i % ENTRIES * 10) as i64)).unzip();
    for (name, part) in [("uns/big/data", Array::from_vec(data)), ("uns/big/indices", Array::from_vec(indices))] {
        let shape = [ROWS * ENTRIES];
        let mut parts = store.create_array_in_parts(&path(name), part.dtype(), &shape, style, &Attrs::new()).unwrap();
        (0..ROWS / 100).for_each(|_| parts.put(&part).unwrap());
        parts.finish().unwrap();
    }
    let indptr = Array::from_vec((0..=ROWS).map(|row| (row * ENTRIES) as i64).collect());
    store.create_array(&path("uns/big/indptr"), &indptr, style, &Attrs::new()).unwrap();
    store.publish().unwrap();
    drop(store);
    for task in ["statistics", "batches"] {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["child_streams", "--exact", "--nocapture"])
            .env("ADSHADOW_TEST_STREAM", format!("{task} {}", copy.path.display()))
            // Each thread decodes a chunk; and memory that was freed is not to be counted because glibc keeps it.
            .envs([("RAYON_NUM_THREADS", "2"), ("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "131072")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        let told = said.lines().find_map(|line| line.split_once("seen ")).unwrap_or_else(|| panic!("{said}")).1;
        let (seen, peak) = told.split_once(" peak ").unwrap();
        assert_eq!(seen.parse(), Ok(ROWS * ENTRIES), "{task}");
        // Two blocks or loads, chunks that are remembered (32 MiB), and those that are being decoded.
        println!("{task}: {} MiB", peak.parse::<u64>().unwrap() >> 20);
        assert!(peak.parse::<u64>().unwrap() < 140 << 20, "{task}: {peak} bytes");
    }
}

#[test]
fn a_pass_can_be_followed_and_stopped() {
    let shadow = AnnDataShadow::open(data(CELLS[0])).unwrap();
    let told = Cell::new(Vec::new());
    let tell = |done: u64, total: u64| {
        let mut list = told.take();
        list.push((done, total));
        told.set(list);
        if done > 300 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let options = StatsOptions::default().block(BlockSize::Rows(100)).progress(&tell);
    let error = shadow.x().stats(&options).unwrap_err();
    assert!(matches!(&error, Error::Cancelled { at, .. } if at.path == "X"), "{error}");
    assert_eq!(told.take(), [(0, 700), (100, 700), (200, 700), (300, 700), (400, 700)]);
    let whole = shadow.x().stats(&options.progress(&|_, _| ControlFlow::Continue(()))).unwrap();
    assert_eq!((whole.rows.len(), whole.columns.len()), (700, 765));
}

#[test]
fn what_cannot_be_streamed_says_so() {
    let shadow = AnnDataShadow::open(data(CELLS[0])).unwrap();
    let options = StatsOptions::default();
    let no = |path: &str| shadow.member(path).unwrap();
    assert!(matches!(no("layers/none").row_blocks(BlockSize::default()), Err(Error::NotFound { .. })));
    assert!(matches!(no("uns/neighbors").row_blocks(BlockSize::default()), Err(Error::WrongType { .. })));
    assert!(matches!(no("uns/neighbors").minibatches(1, 0, Shuffle::Rows), Err(Error::WrongType { .. })));
    assert!(matches!(no("obs/louvain").stats(&options), Err(Error::WrongType { .. })));
    assert!(matches!(no("varm/PCs").stats_by("louvain", &options), Err(Error::Unsupported { .. })));
    let error = shadow.x().stats_by("luvain", &options).unwrap_err();
    assert!(matches!(&error, Error::NotFound { nearest, .. } if nearest[0] == "louvain"), "{error}");
    let block = shadow.x().row_blocks(BlockSize::default()).unwrap().next().unwrap().unwrap();
    assert_eq!(block.clone().read::<Array2<f32>>().unwrap().dim(), (700, 765));
    assert!(matches!(block.read::<Array2<f64>>(), Err(Error::WrongType { at, .. }) if at.path == "X"));
    // More columns of groups than memory is taken for.
    let wide =
        Sparse::new(SparseFormat::Csr, [700, 30_000], Array::from_vec(vec![0_f32; 0]), Vec::<i32>::new(), vec![0; 701]);
    shadow.obsm().insert("wide", Element::Sparse(wide.unwrap())).unwrap();
    shadow.obs().insert(Series::new("each".into(), (0..700).collect::<Vec<i32>>())).unwrap();
    let error = no("obsm/wide").stats_by("each", &options).unwrap_err();
    assert!(matches!(&error, Error::Unsupported { what, .. } if what.contains("fewer columns")), "{error}");
    assert_eq!(no("obsm/wide").stats_by("louvain", &options).unwrap().stats[0].len(), 30_000);
    shadow.close().unwrap();
    assert!(matches!(shadow.x().stats(&options), Err(Error::Closed { .. })));
}

#[test]
fn an_error_on_the_way_is_the_last_item() {
    let copy = Copy::of("pbmc68k_reduced_v2.zarr");
    let chunks = copy.path.join("X");
    let mut files: Vec<_> = std::fs::read_dir(&chunks).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|p| !p.file_name().unwrap().to_string_lossy().starts_with('.'));
    files.sort();
    // Of the last row of chunks.
    let last = files.iter().rfind(|p| p.is_file()).unwrap();
    std::fs::write(last, b"no chunk").unwrap();
    let shadow = copy.open();
    let blocks: Vec<_> = shadow.x().row_blocks(BlockSize::Rows(100)).unwrap().collect();
    let (end, before) = blocks.split_last().unwrap();
    assert!(before.iter().all(Result::is_ok) && !before.is_empty());
    assert!(matches!(end, Err(Error::Malformed { at, .. }) if at.path == "X"), "{end:?}");
    assert!(shadow.x().stats(&StatsOptions::default()).is_err());
    assert!(shadow.x().minibatches(64, 0, Shuffle::Rows).unwrap().last().unwrap().is_err());
}

#[test]
fn nothing_is_read_after_a_stream_is_dropped() {
    let shadow = AnnDataShadow::open(data(CELLS[0])).unwrap();
    let mut blocks = shadow.x().row_blocks(BlockSize::Rows(1)).unwrap();
    blocks.next().unwrap().unwrap();
    drop(blocks);
    let then = shadow.io_stats();
    // The handle is free: nobody else holds it.
    shadow.close().unwrap();
    assert_eq!(shadow.io_stats(), then);
}

#[test]
fn streams_inside_rayons_pool_do_not_wait_for_one_another() {
    // More of them than the pool has threads, each of which needs the pool to decode.
    let (done, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let sum = |i: usize| {
            let shadow = AnnDataShadow::open(data(CELLS[i % CELLS.len()])).unwrap();
            let stats = shadow.x().row_stats(&StatsOptions::default().block(BlockSize::Rows(100))).unwrap();
            stats.sum.iter().sum::<f64>()
        };
        let sums: Vec<f64> = (0..8 * rayon::current_num_threads()).into_par_iter().map(sum).collect();
        done.send(sums).unwrap();
    });
    let sums = told.recv_timeout(std::time::Duration::from_secs(120)).expect("they wait for one another");
    assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
}

#[test]
fn groups_are_as_the_column_orders_them() {
    let shadow = AnnDataShadow::open(data(CELLS[0])).unwrap();
    let louvain = shadow.x().stats_by("louvain", &StatsOptions::default()).unwrap();
    assert_eq!(louvain.groups[..3], ["0", "1", "2"]);
    let view = shadow.select(shadow.obs().column("louvain").unwrap().equal("1").unwrap(), ..).unwrap();
    let of_view = view.x().column_stats(&StatsOptions::default()).unwrap();
    assert_eq!((of_view.count, &of_view.nonzero), (louvain.stats[1].count, &louvain.stats[1].nonzero));
    // Numbers by their size, not as text.
    let genes = shadow.x().stats_by("n_genes", &StatsOptions::default()).unwrap().groups;
    let numbers: Vec<f64> = genes.iter().map(|g| g.parse().unwrap()).collect();
    assert!(numbers.is_sorted() && numbers.len() > 100, "{numbers:?}");
    let frame = of_view.to_frame("gene", view.var_names().unwrap()).unwrap();
    assert_eq!(frame.shape(), (765, 7));
    assert!(of_view.to_frame("sum", view.var_names().unwrap()).is_err());
    assert!(of_view.to_frame("gene", Vec::new()).is_err());
}

#[test]
fn parts_of_the_batches_are_all_of_them_together() {
    let shadow = AnnDataShadow::open(data(CELLS[2])).unwrap();
    for shuffle in [Shuffle::None, Shuffle::Rows, Shuffle::Blocks(10)] {
        for drop_last in [false, true] {
            let batches = || shadow.x().minibatches(40, 5, shuffle).unwrap().drop_last(drop_last);
            let all: Vec<Batch> = batches().map(Result::unwrap).collect();
            let parts: Vec<Vec<Batch>> = (0..3).map(|i| batches().part(i, 3).map(Result::unwrap).collect()).collect();
            if let Shuffle::Blocks(_) = shuffle {
                // 160 rows are read at once.
                assert_eq!(parts[0][..4], all[..4]);
                assert_eq!(parts[1][..4], all[4..8]);
                assert!(parts.iter().all(|part| !part.is_empty()));
            }
            let mut together: Vec<Vec<usize>> = parts.iter().flatten().map(|batch| batch.rows.clone()).collect();
            let mut wanted: Vec<Vec<usize>> = all.iter().map(|batch| batch.rows.clone()).collect();
            together.sort();
            wanted.sort();
            assert_eq!(together, wanted, "{shuffle:?}");
        }
    }
}
