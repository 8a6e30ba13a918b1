//! Every example runs, as `cargo run --example` would run it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn built(example: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let dir = here.ancestors().find(|d| d.join("examples").is_dir()).expect("target directory");
    let path = dir.join("examples").join(format!("{example}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is not built: run `cargo build --examples`", path.display());
    path
}

fn run(example: &str) -> String {
    let out = Command::new(built(example)).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{example}: {text}{}", String::from_utf8_lossy(&out.stderr));
    text
}

#[test]
fn every_example_is_run_here() {
    let mut found: Vec<String> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "rs"))
        .map(|p| p.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, ["add_embedding", "demo", "first_minute", "minibatches", "streaming", "views"]);
}

#[test]
fn first_minute() {
    let text = run("first_minute");
    assert!(text.contains("n_obs × n_vars = 700 × 765") && text.contains("X_pca is (700, 50)"), "{text}");
    assert!(text.contains("rank_genes_groups/names"), "{text}");
}

#[test]
fn views() {
    let text = run("views");
    assert!(
        text.contains("View of AnnData Shadow object with n_obs × n_vars = 129 × 3 (original 700 × 765)"),
        "{text}"
    );
    assert!(text.contains("[3, 3] (3, 50)"), "{text}");
}

#[test]
fn add_embedding() {
    let text = run("add_embedding");
    assert!(text.contains("2 changes written"), "{text}");
    assert!(text.contains("X_two") && text.contains("distance"), "{text}");
}

#[test]
fn demo() {
    let text = run("demo");
    for name in
        ["pbmc68k_reduced_v2.zarr", "pbmc68k_reduced_v3.zarr", "pbmc68k_reduced.h5ad", "h5ad/10x_pbmc68k_reduced.h5ad"]
    {
        assert!(text.contains(&format!("════════ {name} ════════")), "{text}");
    }
    assert_eq!(text.matches("X_pcaᐁ, X_umap, X_scaled▲").count(), 4, "{text}");
    assert_eq!(text.matches("call reopen(Mode::ReadWrite) first").count(), 4, "{text}");
    assert_eq!(text.matches("X_pca, X_scaled▼, X_umap").count(), 4, "{text}");
    assert_eq!(text.matches("> obs/labels (was obs/bulk_labels)").count(), 4, "{text}");
    assert_eq!(
        text.matches("X_scaled: (700, 2) float32, first -1.429; score: float64, first -7.940").count(),
        4,
        "{text}"
    );
    assert_eq!(text.matches("obsm/X_scaled --rows 0:2`:\n\n").count(), 0, "the other process said nothing: {text}");
}

#[test]
fn streaming() {
    let text = run("streaming");
    assert!(
        text.contains("cells 0..250: a 2-d float32 array, 765000 bytes") && text.contains("cells 500..700"),
        "{text}"
    );
    assert!(text.contains("\n700 of 700\n") && text.contains("variance"), "{text}");
    assert!(text.contains("louvain 0: ") && text.contains("louvain 2: ") && !text.contains("louvain 3: "), "{text}");
}

#[test]
fn minibatches() {
    let text = run("minibatches");
    assert_eq!(text.matches(": 700 cells").count(), 5, "{text}");
    let agreement: f32 = text.split("X_pca: ").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert!(agreement > 0.95, "{text}");
}
