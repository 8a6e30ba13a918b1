//! The benches run: tiny data, all tasks of ours and of h5py and zarr-python by hand, and all find the same. No figures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn in_workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn python(script: &str, args: &[&str]) -> Output {
    let interpreter =
        std::env::var_os("ADSHADOW_PYTHON").map_or_else(|| in_workspace(".venv/bin/python"), PathBuf::from);
    Command::new(interpreter).arg("-B").arg(in_workspace("benches").join(script)).args(args).output().unwrap()
}

/// The program beside the examples, as `cargo build --workspace --bins` leaves it.
fn ours() -> String {
    let here = std::env::current_exe().unwrap();
    let name = format!("bench-tasks{}", std::env::consts::EXE_SUFFIX);
    let found = here.ancestors().map(|dir| dir.join(&name)).find(|path| path.exists());
    found.expect("bench-tasks is not built: run `cargo build --workspace --bins`").to_str().unwrap().to_owned()
}

#[test]
fn readers_agree_on_tiny_data_and_a_difference_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    let (data, out) = (data.to_str().unwrap(), out.to_str().unwrap());
    let which = ["--sets", "sc,dense", "--formats", "h5ad_gzip,zarr3_sharded"];
    let made = python("data.py", &[&[data, "--scale", "0.002"], &which[..]].concat());
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let ours = ours();
    let run = ["--quick", "--ours", &ours, "--data", data, "--out", out, "--peers", "h5py,zarr"];
    let told = python("run.py", &[&run[..], &which].concat());
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success(), "{text}{}", String::from_utf8_lossy(&told.stderr));
    // In two formats, 14 tasks of sc and 8 of dense by two readers each, and 6 of sc by ours alone.
    assert!(text.contains("100 readings were compared"), "{text}");

    let facts = Path::new(data).join("sc.json");
    let text = std::fs::read_to_string(&facts).unwrap().replace("\"sum\": ", "\"sum\": 1");
    std::fs::write(&facts, text).unwrap();
    let told = python("run.py", &[&run[..], &["--sets", "sc", "--formats", "h5ad_gzip", "--tasks", "T9"]].concat());
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(!told.status.success() && said.contains("sc h5ad_gzip T9: sum is"), "{said}");
}
