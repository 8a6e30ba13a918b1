//! Plain numbers in HDF5 that are read without the library: every layout and filter against h5py, whole and in parts, and what
//! a part costs, counted in chunks and bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::PathBuf;
use std::sync::OnceLock;

use anndata_shadow::store::{Hdf5Store, ReadStore, array_meta, read_all};
use anndata_shadow::{AnnDataShadow, Array, ElemPath, Error, Rows, Sparse};
use common::dice::Dice;
use common::sha256;
use serde_json::{Value, json};

/// Ranges with fewer bytes between them are read together.
const GAP: u64 = 16 << 10;

/// The files that Python has made, and what it says is in them.
struct Made {
    folder: tempfile::TempDir,
    wanted: Value,
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let wanted = common::python("direct_hdf5.py", &json!({"write": folder.path()}));
        Made { folder, wanted }
    })
}

fn file(name: &str) -> PathBuf {
    made().folder.path().join(name)
}

fn path(name: &str) -> ElemPath {
    ElemPath::parse(name).unwrap()
}

/// How many of the stored chunks of a dataset a selection touches, and their bytes.
fn touched(wanted: &Value, lens: &[usize], rows: &[Rows]) -> (u64, u64) {
    let mut counts = (0, 0);
    for chunk in wanted["chunks"].as_array().unwrap() {
        let corner = chunk[0].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize);
        let mut axes = corner.zip(lens).zip(rows);
        if axes.all(|((from, &len), rows)| rows.iter().any(|at| (from..from + len).contains(&at))) {
            counts = (counts.0 + 1, counts.1 + chunk[1].as_u64().unwrap());
        }
    }
    counts
}

#[test]
fn whole_datasets_and_parts_of_them_are_what_h5py_reads() {
    let mut dice = Dice(11);
    for (name, wanted) in made().wanted.as_object().unwrap() {
        let store = Hdf5Store::open_read(&file(name)).unwrap();
        for (dataset, wanted) in wanted.as_object().unwrap() {
            let (at, place) = (path(dataset), format!("{name} {dataset}"));
            let meta = array_meta(&store, &at).unwrap();
            let before = store.stats();
            let all = read_all(&store, &at).unwrap();
            let cost = store.stats() - before;
            let found = json!([meta.dtype.unwrap().name(), all.shape(), sha256(&all)]);
            assert_eq!(found, json!([wanted["dtype"], wanted["shape"], wanted["sha256"]]), "{place}");
            let whole: Vec<Rows> = meta.shape.iter().map(|&n| Rows::All(n)).collect();
            if let Some(lens) = &meta.chunks {
                let (chunks, bytes) = touched(wanted, lens, &whole);
                let between = if wanted["filters"] == json!(0) { chunks * GAP } else { 0 };
                assert!(cost.chunks == chunks && cost.bytes_read <= bytes + between, "{place}: {cost:?}");
                assert!(cost.bytes_read == bytes || between > 0, "{place}: {cost:?}");
            }
            for _ in 0..if all.nbytes() > 100_000 { 4 } else { 10 } {
                let rows: Vec<Rows> = meta.shape.iter().map(|&n| dice.rows(n)).collect();
                let before = store.stats();
                let part = store.read(&at, &rows).unwrap();
                let cost = store.stats() - before;
                assert!(part == all.take(&rows), "{place}: {rows:?}");
                if let Some(lens) = &meta.chunks {
                    let (chunks, bytes) = touched(wanted, lens, &rows);
                    // Chunks that are decoded are remembered; of others, what is between two ranges may be read with them.
                    let (exact, between) =
                        if wanted["filters"] == json!(0) { (true, chunks * GAP) } else { (false, 0) };
                    assert!(cost.chunks == chunks || !exact && cost.chunks < chunks, "{place}: {cost:?} {rows:?}");
                    assert!(cost.bytes_read <= bytes + between, "{place}: {cost:?} {rows:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_stored_as_it_is_costs_the_bytes_wanted() {
    let store = Hdf5Store::open_read(&file("early.h5")).unwrap();
    let cost = |name: &str, rows: &[Rows]| {
        let before = store.stats();
        store.read(&path(name), rows).unwrap();
        let cost = store.stats() - before;
        (cost.chunks, cost.bytes_read)
    };
    assert_eq!(cost("contiguous long", &[Rows::span(0, 100), Rows::All(2001)]), (1, 100 * 2001));
    // Far from each other, each in its range; near ones in one.
    assert_eq!(cost("contiguous long", &[Rows::picks([2400, 7, 1500]), Rows::All(2001)]), (3, 3 * 2001));
    assert_eq!(cost("contiguous long", &[Rows::picks([12, 10]), Rows::All(2001)]), (1, 3 * 2001));
    // Of long rows, the ranges wanted.
    assert_eq!(cost("contiguous wide", &[Rows::All(11), Rows::span(5, 25)]), (11, 11 * 20));
    assert_eq!(cost("contiguous wide", &[Rows::picks([3]), Rows::picks([199_000, 1000])]), (2, 2));
    // A chunk counts once, whatever is read of it.
    assert_eq!(cost("chunks int32", &[Rows::span(290, 310)]), (2, 20 * 4));
    assert_eq!(cost("chunks plane", &[Rows::span(10, 12), Rows::span(0, 27)]), (1, 2 * 27 * 8));
    // One that has passed filters is read whole, and remembered.
    let whole = cost("gzip shuffle int32", &[Rows::span(0, 300)]);
    assert_eq!(cost("gzip shuffle int32", &[Rows::picks([7])]), whole);
    assert_eq!(cost("gzip shuffle int32", &[Rows::picks([8, 299, 2])]), (0, 0));
}

#[test]
fn rows_of_a_sparse_matrix_cost_their_bytes() {
    let shadow = AnnDataShadow::open(file("sparse.h5ad")).unwrap();
    let rows = |from: usize, to: usize| {
        let before = shadow.io_stats();
        let part = shadow.select(from..to, ..).unwrap().x().read::<Sparse>().unwrap();
        (part.nnz() as u64, shadow.io_stats() - before)
    };
    rows(0, 1);
    let (stored, cost) = rows(100, 200);
    assert!(stored > 1000);
    // Values and columns of these rows, and at most where each begins.
    assert!((stored * 8..=stored * 8 + 101 * 4).contains(&cost.bytes_read), "{stored} {cost:?}");
}

#[test]
fn damaged_chunks_are_errors_that_name_file_and_path() {
    let store = Hdf5Store::open_read(&file("damaged.h5")).unwrap();
    for name in ["garbage", "cut", "sum", "short sum", "lzf", "zstd"] {
        for rows in [Rows::All(3000), Rows::picks([1500])] {
            let error = store.read(&path(name), &[rows]).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, Error::Malformed { .. }), "{name}: {text}");
            assert!(text.contains("damaged.h5") && text.contains(&format!("`{name}`")), "{text}");
        }
        // The others were never written.
        let rest = store.read(&path(name), &[Rows::picks([2999, 0])]).unwrap();
        assert_eq!(rest, Array::from_vec(vec![0_i32, 0]), "{name}");
    }
}
