//! Ctrl-C: a long command ends in good order, and the file is as it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod bench;

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bench::{Bench, bytes_below, python};

/// Gives the store an X of 4,000,000 values.
const ENLARGE: &str = "
import scipy.sparse as sp
n, per_cell = 40_000, 100
indices = (np.arange(0, 2000, 20) + np.random.default_rng(0).integers(0, 20, (n, per_cell))).astype('i4').ravel()
x = sp.csr_matrix((np.ones(n * per_cell, 'f4'), indices, np.arange(n + 1) * per_cell), shape=(n, 2000))
shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
a = anndata.AnnData(x)
a.write_h5ad(path) if path.endswith('.h5ad') else a.write_zarr(path)";

/// The names of all below a directory, with the lengths of files.
fn lengths(at: &Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut found = Vec::new();
    // What is looked at may go meanwhile.
    for entry in std::fs::read_dir(at).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(lengths(&path));
        }
        found.push((path, entry.metadata().map_or(0, |m| if m.is_file() { m.len() } else { 0 })));
    }
    found.sort();
    found
}

/// Starts `adshadow COMMAND STORE ARGS…`.
fn start(bench: &Bench, command: &str, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_adshadow"))
        .arg(command)
        .arg(&bench.store)
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What Ctrl-C does to a process.
fn press_ctrl_c(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Starts a command, sends SIGINT once `begun`, and checks that it says so and ends. False if it was done before.
fn interrupt(bench: &Bench, command: &str, args: &[&str], begun: impl Fn(&Child) -> bool) -> bool {
    let mut child = start(bench, command, args);
    let started = Instant::now();
    while !begun(&child) {
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success(), "{command}: {ended}");
            return false;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{command} does not begin");
        std::thread::sleep(Duration::from_millis(2));
    }
    press_ctrl_c(&child);
    let ended = child.wait_with_output().unwrap();
    if ended.status.success() {
        return false;
    }
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!((ended.status.code(), ended.stdout), (Some(130), Vec::new()), "{command}: {said}");
    let store = bench.store.file_name().unwrap().to_str().unwrap();
    assert!(said.starts_with("adshadow: error: ") && said.contains(store) && said.contains("cancelled"), "{said}");
    true
}

/// Whether a process has a handler for SIGINT.
fn catches_ctrl_c(child: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 0b10 != 0)
}

#[test]
fn an_index_that_is_interrupted_leaves_the_file_as_it_was() {
    for store in ["pbmc68k_reduced.h5ad", "pbmc68k_reduced_v3.zarr"] {
        let bench = Bench::new(store);
        python(ENLARGE, &bench.store);
        let (before, seen) = (bytes_below(&bench.store), lengths(bench.dir.path()));
        // With so little memory it goes through X thirty times; it is interrupted when the first things are written.
        let stopped = interrupt(&bench, "index", &["--memory", "1"], |_| lengths(bench.dir.path()) != seen);
        assert!(stopped, "{store}: it was done already");
        assert!(bytes_below(&bench.store) == before && lengths(bench.dir.path()) == seen, "{store}");
    }
}

#[test]
fn statistics_are_interrupted() {
    let bench = Bench::new("pbmc68k_reduced.h5ad");
    python(ENLARGE, &bench.store);
    // Who is slow to press it comes too late.
    assert!((0..20).any(|_| interrupt(&bench, "stats", &[], catches_ctrl_c)));
}

#[test]
fn when_the_work_is_done_ctrl_c_ends_the_command_at_once() {
    let bench = Bench::new("pbmc68k_reduced.h5ad");
    python(ENLARGE, &bench.store);
    let mut child = start(&bench, "stats", &["--axis", "cells"]);
    // Prints more than a pipe holds, of which nobody takes more than the beginning.
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    press_ctrl_c(&child);
    let pressed = Instant::now();
    let code = loop {
        match child.try_wait().unwrap() {
            Some(ended) => break ended.code(),
            None if pressed.elapsed() > Duration::from_secs(60) => break child.kill().ok().and(None),
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    assert_eq!(code, Some(130));
}
