//! The gene index: a layer like any other to anndata; reading through it gives what reading X gives, as long as it fits X; and
//! making it is one transaction in bounded memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stores;

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use anndata_shadow::{AnnDataShadow, Array, Error, GeneIndexOptions, Mode, OpenOptions, Select, Sparse, SparseFormat};
use stores::copy;

/// Makes X of 10000 cells x 400 genes: rows out of order, zeros that are stored, in four containers.
const MAKE: &str = r#"
import sys, numpy as np, anndata, scipy.sparse as sp
from pathlib import Path
rng = np.random.default_rng(5)
x = sp.random(10000, 400, density=0.05, format="csr", dtype="float32", random_state=rng)
x.data[::50] = 0
x.indices[: x.indptr[1]] = x.indices[: x.indptr[1]][::-1].copy()
x.data[: x.indptr[1]] = x.data[: x.indptr[1]][::-1].copy()
a = anndata.AnnData(x, layers={"counts": x.copy()})
out = Path(sys.argv[1])
a.write_h5ad(out / "plain.h5ad")
a.write_h5ad(out / "gzip.h5ad", compression="gzip")
anndata.settings.zarr_write_format = 2
a.write_zarr(out / "v2.zarr", chunks=(500,))
anndata.settings.zarr_write_format = 3
a.write_zarr(out / "v3.zarr", chunks=(500,))
"#;

const STORES: [&str; 4] = ["plain.h5ad", "gzip.h5ad", "v2.zarr", "v3.zarr"];

fn python(code: &str, path: &Path) -> String {
    let python = std::env::var_os("ADSHADOW_PYTHON").unwrap_or_else(|| stores::data("../.venv/bin/python").into());
    let done = Command::new(python).arg("-c").arg(code).arg(path).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn made() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    python(MAKE, folder.path());
    folder
}

fn open(path: &Path, mode: Mode) -> AnnDataShadow {
    AnnDataShadow::open_with(path, &OpenOptions::default().mode(mode).cache_budget(0)).unwrap()
}

fn part(shadow: &AnnDataShadow, rows: impl Into<Select>, genes: impl Into<Select>) -> Sparse {
    shadow.select(rows, genes).unwrap().x().read::<Sparse>().unwrap()
}

/// Genes in many forms, each with what it is called.
fn parts(shadow: &AnnDataShadow) -> Vec<Sparse> {
    let rows: Vec<usize> = (0..10000).rev().step_by(3).chain([7, 7]).collect();
    vec![
        part(shadow, .., 17..18),
        part(shadow, .., vec![399_usize, 0, 17, 17]),
        part(shadow, rows, vec![5_usize, 4]),
        part(shadow, 100..9900, 3..6),
    ]
}

#[test]
fn genes_are_read_from_it_and_are_those_of_x() {
    let folder = made();
    for store in STORES {
        let path = folder.path().join(store);
        let shadow = open(&path, Mode::ReadWrite);
        let before = parts(&shadow);
        // A few genes at a time, and all at once; the last one stays.
        for memory in [200_000, 1 << 30] {
            shadow.add_gene_index(&GeneIndexOptions::default().memory(memory)).unwrap();
        }
        drop(shadow);
        let shadow = open(&path, Mode::Read);
        let opened = shadow.io_stats();
        let found = part(&shadow, .., 17..18);
        assert_eq!((found.format(), found.shape()), (SparseFormat::Csr, [10000, 1]));
        let read = shadow.io_stats() - opened;
        // In Zarr, so small a matrix is one chunk.
        let few = path.is_dir() || read.bytes_read < 250_000;
        assert!(few, "{store}: {read:?}, of 800,000 bytes of indices alone");
        for (now, then) in parts(&shadow).iter().zip(&before) {
            // Entries of a row may have another order.
            assert_eq!(now.to_dense().unwrap(), then.to_dense().unwrap(), "{store}");
            assert_eq!(now.nnz(), then.nnz());
        }
        let said = python(
            "import sys, anndata\n\
             read = anndata.read_h5ad if sys.argv[1].endswith('h5ad') else anndata.read_zarr\n\
             a = read(sys.argv[1])\n\
             t = a.layers['X_csc']\n\
             print(t.format, t.dtype, t.indices.dtype, (t != a.X).nnz, t.nnz == a.X.nnz, bool(t.has_sorted_indices), 'counts' in a.layers)",
            &path,
        );
        assert_eq!(said.trim(), "csc float32 int32 0 True True True", "{store}");
        assert!(
            anndata_shadow::verify(&path, &anndata_shadow::VerifyOptions::default().deep(true)).unwrap().is_sound()
        );
    }
}

#[test]
fn it_is_passed_over_where_x_has_changed() {
    let edits = [
        // All values, one gene, and another layout with as many values.
        "x['data'][...] = x['data'][...] * 2",
        "d = x['data'][...]; d[x['indices'][...] == 17] = 9; x['data'][...] = d",
        "p = x['indptr'][...]; p[1:-1] += (p[1:-1] < p[-1]); x['indptr'][...] = p",
    ];
    let folder = made();
    for edit in edits {
        for store in ["gzip.h5ad", "v3.zarr"] {
            let path = folder.path().join("edited").join(store);
            let _ = std::fs::remove_dir_all(path.parent().unwrap());
            std::fs::create_dir(path.parent().unwrap()).unwrap();
            copy(&folder.path().join(store), &path);
            open(&path, Mode::ReadWrite).add_gene_index(&GeneIndexOptions::default()).unwrap();
            let code = format!(
                "import sys, h5py, zarr\n\
                 p = sys.argv[1]\n\
                 f = h5py.File(p, 'r+') if p.endswith('h5ad') else zarr.open_group(p, mode='r+', use_consolidated=False)\n\
                 x = f['X']\n{edit}\n"
            );
            python(&code, &path);
            let shadow = open(&path, Mode::Read);
            let now = part(&shadow, .., 17..18).to_dense().unwrap();
            let all = shadow.x().read::<Sparse>().unwrap().take(None, Some(&anndata_shadow::Rows::span(17, 18)));
            assert_eq!(now, all.to_dense().unwrap(), "{store}: {edit}");
        }
    }
    // What was read of the old index, and of a file that others have changed, is not shown any more.
    let path = folder.path().join("v3.zarr");
    let shadow = AnnDataShadow::open_with(&path, &OpenOptions::default().mode(Mode::ReadWrite)).unwrap();
    shadow.add_gene_index(&GeneIndexOptions::default()).unwrap();
    let old = shadow.layers().read::<Sparse>("X_csc").unwrap();
    shadow.x().set(shadow.x().read::<Sparse>().unwrap().take(Some(&rotated()), None)).unwrap();
    shadow.write(Default::default()).unwrap();
    shadow.add_gene_index(&GeneIndexOptions::default()).unwrap();
    let new = shadow.layers().read::<Sparse>("X_csc").unwrap();
    assert!(
        new != old
            && new.to_format(SparseFormat::Csr)
                == shadow.x().read::<Sparse>().unwrap().to_format(SparseFormat::Csc).to_format(SparseFormat::Csr)
    );
    drop(shadow);
    // Replaced here.
    let path = folder.path().join("v2.zarr");
    let shadow = open(&path, Mode::ReadWrite);
    shadow.add_gene_index(&GeneIndexOptions::default()).unwrap();
    let half = shadow.x().read::<Sparse>().unwrap();
    let data = Array::from_vec(half.data().to_f64().unwrap().iter().map(|v| (v / 2.0) as f32).collect());
    let half = Sparse::new(half.format(), half.shape(), data, half.indices().clone(), half.indptr().to_vec()).unwrap();
    let wanted = half.take(None, Some(&anndata_shadow::Rows::span(17, 18))).to_dense().unwrap();
    shadow.x().set(half).unwrap();
    assert_eq!(part(&shadow, .., 17..18).to_dense().unwrap(), wanted, "pending");
    shadow.write(Default::default()).unwrap();
    assert_eq!(part(&open(&path, Mode::Read), .., 17..18).to_dense().unwrap(), wanted, "written");
}

#[test]
fn making_it_is_one_transaction() {
    let folder = made();
    for store in ["plain.h5ad", "v3.zarr"] {
        let path = folder.path().join(store);
        let before = common_bytes(&path);
        let shadow = open(&path, Mode::ReadWrite);
        let asked = Cell::new(0);
        let stop = |done: u64, total: u64| {
            assert!(done < total || (asked.get() > 0 && done == total));
            asked.set(asked.get() + 1);
            if asked.get() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let stopped = shadow.add_gene_index(&GeneIndexOptions::default().progress(&stop));
        assert!(matches!(stopped, Err(Error::Cancelled { .. })), "{stopped:?}");
        // What is pending has nothing to do with it, and stays.
        shadow.obsm().insert("new", Array::zeros(anndata_shadow::DType::F32, &[10000, 2])).unwrap();
        let view = shadow.select(0..3, ..).unwrap();
        assert!(matches!(view.add_gene_index(&GeneIndexOptions::default()), Err(Error::View { .. })));
        drop(view);
        drop(shadow);
        assert!(common_bytes(&path) == before, "{store}");
        let shadow = open(&path, Mode::Read);
        assert!(matches!(shadow.add_gene_index(&GeneIndexOptions::default()), Err(Error::ReadOnly { .. })));
        drop(shadow);
        let shadow = open(&path, Mode::ReadWrite);
        shadow.obsm().insert("new", Array::zeros(anndata_shadow::DType::F32, &[10000, 2])).unwrap();
        let receipt = shadow.add_gene_index(&GeneIndexOptions::default()).unwrap();
        assert_eq!(receipt.elements.iter().map(|c| c.path.as_str()).collect::<Vec<_>>(), ["layers/X_csc"]);
        assert!(receipt.bytes_written > 10_000);
        assert_eq!(shadow.changes().len(), 1);
        assert_eq!(shadow.layers().keys().unwrap(), ["X_csc", "counts"]);
        shadow.write(Default::default()).unwrap();
        // A layer that is no index is not replaced.
        shadow.layers().remove("X_csc").unwrap();
        shadow.write(Default::default()).unwrap();
        shadow.layers().rename("counts", "X_csc").unwrap();
        shadow.write(Default::default()).unwrap();
        assert!(matches!(shadow.add_gene_index(&GeneIndexOptions::default()), Err(Error::Exists { .. })));
        shadow.x().remove().unwrap();
        assert!(matches!(shadow.add_gene_index(&GeneIndexOptions::default()), Err(Error::Unsupported { .. })));
    }
}

/// The first row last.
fn rotated() -> anndata_shadow::Rows {
    anndata_shadow::Rows::picks((1..10000).chain([0]).collect::<Vec<usize>>())
}

fn common_bytes(path: &Path) -> Vec<u8> {
    if path.is_file() {
        return std::fs::read(path).unwrap();
    }
    let mut names: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names.iter().flat_map(|p| [p.file_name().unwrap().as_encoded_bytes().to_vec(), common_bytes(p)].concat()).collect()
}
