//! Statistics from the shell.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;

use std::path::Path;

use bench::{Bench, STORES, bytes_below, python};
use polars::prelude::{CsvReadOptions, DataFrame, ParquetReader, SerReader};
use serde_json::Value;

fn read_csv(path: &Path) -> DataFrame {
    let options = CsvReadOptions::default().with_infer_schema_length(None);
    options.try_into_reader_with_file_path(Some(path.to_owned())).unwrap().finish().unwrap()
}

fn floats(frame: &DataFrame, column: &str) -> Vec<f64> {
    frame.column(column).unwrap().f64().unwrap().iter().map(Option::unwrap).collect()
}

/// What Python prints, as JSON.
fn numpy(code: &str, bench: &Bench) -> Vec<f64> {
    let code = format!(
        "import json\na = anndata.read_h5ad(path) if path.endswith('.h5ad') else anndata.read_zarr(path)\n\
         f = lambda m: np.asarray(m.todense() if hasattr(m, 'todense') else m, dtype=np.float64)\n\
         print(json.dumps([float(x) for x in {code}]))"
    );
    serde_json::from_str(&python(&code, &bench.store)).unwrap()
}

fn near(found: &[f64], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0), "{found} {wanted}");
    }
}

#[test]
fn files_hold_what_numpy_finds() {
    for store in STORES {
        let bench = Bench::new(store);
        let before = bytes_below(&bench.store);
        bench.ok("stats", &["-o", "genes.csv"]);
        let genes = read_csv(&bench.path("genes.csv"));
        let names: Vec<&str> = genes.get_column_names().iter().map(|n| n.as_str()).collect();
        assert_eq!(names, ["index", "sum", "mean", "variance", "min", "max", "nonzero"]);
        near(&floats(&genes, "variance"), &numpy("f(a.X).var(0, ddof=1)", &bench));
        bench.ok("stats", &["raw/X", "--axis", "cells", "--ddof", "0", "--out", "cells.parquet"]);
        let file = std::fs::File::open(bench.path("cells.parquet")).unwrap();
        let cells = ParquetReader::new(file).finish().unwrap();
        near(&floats(&cells, "mean"), &numpy("f(a.raw.X).mean(1)", &bench));
        near(&floats(&cells, "variance"), &numpy("f(a.raw.X).var(1)", &bench));
        assert_eq!(before, bytes_below(&bench.store), "the file is as it was");
    }
}

#[test]
fn groups_stand_below_one_another() {
    let bench = Bench::new(STORES[0]);
    bench.ok("stats", &["raw/X", "--by", "louvain", "-o", "by.csv"]);
    let by = read_csv(&bench.path("by.csv"));
    assert_eq!(by.shape(), (11 * 765, 9));
    let names: Vec<&str> = by.get_column_names().iter().map(|n| n.as_str()).collect();
    assert_eq!(names[..3], ["louvain", "n", "index"]);
    near(
        &floats(&by, "mean")[3 * 765..4 * 765],
        &numpy("f(a.raw.X)[(a.obs.louvain == '3').to_numpy()].mean(0)", &bench),
    );
}

#[test]
fn without_a_file_it_is_a_table_or_json() {
    let bench = Bench::new(STORES[1]);
    let table = bench.ok("stats", &["obsm/X_umap"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["_index", "sum", "mean", "variance", "min", "max", "nonzero"]);
    assert_eq!((lines.len(), lines[1][0], lines[2][6]), (3, "0", "700"));
    let json: Value = serde_json::from_str(&bench.ok("stats", &["--by", "phase", "--json"])).unwrap();
    assert_eq!((json["names"][0].as_str(), json["per"].as_str()), (Some("HES4"), Some("genes")));
    let stats = json["stats"].as_array().unwrap();
    let counts: u64 = stats.iter().map(|of| of["count"].as_u64().unwrap()).sum();
    assert_eq!((stats.len(), counts, stats[0]["group"].as_str()), (3, 700, Some("G1")));
    assert_eq!(stats[0]["mean"].as_array().unwrap().len(), 765);
}

#[test]
fn what_has_no_statistics_says_so() {
    let bench = Bench::new(STORES[0]);
    bench.fails("stats", &["obs/louvain"], &["obs/louvain", "a matrix of real numbers"]);
    bench.fails("stats", &["layers/counts"], &["layers/counts", "does not exist"]);
    bench.fails("stats", &["--by", "luvain"], &["luvain", "nearest: `louvain`"]);
    bench.fails("stats", &["varm/PCs", "--by", "louvain"], &["varm/PCs", "no observations"]);
    bench.fails("stats", &["-o", "x.npy"], &["x.npy", ".csv or .parquet"]);
    assert_eq!(bench.run("stats", &["--by", "louvain", "--axis", "cells"]).status.code(), Some(2));
    assert!(!bench.path("x.npy").exists());
}
