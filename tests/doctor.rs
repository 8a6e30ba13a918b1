//! The doctor: damage made by h5py, zarr-python and by hand is found and named, nothing is found that is not there, nothing
//! is changed by looking, and what has one right answer is mended so that Python reads it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod stores;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use anndata_shadow::{Array, Error, Finding, Locking, Report, Severity, VerifyOptions, verify};
use stores::{Copy, data, edit_v3};

/// Real stores and fixtures in which more than notes is found: what, and why that is so.
const KNOWN: &[(&str, Severity, &str, &str)] = &[
    ("mu_old.h5mu", Severity::Stale, "mod-order", "made so: the list names a modality that is not there"),
    ("stale_consolidated_v2.zarr", Severity::Stale, "obsm/late", "made so: elements came after consolidating"),
    ("stale_consolidated_v3.zarr", Severity::Stale, "obsm/late", "made so: elements came after consolidating"),
    ("truncated_scp.h5ad", Severity::Damage, "truncated", "published so: the last bytes are missing"),
];

/// Runs code on a store, `path`, and gives what it prints.
fn python(code: &str, path: &Path) -> String {
    python_each(&[(code.to_owned(), path.to_owned())]).remove(0)
}

/// As [`python`], of many, in one process.
fn python_each(jobs: &[(String, PathBuf)]) -> Vec<String> {
    const RUN: &str = "
import sys, os, json, shutil, glob, gc, io, contextlib
import h5py, zarr, anndata, numpy as np
said = []
for code, path in json.load(open(sys.argv[1])):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, {**globals(), 'path': path})
    gc.collect()
    said.append(out.getvalue())
json.dump(said, sys.stdout)";
    let keep = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keep.path(), serde_json::to_vec(jobs).unwrap()).unwrap();
    let interpreter = std::env::var_os("ADSHADOW_PYTHON").unwrap_or_else(|| data("../.venv/bin/python").into());
    let run = Command::new(interpreter).args(["-B", "-W", "ignore", "-c", RUN]).arg(keep.path()).output();
    let run = run.expect("no Python: run `make test`, or tools/setup.sh");
    assert!(run.status.success(), "{jobs:?}\n{}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&run.stdout).unwrap()
}

fn look(path: &Path, deep: bool) -> Report {
    verify(path, &VerifyOptions::default().deep(deep)).unwrap()
}

/// A copy of a fixture or of a store in `data/`.
fn copy_of(name: &str) -> (tempfile::TempDir, PathBuf) {
    let from = if data(name).exists() { data(name) } else { common::fixtures().join(name) };
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join(from.file_name().unwrap());
    stores::copy(&from, &path);
    (keep, path)
}

fn bytes(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    if path.is_file() {
        return vec![(path.to_owned(), std::fs::read(path).unwrap())];
    }
    let mut all: Vec<_> = std::fs::read_dir(path).unwrap().flat_map(|e| bytes(&e.unwrap().path())).collect();
    all.sort();
    all
}

/// Damage, and what is to be found: store, how it is damaged, whether it takes a deep look, severity, path, part of the words.
type Case = (&'static str, &'static str, bool, Severity, &'static str, &'static str);

const H5AD: &str = "pbmc68k_reduced.h5ad";
const V2: &str = "pbmc68k_reduced_v2.zarr";
const V3: &str = "pbmc68k_reduced_v3.zarr";
const V013: &str = "pbmc68k_reduced_v013.zarr";

use Severity::{Damage, Note, Stale};

const CASES: &[Case] = &[
    // Positions and codes.
    (H5AD, "h5py.File(path, 'r+')['raw/X/indices'][5] = 99999", true, Damage, "raw/X/indices", "index 99999"),
    (H5AD, "h5py.File(path, 'r+')['raw/X/indices'][5] = -1", true, Damage, "raw/X/indices", "index -1"),
    (H5AD, "h5py.File(path, 'r+')['raw/X/indptr'][3] = 100000", true, Damage, "raw/X/indptr", "must ascend"),
    (H5AD, "h5py.File(path, 'r+')['raw/X/indptr'][-1] = 5", false, Damage, "raw/X/indptr", "from 0 to 5"),
    (H5AD, "h5py.File(path, 'r+')['raw/X/indptr'][0] = 1", false, Damage, "raw/X/indptr", "from 1 to"),
    (
        "x_csr_int64_indptr.h5ad",
        "x = h5py.File(path, 'r+')['X']; p = x['indptr'][...]; a = p[np.argmax(np.diff(p) > 1)]; i = x['indices']\n\
         i[a:a + 2] = i[a:a + 2][::-1]",
        true,
        Note,
        "X/indices",
        "in 1 rows indices are not in ascending order",
    ),
    (H5AD, "d = h5py.File(path, 'r+')['raw/X/indices']; d[1] = d[0]", true, Note, "raw/X/indices", "follows itself"),
    (
        H5AD,
        "g = h5py.File(path, 'r+')['raw/X']; a = g['data'][:-1]; del g['data']; g['data'] = a",
        false,
        Damage,
        "raw/X",
        "values for",
    ),
    (H5AD, "h5py.File(path, 'r+')['obs/louvain/codes'][7] = 99", false, Damage, "obs/louvain/codes", "code 99"),
    (H5AD, "h5py.File(path, 'r+')['obs/louvain/codes'][7] = -2", false, Damage, "obs/louvain/codes", "code -2"),
    (H5AD, "del h5py.File(path, 'r+')['obs/louvain'].attrs['ordered']", false, Damage, "obs/louvain", "`ordered`"),
    (H5AD, "del h5py.File(path, 'r+')['obs/louvain/categories']", false, Damage, "obs/louvain/categories", "missing"),
    // Frames.
    (H5AD, "del h5py.File(path, 'r+')['obs/n_genes']", false, Damage, "obs", "`n_genes` is listed and not there"),
    (H5AD, "h5py.File(path, 'r+')['obs/more'] = np.zeros(700)", false, Note, "obs", "`more` lies in it"),
    (
        H5AD,
        "f = h5py.File(path, 'r+'); del f['obs/n_genes']; f['obs/n_genes'] = np.zeros(699)",
        false,
        Damage,
        "obs/n_genes",
        "the frame has 700 rows",
    ),
    (
        H5AD,
        "a = h5py.File(path, 'r+')['obs'].attrs; a['column-order'] = [*a['column-order'], 'n_genes']",
        false,
        Damage,
        "obs",
        "`n_genes` is listed twice",
    ),
    (H5AD, "del h5py.File(path, 'r+')['var'].attrs['_index']", false, Damage, "var", "`_index` is missing"),
    (H5AD, "d = h5py.File(path, 'r+')['obs/index']; d[1] = d[0]", false, Note, "obs/index", "more than once"),
    // Slots.
    (
        H5AD,
        "f = h5py.File(path, 'r+'); del f['obsm/X_pca']; f['obsm/X_pca'] = np.zeros((10, 2))",
        false,
        Damage,
        "obsm/X_pca",
        "its axes are obs 700",
    ),
    (
        H5AD,
        "h5py.File(path, 'r+')['obsp/small'] = np.zeros((700, 2))",
        false,
        Damage,
        "obsp/small",
        "obs 700 × obs 700",
    ),
    (H5AD, "del h5py.File(path, 'r+')['obs']", false, Damage, "", "there is no `obs`"),
    (H5AD, "h5py.File(path, 'r+')['mine'] = 1", false, Note, "", "`mine` is no part of an AnnData"),
    (H5AD, "f = h5py.File(path, 'r+'); del f['obsm']; f['obsm'] = 1", false, Damage, "obsm", "not a group"),
    // Encodings.
    (
        H5AD,
        "h5py.File(path, 'r+')['obsm/X_pca'].attrs['encoding-type'] = 'tomorrow'",
        false,
        Damage,
        "obsm/X_pca",
        "`tomorrow`",
    ),
    (
        H5AD,
        "h5py.File(path, 'r+')['obsm/X_pca'].attrs['encoding-version'] = '9.9'",
        false,
        Damage,
        "obsm/X_pca",
        "`9.9`",
    ),
    (H5AD, "del h5py.File(path, 'r+')['obsm/X_pca'].attrs['encoding-type']", false, Note, "obsm/X_pca", "no encoding"),
    (H5AD, "h5py.File(path, 'r+').attrs['encoding-version'] = '2'", false, Damage, "", "its encoding is `anndata` 2"),
    (
        H5AD,
        "f = h5py.File(path, 'r+'); f.copy('obs', 'uns/half'); del f['uns/half'].attrs['encoding-type']",
        false,
        Damage,
        "uns/half",
        "left by a write that did not end",
    ),
    (
        H5AD,
        "h5py.File(path, 'r+')['obs/louvain/codes'].attrs['encoding-type'] = ''",
        false,
        Damage,
        "obs/louvain/codes",
        "not known",
    ),
    (
        "kitchen.h5ad",
        "g = h5py.File(path, 'r+')['uns/n_bool']; a = g['mask'][:-1]; del g['mask']; g['mask'] = a",
        false,
        Damage,
        "uns/n_bool",
        "its mask has shape [2]",
    ),
    (
        "kitchen.h5ad",
        "d = h5py.File(path, 'r+')['uns/awk_nested/node0-offsets']; d[1] = 99",
        true,
        Damage,
        "uns/awk_nested",
        "",
    ),
    (
        "nullable_string_index.h5ad",
        "d = h5py.File(path, 'r+')['obs/_index/mask']; d[0] = True",
        false,
        Damage,
        "obs/_index",
        "1 of the obs names are missing values",
    ),
    (
        "main.h5ad",
        "d = h5py.File(path, 'r+')['obsm/frame/_index']; d[0] = 'else'",
        false,
        Damage,
        "obsm/frame/_index",
        "not the same as `obs/_index` from row 0 on",
    ),
    // Files.
    (
        H5AD,
        "d = h5py.File(path, 'r+')['X'].id; o = d.get_chunk_info(0).chunk_offset; d.write_direct_chunk(o, b'nonsense')",
        true,
        Damage,
        "X",
        "",
    ),
    (H5AD, "os.truncate(path, os.path.getsize(path) - 5000)", false, Damage, "", "truncated"),
    // MuData.
    ("mu.h5mu", "del h5py.File(path, 'r+')['mod/rna/obs']", false, Damage, "mod/rna", "there is no `obs`"),
    ("mu.h5mu", "h5py.File(path, 'r+')['obsmap/rna'][0] = 99", false, Damage, "obsmap/rna", "position 99"),
    (
        "mu.h5mu",
        "d = h5py.File(path, 'r+')['obsmap/rna']; d[0] = d[1]",
        false,
        Damage,
        "obsmap/rna",
        "stands there twice",
    ),
    ("mu.h5mu", "d = h5py.File(path, 'r+')['obsm/rna']; d[0] = ~d[0]", false, Stale, "obsm/rna", "the mask"),
    (
        "mu.h5mu",
        "h5py.File(path, 'r+')['mod'].attrs['mod-order'] = ['rna']",
        false,
        Stale,
        "mod",
        "mudata leaves it out",
    ),
    ("mu.h5mu", "h5py.File(path, 'r+').attrs['axis'] = 7", false, Damage, "", "`axis` is 7"),
    (
        "mu.h5mu",
        "d = h5py.File(path, 'r+')['mod/rna/obs/_index']; d[0] = 'else'",
        false,
        Stale,
        "obsmap/rna",
        "other names",
    ),
    // Consolidated metadata, in all dialects.
    (V2, "shutil.rmtree(path + '/obsm/X_pca')", false, Stale, "", "list what is not there"),
    (
        V3,
        "shutil.rmtree(path + '/obsm/X_pca')",
        false,
        Stale,
        "",
        "list what is not there; readers see it, arrays as fill values: `obsm/X_pca`",
    ),
    (V013, "shutil.rmtree(path + '/obsm/X_pca')", false, Stale, "", "`obsm/X_pca`"),
    (V2, "shutil.copytree(path + '/obsm/X_pca', path + '/obsm/more')", false, Stale, "", "do not list what is there"),
    (V3, "shutil.copytree(path + '/obsm/X_pca', path + '/obsm/more')", false, Stale, "", "`obsm/more`"),
    (
        V3,
        "p = path + '/obs/zarr.json'; d = json.load(open(p)); d['attributes']['x'] = 1; json.dump(d, open(p, 'w'))",
        false,
        Stale,
        "",
        "older than what is there: `obs`",
    ),
    (
        V2,
        "p = path + '/obs/.zattrs'; d = json.load(open(p)); d['x'] = 1; json.dump(d, open(p, 'w'))",
        false,
        Stale,
        "",
        "older than what is there: `obs`",
    ),
    (V3, APART, false, Damage, "", "siblings do not stand together"),
    (V3, "MAP: m = {'/' + k: v for k, v in m.items()}", false, Damage, "", "begin with a slash"),
    (V3, "MAP: del m['obs']", false, Damage, "", "groups above"),
    (V3, "DOC: d['consolidated_metadata']['kind'] = 'other'", false, Damage, "", "kind `inline`"),
    (V2, "open(path + '/.zmetadata', 'w').write('{\"metadata\": ')", false, Damage, "", "JSON"),
    // Documents and files.
    (V3, "open(path + '/obsm/X_pca/zarr.json', 'w').write('{')", false, Damage, "obsm/X_pca", "zarr.json"),
    (V2, "open(path + '/obsm/X_pca/.zarray', 'w').write('{')", false, Damage, "obsm/X_pca", ".zarray"),
    (V3, "os.makedirs(path + '/obsm/left/c/0')", false, Note, "obsm", "`left` is a directory without metadata"),
    (V3, "os.remove(path + '/uns/pca/zarr.json')", false, Damage, "uns", "nodes below it"),
    (V3, "open(path + '/obsm/.x.partial', 'w')", false, Note, "obsm", "belong to nothing: `.x.partial`"),
    (V3, "open(path + '/obsm/X_pca/c/99', 'w')", false, Note, "obsm/X_pca", "`c/99`"),
    (
        V3,
        "os.makedirs(path + '/obsm/X_pca/c/7'); open(path + '/obsm/X_pca/c/7/0', 'w')",
        false,
        Note,
        "obsm/X_pca",
        "outside",
    ),
    (V2, "open(path + '/obsm/X_pca/7.0', 'w')", false, Note, "obsm/X_pca", "1 chunk file outside"),
    // Chunks.
    (V2, "os.remove(path + '/obs/index/0')", false, Damage, "obs/index", "name all rows the same"),
    (V3, "os.remove(path + '/obs/index/c/0')", false, Damage, "obs/index", "name all rows the same"),
    (V3, "os.remove(path + '/obs/louvain/categories/c/0')", false, Damage, "obs/louvain/categories", "all be the same"),
    (V3, "os.remove(path + '/raw/X/indices/c/0')", false, Damage, "raw/X/indices", "index 0 cannot stand"),
    (V2, "os.remove(path + '/raw/X/indptr/0')", false, Damage, "raw/X/indptr", "from 0 to 0"),
    (V3, "os.remove(path + '/X/c/0/0')", true, Note, "X", "1 of 8 chunks not stored"),
    (V3, "[os.remove(p) for p in glob.glob(path + '/X/c/*/*')]", false, Damage, "X", "all its chunks are missing"),
    (V3, "shutil.rmtree(path + '/X/c')", true, Note, "X", "8 of 8 chunks not stored"),
    (V2, "open(path + '/X/0.0', 'wb').write(b'nonsense')", true, Damage, "X", ""),
    (V013, "p = path + '/obsm/X_pca/c/0/0'; os.truncate(p, os.path.getsize(p) - 9)", true, Damage, "obsm/X_pca", ""),
];

/// The entries of the map of a version 3 store in an order that zarr-python 3.1 does not take.
const APART: &str = "MAP: m = dict(sorted(m.items(), key=lambda e: e[0].count('/') * 100 + hash(e[0]) % 7))";

/// Damage in words that are short for what edits the root document or its map.
fn damaging(code: &str) -> String {
    let edit = |line: &str| {
        format!(
            "p = path + '/zarr.json'; d = json.load(open(p)); m = d['consolidated_metadata']['metadata']\n{line}\n\
             if 'MAP' in {code:?}: d['consolidated_metadata']['metadata'] = m\njson.dump(d, open(p, 'w'))"
        )
    };
    match code.split_once(": ") {
        Some(("MAP" | "DOC", line)) => edit(line),
        _ => code.to_owned(),
    }
}

fn is_there(report: &Report, severity: Severity, path: &str, words: &str) -> bool {
    report.findings.iter().any(|f| f.severity == severity && f.path == path && f.what.contains(words))
}

/// Copies of the stores of these cases, damaged.
fn damaged(cases: &[&Case]) -> Vec<(tempfile::TempDir, PathBuf)> {
    let copies: Vec<(tempfile::TempDir, PathBuf)> = cases.iter().map(|case| copy_of(case.0)).collect();
    let jobs: Vec<_> = cases.iter().zip(&copies).map(|(case, (_, at))| (damaging(case.1), at.clone())).collect();
    python_each(&jobs);
    copies
}

#[test]
fn damage_is_found_and_named() {
    let cases: Vec<&Case> = CASES.iter().collect();
    let mut faults = Vec::new();
    let mut before: BTreeMap<&str, Report> = BTreeMap::new();
    for (&&(store, code, deep, severity, path, words), (_keep, at)) in cases.iter().zip(damaged(&cases)) {
        let before = before.entry(store).or_insert_with(|| look(&copy_of(store).1, true));
        if is_there(before, severity, path, words) || !before.is_sound() {
            faults.push(format!("{store}: found before it was made: {code}\n{:#?}", before.findings));
        }
        let damaged = bytes(&at);
        let report = look(&at, deep);
        if !is_there(&report, severity, path, words) || report.is_sound() != (severity == Note) {
            faults.push(format!("{store}: {code}\n{:#?}", report.findings));
        }
        if !deep && !is_there(&look(&at, true), severity, path, words) {
            faults.push(format!("{store}: not found by a deep look: {code}"));
        }
        assert!(bytes(&at) == damaged, "looking changed something: {code}");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn one_damage_does_not_hide_the_others() {
    let (_keep, at) = copy_of(V3);
    let few: Vec<&Case> = CASES.iter().filter(|c| c.0 == V3 && !c.1.starts_with("MAP") && c.4.contains('/')).collect();
    let together = few.iter().filter(|case| !case.1.contains("X_pca/zarr.json"));
    python_each(&together.map(|case| (damaging(case.1), at.clone())).collect::<Vec<_>>());
    let found = look(&at, true);
    for &&(_, code, _, severity, path, words) in &few {
        assert!(
            code.contains("X_pca/zarr.json") || is_there(&found, severity, path, words),
            "{code}\n{:#?}",
            found.findings
        );
    }
}

#[test]
fn sound_stores_are_sound() {
    let mut looked = 0;
    let mut stores: Vec<PathBuf> = common::fixture_names().iter().map(|name| common::fixtures().join(name)).collect();
    let mut folders = vec![data("")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_zarr = ["zarr.json", ".zgroup"].iter().any(|name| path.join(name).exists());
            let suffix = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
            match path.is_dir() {
                true if is_zarr => stores.push(path),
                true => folders.push(path),
                false if matches!(suffix, "h5ad" | "h5mu" | "zip") => stores.push(path),
                false => {}
            }
        }
    }
    for path in stores {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let report = match verify(&path, &VerifyOptions::default().deep(true)) {
            Ok(report) => report,
            // Collections of other things.
            Err(Error::NotAnnData { .. }) => continue,
            Err(error) => panic!("{name}: {error}"),
        };
        looked += 1;
        let serious: Vec<&Finding> = report.findings.iter().filter(|f| f.severity != Note).collect();
        match KNOWN.iter().find(|row| row.0 == name) {
            None => assert!(serious.is_empty(), "{}: {serious:#?}", path.display()),
            Some((_, severity, words, why)) => {
                let is_it = |f: &&Finding| f.severity == *severity && f.to_string().contains(words);
                assert!(serious.len() == 1 && is_it(&serious[0]), "{name}, {why}: {serious:#?}");
            }
        }
    }
    assert!(looked > 130, "{looked}");
}

/// What Python says of a store: everything read by anndata, and the same tree with and without consolidated metadata.
const SOUND_TO_PYTHON: &str = "
anndata.read_zarr(path)
def tree(use):
    group = zarr.open_group(path, mode='r', use_consolidated=use)
    return sorted(str(k) for k, _ in group.members(max_depth=None))
print(tree(True) == tree(False), len(tree(True)))";

#[test]
fn maps_are_mended_so_that_python_reads_them() {
    let of_maps = |case: &&Case| case.0.ends_with(".zarr") && case.4.is_empty() && case.3 != Note;
    let cases: Vec<&Case> = CASES.iter().filter(of_maps).collect();
    assert!(cases.len() > 10);
    let copies = damaged(&cases);
    for ((_, code, ..), (_keep, at)) in cases.iter().zip(&copies) {
        let report = look(at, false);
        assert!(!report.repairs().is_empty(), "{code}: {:#?}", report.findings);
        let done = report.repair(Locking::On).unwrap();
        assert!(done.iter().any(|line| line.contains("renewed the consolidated metadata of `/`")), "{done:?}");
        let after = look(at, true);
        assert!(after.is_sound() && after.repairs().is_empty(), "{code}: {:#?}", after.findings);
    }
    // anndata 0.12 cannot read all of what 0.13 writes, damaged or not.
    let read = cases.iter().zip(&copies).filter(|(case, _)| case.0 != V013);
    let jobs: Vec<_> = read.map(|(_, (_keep, at))| (SOUND_TO_PYTHON.to_owned(), at.clone())).collect();
    for (said, (_, at)) in python_each(&jobs).into_iter().zip(&jobs) {
        assert!(said.starts_with("True"), "{}: {said}", at.display());
    }
}

#[test]
fn maps_below_an_unconsolidated_root_are_mended_alone() {
    let (_keep, at) = copy_of("not_consolidated_v3.zarr");
    python(
        "zarr.consolidate_metadata(path, path='uns')\nzarr.open_group(path + '/uns', mode='a', use_consolidated=False).create_group('new')",
        &at,
    );
    let report = look(&at, false);
    assert!(is_there(&report, Stale, "uns", "`new`"), "{:#?}", report.findings);
    report.repair(Locking::On).unwrap();
    assert!(look(&at, true).is_sound());
    let said = python(
        "print(zarr.open_group(path + '/uns', use_consolidated=True)['new'].name)\n\
         print(zarr.open_group(path).metadata.consolidated_metadata is None)",
        &at,
    );
    assert!(said.contains("new") && said.contains("True"), "{said}");
}

#[test]
fn what_is_not_there_or_not_ours_is_an_error() {
    let keep = tempfile::tempdir().unwrap();
    let absent = verify(keep.path().join("absent.h5ad"), &VerifyOptions::default());
    assert!(matches!(absent, Err(Error::Io { .. })), "{absent:?}");
    let text = keep.path().join("text.h5ad");
    std::fs::write(&text, "text").unwrap();
    assert!(matches!(verify(&text, &VerifyOptions::default()), Err(Error::NotAnnData { .. })));
    python("zarr.create_group(path)", &keep.path().join("bare.zarr"));
    assert!(matches!(verify(keep.path().join("bare.zarr"), &VerifyOptions::default()), Err(Error::NotAnnData { .. })));
}

#[test]
fn a_deep_look_can_be_followed_and_ended() {
    let seen = std::cell::RefCell::new(Vec::new());
    let tell = |done: u64, total: u64| {
        seen.borrow_mut().push((done, total));
        if seen.borrow().len() < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let report = verify(data(H5AD), &VerifyOptions::default().deep(true).progress(&tell)).unwrap();
    assert!(!report.complete);
    let seen = seen.into_inner();
    assert!(seen.len() == 3 && seen.is_sorted() && seen.iter().all(|(done, total)| done <= total), "{seen:?}");
    assert!(look(&data(H5AD), true).complete);
}

#[test]
fn company_is_an_error_and_no_damage() {
    let copy = Copy::of(H5AD);
    let writer = copy.open_to_write();
    let busy = verify(&copy.path, &VerifyOptions::default());
    assert!(matches!(&busy, Err(Error::Busy { .. })) && format!("{busy:?}").contains("process"), "{busy:?}");
    drop(writer);
    let reader = copy.open();
    assert!(look(&copy.path, false).is_sound());
    drop(reader);
    let copy = Copy::of(V3);
    let writer = copy.open_to_write();
    assert!(look(&copy.path, false).is_sound(), "nothing is written yet");
    // Once during a look, which is then repeated; and whenever anybody looks.
    for times in [1, usize::MAX] {
        let written = Cell::new(0);
        let write = |_, _| {
            if written.get() < times {
                written.set(written.get() + 1);
                writer.obs().insert_element("n_counts", Array::from_vec(vec![written.get() as f64; 700])).unwrap();
                writer.write(Default::default()).unwrap();
            }
            ControlFlow::Continue(())
        };
        let seen = verify(&copy.path, &VerifyOptions::default().deep(true).progress(&write));
        match times {
            1 => assert!(seen.unwrap().is_sound()),
            _ => assert!(matches!(seen, Err(Error::StoreChanged { .. })), "{seen:?}"),
        }
    }
    drop(writer);
    assert!(look(&copy.path, true).is_sound());
}

#[test]
fn metadata_are_all_that_a_quick_look_reads_of_large_arrays() {
    // What is not looked at is not found: the chunk is only opened by a deep look.
    let copy = Copy::of(V3);
    std::fs::write(copy.path.join("raw/X/data/c/0"), "nonsense").unwrap();
    assert!(look(&copy.path, false).is_sound());
    assert!(!look(&copy.path, true).is_sound());
}

#[test]
fn hostile_metadata_are_findings_and_take_no_time_or_memory() {
    for shape in [1_u64 << 62, u64::MAX, 1 << 40] {
        let copy = Copy::of(V3);
        edit_v3(&copy.path, "obs/n_genes", |d| {
            d["shape"] = serde_json::json!([shape]);
            d["chunk_grid"]["configuration"]["chunk_shape"] = serde_json::json!([1]);
        });
        let report = look(&copy.path, false);
        assert!(
            report.findings.iter().any(|f| f.path == "obs/n_genes" && f.severity == Damage),
            "{:#?}",
            report.findings
        );
    }
}

#[test]
fn links_in_circles_are_a_finding() {
    let (_keep, at) = copy_of(H5AD);
    python("f = h5py.File(path, 'r+'); f['uns/one'] = h5py.SoftLink('/uns')", &at);
    let report = look(&at, false);
    assert!(
        report.findings.iter().any(|f| f.severity == Damage && f.what.contains("circles")),
        "{:#?}",
        report.findings
    );
}
