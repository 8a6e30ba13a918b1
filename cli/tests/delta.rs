//! Changing files from the shell: each command is one transaction, and Python reads what comes of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;

use anndata_shadow::{Array, Element, MuDataShadow};
use bench::{Bench, STORES, bytes_below, python};

#[test]
fn an_element_is_set_in_place_of_another() {
    for store in STORES {
        let bench = Bench::new(store);
        bench.ok("get", &["obsm/X_umap", "-o", "u.npy"]);
        bench.fails("add", &["obsm/X_pca", "--from", "u.npy"], &["obsm/X_pca", "exists", "`adshadow set`", "u.npy"]);
        let shown = bench.ok("set", &["obsm/X_pca", "--from", "u.npy"]);
        assert!(shown.starts_with("~ obsm/X_pca: a 2-d float64 array (700 × 2)"), "{shown}");
        assert!(shown.contains("in place of a 2-d float32 array (700 × 50)"), "{shown}");
        let [pca, umap] = ["X_pca", "X_umap"].map(|name| bench.shadow().obsm().read::<Array>(name).unwrap());
        assert_eq!(pca, umap);
        // Where there is none, it is new.
        assert!(bench.ok("set", &["obsm/new", "--from", "u.npy"]).starts_with("+ obsm/new: "));
        std::fs::write(bench.path("l.csv"), format!("louvain\n{}", "a\nb\n".repeat(350))).unwrap();
        bench.ok("set", &["obs/louvain", "--from", "l.csv"]);
        let said = python(
            "a = anndata.read_h5ad(path) if path.endswith('h5ad') else anndata.read_zarr(path)\n\
             print(np.array_equal(a.obsm['X_pca'], a.obsm['X_umap']), list(a.obs['louvain'].cat.categories), a.shape)",
            &bench.store,
        );
        assert_eq!(said.trim(), "True ['a', 'b'] (700, 765)");
    }
}

#[test]
fn elements_are_removed_and_renamed() {
    for store in STORES {
        let bench = Bench::new(store);
        let columns = bench.shadow().obs().columns().unwrap();
        let shown = bench.ok("rm", &["obsm/X_pca", "obs/n_genes", "raw", "uns/neighbors/params"]);
        assert_eq!(shown.lines().filter(|line| line.starts_with("- ")).count(), 4, "{shown}");
        assert!(shown.lines().last().unwrap().starts_with("4 changes written"), "{shown}");
        let shown = bench.ok("mv", &["obsm/X_umap", "obsm/umap"]);
        assert!(shown.starts_with("> obsm/umap (was obsm/X_umap): "), "{shown}");
        bench.ok("mv", &["obs/louvain", "obs/cluster"]);
        bench.ok("mv", &["X", "layers/counts"]);
        let said = python(
            "a = anndata.read_h5ad(path) if path.endswith('h5ad') else anndata.read_zarr(path)\n\
             print(sorted(a.obsm), list(a.layers), a.X is None, a.raw is None, 'params' in a.uns['neighbors'])\n\
             print(','.join(a.obs.columns))",
            &bench.store,
        );
        let expected: Vec<&str> = columns.iter().map(String::as_str).filter(|c| *c != "n_genes").collect();
        let expected = expected.join(",").replace("louvain", "cluster");
        assert_eq!(said, format!("['umap'] ['counts'] True True False\n{expected}\n"));
        bench.fails("rm", &["obsm/X_pcb"], &[store, "obsm/X_pcb"]);
        bench.fails("rm", &["obs/index"], &[store, "obs/index", "row names"]);
        bench.fails("mv", &["obsm/umap", "varm/umap"], &[store, "obsm/umap", "varm/umap"]);
        bench.fails("mv", &["obs/cluster", "obs/phase"], &[store, "obs/phase", "exists"]);
    }
}

const LIST: &str = r#"
# Several changes, in this order.
[[change]]
add = "obsm/again"
from = "u.npy"

[[change]]
set = "obsm/X_pca"
from = "u.npy"

[[change]]
rm = ["obs/n_genes", "raw"]

[[change]]
mv = "obs/louvain"
to = "obs/cluster"
"#;

#[test]
fn a_list_of_changes_is_one_transaction() {
    for store in STORES {
        let bench = Bench::new(store);
        bench.ok("get", &["obsm/X_umap", "-o", "u.npy"]);
        std::fs::write(bench.path("c.toml"), LIST).unwrap();
        let before = bytes_below(&bench.store);
        let planned = bench.ok("diff", &["c.toml"]);
        assert_eq!(bench.ok("apply", &["c.toml", "--dry-run"]), planned);
        let marks: Vec<&str> = planned.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(marks, ["+", "~", "-", "-", ">", "dry"], "{planned}");
        assert!(bytes_below(&bench.store) == before);
        // The last one fails: none is made.
        std::fs::write(bench.path("bad.toml"), format!("{LIST}\n[[change]]\nrm = \"obsm/absent\"\n")).unwrap();
        bench.fails("apply", &["bad.toml"], &[store, "`rm obsm/absent`", "nothing was written"]);
        assert!(bytes_below(&bench.store) == before);
        let done = bench.ok("apply", &["c.toml"]);
        assert!(done.starts_with(planned.split("dry run").next().unwrap()), "{done}\n{planned}");
        let said = python(
            "a = anndata.read_h5ad(path) if path.endswith('h5ad') else anndata.read_zarr(path)\n\
             print(np.array_equal(a.obsm['X_pca'], a.obsm['again']), a.raw is None, 'n_genes' in a.obs, 'cluster' in a.obs)",
            &bench.store,
        );
        assert_eq!(said.trim(), "True True False True");
    }
}

#[test]
fn lists_that_cannot_be_understood_say_where() {
    let bench = Bench::new(STORES[0]);
    for (list, parts) in [
        ("[[change", &["c.toml", "TOML", "line 1"][..]),
        ("", &["c.toml", "[[change]]"]),
        ("change = 1", &["c.toml", "[[change]]"]),
        ("[[change]]\nadd = \"obsm/x\"", &["c.toml", "change number 1", "`from` is missing"]),
        ("[[change]]\nrm = \"raw\"\n[[change]]\nrm = 1", &["c.toml", "change number 2", "`rm`"]),
        ("[[change]]\nrm = \"raw\"\nto = \"x\"", &["c.toml", "change number 1", "`rm` has no `to`"]),
        ("[[change]]\nrm = \"raw\"\nmv = \"x\"", &["c.toml", "change number 1", "rm and mv"]),
        ("[[change]]\ndelete = \"raw\"", &["c.toml", "change number 1", "`add`, `set`, `rm`, `mv`", "not `delete`"]),
        ("other = 1\n[[change]]\nrm = \"raw\"", &["c.toml", "`other`"]),
        ("[[change]]\nadd = \"obsm/x\"\nfrom = \"absent.npy\"", &["absent.npy"]),
    ] {
        std::fs::write(bench.path("c.toml"), list).unwrap();
        bench.fails("apply", &["c.toml"], parts);
    }
    bench.fails("apply", &["absent.toml"], &["absent.toml"]);
}

#[test]
fn files_are_found_from_the_list() {
    let bench = Bench::new(STORES[0]);
    std::fs::create_dir(bench.path("lists")).unwrap();
    bench.ok("get", &["obsm/X_umap", "-o", "lists/u.npy"]);
    std::fs::write(bench.path("lists/c.toml"), "[[change]]\nadd = \"obsm/new\"\nfrom = \"u.npy\"\n").unwrap();
    bench.ok("apply", &["lists/c.toml"]);
    assert!(bench.shadow().obsm().contains("new").unwrap());
}

#[test]
fn dry_runs_refuse_what_writing_would_be_refused() {
    let bench = Bench::new(STORES[0]);
    bench.ok("get", &["obsm/X_umap", "-o", "u.npy"]);
    let zip = "zipped.zarr.zip";
    let from = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/archives/anndata/v0.11.4/adata.zarr.zip");
    std::fs::copy(from, bench.path(zip)).unwrap();
    let run = |command: &str, args: &[&str]| {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_adshadow"));
        program.current_dir(bench.dir.path()).arg(command).args(args).output().unwrap()
    };
    for dry in [&["--dry-run"][..], &[]] {
        let out = run("rm", &[&[zip, "layers/x"], dry].concat());
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(1) && said.contains(zip) && said.contains("unpack"), "{said}");
    }
    // Root may write everything.
    let mut permissions = std::fs::metadata(&bench.store).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&bench.store, permissions).unwrap();
    if std::fs::OpenOptions::new().write(true).open(&bench.store).is_err() {
        bench.fails("rm", &["raw", "--dry-run"], &[STORES[0]]);
        bench.fails("rm", &["raw"], &[STORES[0]]);
    }
}

/// The command on a copy of a fixture.
fn with_fixture(name: &str, then: impl Fn(&Bench)) {
    let from = std::env::var_os("ADSHADOW_FIXTURES");
    let from = from.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../target/fixtures").into());
    let mut bench = Bench::new(STORES[0]);
    bench.store = bench.path(name);
    bench::copy(&std::path::Path::new(&from).join(name), &bench.store);
    then(&bench);
}

#[test]
fn modalities_and_what_is_in_them() {
    for fixture in ["mu.h5mu", "mu_v2.zarr", "mu_v3.zarr"] {
        with_fixture(fixture, |bench| {
            let before = MuDataShadow::open(&bench.store).unwrap().modalities();
            let (first, second) = (before[0].as_str(), before[1].as_str());
            let n = MuDataShadow::open(&bench.store).unwrap().modality(first).unwrap().n_obs();
            std::fs::write(bench.path("c.csv"), format!("new\n{}", "1\n".repeat(n))).unwrap();
            let column = format!("mod/{first}/obs/new");
            assert!(bench.ok("add", &[&column, "--from", "c.csv"]).starts_with(&format!("+ {column}: ")));
            bench.ok("mv", &[&column, &format!("mod/{first}/obs/newer")]);
            bench.fails("mv", &[&format!("mod/{first}/obs/newer"), "obs/newer"], &["another object"]);
            bench.fails("mv", &[&format!("mod/{first}"), "obs/x"], &["modality"]);
            // However the modality is named.
            bench.ok("mv", &[&format!("{first}/obs/newer"), &format!("/mod/{first}/obs/newest")]);
            bench.fails(
                "mv",
                &[&format!("mod/{first}/obs/newest"), &format!("mod/{second}/obs/newest")],
                &["another object"],
            );
            bench.ok("rm", &[&format!("mod/{first}/obs/newest")]);
            bench.ok("mv", &[&format!("mod/{first}"), "mod/other"]);
            bench.ok("rm", &[&format!("mod/{second}")]);
            let after = MuDataShadow::open(&bench.store).unwrap();
            assert!(after.modalities().contains(&"other".to_owned()), "{:?}", after.modalities());
            assert!(!after.modalities().contains(&second.to_owned()));
            assert!(after.modality("other").unwrap().obs().names().is_ok());
            bench.ok("verify", &["--deep"]);
        });
    }
}

#[test]
fn what_is_changed_is_sound() {
    for store in STORES {
        let bench = Bench::new(store);
        bench.ok("get", &["obsm/X_umap", "-o", "u.npy"]);
        std::fs::write(bench.path("c.toml"), LIST).unwrap();
        bench.ok("apply", &["c.toml", "--safety", "copy"]);
        bench.ok("verify", &["--deep"]);
        let element = bench.shadow().member("obs/cluster").unwrap().read::<Element>().unwrap();
        assert!(matches!(element, Element::Categorical(_)));
    }
}

#[test]
fn holes_are_counted_and_given_back() {
    let bench = Bench::new(STORES[0]);
    let shown = bench.ok("rm", &["X"]);
    let hole = shown.lines().last().unwrap();
    assert!(hole.contains("bytes of the file are unused now") && hole.contains("compact"), "{hole}");
    let before = std::fs::metadata(&bench.store).unwrap().len();
    let file = std::fs::read(&bench.store).unwrap();
    bench.ok("compact", &["--dry-run"]);
    assert!(std::fs::read(&bench.store).unwrap() == file);
    let said = bench.ok("compact", &[]);
    let after = std::fs::metadata(&bench.store).unwrap().len();
    assert!(after < before, "{before} {after}");
    assert_eq!(said, format!("{before} bytes before, {after} after: {} given back\n", before - after));
    bench.ok("verify", &["--deep"]);
    let said = python("a = anndata.read_h5ad(path); print(a.X is None, a.shape, a.obsm['X_pca'].shape)", &bench.store);
    assert_eq!(said.trim(), "True (700, 765) (700, 50)");
    drop(bench);
    let zarr = Bench::new(STORES[1]);
    zarr.fails("compact", &[], &[STORES[1], "no holes"]);
    zarr.fails("compact", &["--dry-run"], &[STORES[1], "no holes"]);
}
