//! Looking, cutting and adding from the shell.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;

use std::path::Path;
use std::process::Command;

use anndata_shadow::{AnnDataShadow, Array, Element, Select, Sparse, Table};
use bench::{Bench, STORES, bytes_below};
use polars::prelude::{CsvReadOptions, DataFrame, DataType, ParquetReader, SerReader};

fn frame(bench: &Bench, name: &str) -> DataFrame {
    read_frame(&bench.path(name))
}

fn read_frame(path: &Path) -> DataFrame {
    if path.extension().unwrap() == "csv" {
        CsvReadOptions::default()
            .with_infer_schema_length(None)
            .try_into_reader_with_file_path(Some(path.to_owned()))
            .unwrap()
            .finish()
            .unwrap()
    } else {
        ParquetReader::new(std::fs::File::open(path).unwrap()).finish().unwrap()
    }
}

fn read_npy<T: npyz::Deserialize>(path: &Path) -> (Vec<u64>, Vec<T>) {
    let file = npyz::NpyFile::new(std::fs::File::open(path).unwrap()).unwrap();
    (file.shape().to_vec(), file.into_vec().unwrap())
}

fn texts(frame: &DataFrame, column: &str) -> Vec<String> {
    let column = frame.column(column).unwrap().cast(&DataType::String).unwrap();
    column.str().unwrap().iter().map(|t| t.unwrap_or_default().to_owned()).collect()
}

fn floats(array: &Array) -> Vec<f32> {
    array.view::<f32>().unwrap().iter().copied().collect()
}

#[test]
fn show_lists_what_is_there() {
    for store in STORES {
        let bench = Bench::new(store);
        let shown = bench.ok("show", &[]);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "AnnData Shadow object with n_obs × n_vars = 700 × 765");
        assert_eq!(lines[1], "  X");
        assert_eq!(lines[2], "  raw:\tX, var, varm");
        assert_eq!(shown.trim_end(), bench.shadow().to_string());
        let json: serde_json::Value = serde_json::from_str(&bench.ok("show", &["--json"])).unwrap();
        assert_eq!(json["shape"], serde_json::json!({"n_obs": 700, "n_vars": 765}));
        let elements = json["elements"].as_array().unwrap();
        assert_eq!(elements.len(), bench.shadow().elements().unwrap().len());
        let find = |path: &str| elements.iter().find(|e| e["path"] == path).unwrap();
        assert_eq!(find("X")["kind"], "array");
        assert_eq!(find("X")["dtype"], "float32");
        assert_eq!(find("raw/X")["kind"], "sparse");
        assert_eq!(find("raw/X")["encoding"]["type"], "csr_matrix");
        assert_eq!(find("obs/louvain")["kind"], "categorical");
        assert_eq!(find("obsm/X_pca")["shape"], serde_json::json!([700, 50]));
    }
}

#[test]
fn get_previews_a_corner() {
    for store in STORES {
        let bench = Bench::new(store);
        let shown = bench.ok("get", &["obsm/X_pca"]);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "obsm/X_pca: 700 × 50 float32");
        assert_eq!(lines.len(), 1 + 1 + 10 + 1);
        assert!(lines[2].starts_with("AAAGCCTGGCTAAC-1") && lines[2].ends_with('…'), "{shown}");
        assert!(lines[12].starts_with('…'));
        let small = bench.ok("get", &["X", "--rows", "0:2", "--cols", "HES4,SSU72"]);
        assert_eq!(small.lines().next().unwrap(), "X: 2 × 2 float32");
        assert!(!small.contains('…') && small.contains("SSU72"), "{small}");
        assert!(bench.ok("get", &["raw/X"]).starts_with("raw/X: 700 × 765 float32 csr_matrix, 174400 stored values\n"));
        assert!(bench.ok("get", &["uns/neighbors"]).contains("\n    method: umap\n"));
        assert_eq!(bench.ok("get", &["uns/neighbors/params/method"]).lines().nth(1), Some("umap"));
        assert!(bench.ok("get", &["obs"]).contains("CD14+ Monocyte"));
        for slot in ["uns", "obsm", "raw", "var", "raw/var", "obsp/distances", "varm/PCs"] {
            bench.ok("get", &[slot]);
        }
    }
}

#[test]
fn every_form_of_selection_is_the_librarys() {
    for store in STORES {
        let bench = Bench::new(store);
        let shadow = bench.shadow();
        std::fs::write(bench.path("names.txt"), "SSU72\nHES4\n").unwrap();
        let louvain = shadow.obs().column("louvain").unwrap().cast(&DataType::String).unwrap();
        let mask: Vec<bool> = louvain.str().unwrap().iter().map(|v| matches!(v, Some("3" | "10"))).collect();
        let cases: Vec<(&str, Select, &str, Select)> = vec![
            ("0:100", (0..100).into(), "::200", Select::parse_slice("::200").unwrap()),
            ("-5:", (-5..).into(), "3,1,-1", [3, 1, -1].into()),
            ("5:1:-1", Select::parse_slice("5:1:-1").unwrap(), "HES4,SSU72", ["HES4", "SSU72"].into()),
            ("7", 7.into(), "@names.txt", ["SSU72", "HES4"].into()),
            ("louvain=3,10", mask.into(), ":", (..).into()),
        ];
        for (rows, obs, cols, var) in cases {
            let expected: Array = shadow.select(obs, var).unwrap().x().read().unwrap();
            bench.ok("get", &["X", "--rows", rows, "--cols", cols, "-o", "x.npy"]);
            let (shape, items) = read_npy::<f32>(&bench.path("x.npy"));
            assert_eq!(shape, expected.shape().iter().map(|&n| n as u64).collect::<Vec<_>>(), "{rows} {cols}");
            assert_eq!(items, floats(&expected), "{rows} {cols}");
        }
    }
}

#[test]
fn rows_and_columns_of_every_slot() {
    for store in STORES {
        let bench = Bench::new(store);
        let shadow = bench.shadow();
        let pca: Array = shadow.obsm().read("X_pca").unwrap();
        let pcs: Array = shadow.varm().read("PCs").unwrap();
        let distances: Sparse = shadow.obsp().read("distances").unwrap();
        let raw: Sparse = shadow.raw().unwrap().unwrap().x().unwrap().read().unwrap();
        let at = |list: &[usize]| anndata_shadow::Rows::picks(list.to_vec());
        bench.ok("get", &["obsm/X_pca", "--rows", "9,2", "--cols", "4,0", "-o", "a.npy"]);
        assert_eq!(read_npy::<f32>(&bench.path("a.npy")).1, floats(&pca.take(&[at(&[9, 2]), at(&[4, 0])])));
        bench.ok("get", &["varm/PCs", "--rows", "SSU72,HES4", "--cols", "1", "-o", "a.npy"]);
        let expected = pcs.take(&[at(&[2, 0]), at(&[1])]);
        let (shape, items) = read_npy::<f64>(&bench.path("a.npy"));
        assert_eq!(shape, [2, 1]);
        assert_eq!(Array::from_shape_vec(&[2, 1], items).unwrap().to_strings(), expected.to_strings());
        for (rows, cols) in [("5,3", "100:400"), ("5,3", ":"), (":", "7"), ("0:20", "0:20")] {
            bench.ok("get", &["obsp/distances", "--rows", rows, "--cols", cols, "-o", "d.csv"]);
            let resolve = |s: &str| match Select::parse_slice(s) {
                Some(slice) => slice.resolve(700, &[]).unwrap(),
                None => at(&s.split(',').map(|t| t.parse().unwrap()).collect::<Vec<_>>()),
            };
            let expected = distances.take(Some(&resolve(rows)), Some(&resolve(cols))).to_dense().unwrap();
            let got = frame(&bench, "d.csv");
            assert_eq!([got.height(), got.width() - 1], expected.shape());
            let column: Vec<f64> = got.columns()[1].f64().unwrap().iter().map(Option::unwrap).collect();
            let first = expected.take(&[anndata_shadow::Rows::All(expected.shape()[0]), at(&[0])]);
            assert_eq!(column, first.to_f64().unwrap(), "{rows} {cols}");
        }
        bench.ok("get", &["raw/X", "--rows", "3,1", "--cols", "SSU72,HES4", "-o", "r.csv"]);
        let expected = raw.take(Some(&at(&[3, 1])), Some(&at(&[2, 0]))).to_dense().unwrap();
        let got = frame(&bench, "r.csv");
        assert_eq!(got.get_column_names()[1..], ["SSU72", "HES4"]);
        let items: Vec<f64> = expected.to_f64().unwrap();
        let close = |a: Option<f64>, b: f64| (a.unwrap() - b).abs() < 1e-6;
        assert!(close(got.columns()[1].f64().unwrap().get(0), items[0]));
        assert!(close(got.columns()[2].f64().unwrap().get(1), items[3]));
    }
}

#[test]
fn frames_and_columns_to_tables() {
    for store in STORES {
        let bench = Bench::new(store);
        let shadow = bench.shadow();
        let names = shadow.obs_names().unwrap();
        for file in ["obs.csv", "obs.parquet"] {
            bench.ok("get", &["obs", "-o", file]);
            let got = frame(&bench, file);
            assert_eq!(got.get_column_names()[0], "index");
            assert_eq!(texts(&got, "index"), names);
            let expected = shadow.obs().read().unwrap();
            assert_eq!(texts(&got, "bulk_labels"), texts(&expected, "bulk_labels"));
            assert_eq!(texts(&got, "n_genes"), texts(&expected, "n_genes"));
        }
        let coded = frame(&bench, "obs.parquet");
        assert!(matches!(coded.column("louvain").unwrap().dtype(), DataType::Enum(..) | DataType::Categorical(..)));
        bench.ok("get", &["obs/phase", "--rows", "louvain=3", "-o", "phase.csv"]);
        assert_eq!(frame(&bench, "phase.csv").get_column_names(), ["index", "phase"]);
        bench.ok("get", &["obs", "--cols", "phase,n_genes", "--rows", "0:3", "-o", "two.csv"]);
        assert_eq!(frame(&bench, "two.csv").get_column_names(), ["index", "phase", "n_genes"]);
        bench.ok("get", &["obsm/X_umap", "-o", "umap.parquet"]);
        let umap = frame(&bench, "umap.parquet");
        assert_eq!(umap.get_column_names(), ["index", "0", "1"]);
        let expected: Array = shadow.obsm().read("X_umap").unwrap();
        let first: Vec<f64> = umap.column("0").unwrap().f64().unwrap().iter().map(Option::unwrap).collect();
        assert_eq!(first, expected.to_f64().unwrap().into_iter().step_by(2).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_got_can_be_added() {
    for store in STORES {
        let bench = Bench::new(store);
        for (from, file, to) in [
            ("obsm/X_pca", "a.npy", "obsm/again"),
            ("obsm/X_umap", "a.npz", "obsm/zipped"),
            ("X", "x.npy", "layers/x"),
            ("raw/X", "raw.npz", "layers/raw"),
            ("obsp/distances", "d.npz", "obsp/d"),
            ("varm/PCs", "p.npy", "varm/p"),
            ("uns/pca/variance", "v.npy", "uns/deep/er"),
            ("obsm/X_umap", "u.parquet", "obsm/table"),
            ("obs/n_genes", "n.csv", "obs/genes_again"),
            ("obs/phase", "ph.csv", "obs/phase_again"),
            ("var/means", "m.parquet", "var/means_again"),
            ("obsp/connectivities", "c.csv", "obsp/dense"),
        ] {
            bench.ok("get", &[from, "-o", file]);
            let receipt = bench.ok("add", &[to, "--from", file]);
            assert!(receipt.starts_with(&format!("+ {to}: ")), "{receipt}");
            let shadow = bench.shadow();
            let [before, after] = [from, to].map(|p| shadow.member(p).unwrap().read::<Element>().unwrap());
            match (&before, &after) {
                (Element::Sparse(s), Element::Array(a)) => {
                    assert_eq!(s.to_dense().unwrap().to_f64().unwrap().len(), a.len());
                    let differ = s.to_dense().unwrap().to_f64().unwrap().into_iter().zip(a.to_f64().unwrap());
                    assert!(differ.into_iter().all(|(x, y)| (x - y).abs() < 1e-6));
                }
                (Element::Array(a), Element::Array(b)) => {
                    assert_eq!((a.dtype(), a.to_strings()), (b.dtype(), b.to_strings()), "{to}");
                }
                _ => assert_eq!(before, after, "{to}"),
            }
        }
    }
}

#[test]
fn rows_are_matched_by_name() {
    for store in STORES {
        let bench = Bench::new(store);
        let names = bench.shadow().obs_names().unwrap();
        let lines: Vec<String> =
            names.iter().enumerate().rev().map(|(i, n)| format!("{n},{i},{},{}", ["b", "a"][i % 2], i * 2)).collect();
        std::fs::write(bench.path("t.csv"), format!(",place,half,twice\n{}\n", lines.join("\n"))).unwrap();
        bench.ok("add", &["obs", "--from", "t.csv"]);
        bench.ok("add", &["obsm/frame", "--from", "t.csv"]);
        let shadow = bench.shadow();
        let place: Array = shadow.member("obs/place").unwrap().read().unwrap();
        assert_eq!(place.to_i64().unwrap(), (0..700).collect::<Vec<i64>>());
        let Element::Categorical(half) = shadow.member("obs/half").unwrap().read::<Element>().unwrap() else {
            panic!("half is no categorical")
        };
        assert_eq!(half.categories().to_strings(), ["a", "b"]);
        assert_eq!(half.positions()[..3], [Some(1), Some(0), Some(1)]);
        let frame: Table = shadow.obsm().read("frame").unwrap();
        assert_eq!(frame.column("place"), Some(&Element::Array(place)));
        drop(shadow);

        let two: Vec<String> = names.iter().skip(1).map(|n| format!("{n},1")).collect();
        std::fs::write(bench.path("few.csv"), format!("index,z\n{}\n", two.join("\n"))).unwrap();
        bench.fails("add", &["obs/z", "--from", "few.csv"], &["few.csv", &names[0]]);
        std::fs::write(bench.path("twice.csv"), format!("index,z\n{}\n{},1\n", two.join("\n"), names[1])).unwrap();
        bench.fails("add", &["obs/z", "--from", "twice.csv"], &["twice.csv", &names[1], "twice"]);
        bench.ok("get", &["X", "--cols", "::-1", "-o", "back.csv"]);
        bench.ok("add", &["layers/back", "--from", "back.csv"]);
        let [x, back] = ["X", "layers/back"].map(|p| bench.shadow().member(p).unwrap().read::<Array>().unwrap());
        assert!(x.to_f64().unwrap().iter().zip(back.to_f64().unwrap()).all(|(a, b)| (a - b).abs() < 1e-6));
        bench.ok("get", &["X", "--cols", "1:", "-o", "short.csv"]);
        bench.fails("add", &["layers/short", "--from", "short.csv"], &["short.csv", "HES4"]);
        let numbers: String = (0..700).map(|i| format!("{i}.5\n")).collect();
        std::fs::write(bench.path("bare.csv"), format!("any\n{numbers}")).unwrap();
        bench.ok("add", &["obs/bare", "--from", "bare.csv"]);
        let bare: Array = bench.shadow().member("obs/bare").unwrap().read().unwrap();
        assert_eq!(bare.to_f64().unwrap()[..2], [0.5, 1.5]);
    }
}

#[test]
fn a_dry_run_changes_nothing() {
    for store in STORES {
        let bench = Bench::new(store);
        bench.ok("get", &["obsm/X_pca", "-o", "a.npy"]);
        let before = bytes_below(&bench.store);
        let shown = bench.ok("add", &["obsm/new", "--from", "a.npy", "--dry-run"]);
        assert!(shown.starts_with("+ obsm/new: a 2-d float32 array (700 × 50)"), "{shown}");
        assert!(shown.ends_with("dry run: nothing written\n"), "{shown}");
        assert_eq!(bytes_below(&bench.store), before);
        bench.fails("add", &["varm/new", "--from", "a.npy", "--dry-run"], &["varm/new", "a.npy", "765"]);
    }
}

#[test]
fn errors_name_file_and_path() {
    for store in STORES {
        let bench = Bench::new(store);
        let file = *store;
        std::fs::write(bench.path("text.npy"), "not numpy").unwrap();
        bench.ok("get", &["obsm/X_pca", "-o", "a.npy"]);
        bench.fails("get", &["obsm/X_pcb"], &[file, "obsm/X_pcb", "X_pca"]);
        bench.fails("get", &["obs/louvian"], &[file, "obs/louvian", "louvain"]);
        bench.fails("get", &["nonsense"], &[file, "nonsense"]);
        bench.fails("get", &["X", "--rows", "louvain=99"], &[file, "obs", "99", "`10`"]);
        bench.fails("get", &["X", "--rows", "louvian=1"], &[file, "louvian", "louvain"]);
        bench.fails("get", &["X", "--rows", "700"], &[file, "obs", "700"]);
        bench.fails("get", &["X", "--cols", "HES5"], &[file, "var", "HES5", "HES4"]);
        bench.fails("get", &["X", "--rows", "::0"], &[file, "step"]);
        bench.fails("get", &["X", "--rows", "@absent.txt"], &["absent.txt"]);
        bench.fails("get", &["obs/louvain", "--cols", "1"], &[file, "obs/louvain", "--cols"]);
        bench.fails("get", &["X", "-o", "x.xlsx"], &["x.xlsx", ".npy", ".npz", ".csv", ".parquet"]);
        bench.fails("get", &["raw/X", "-o", "x.npy"], &[file, "raw/X", ".npz"]);
        bench.fails("get", &["obs", "-o", "x.npy"], &[file, "obs", ".csv"]);
        bench.fails("get", &["obsm", "-o", "x.csv"], &[file, "obsm/X_pca"]);
        bench.fails("get", &["X", "-o", "absent/x.npy"], &["absent/x.npy"]);
        bench.fails("add", &["obsm/X_pca", "--from", "a.npy"], &[file, "obsm/X_pca", "exists", "a.npy"]);
        bench.fails("add", &["varm/new", "--from", "a.npy"], &[file, "varm/new", "765", "700", "a.npy"]);
        bench.fails("add", &["raw/X", "--from", "a.npy"], &[file, "raw"]);
        bench.fails("add", &["obsm", "--from", "a.npy"], &[file, "obsm/NAME"]);
        bench.fails("add", &["obs", "--from", "a.npy"], &["a.npy", "obs/NAME"]);
        bench.fails("add", &["obsm/new", "--from", "text.npy"], &["text.npy"]);
        bench.fails("add", &["obsm/new", "--from", "absent.npy"], &["absent.npy"]);
        bench.fails("add", &["obsm/new", "--from", "a.txt"], &["a.txt", ".npy"]);
        assert!(!bench.path("x.npy").exists() && !bench.path("x.csv").exists());
    }
    let bench = Bench::new(STORES[0]);
    std::fs::write(&bench.store, "plain text").unwrap();
    bench.fails("show", &[], &[STORES[0]]);
    std::fs::remove_file(&bench.store).unwrap();
    bench.fails("show", &[], &[STORES[0]]);
    bench.fails("consolidate", &[], &[STORES[0]]);
}

#[test]
fn hdf5_has_nothing_to_consolidate() {
    let bench = Bench::new("pbmc68k_reduced.h5ad");
    bench.fails("consolidate", &[], &["pbmc68k_reduced.h5ad", "HDF5 has no consolidated metadata"]);
}

#[test]
fn usage_errors_exit_with_2() {
    let bench = Bench::new(STORES[0]);
    assert_eq!(bench.run("get", &[]).status.code(), Some(2));
    assert_eq!(bench.run("frobnicate", &[]).status.code(), Some(2));
}

#[test]
fn a_reader_that_stops_early_is_no_error() {
    let bench = Bench::new(STORES[0]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_adshadow"))
        .args(["show".as_ref(), bench.store.as_os_str(), "--json".as_ref()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// Files may not grow beyond a limit, as on a full disk: whatever fails, the file is read as before.
#[cfg(unix)]
#[test]
fn no_room_to_write_leaves_the_file_as_it_was() {
    let (mut failed, mut done) = (0, 0);
    for blocks in [0, 1, 8, 40, 300, 1200, 2040, 2060, 2200, 40_000] {
        let bench = Bench::new("pbmc68k_reduced.h5ad");
        bench.ok("get", &["X", "-o", "big.npy"]);
        bench.ok("get", &["obs/n_genes", "-o", "column.npy"]);
        for (element, from) in [("layers/new", "big.npy"), ("obs/new", "column.npy")] {
            let before = bench.ok("get", &["obs"]) + &bench.ok("show", &[]);
            let limit = std::fs::metadata(&bench.store).unwrap().len() / 512 + blocks;
            let script = format!(
                "trap '' XFSZ; ulimit -f {limit}; exec '{}' add '{}' {element} --from '{}'",
                env!("CARGO_BIN_EXE_adshadow"),
                bench.store.display(),
                bench.path(from).display()
            );
            let out = Command::new("sh").args(["-c", &script]).output().unwrap();
            let message = String::from_utf8(out.stderr).unwrap();
            if out.status.success() {
                done += 1;
                bench.ok("get", &[element]);
            } else {
                failed += 1;
                assert!(message.contains("pbmc68k_reduced.h5ad") && !message.contains("panicked"), "{message}");
                assert_eq!(bench.ok("get", &["obs"]) + &bench.ok("show", &[]), before, "{blocks} {element}");
                // With room again, the same goes through.
                bench.ok("add", &[element, "--from", from]);
            }
            assert!(bench.shadow().elements().unwrap().iter().all(|e| {
                e.info.kind == anndata_shadow::Kind::Opaque
                    || bench.shadow().member(&e.path).unwrap().element().is_ok()
                    || e.path == "uns/rank_genes_groups"
            }));
        }
    }
    assert!(failed >= 6 && done >= 2, "{failed} failed, {done} went through");
}

#[test]
fn files_that_are_not_what_they_seem_are_refused() {
    let bench = Bench::new("pbmc68k_reduced.h5ad");
    std::fs::write(bench.path("semi.csv"), "index;score\na;1\n").unwrap();
    bench.fails("add", &["obs/score", "--from", "semi.csv"], &["semi.csv", "commas"]);
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 1000000000), }";
    let padded = format!("{text:<117}\n");
    header.extend((padded.len() as u16).to_le_bytes());
    header.extend(padded.as_bytes());
    std::fs::write(bench.path("huge.npy"), header).unwrap();
    let out = bench.run("add", &["obsm/x", "--from", "huge.npy"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("adshadow: error: "));
}

#[test]
fn nested_lists_are_shown_and_saved() {
    for store in STORES {
        let bench = Bench::new(store);
        {
            let options = anndata_shadow::OpenOptions::default().mode(anndata_shadow::Mode::ReadWrite);
            let shadow = AnnDataShadow::open_with(&bench.store, &options).unwrap();
            let rows = (0..700_i32).map(|i| (0..i % 3).collect::<Vec<_>>());
            shadow.obsm().insert("clones", anndata_shadow::Awkward::from_lists(rows)).unwrap();
            shadow.write(Default::default()).unwrap();
        }
        let shown = bench.ok("get", &["obsm/clones"]);
        assert!(shown.starts_with("obsm/clones: 700 awkward var * int32\n"), "{shown}");
        assert!(shown.contains("[0, 1]") && shown.contains('…'), "{shown}");
        assert!(bench.ok("get", &["obsm"]).contains("clones: 700 awkward var * int32"));
        let json: serde_json::Value = serde_json::from_str(&bench.ok("show", &["--json"])).unwrap();
        let found = json["elements"].as_array().unwrap().iter().find(|e| e["path"] == "obsm/clones").unwrap();
        assert_eq!((&found["kind"], &found["dtype"]), (&"awkward".into(), &"var * int32".into()));
        bench.ok("get", &["obsm/clones", "--rows", "4:1:-1", "-o", "few.csv"]);
        assert_eq!(texts(&frame(&bench, "few.csv"), "clones"), ["[0]", "[]", "[0, 1]"]);
        bench.ok("get", &["obsm/clones", "-o", "all.parquet"]);
        let column = frame(&bench, "all.parquet").column("clones").unwrap().clone();
        assert_eq!(column.dtype(), &DataType::List(Box::new(DataType::Int32)));
        assert_eq!(column.list().unwrap().get_as_series(5).unwrap().len(), 2);
        bench.fails("get", &["obsm/clones", "-o", "all.npy"], &["obsm/clones", "awkward"]);
    }
}

#[test]
fn a_frame_without_columns_is_shown() {
    let bench = Bench::new(STORES[0]);
    {
        let options = anndata_shadow::OpenOptions::default().mode(anndata_shadow::Mode::ReadWrite);
        let shadow = AnnDataShadow::open_with(&bench.store, &options).unwrap();
        let names = Array::from_vec(shadow.obs_names().unwrap());
        shadow.obsm().insert("bare", Table::new(None, names.into(), Vec::new()).unwrap()).unwrap();
        shadow.write(Default::default()).unwrap();
    }
    assert!(bench.ok("get", &["obsm/bare", "--rows", ":2"]).starts_with("obsm/bare: 2 × 0 dataframe"));
}

#[test]
fn structured_arrays_are_tables() {
    for store in STORES {
        let bench = Bench::new(store);
        let shown = bench.ok("get", &["uns/rank_genes_groups/names", "--rows", "0:2"]);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].starts_with("uns/rank_genes_groups/names: 2 records of "), "{shown}");
        assert_eq!(lines.len(), 4, "{shown}");
        let json: serde_json::Value = serde_json::from_str(&bench.ok("show", &["--json"])).unwrap();
        let all = json["elements"].as_array().unwrap();
        let found = all.iter().find(|e| e["path"] == "uns/rank_genes_groups/names").unwrap();
        let fields: Vec<&str> = found["fields"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
        assert_eq!(found["kind"], "records");
        for file in ["names.csv", "names.parquet"] {
            bench.ok("get", &["uns/rank_genes_groups/names", "-o", file]);
            let frame = frame(&bench, file);
            let columns: Vec<&str> = frame.get_column_names().into_iter().map(|n| n.as_str()).collect();
            assert_eq!(columns[1..], fields, "the row numbers, then the fields");
            assert_eq!(frame.height(), 100);
        }
        bench.fails("get", &["uns/rank_genes_groups/names", "-o", "names.npy"], &["structured"]);
    }
}
