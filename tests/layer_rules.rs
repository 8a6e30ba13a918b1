//! The table in `docs/design.md`: which module may call which. Read off the `use crate::` lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Module, and the modules of this crate that it may use besides itself.
const MAY_USE: [(&str, &[&str]); 14] = [
    ("error", &[]),
    ("progress", &[]),
    ("fork", &[]),
    ("path", &["error"]),
    ("index", &["error"]),
    ("value", &["index"]),
    ("store", &["error", "path", "progress", "fork", "index", "value"]),
    ("legacy", &["error", "path", "index", "value", "store"]),
    ("codec", &["error", "path", "progress", "index", "value", "store"]),
    ("overlay", &["path", "value"]),
    ("commit", &["error", "path", "value", "store", "codec", "overlay"]),
    (
        "shadow",
        &["error", "path", "progress", "fork", "index", "value", "store", "codec", "overlay", "commit", "legacy"],
    ),
    ("stream", &["error", "progress", "fork", "index", "value", "codec", "shadow"]),
    ("doctor", &["error", "path", "progress", "index", "value", "store", "codec", "legacy", "shadow"]),
];

fn rust_files(at: &Path, found: &mut Vec<PathBuf>) {
    if at.is_dir() {
        for entry in fs::read_dir(at).unwrap() {
            rust_files(&entry.unwrap().path(), found);
        }
    } else if at.extension().is_some_and(|e| e == "rs") {
        found.push(at.to_owned());
    }
}

/// The source without its unit tests, which may use the test suites.
fn code_of(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
}

fn is_test_module(file: &Path) -> bool {
    file.file_name().is_some_and(|n| n == "tests.rs")
}

#[test]
fn modules_use_only_what_is_below_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut checked = 0;
    for (module, allowed) in MAY_USE {
        let mut files = Vec::new();
        rust_files(&src.join(module), &mut files);
        rust_files(&src.join(format!("{module}.rs")), &mut files);
        files.retain(|f| f.exists() && !is_test_module(f));
        assert!(!files.is_empty(), "{module} has no files");
        for file in files {
            let code = code_of(&file);
            let used: BTreeSet<&str> = code
                .match_indices("crate::")
                .map(|(i, _)| &code[i + 7..])
                .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default())
                .filter(|name| !name.is_empty())
                .collect();
            assert!(!code.contains("crate::{"), "{}: name each module, so that this test sees it", file.display());
            for name in used {
                assert!(
                    name == module || allowed.contains(&name),
                    "{} uses `crate::{name}`, which `{module}` may not",
                    file.display()
                );
            }
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
}

#[test]
fn only_the_stores_know_the_storage_crates_and_only_two_places_are_unsafe() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    for file in files {
        let code = code_of(&file);
        let inside = file.strip_prefix(&src).unwrap().to_string_lossy().replace('\\', "/");
        if !inside.starts_with("store/zarr/") {
            assert!(!code.contains("zarrs::"), "{inside} names the zarrs crate");
        }
        if !inside.starts_with("store/hdf5/") {
            assert!(!code.contains("hdf5_metno"), "{inside} names the HDF5 crate");
        }
        if !inside.starts_with("store/hdf5/ffi") && inside != "value/memory.rs" {
            assert!(!code.contains("unsafe {") && !code.contains("allow(unsafe_code"), "{inside} is unsafe");
        }
    }
}
