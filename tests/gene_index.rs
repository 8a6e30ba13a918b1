//! The gene index: a layer like any other to anndata; reading through it gives what reading X gives, as long as it fits X; and
//! making it is one transaction in bounded memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stores;

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anndata_shadow::{
    AnnDataShadow, Array, DType, Error, GeneIndexOptions, Mode, MuDataShadow, OpenOptions, Select, Sparse, SparseFormat,
};
use stores::copy;

/// Makes X of 10000 cells x 2000 genes, 1,000,000 values in 4 MB, in many chunks: rows out of order, zeros that are stored.
const MAKE: &str = r#"
import sys, numpy as np, anndata, scipy.sparse as sp
from pathlib import Path
rng = np.random.default_rng(5)
indices = (np.arange(0, 2000, 20) + rng.integers(0, 20, (10000, 100))).astype("i4").ravel()
data = (rng.poisson(2, 1_000_000) + 1).astype("f4")
data[::50] = 0
x = sp.csr_matrix((data, indices, np.arange(0, 1_000_001, 100)), shape=(10000, 2000))
x.indices[:100] = x.indices[:100][::-1].copy()
x.data[:100] = x.data[:100][::-1].copy()
a = anndata.AnnData(x, layers={"counts": x[:, :1].copy() @ sp.csr_matrix((1, 2000), dtype="f4")})
out = Path(sys.argv[1])
a.write_h5ad(out / "plain.h5ad")
a.write_h5ad(out / "gzip.h5ad", compression="gzip")
anndata.settings.zarr_write_format = 2
a.write_zarr(out / "v2.zarr")
anndata.settings.zarr_write_format = 3
a.write_zarr(out / "v3.zarr")
anndata.settings.auto_shard_zarr_v3 = True
a.write_zarr(out / "sharded.zarr")
"#;

const STORES: [&str; 5] = ["plain.h5ad", "gzip.h5ad", "v2.zarr", "v3.zarr", "sharded.zarr"];

fn python(code: &str, path: &Path) -> String {
    let python = std::env::var_os("ADSHADOW_PYTHON").unwrap_or_else(|| stores::data("../.venv/bin/python").into());
    let done = Command::new(python).arg("-c").arg(code).arg(path).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// Copies of these stores in a folder of their own.
fn made(stores: &[&str]) -> tempfile::TempDir {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    let whole = MADE.get_or_init(|| {
        let whole = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gene_index");
        let _ = std::fs::remove_dir_all(&whole);
        std::fs::create_dir_all(&whole).unwrap();
        python(MAKE, &whole);
        whole
    });
    let folder = tempfile::tempdir().unwrap();
    stores.iter().for_each(|store| copy(&whole.join(store), &folder.path().join(store)));
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
        part(shadow, .., vec![1999_usize, 0, 17, 17]),
        part(shadow, rows, vec![5_usize, 4]),
        part(shadow, 100..9900, 3..6),
    ]
}

/// What the first reading of a gene by this handle, and the second, have read from the disk.
fn bytes_of_two(shadow: &AnnDataShadow) -> [u64; 2] {
    [17..18, 900..901].map(|gene| {
        let before = shadow.io_stats();
        let found = part(shadow, .., gene);
        assert_eq!((found.format(), found.shape()), (SparseFormat::Csr, [10000, 1]));
        (shadow.io_stats() - before).bytes_read
    })
}

#[test]
fn genes_are_read_from_it_and_are_those_of_x() {
    let folder = made(&STORES);
    for store in STORES {
        let path = folder.path().join(store);
        let [without, _] = bytes_of_two(&open(&path, Mode::Read));
        let shadow = open(&path, Mode::ReadWrite);
        let before = parts(&shadow);
        // A few genes at a time, and all at once; the last one stays.
        for memory in [2_000_000, 1 << 30] {
            shadow.add_gene_index(&GeneIndexOptions::default().memory(memory)).unwrap();
        }
        drop(shadow);
        let shadow = open(&path, Mode::Read);
        let with = bytes_of_two(&shadow);
        let few = with[0] < without / 3 * 2 + 3 * (64 << 10) && with[1] < without / 2 && with[1] + 100_000 < with[0];
        assert!(few, "{store}: {with:?} bytes (looking whether it fits, and not again), {without} without it");
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
        // A copy of the store is one with its index, whatever the times of its files.
        let copied = folder.path().join("copied").join(store);
        python(COPY, &path);
        let of_copy = bytes_of_two(&open(&copied, Mode::Read));
        // Two threads may both read the index of a shard before one of them has it.
        let spare = if store == "sharded.zarr" { 8 << 10 } else { 0 };
        let same = of_copy.iter().zip(with).all(|(read, before)| read.abs_diff(before) <= spare);
        assert!(same, "{store}: {of_copy:?} {with:?}");
        drop(shadow);
        // Who writes looks every time: nobody tells him of others.
        let [first, second] = bytes_of_two(&open(&path, Mode::ReadWrite));
        assert!(
            second + 100_000 > first && second < without / 3 * 2 + 3 * (64 << 10),
            "{store}: {first} {second} {without}"
        );
    }
}

/// Copies a store to the folder `copied` beside it, with times of long ago.
const COPY: &str = "
import os, shutil, sys
from pathlib import Path
old = Path(sys.argv[1])
new = old.parent / 'copied' / old.name
new.parent.mkdir(exist_ok=True)
(shutil.copytree if old.is_dir() else shutil.copy)(old, new)
for at in [new, *new.rglob('*')]:
    os.utime(at, (1e9, 1e9))";

/// Edits parts of X in place, each in a copy of the store of its own, beside it. Writes what the first 40 genes are by then: in
/// each cell two of them are there.
const EDIT: &str = r#"
import sys, shutil, h5py, zarr, numpy as np, scipy.sparse as sp
from pathlib import Path

def doubled(x): x["data"][1000:3000] = x["data"][1000:3000] * 2
def quadrupled(x): x["data"][300_000:302_000] = x["data"][300_000:302_000] * 4
def negated(x): x["data"][700_000:710_000] = -x["data"][700_000:710_000]
def one_gene(x):
    data = x["data"][...]
    data[x["indices"][...] == 17] = 9
    x["data"][...] = data
def turned(x):
    # The values of some rows at other genes.
    part = x["indices"][400_000:402_000]
    x["indices"][400_000:402_000] = part.reshape(20, 100)[:, ::-1].ravel()
def rows(x):
    x["indices"][800_000:810_000] = np.tile(np.arange(100, dtype="i4"), 100)
    x["data"][800_000:810_000] = np.arange(10_000, dtype="f4")
def lengths(x):
    p = x["indptr"][...]
    p[1:-1] += p[1:-1] < p[-1]
    x["indptr"][...] = p

old = Path(sys.argv[1])
for edit in doubled, quadrupled, negated, one_gene, turned, rows, lengths:
    new = old.parent / edit.__name__ / old.name
    new.parent.mkdir(exist_ok=True)
    (shutil.copytree if old.is_dir() else shutil.copy)(old, new)
    f = zarr.open_group(new, mode="r+", use_consolidated=False) if old.is_dir() else h5py.File(new, "r+")
    x = f["X"]
    edit(x)
    now = sp.csr_matrix((x["data"][...], x["indices"][...], x["indptr"][...]), shape=(10000, 2000))
    (new.parent / (old.name + ".truth")).write_bytes(now[:, :40].toarray().tobytes())
    if not old.is_dir():
        f.close()
"#;

/// Changes `x` in place, which others may have open, as another program does.
fn edit_x(path: &Path, edit: &str) {
    let open = "import os, sys\n\
                os.environ['HDF5_USE_FILE_LOCKING'] = 'FALSE'\n\
                import h5py, zarr\n\
                p = sys.argv[1]\n\
                x = (h5py.File(p, 'r+') if p.endswith('h5ad') else zarr.open_group(p, mode='r+', use_consolidated=False))['X']\n";
    python(&format!("{open}{edit}"), path);
}

#[test]
fn it_is_passed_over_where_another_program_has_changed_x() {
    let folder = made(&STORES);
    for store in STORES {
        let path = folder.path().join(store);
        open(&path, Mode::ReadWrite).add_gene_index(&GeneIndexOptions::default()).unwrap();
        python(EDIT, &path);
        for edit in ["doubled", "quadrupled", "negated", "one_gene", "turned", "rows", "lengths"] {
            let edited = folder.path().join(edit);
            let truth = std::fs::read(edited.join(format!("{store}.truth"))).unwrap();
            let truth = Array::from_le_bytes(DType::F32, &[10000, 40], &truth).unwrap();
            for mode in [Mode::Read, Mode::ReadWrite] {
                let found = part(&open(&edited.join(store), mode), .., 0..40).to_dense().unwrap();
                assert!(found == truth, "{store}: {edit}, {mode}");
            }
            std::fs::remove_dir_all(&edited).unwrap();
        }
    }
}

#[test]
fn a_handle_that_is_opened_again_looks_again() {
    let folder = made(&["plain.h5ad", "v3.zarr"]);
    for store in ["plain.h5ad", "v3.zarr"] {
        let path = folder.path().join(store);
        open(&path, Mode::ReadWrite).add_gene_index(&GeneIndexOptions::default()).unwrap();
        let shadow = open(&path, Mode::Read);
        let old = part(&shadow, .., 0..40);
        edit_x(&path, "x['data'][1000:3000] = x['data'][1000:3000] * 2");
        shadow.reopen(Mode::Read).unwrap();
        let now = part(&shadow, .., 0..40);
        let (doubled, others) = (|x: f64, y: f64| x == 2.0 * y, |x: f64, y: f64| x == y);
        let [now, old] = [now, old].map(|part| part.to_dense().unwrap().to_f64().unwrap());
        for (at, (x, y)) in now.into_iter().zip(old).enumerate() {
            let is_right = if (10..30).contains(&(at / 40)) { doubled(x, y) } else { others(x, y) };
            assert!(is_right, "{store}: cell {}, gene {}: {y} became {x}", at / 40, at % 40);
        }
    }
}

#[test]
fn a_few_values_that_differ_are_found_by_a_deep_look_and_the_index_can_be_left_alone() {
    let folder = made(&["plain.h5ad", "v3.zarr"]);
    for store in ["plain.h5ad", "v3.zarr"] {
        let path = folder.path().join(store);
        open(&path, Mode::ReadWrite).add_gene_index(&GeneIndexOptions::default()).unwrap();
        let deep = anndata_shadow::VerifyOptions::default().deep(true);
        assert!(anndata_shadow::verify(&path, &deep).unwrap().is_sound());
        edit_x(&path, "x['data'][123456] = 4321");
        let report = anndata_shadow::verify(&path, &deep).unwrap();
        let wrong = report.findings.iter().filter(|found| found.severity != anndata_shadow::Severity::Note);
        let wrong: Vec<_> = wrong.map(|found| (found.severity, found.path.as_str())).collect();
        assert_eq!(wrong, [(anndata_shadow::Severity::Stale, "layers/X_csc")], "{store}: {:?}", report.findings);
        let shadow = AnnDataShadow::open_with(&path, &OpenOptions::default().gene_index(false)).unwrap();
        let x = shadow.x().read::<Sparse>().unwrap().to_dense().unwrap().to_f64().unwrap();
        let genes: Vec<Sparse> = (0..4).map(|i| part(&shadow, .., i * 500..(i + 1) * 500)).collect();
        let hits = |all: &[f64]| all.iter().filter(|&&value| value == 4321.0).count();
        let found: usize = genes.iter().map(|part| hits(&part.to_dense().unwrap().to_f64().unwrap())).sum();
        assert_eq!((hits(&x), found), (1, 1), "{store}");
    }
}

#[test]
fn it_is_passed_over_where_x_was_replaced() {
    let folder = made(&["v2.zarr", "v3.zarr"]);
    // What was read of the old index is not shown any more.
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
    let folder = made(&["plain.h5ad", "v3.zarr"]);
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
        shadow.obsm().insert("new", Array::zeros(DType::F32, &[10000, 2])).unwrap();
        let view = shadow.select(0..3, ..).unwrap();
        assert!(matches!(view.add_gene_index(&GeneIndexOptions::default()), Err(Error::View { .. })));
        drop(view);
        drop(shadow);
        assert!(common_bytes(&path) == before, "{store}");
        let shadow = open(&path, Mode::Read);
        assert!(matches!(shadow.add_gene_index(&GeneIndexOptions::default()), Err(Error::ReadOnly { .. })));
        drop(shadow);
        let shadow = open(&path, Mode::ReadWrite);
        shadow.obsm().insert("new", Array::zeros(DType::F32, &[10000, 2])).unwrap();
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
        assert!(matches!(shadow.add_gene_index(&GeneIndexOptions::default()), Err(Error::Unsupported { .. })));
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

#[test]
fn a_modality_has_one_like_any_other_object() {
    let folder = made(&["plain.h5ad"]);
    python(
        "import sys, anndata, mudata\n\
         a = anndata.read_h5ad(sys.argv[1])[:500].copy()\n\
         mudata.MuData({'rna': a}).write_h5mu(sys.argv[1].replace('plain.h5ad', 'one.h5mu'))",
        &folder.path().join("plain.h5ad"),
    );
    let path = folder.path().join("one.h5mu");
    let mdata = MuDataShadow::open_with(&path, &OpenOptions::default().mode(Mode::ReadWrite)).unwrap();
    let rna = mdata.modality("rna").unwrap();
    let before = part(&rna, .., 17..18).to_dense().unwrap();
    let receipt = rna.add_gene_index(&GeneIndexOptions::default()).unwrap();
    assert_eq!(part(&rna, .., 17..18).to_dense().unwrap(), before);
    // Its receipts name it as those of other writes do.
    rna.layers().insert("other", Array::zeros(DType::F32, &[500, 2000])).unwrap();
    let other = rna.write(Default::default()).unwrap();
    let paths = [&receipt, &other].map(|receipt| receipt.elements[0].path.clone());
    assert_eq!(paths, ["mod/rna/layers/X_csc", "mod/rna/layers/other"]);
    assert_eq!(rna.layers().keys().unwrap(), ["X_csc", "counts", "other"]);
}
