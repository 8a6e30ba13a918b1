//! Runs the built program on copies of the files in `data/`.
#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anndata_shadow::AnnDataShadow;
use tempfile::TempDir;

/// The same object in every container.
pub const STORES: &[&str] = &["pbmc68k_reduced.h5ad", "pbmc68k_reduced_v2.zarr", "pbmc68k_reduced_v3.zarr"];

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

/// One test at a time: a program that another thread starts holds, until it has begun, every file open in this process,
/// and with it the lock on a store that was just closed.
static ALONE: Mutex<()> = Mutex::new(());

/// A copy of a store in a directory of its own.
pub struct Bench {
    _alone: MutexGuard<'static, ()>,
    pub dir: TempDir,
    pub store: PathBuf,
}

impl Bench {
    pub fn new(name: &str) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = TempDir::new().unwrap();
        let store = dir.path().join(name);
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../data").join(name), &store);
        Self { _alone: alone, dir, store }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs `adshadow COMMAND STORE ARGS…` in the directory.
    pub fn run(&self, command: &str, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_adshadow"))
            .current_dir(self.dir.path())
            .arg(command)
            .arg(self.store.file_name().unwrap())
            .args(args)
            .output()
            .unwrap()
    }

    pub fn ok(&self, command: &str, args: &[&str]) -> String {
        let out = self.run(command, args);
        assert!(out.status.success(), "{command} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Runs what must fail with exit code 1, and checks that the message holds all of `parts`.
    pub fn fails(&self, command: &str, args: &[&str], parts: &[&str]) {
        let out = self.run(command, args);
        let message = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(1), "{command} {args:?}: {message}");
        assert!(message.starts_with("adshadow: error: "), "{message}");
        assert!(!message.contains("panicked"), "{message}");
        for part in parts {
            assert!(message.contains(part), "`{part}` not in: {message}");
        }
    }

    pub fn shadow(&self) -> AnnDataShadow {
        AnnDataShadow::open(&self.store).unwrap()
    }
}

/// Every file below a path, with its bytes.
pub fn bytes_below(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    if path.is_file() {
        return vec![(path.to_owned(), std::fs::read(path).unwrap())];
    }
    let mut all: Vec<_> = std::fs::read_dir(path).unwrap().flat_map(|e| bytes_below(&e.unwrap().path())).collect();
    all.sort();
    all
}

/// Runs Python code on a store, `path`, and gives what it prints.
pub fn python(code: &str, path: &Path) -> String {
    let found = std::env::var_os("ADSHADOW_PYTHON");
    let interpreter = found.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../.venv/bin/python").into());
    let code = format!("import sys, os, shutil, anndata, zarr, h5py, numpy as np\npath = sys.argv[1]\n{code}");
    let run = Command::new(interpreter).args(["-B", "-W", "ignore", "-c", &code]).arg(path).output();
    let run = run.expect("no Python: run `make test`, or tools/setup.sh");
    assert!(run.status.success(), "{code}\n{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}
