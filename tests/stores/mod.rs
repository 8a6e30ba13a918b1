//! Copies of the stores in `data/`, for tests that look at behaviour rather than at values.
#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::path::{Path, PathBuf};

use anndata_shadow::{AnnDataShadow, Mode, OpenOptions};
use serde_json::Value;

/// The same 700 cells in every container: h5ad, Zarr v2 and v3, both consolidated, and v3 as anndata 0.13 writes it.
pub const CELLS: [&str; 4] =
    ["pbmc68k_reduced.h5ad", "pbmc68k_reduced_v2.zarr", "pbmc68k_reduced_v3.zarr", "pbmc68k_reduced_v013.zarr"];

/// A store in `data/`, to read.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

/// A private copy of a store in `data/`.
pub struct Copy {
    pub path: PathBuf,
    _keep: tempfile::TempDir,
}

impl Copy {
    pub fn of(name: &str) -> Self {
        let keep = tempfile::tempdir().unwrap();
        let path = keep.path().join(Path::new(name).file_name().unwrap());
        copy(&data(name), &path);
        Self { path, _keep: keep }
    }

    /// A copy of an h5ad without its X.
    pub fn without_x(name: &str) -> Self {
        let copy = Self::of(name);
        let python = std::env::var_os("ADSHADOW_PYTHON").unwrap_or_else(|| data("../.venv/bin/python").into());
        let code = "import h5py, sys; del h5py.File(sys.argv[1], 'r+')['X']";
        let done = std::process::Command::new(python).args(["-c", code]).arg(&copy.path).status();
        assert!(done.is_ok_and(|s| s.success()), "no Python with h5py: run `make test`, or tools/setup.sh");
        copy
    }

    pub fn open(&self) -> AnnDataShadow {
        AnnDataShadow::open(&self.path).unwrap()
    }

    pub fn open_to_write(&self) -> AnnDataShadow {
        AnnDataShadow::open_with(&self.path, &OpenOptions::default().mode(Mode::ReadWrite)).unwrap()
    }

    /// Every file below, with its bytes.
    pub fn bytes(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        collect(&self.path, &mut found);
        found.sort();
        found
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.bytes().iter().map(|(_, b)| b.len() as u64).sum()
    }
}

/// Rewrites one metadata document of a Zarr v3 store, and its copy in the consolidated map.
pub fn edit_v3(store: &Path, node: &str, edit: impl Fn(&mut Value)) {
    let rewrite = |path: &Path, edit: &dyn Fn(&mut Value)| {
        let mut doc: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        edit(&mut doc);
        std::fs::write(path, serde_json::to_vec(&doc).unwrap()).unwrap();
    };
    rewrite(&store.join(node).join("zarr.json"), &edit);
    rewrite(&store.join("zarr.json"), &|root| edit(&mut root["consolidated_metadata"]["metadata"][node]));
}

pub fn copy(from: &Path, to: &Path) {
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

/// Every file at or below `at`, by its path from there, with its bytes.
pub fn files(at: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    collect(at, &mut found);
    found.iter_mut().for_each(|(path, _)| *path = path.strip_prefix(at).unwrap().to_owned());
    found.sort();
    found
}

fn collect(at: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    if at.is_dir() {
        for entry in std::fs::read_dir(at).unwrap() {
            collect(&entry.unwrap().path(), files);
        }
    } else {
        files.push((at.to_owned(), std::fs::read(at).unwrap()));
    }
}
