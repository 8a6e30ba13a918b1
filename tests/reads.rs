//! What parts of a matrix cost. Of a sparse one exactly the chunks that hold them, each read once, in every container; of chunks that
//! are stored as they are the bytes, with small gaps between them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod stores;

use std::collections::BTreeSet;

use anndata_shadow::ndarray::{ArrayD, IxDyn};
use anndata_shadow::store::{Flavour, ReadStore, WriteStore, ZarrStore};
use anndata_shadow::{Array, ElemPath, IoStats, Rows, Sparse, SparseFormat};
use common::dice::Dice;
use serde_json::json;
use stores::{Copy, data};

const N_OBS: usize = 700;
const N_VARS: usize = 765;

/// How a matrix is stored: the store, how to write its parts, and lengths of chunks of data, indices and indptr.
struct Kept {
    store: &'static str,
    how: &'static str,
    chunks: [usize; 3],
}

const KEPT: [Kept; 7] = [
    Kept { store: "pbmc68k_reduced.h5ad", how: "{}", chunks: [1000, 1000, 100] },
    Kept { store: "pbmc68k_reduced.h5ad", how: "{'compression': 'gzip'}", chunks: [1000, 1000, 100] },
    Kept { store: "pbmc68k_reduced.h5ad", how: "{'compression': 'gzip', 'shuffle': True}", chunks: [700, 1100, 64] },
    Kept { store: "pbmc68k_reduced_v2.zarr", how: "{}", chunks: [1000, 1000, 100] },
    Kept { store: "pbmc68k_reduced_v3.zarr", how: "{}", chunks: [1000, 1000, 100] },
    Kept { store: "pbmc68k_reduced_v3.zarr", how: "{}", chunks: [700, 1100, 64] },
    Kept { store: "pbmc68k_reduced_v3.zarr", how: "{'shards': 4}", chunks: [1000, 1000, 100] },
];

/// Stored values of each row, and where they stand: no two rows have as many in turn, and no gene is in all.
fn indices(row: usize) -> Vec<usize> {
    let mut genes: Vec<usize> = (0..5 + row * 37 % 90).map(|k| (k * 7 + row * row) % N_VARS).collect();
    genes.sort_unstable();
    genes
}

/// The matrix in memory; its values are the numbers of the entries.
fn matrix() -> Sparse {
    let rows: Vec<Vec<usize>> = (0..N_OBS).map(indices).collect();
    let mut indptr = vec![0];
    rows.iter().for_each(|row| indptr.push(indptr[indptr.len() - 1] + row.len() as u64));
    let list: Vec<usize> = rows.into_iter().flatten().collect();
    let values = Array::from_vec((0..list.len()).map(|i| i as f32).collect());
    Sparse::new(SparseFormat::Csr, [N_OBS, N_VARS], values, list, indptr).unwrap()
}

/// A copy of the store with the matrix as `layers/m`, written by h5py or zarr-python.
fn copy(kept: &Kept) -> Copy {
    let copy = Copy::of(kept.store);
    let python = std::env::var_os("ADSHADOW_PYTHON").unwrap_or_else(|| data("../.venv/bin/python").into());
    let code = "
import sys, h5py, numpy as np, zarr
path, how, chunks = sys.argv[1], eval(sys.argv[2]), eval(sys.argv[3])
rows = [np.sort((np.arange(5 + row * 37 % 90) * 7 + row * row) % 765).astype('i4') for row in range(700)]
indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype('i4')
store = h5py.File(path, 'r+') if path.endswith('h5ad') else zarr.open_group(path, mode='r+', use_consolidated=False)
m = store.require_group('layers').create_group('m')
m.attrs.update({'encoding-type': 'csr_matrix', 'encoding-version': '0.1.0', 'shape': [700, 765]})
create = m.create_array if hasattr(m, 'create_array') else m.create_dataset
parts = {'data': np.arange(indptr[-1], dtype='f4'), 'indices': np.concatenate(rows), 'indptr': indptr}
for (name, values), chunk in zip(parts.items(), chunks):
    more = {'shards': (how['shards'] * chunk,)} if 'shards' in how else how
    create(name, shape=values.shape, dtype=values.dtype, chunks=(chunk,), **more)[...] = values
";
    let chunks = format!("{:?}", kept.chunks);
    let args = ["-W", "ignore", "-c", code];
    let done = std::process::Command::new(python).args(args).arg(&copy.path).args([kept.how, &chunks]).status();
    assert!(done.is_ok_and(|s| s.success()), "no Python with zarr: run `make test`, or tools/setup.sh");
    if !kept.store.ends_with("h5ad") {
        ZarrStore::open_write(&copy.path).unwrap().consolidate().unwrap();
    }
    copy
}

/// The chunks of data, indices and indptr that a part of the matrix lies in.
fn touched(matrix: &Sparse, rows: &Rows, genes: Option<&Rows>, chunks: [usize; 3]) -> [BTreeSet<usize>; 3] {
    let [mut data, mut indices, mut indptr] = [(); 3].map(|()| BTreeSet::new());
    for row in rows.iter() {
        indptr.extend([row / chunks[2], (row + 1) / chunks[2]]);
        for entry in matrix.indptr()[row] as usize..matrix.indptr()[row + 1] as usize {
            indices.insert(entry / chunks[1]);
            if genes.is_none_or(|genes| genes.iter().any(|gene| Some(gene) == matrix.indices().get(entry))) {
                data.insert(entry / chunks[0]);
            }
        }
    }
    [data, indices, indptr]
}

/// Reads the part with a handle of its own; it must be that of the matrix in memory.
fn cost(copy: &Copy, matrix: &Sparse, rows: &Rows, genes: Option<&Rows>) -> IoStats {
    let shadow = copy.open();
    let all = Rows::All(N_VARS);
    let before = shadow.io_stats();
    let view = shadow.select(rows.clone(), genes.unwrap_or(&all).clone()).unwrap();
    let part: Sparse = view.layers().read("m").unwrap();
    let stats = shadow.io_stats() - before;
    assert_eq!(part, matrix.take(Some(rows), genes));
    stats
}

#[test]
fn parts_of_sparse_matrices_cost_their_own_chunks() {
    let matrix = matrix();
    let random: Vec<usize> = (0..40).map(|i| i * 7919 % N_OBS).collect();
    let mut sorted = random.clone();
    sorted.sort_unstable();
    let few = Rows::picks([700, 3, 4, 5, 260, 3]);
    let tasks = [
        ("the first rows", Rows::span(0, 20), None),
        ("one row", Rows::span(333, 334), None),
        ("random rows in order", Rows::picks(sorted), None),
        ("random rows in any order, some twice", Rows::picks([&random[..], &random[..3]].concat()), None),
        ("every third row", Rows::Range { start: 1, step: 3, len: 233 }, None),
        ("one gene", Rows::All(N_OBS), Some(Rows::span(41, 42))),
        ("random rows by a few genes", Rows::picks(random), Some(few.clone())),
        ("the last rows backwards by a few genes", Rows::Range { start: 699, step: -1, len: 30 }, Some(few)),
    ];
    for kept in &KEPT {
        let copy = copy(kept);
        // Of chunks without filters parts are read, and small gaps between them with them.
        let is_plain_hdf5 = kept.store.ends_with("h5ad") && kept.how == "{}";
        for (task, rows, genes) in &tasks {
            let name = format!("{} {} {:?}, {task}", kept.store, kept.how, kept.chunks);
            let stats = cost(&copy, &matrix, rows, genes.as_ref());
            let touched = touched(&matrix, rows, genes.as_ref(), kept.chunks);
            let chunks: usize = touched.iter().map(BTreeSet::len).sum();
            if is_plain_hdf5 {
                let extent =
                    |of: &BTreeSet<usize>| of.last().zip(of.first()).map_or(0, |(last, first)| last - first + 1);
                let most: usize = touched.iter().zip(kept.chunks).map(|(touched, n)| extent(touched) * n * 4).sum();
                assert!(stats.bytes_read > 0 && stats.bytes_read <= most as u64, "{name}: {stats:?}, at most {most}");
            } else {
                assert_eq!(stats.chunks, chunks as u64, "{name}: {stats:?}");
            }
            if kept.store.ends_with(".zarr") && kept.how == "{}" {
                let size = |part: &str, chunk: usize| {
                    let key = if kept.store.contains("v3") { format!("c/{chunk}") } else { chunk.to_string() };
                    std::fs::metadata(copy.path.join("layers/m").join(part).join(key)).unwrap().len()
                };
                let parts = ["data", "indices", "indptr"].iter().zip(&touched);
                let bytes: u64 = parts.flat_map(|(part, of)| of.iter().map(|&chunk| size(part, chunk))).sum();
                assert_eq!(stats.bytes_read, bytes, "{name}");
            }
        }
        // Where most genes are wanted, data are read as they lie.
        let (rows, genes) = (Rows::picks([3, 4, 5, 200, 600]), Rows::Range { start: 764, step: -2, len: 380 });
        let stats = cost(&copy, &matrix, &rows, Some(&genes));
        let count = |genes: Option<&Rows>| touched(&matrix, &rows, genes, kept.chunks).map(|part| part.len() as u64);
        let (least, most) = (count(Some(&genes)).iter().sum(), count(None).iter().sum());
        assert!(is_plain_hdf5 || (least..=most).contains(&stats.chunks), "{} {}: {stats:?}", kept.store, kept.how);
    }
}

/// A Zarr array of int32, not compressed, whose items are their own numbers.
struct Raw {
    folder: tempfile::TempDir,
    whole: Array,
}

impl Raw {
    fn new(shape: &[usize], chunks: &[usize]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("s.zarr");
        drop(ZarrStore::create(&dir, Flavour::V3).unwrap());
        let number = |at: &[usize]| at.iter().zip(shape).fold(0, |number, (i, n)| number * n + i) as i32;
        let doc = json!({"zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "int32", "fill_value": 0,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]});
        std::fs::create_dir(dir.join("x")).unwrap();
        std::fs::write(dir.join("x/zarr.json"), doc.to_string()).unwrap();
        let grid: Vec<usize> = shape.iter().zip(chunks).map(|(n, c)| n.div_ceil(*c)).collect();
        for (chunk, _) in ArrayD::<u8>::zeros(IxDyn(&grid)).indexed_iter() {
            let item = |within: IxDyn| {
                let at: Vec<usize> = (0..shape.len()).map(|i| chunk[i] * chunks[i] + within[i]).collect();
                if at.iter().zip(shape).all(|(i, n)| i < n) { number(&at) } else { 0 }
            };
            let items = ArrayD::from_shape_fn(IxDyn(chunks), item);
            let bytes: Vec<u8> = items.iter().flat_map(|item| item.to_le_bytes()).collect();
            let key: String = (0..shape.len()).map(|i| format!(".{}", chunk[i])).collect();
            std::fs::write(dir.join(format!("x/c{key}")), bytes).unwrap();
        }
        let numbers = (0..shape.iter().product::<usize>() as i32).collect();
        Self { folder, whole: Array::from(ArrayD::from_shape_vec(shape, numbers).unwrap()) }
    }

    /// Bytes of chunks that are read for a selection, which must give what it gives in memory.
    fn cost(&self, rows: &[Rows]) -> u64 {
        let dir = self.folder.path().join("s.zarr");
        let store = ZarrStore::open_read(&dir).unwrap();
        let before = store.stats();
        assert_eq!(store.read(&ElemPath::parse("x").unwrap(), rows).unwrap(), self.whole.take(rows), "{rows:?}");
        (store.stats() - before).bytes_read - std::fs::metadata(dir.join("x/zarr.json")).unwrap().len()
    }
}

#[test]
fn columns_of_chunks_that_are_stored_as_they_are_cost_their_bytes() {
    // Rows of 20 kB: longer than the gaps that are read along.
    let wide = Raw::new(&[40, 9000], &[20, 5000]);
    let all = Rows::All(40);
    assert_eq!(wide.cost(&[all.clone(), Rows::span(3, 4)]), 40 * 4);
    assert_eq!(wide.cost(&[all.clone(), Rows::picks([4999, 3])]), 40 * 2 * 4);
    assert_eq!(
        wide.cost(&[all.clone(), Rows::picks([3, 4000])]),
        40 * 3998 * 4,
        "a gap of less than 16 kB is read along"
    );
    assert_eq!(wide.cost(&[Rows::picks([30, 2, 2]), Rows::picks([8000, 7, 7])]), 2 * 2 * 4);
    assert_eq!(wide.cost(&[Rows::span(5, 8), Rows::span(0, 3000)]), 3 * 20_000, "what is mostly wanted is read whole");
    // Two axes before the one that is cut.
    let deep = Raw::new(&[4, 7, 6000], &[2, 3, 5000]);
    assert_eq!(deep.cost(&[Rows::All(4), Rows::span(2, 4), Rows::span(4998, 5002)]), 4 * 2 * 4 * 4);
    // Rows that are short: from the first one wanted to the last.
    let narrow = Raw::new(&[100, 50], &[100, 50]);
    assert_eq!(narrow.cost(&[Rows::picks([10, 20]), Rows::span(3, 4)]), 11 * 200);
    let mut dice = Dice(5);
    for raw in [&wide, &deep, &narrow] {
        for _ in 0..20 {
            let rows: Vec<Rows> = raw.whole.shape().iter().map(|&n| dice.rows(n)).collect();
            assert!(raw.cost(&rows) <= raw.whole.nbytes() as u64 * 2);
        }
    }
}
