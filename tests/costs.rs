//! What reading and writing costs, counted in documents, chunks and bytes, never in time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stores;

use anndata_shadow::ndarray::Array2;
use anndata_shadow::polars::prelude::{NamedFrom, Series};
use anndata_shadow::sprs::CsMat;
use anndata_shadow::store::{Style, WriteStore, ZarrStore};
use anndata_shadow::{
    AnnDataShadow, Array, ElemPath, Element, IoStats, Mode, Select, Sparse, SparseFormat, WriteOptions, ndarray,
};
use serde_json::json;
use stores::{CELLS, Copy, data, edit_v3};

/// What `act` reads and writes.
fn cost<T>(shadow: &AnnDataShadow, act: impl FnOnce() -> T) -> IoStats {
    let before = shadow.io_stats();
    act();
    shadow.io_stats() - before
}

/// Chunks of an element along each axis.
fn grid(shadow: &AnnDataShadow, path: &str) -> Vec<u64> {
    let info = shadow.member(path).unwrap().info().unwrap().unwrap();
    let chunks = info.chunks.unwrap_or_else(|| info.shape.clone());
    info.shape.iter().zip(chunks).map(|(&n, c)| n.div_ceil(c.max(1)) as u64).collect()
}

#[test]
fn opening_and_showing_a_consolidated_store_reads_one_document() {
    for name in &CELLS[1..] {
        let shadow = AnnDataShadow::open(data(name)).unwrap();
        assert!(shadow.to_string().contains("louvain"), "{name}");
        assert!(shadow.elements().unwrap().len() > 40);
        let stats = shadow.io_stats();
        assert_eq!((stats.documents, stats.chunks), (1, 0), "{name}");
    }
}

#[test]
fn one_obs_column_reads_the_chunks_of_that_column_alone() {
    for name in CELLS {
        let shadow = AnnDataShadow::open(data(name)).unwrap();
        let _ = shadow.to_string();
        // Codes and categories, one chunk each; and nothing the second time.
        assert_eq!(cost(&shadow, || shadow.obs().column("louvain").unwrap()).chunks, 2, "{name}");
        assert_eq!(cost(&shadow, || shadow.obs().column("louvain").unwrap()), IoStats::default(), "{name}");
        assert_eq!(cost(&shadow, || shadow.obs().column("n_genes").unwrap()).chunks, 1, "{name}");
    }
}

#[test]
fn ten_rows_of_dense_x_read_the_chunks_of_these_rows_alone() {
    for name in CELLS {
        let across = grid(&AnnDataShadow::open(data(name)).unwrap(), "X");
        assert!(across[0] > 1, "{name} has one chunk only: {across:?}");
        // Opened anew each time: chunks of which a part was wanted are remembered.
        let read = |rows: Select, columns: Select| {
            let shadow = AnnDataShadow::open(data(name)).unwrap();
            let part = shadow.select(rows, columns).unwrap();
            cost(&shadow, || part.x().read::<Array2<f32>>().unwrap())
        };
        let rows = read((3..13).into(), (..).into());
        assert_eq!(rows.chunks, across[1], "{name}");
        assert_eq!(read((..).into(), 7.into()).chunks, across[0], "{name}");
        assert_eq!(read((-1).into(), [0, 0].into()).chunks, 1, "{name}");
        let whole = read((..).into(), (..).into());
        assert_eq!(whole.chunks, across[0] * across[1], "{name}: each chunk once");
        assert!(rows.bytes_read * 3 < whole.bytes_read, "{name}");
    }
}

#[test]
fn neighbouring_rows_of_dense_x_are_not_decoded_again_and_again() {
    for name in &CELLS[1..] {
        let shadow = AnnDataShadow::open(data(name)).unwrap();
        let across = grid(&shadow, "X");
        let rows = |from: i32| shadow.select(from..from + 3, ..).unwrap().x().read::<Array2<f32>>().unwrap();
        assert_eq!(cost(&shadow, || rows(0)).chunks, across[1], "{name}");
        // What was decoded as far as it was wanted is now decoded whole.
        assert!([0, across[1]].contains(&cost(&shadow, || rows(2)).chunks), "{name}");
        let again = cost(&shadow, || {
            let whole = AnnDataShadow::open(data(name)).unwrap().x().read::<Array2<f32>>().unwrap();
            assert_eq!(rows(4), whole.slice(ndarray::s![4..7, ..]), "{name}");
        });
        assert_eq!((again.chunks, again.bytes_read), (0, 0), "{name}");
    }
}

/// A CSR matrix wide enough for several chunks, written into each container.
fn with_big_sparse(name: &str, format: SparseFormat) -> (Copy, Sparse) {
    let copy = Copy::of(name);
    let shadow = copy.open_to_write();
    let (n_obs, n_vars) = shadow.shape();
    let (major, minor) = if format == SparseFormat::Csr { (n_obs, n_vars) } else { (n_vars, n_obs) };
    let (mut indices, mut indptr) = (Vec::new(), vec![0]);
    for m in 0..major {
        indices.extend((0..minor as u64).filter(|k| !(k + m as u64).is_multiple_of(3)));
        indptr.push(indices.len() as u64);
    }
    let values = Array::from_vec((0..indices.len()).map(|i| 1.0 + (i % 977) as f64).collect());
    let matrix = Sparse::new(format, [n_obs, n_vars], values, indices, indptr).unwrap();
    shadow.layers().insert("big", Element::Sparse(matrix.clone())).unwrap();
    shadow.write(WriteOptions::default().clear_cache(true)).unwrap();
    (copy, matrix)
}

#[test]
fn rows_of_csr_and_columns_of_csc_read_indptr_and_their_spans() {
    for name in CELLS {
        for format in [SparseFormat::Csr, SparseFormat::Csc] {
            let (copy, matrix) = with_big_sparse(name, format);
            let shadow = copy.open();
            let part = |from: usize, n: usize| {
                let at = from..from + n;
                if format == SparseFormat::Csr { shadow.select(at, ..) } else { shadow.select(.., at) }.unwrap()
            };
            let whole = cost(&shadow, || shadow.layers().read::<CsMat<f64>>("big").unwrap());
            let ten = cost(&shadow, || part(300, 10).layers().read::<CsMat<f64>>("big").unwrap());
            // Of data, indices and indptr at most two neighbouring chunks each.
            assert!(ten.chunks <= 6, "{name} {format}: {ten:?}");
            assert!(whole.chunks > 12 || ten.bytes_read * 8 < whole.bytes_read, "{name} {format}: {whole:?} {ten:?}");
            let rows = anndata_shadow::Rows::span(300, 310);
            let cut = if format == SparseFormat::Csr {
                matrix.take(Some(&rows), None)
            } else {
                matrix.take(None, Some(&rows))
            };
            assert_eq!(part(300, 10).layers().read::<Sparse>("big").unwrap(), cut, "{name} {format}");
        }
    }
}

#[test]
fn one_column_of_csr_reads_all_indices_and_only_the_values_it_needs() {
    let (copy, matrix) = with_big_sparse(CELLS[0], SparseFormat::Csr);
    let shadow = copy.open();
    let whole = cost(&shadow, || shadow.layers().read::<Sparse>("big").unwrap());
    let rows = cost(&shadow, || {
        let got = shadow.select(10..30, 5).unwrap().layers().read::<Sparse>("big").unwrap();
        let cut = matrix.take(Some(&anndata_shadow::Rows::span(10, 30)), Some(&anndata_shadow::Rows::span(5, 6)));
        assert_eq!(got, cut);
    });
    assert!(rows.chunks < 10 && rows.bytes_read * 5 < whole.bytes_read, "{rows:?} {whole:?}");
}

#[test]
fn adding_an_embedding_writes_its_bytes_and_little_more() {
    for name in CELLS {
        let copy = Copy::of(name);
        let shadow = copy.open();
        // Noise: no compressor makes room for carelessness elsewhere.
        let embedding = Array2::from_shape_fn((700, 50), |(r, c)| {
            f32::from_bits(0x3f80_0000 | (((r * 50 + c) as u32).wrapping_mul(2_654_435_761) >> 9))
        });
        shadow.obsm().insert("X_new", embedding.clone()).unwrap();
        let before = copy.size();
        let receipt = shadow.reopen(Mode::ReadWrite).unwrap().write(WriteOptions::default()).unwrap();
        shadow.close().unwrap();
        let payload = 700 * 50 * 4;
        assert!(receipt.bytes_written < payload + 65_536, "{name}: {receipt}");
        let grown = copy.size() - before;
        assert!(grown < payload + 65_536, "{name}: {grown}");
        assert!(receipt.bytes_written >= grown, "{name}: the receipt says {}, the disk {grown}", receipt.bytes_written);
        assert_eq!(copy.open().obsm().read::<Array2<f32>>("X_new").unwrap(), embedding);
        println!("{name}: {} bytes for a payload of {payload}", receipt.bytes_written);
    }
}

/// A layer of so many rows that it has ten thousand chunks, in a copy of a store.
fn with_ten_thousand_chunks(name: &str) -> Copy {
    let copy = Copy::of(name);
    let python = std::env::var_os("ADSHADOW_PYTHON").unwrap_or_else(|| data("../.venv/bin/python").into());
    let code = "
import sys, h5py, numpy as np, zarr
path = sys.argv[1]
store = h5py.File(path, 'r+') if path.endswith('h5ad') else zarr.open_group(path, mode='r+', use_consolidated=False)
big = store.create_array if hasattr(store, 'create_array') else store.create_dataset
big = big('uns/big', shape=(1000, 1000), dtype='f4', chunks=(10, 10))
big[...] = np.arange(1_000_000, dtype='f4').reshape(1000, 1000) + 1
big.attrs.update({'encoding-type': 'array', 'encoding-version': '0.2.0'})
";
    let done = std::process::Command::new(python).args(["-W", "ignore", "-c", code]).arg(&copy.path).status();
    assert!(done.is_ok_and(|s| s.success()), "no Python with zarr: run `make test`, or tools/setup.sh");
    if !name.ends_with("h5ad") {
        ZarrStore::open_write(&copy.path).unwrap().consolidate().unwrap();
    }
    copy
}

#[test]
fn an_edit_of_a_store_of_ten_thousand_chunks_writes_little_more_than_its_values() {
    for name in &CELLS[..3] {
        let copy = with_ten_thousand_chunks(name);
        let chunks = grid(&copy.open(), "uns/big").iter().product::<u64>();
        assert!(chunks >= 10_000, "{name}: {chunks}");
        let noise = |cols: usize, salt: u32| {
            Array2::from_shape_fn((700, cols), |(r, c)| {
                f32::from_bits(0x3f80_0000 | (((r * cols + c) as u32 + salt).wrapping_mul(2_654_435_761) >> 9))
            })
        };
        let edit = |what: &str, payload: u64, set: &dyn Fn(&AnnDataShadow)| {
            let shadow = copy.open_to_write();
            set(&shadow);
            let receipt = shadow.write(WriteOptions::default()).unwrap();
            shadow.close().unwrap();
            println!("{name}: {what}: {} bytes for a payload of {payload}", receipt.bytes_written);
            assert!(receipt.bytes_written < payload + 65_536, "{name}: {what}: {receipt}");
        };
        edit("an embedding", 700 * 50 * 4, &|shadow| shadow.obsm().insert("X_new", noise(50, 1)).unwrap());
        edit("the same in another shape", 700 * 51 * 4, &|shadow| shadow.obsm().insert("X_new", noise(51, 2)).unwrap());
        edit("a column", 700 * 4, &|shadow| {
            let values = noise(1, 3).into_raw_vec_and_offset().0;
            shadow.obs().insert(Series::new("score".into(), values)).unwrap();
        });
        edit("a column's new name", 0, &|shadow| shadow.obs().rename("score", "points").unwrap());
        edit("the removal of the layer", 0, &|shadow| shadow.remove("uns/big").unwrap());
    }
}

/// A matrix of 3·10⁹ stored values, of which no chunk exists: they are zeros.
#[test]
fn the_last_of_3000_million_stored_values_cost_what_the_first_do() {
    const STORED: u64 = 3_000_000_000;
    let copy = Copy::of(CELLS[2]);
    {
        let store = ZarrStore::open_write(&copy.path).unwrap();
        let at = ElemPath::parse("uns/m").unwrap();
        let attrs = json!({"shape": [3, 40], "encoding-type": "csr_matrix", "encoding-version": "0.1.0"});
        store.create_group(&at, attrs.as_object().unwrap()).unwrap();
        let part = |name: &str, data: Array| {
            let style = Style { like: None, resizable: true };
            store.create_array(&at.join(name).unwrap(), &data, style, &Default::default()).unwrap();
        };
        part("data", Array::from_vec(vec![0_f32]));
        part("indices", Array::from_vec(vec![0_i32]));
        part("indptr", Array::from_vec(vec![0, 5, STORED as i64 - 2, STORED as i64]));
        store.publish().unwrap();
    }
    for part in ["uns/m/data", "uns/m/indices"] {
        edit_v3(&copy.path, part, |document| {
            document["shape"] = json!([STORED]);
            document["chunk_grid"]["configuration"]["chunk_shape"] = json!([100_000]);
        });
        let chunks = copy.path.join(part).join("c");
        assert!(!chunks.exists() || std::fs::remove_dir_all(chunks).is_ok());
    }
    let shadow = copy.open();
    assert_eq!(shadow.uns().info("m").unwrap().stored, Some(STORED as usize));
    let m = shadow.uns().member("m").unwrap();
    // indptr alone is there, and it is read once.
    for (rows, stored, chunks) in [(vec![2], 2, 1), (vec![0], 5, 0), (vec![2, 0, 2], 9, 0)] {
        let stats = cost(&shadow, || {
            let part: Sparse = m.read_part(&[rows.clone().into()]).unwrap();
            assert_eq!((part.nnz(), part.shape()), (stored, [rows.len(), 40]));
        });
        assert_eq!(stats.chunks, chunks);
    }
    let some: Sparse = m.read_part(&[(-1).into(), vec![1, 0].into()]).unwrap();
    assert_eq!((some.nnz(), some.indices()), (2, &[1, 1][..]));
}
