//! The shadow itself: slots, overlay and marks, modes, writing, views of pending changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stores;

use std::collections::BTreeMap;

use anndata_shadow::ndarray::{Array1, Array2, Axis};
use anndata_shadow::polars::prelude::{ChunkCompareEq, DataFrame, DataType, NamedFrom, Series};
use anndata_shadow::sprs::CsMat;
use anndata_shadow::store::{Flavour, ZarrStore};
use anndata_shadow::{
    AnnDataShadow, Array, Awkward, Categorical, Element, Error, Format, Kind, Mark, Mode, NaValue, Nullable,
    OpenOptions, Records, Rows, Select, Sparse, Table, WriteOptions,
};
use stores::{CELLS, Copy, data};

fn embedding() -> Array2<f32> {
    Array2::from_shape_fn((700, 3), |(r, c)| (r * 3 + c) as f32)
}

/// Equality to the bit: NaN equals NaN.
fn same(a: &Element, b: &Element) -> bool {
    match (a, b) {
        (Element::Array(a), Element::Array(b)) => {
            (a.dtype(), a.shape(), a.to_le_bytes()) == (b.dtype(), b.shape(), b.to_le_bytes())
        }
        (Element::Mapping(a), Element::Mapping(b)) => {
            a.keys().eq(b.keys()) && a.values().zip(b.values()).all(|(a, b)| same(a, b))
        }
        _ => a == b,
    }
}

#[test]
fn the_same_cells_show_alike_in_every_container() {
    let shown: Vec<String> = CELLS[..3].iter().map(|n| AnnDataShadow::open(data(n)).unwrap().to_string()).collect();
    assert_eq!(shown[0], shown[1]);
    assert_eq!(shown[0], shown[2]);
    let expected = "AnnData Shadow object with n_obs × n_vars = 700 × 765
  X
  raw:\tX, var, varm
  obs:\tindex, bulk_labels, n_genes, percent_mito, n_counts, S_score, G2M_score, phase, louvain
  var:\tindex, n_counts, means, dispersions, dispersions_norm, highly_variable
  obsm:\tX_pca, X_umap
  varm:\tPCs
  obsp:\tconnectivities, distances
  uns:\tbulk_labels_colors, louvain, louvain_colors, neighbors, pca, rank_genes_groups";
    assert_eq!(shown[0], expected);
}

#[test]
fn the_same_cells_read_alike_in_every_container() {
    let first = AnnDataShadow::open(data(CELLS[0])).unwrap();
    assert_eq!(first.format(), Format::Hdf5);
    for name in &CELLS[1..] {
        let other = AnnDataShadow::open(data(name)).unwrap();
        assert_eq!(other.format(), Format::Zarr);
        let mut compared = 0;
        for element in first.elements().unwrap() {
            let path = &element.path;
            // The file that anndata 0.13 wrote has no raw.
            if path.starts_with("raw") && name.contains("013") {
                continue;
            }
            let (ours, theirs) = (first.member(path).unwrap(), other.member(path).unwrap());
            match (ours.element(), theirs.element()) {
                (Ok(a), Ok(b)) => {
                    assert!(same(&a, &b), "{name} {path}: {a:?} is not {b:?}");
                    compared += 1;
                }
                (Err(Error::Unsupported { .. }), Err(Error::Unsupported { .. })) => {}
                (a, b) => panic!("{name} {path}: {a:?} {b:?}"),
            }
        }
        assert!(compared > 35, "{compared}");
    }
}

#[test]
fn marks_follow_an_element_from_the_cache_to_the_file() {
    for name in CELLS {
        let copy = Copy::of(name);
        let shadow = copy.open();
        assert_eq!(shadow.obsm().to_string(), "obsm:\tX_pca, X_umap");
        let pca: Array2<f32> = shadow.obsm().read("X_pca").unwrap();
        shadow.obsm().insert("X_pca_copy", pca.clone()).unwrap();
        assert_eq!(shadow.obsm().to_string(), "obsm:\tX_pcaᐁ, X_umap, X_pca_copy▲");
        shadow.obs().insert(Series::new("score".into(), vec![0.5_f64; 700])).unwrap();
        shadow.uns().insert("made/by/hand", "me").unwrap();
        let shown = shadow.to_string();
        assert!(shown.contains("score▲") && shown.contains("made▲"), "{shown}");
        assert_eq!(shadow.obs().columns().unwrap().last().unwrap(), "score");
        assert_eq!(
            shadow.changes().iter().map(|c| c.path.as_str()).collect::<Vec<_>>(),
            ["obsm/X_pca_copy", "obs/score", "uns/made/by/hand"]
        );

        shadow.clear_cache();
        assert_eq!(shadow.obsm().to_string(), "obsm:\tX_pca, X_umap, X_pca_copy▲");
        assert_eq!(shadow.cache_bytes(), 0);

        let receipt = shadow.reopen(Mode::ReadWrite).unwrap().write(WriteOptions::default()).unwrap();
        assert_eq!(receipt.elements.len(), 3);
        assert_eq!(shadow.obsm().to_string(), "obsm:\tX_pca, X_pca_copyᐁ, X_umap");
        assert!(shadow.changes().is_empty());
        shadow.clear_cache();
        shadow.reopen(Mode::Read).unwrap();
        assert_eq!(shadow.obsm().to_string(), "obsm:\tX_pca, X_pca_copy, X_umap");
        assert_eq!(shadow.obsm().read::<Array2<f32>>("X_pca_copy").unwrap(), pca);
        assert_eq!(shadow.uns().read::<String>("made/by/hand").unwrap(), "me");
        assert_eq!(shadow.obs().column("score").unwrap().f64().unwrap().get(699), Some(0.5));
        assert_eq!(copy.open().to_string(), shadow.to_string().replace('ᐁ', ""));
    }
}

#[test]
fn every_slot_can_be_set_seen_unset_and_written() {
    for name in CELLS {
        let copy = Copy::of(name);
        let shadow = copy.open();
        let dense = |r: usize, c: usize| Array2::from_shape_fn((r, c), |(i, j)| (i * 7 + j) as f64);
        let sparse = |n: usize| CsMat::<f32>::eye(n);
        let set = |shadow: &AnnDataShadow| {
            shadow.layers().insert("halved", dense(700, 765)).unwrap();
            shadow.obs().insert(Series::new("o".into(), (0..700_i32).collect::<Vec<_>>())).unwrap();
            shadow.var().insert(Series::new("v".into(), vec![true; 765])).unwrap();
            shadow.obsm().insert("m", embedding()).unwrap();
            shadow.varm().insert("loadings", dense(765, 2)).unwrap();
            shadow.obsp().insert("graph", sparse(700)).unwrap();
            shadow.varp().insert("corr", sparse(765)).unwrap();
            shadow.uns().insert("settings", Element::from([("k", Element::from(15_i64))])).unwrap();
        };
        set(&shadow);
        let paths: Vec<String> = shadow.changes().into_iter().map(|c| c.path).collect();
        assert_eq!(paths.len(), 8);
        for path in &paths {
            let member = shadow.member(path).unwrap();
            assert_eq!(member.mark(), Some(Mark::New), "{path}");
            member.element().unwrap();
            member.remove().unwrap();
            assert!(member.info().unwrap().is_none(), "{path}");
        }
        assert!(shadow.changes().is_empty());
        set(&shadow);
        let pending: Vec<_> = paths.iter().map(|p| shadow.member(p).unwrap().element().unwrap()).collect();
        shadow.reopen(Mode::ReadWrite).unwrap().write(WriteOptions::default().clear_cache(true)).unwrap();
        shadow.close().unwrap();
        let again = copy.open();
        for (path, element) in paths.iter().zip(pending) {
            assert_eq!(again.member(path).unwrap().element().unwrap(), element, "{name} {path}");
        }
    }
}

#[test]
fn columns_of_every_kind_survive_the_file() {
    for name in CELLS {
        let copy = Copy::of(name);
        let shadow = copy.open_to_write();
        let n = 700;
        let missing: Vec<bool> = (0..n).map(|i| i % 7 == 0).collect();
        let text: Vec<String> = (0..n).map(|i| format!("cell größe {i}")).collect();
        let codes = Array::from_vec((0..n).map(|i| (i % 4) as i8 - 1).collect::<Vec<i8>>());
        let names = Array::from_vec(["low", "mid", "high", "unused"].map(str::to_owned).to_vec());
        let mut columns: Vec<(&str, Element)> = vec![
            ("cat", Categorical::new(codes.clone(), names.clone(), false).unwrap().into()),
            ("cat_ordered", Categorical::new(codes.clone(), names, true).unwrap().into()),
            ("cat_int", Categorical::new(codes, Array::from_vec(vec![10_i64, 20, 30]), false).unwrap().into()),
            (
                "text_missing",
                Nullable::new(Array::from_vec(text.clone()), missing.clone(), NaValue::Nan).unwrap().into(),
            ),
            (
                "int_missing",
                Nullable::new(Array::from_vec(vec![5_u16; n]), missing.clone(), NaValue::Na).unwrap().into(),
            ),
            ("bool_missing", Nullable::new(Array::from_vec(vec![true; n]), missing, NaValue::Na).unwrap().into()),
            ("f16", Array::from_vec(vec![anndata_shadow::half::f16::from_f32(1.5); n]).into()),
            ("complex", Array::from_vec(vec![anndata_shadow::num_complex::Complex64::new(1.0, -2.0); n]).into()),
        ];
        if !name.contains("013") {
            columns.push(("text", Array::from_vec(text).into()));
        }
        for (column, value) in &columns {
            shadow.obs().insert_element(column, value.clone()).unwrap();
        }
        shadow.write(WriteOptions::default().clear_cache(true)).unwrap();
        shadow.reopen(Mode::Read).unwrap();
        let order: Vec<String> = shadow.obs().columns().unwrap();
        assert!(order.ends_with(&columns.iter().map(|(c, _)| (*c).to_owned()).collect::<Vec<_>>()), "{order:?}");
        for (column, value) in &columns {
            assert_eq!(&*shadow.obs().element(column).unwrap(), value, "{name} {column}");
        }
        assert!(matches!(shadow.obs().column("cat").unwrap().dtype(), DataType::Enum(..)));
        assert!(matches!(shadow.obs().column("complex"), Err(Error::WrongType { .. })));
    }
}

#[test]
fn views_see_pending_changes_and_keep_to_the_parent_file() {
    for name in CELLS {
        let copy = Copy::of(name);
        let shadow = copy.open();
        let mask = shadow.obs().column("louvain").unwrap().equal("1").unwrap();
        let mono = shadow.select(mask, ["CST3", "LYZ"]).unwrap();
        let inner = mono.select([3, 1, -1], ..).unwrap();
        assert_eq!(
            inner.to_string().lines().next().unwrap(),
            "View of AnnData Shadow object with n_obs × n_vars = 3 × 2 (original 700 × 765)"
        );
        shadow.obsm().insert("m", embedding()).unwrap();
        shadow.obs().insert(Series::new("at".into(), (0..700_i64).collect::<Vec<_>>())).unwrap();
        assert!(inner.to_string().contains("m▲"));
        let at: Vec<i64> = inner.obs().column("at").unwrap().i64().unwrap().iter().flatten().collect();
        let cut: Array2<f32> = inner.obsm().read("m").unwrap();
        assert_eq!(cut.column(0).to_vec(), at.iter().map(|&i| (i * 3) as f32).collect::<Vec<_>>());
        // Whatever is aligned to both axes is cut on both.
        let whole: Array2<f32> = shadow.x().read().unwrap();
        let genes = shadow.var_names().unwrap();
        let lyz = genes.iter().position(|g| g == "LYZ").unwrap();
        let x: Array2<f32> = inner.x().read().unwrap();
        assert_eq!(x.column(1).to_vec(), at.iter().map(|&i| whole[[i as usize, lyz]]).collect::<Vec<_>>());
        assert_eq!(inner.obsp().read::<Sparse>("distances").unwrap().shape(), [3, 3]);
        assert_eq!(inner.varm().read::<Array2<f64>>("PCs").unwrap().dim(), (2, 50));
        assert_eq!(inner.var_names().unwrap(), ["CST3", "LYZ"]);
        if let Some(raw) = inner.raw().unwrap() {
            let shape = raw.x().unwrap().read::<Sparse>().unwrap().shape();
            assert_eq!((shape, raw.n_vars().unwrap()), ([3, 765], 765), "raw keeps its own variables");
        }
        // Changing and writing are the parent's.
        assert!(matches!(inner.obsm().insert("z", Array2::<f32>::zeros((3, 1))), Err(Error::View { .. })));
        assert!(matches!(inner.write(WriteOptions::default()), Err(Error::View { .. })));
        // The view lives through the writing.
        shadow.reopen(Mode::ReadWrite).unwrap().write(WriteOptions::default().clear_cache(true)).unwrap();
        shadow.reopen(Mode::Read).unwrap();
        assert_eq!(inner.obsm().read::<Array2<f32>>("m").unwrap(), cut);
    }
}

#[test]
fn views_of_a_frame_that_is_in_memory_as_a_whole_have_the_names_of_their_rows() {
    for name in CELLS {
        let copy = Copy::of(name);
        let shadow = copy.open_to_write();
        let check = |state: &str| {
            let slice = |text: &str| Select::parse_slice(text).unwrap();
            for (obs, var) in [
                (slice("::-1"), slice("::-1")),
                (Select::from([5, 1]), Select::from([7, 7, 0])),
                (Select::from(3..9), Select::from(..0)),
                (Select::All, slice("::2")),
            ] {
                let view = shadow.select(obs, var).unwrap().select(.., slice("::-1")).unwrap();
                for (frame, whole) in [(view.obs(), shadow.obs()), (view.var(), shadow.var())] {
                    let axis = usize::from(frame.name() == "var");
                    let (all, index) = (whole.names().unwrap(), frame.index_name().unwrap());
                    let rows: Vec<usize> = view.rows().unwrap()[axis].iter().collect();
                    let wanted: Vec<&str> = rows.iter().map(|&i| &*all[i]).collect();
                    let at = format!("{name} {} {state}", frame.name());
                    assert_eq!(frame.names().unwrap(), wanted, "{at}");
                    let texts = |index: &Element| index.texts().unwrap().into_iter().flatten().collect::<Vec<_>>();
                    assert_eq!(texts(&frame.element(&index).unwrap()), wanted, "{at}");
                    let column = frame.columns().unwrap().swap_remove(0);
                    let read = frame.elements(&[index.clone(), column.clone()]).unwrap();
                    assert_eq!(texts(&read[0]), wanted, "{at}");
                    let table = frame.table().unwrap();
                    assert_eq!(texts(table.index()), wanted, "{at}");
                    // The rows are those of the names.
                    let values = whole.element(&column).unwrap().texts().unwrap();
                    let values: Vec<_> = rows.iter().map(|&i| values[i].clone()).collect();
                    assert_eq!(table.column(&column).unwrap().texts().unwrap(), values, "{at}");
                    let Element::Mapping(parts) = view.to_memory().unwrap() else { panic!("{at}") };
                    assert_eq!(parts[frame.name()], Element::Table(table), "{at}");
                    assert_eq!(frame.read().unwrap().height(), rows.len(), "{at}");
                }
                let names = (view.obs_names().unwrap(), view.var_names().unwrap());
                assert_eq!(names, (view.obs().names().unwrap(), view.var().names().unwrap()));
            }
        };
        check("stored");
        for frame in [shadow.obs(), shadow.var()] {
            frame.set(frame.table().unwrap()).unwrap();
        }
        check("pending");
        shadow.write(WriteOptions::default()).unwrap();
        assert_eq!(shadow.mark_at("obs").unwrap(), Some(Mark::Cached), "kept since it was written");
        check("written");
        shadow.clear_cache();
        check("read again");
    }
}

#[test]
fn vectors_by_gene_and_cell_name() {
    for name in CELLS {
        let shadow = AnnDataShadow::open(data(name)).unwrap();
        let x: Array2<f32> = shadow.x().read().unwrap();
        let genes = shadow.var_names().unwrap();
        let cells = shadow.obs_names().unwrap();
        let lyz = genes.iter().position(|g| g == "LYZ").unwrap();
        let gene = shadow.obs_vector("LYZ", None).unwrap();
        assert_eq!(gene.f32().unwrap().iter().flatten().collect::<Vec<_>>(), x.column(lyz).to_vec());
        let cell = shadow.var_vector(&cells[41], None).unwrap();
        assert_eq!(cell.f32().unwrap().iter().flatten().collect::<Vec<_>>(), x.row(41).to_vec());
        assert_eq!(shadow.obs_vector("n_genes", None).unwrap(), shadow.obs().column("n_genes").unwrap());
        let view = shadow.select([5, 3], [lyz]).unwrap();
        let cut = view.obs_vector("LYZ", None).unwrap();
        assert_eq!(cut.f32().unwrap().iter().flatten().collect::<Vec<_>>(), [x[[5, lyz]], x[[3, lyz]]]);
        let missing = shadow.obs_vector("lyz", None).unwrap_err();
        assert!(missing.to_string().contains("LYZ"), "{missing}");
        assert!(matches!(missing, Error::UnknownName { .. }));
        assert!(matches!(shadow.select(.., "lyz"), Err(Error::UnknownName { .. })));
        assert!(matches!(shadow.x().read_part::<Array>(&[Select::All, "lyz".into()]), Err(Error::UnknownName { .. })));
        assert!(shadow.obs_vector("LYZ", Some("no")).is_err());
    }
}

#[test]
fn parts_are_cut_on_every_axis() {
    for name in CELLS {
        let shadow = AnnDataShadow::open(data(name)).unwrap();
        let pca: Array2<f32> = AnnDataShadow::open(data(name)).unwrap().obsm().read("X_pca").unwrap();
        let member = shadow.obsm().member("X_pca").unwrap();
        let part: Array2<f32> = member.read_part(&[(-3..).into(), [4, 0, 4].into()]).unwrap();
        assert_eq!(part, pca.select(Axis(0), &[697, 698, 699]).select(Axis(1), &[4, 0, 4]), "{name}");
        assert_eq!(member.mark(), None, "a part is not kept");
        // Counted within a view, by name where there are names.
        let cells = shadow.obs_names().unwrap();
        let view = shadow.select([9, 5, 1], ..).unwrap();
        let of_view = view.obsm().member("X_pca").unwrap();
        let part: Array2<f32> = of_view.read_part(&[cells[1].as_str().into(), (..2).into()]).unwrap();
        assert_eq!(part, pca.select(Axis(0), &[1]).select(Axis(1), &[0, 1]), "{name}");
        let graph: Sparse = view.obsp().member("distances").unwrap().read_part(&[(..).into(), 0.into()]).unwrap();
        assert_eq!(graph.shape(), [3, 1]);
        let colour: Array1<String> = shadow.member("uns/louvain_colors").unwrap().read_part(&[(-1).into()]).unwrap();
        assert_eq!(colour.len(), 1);
        for bad in [vec![Select::All, Select::from("a name")], vec![Select::All; 3], vec![Select::from(700)]] {
            assert!(matches!(member.read_part::<Array>(&bad), Err(Error::Selection { .. })), "{bad:?}");
        }
    }
}

#[test]
fn views_never_show_what_was_taken_back() {
    let shadow = AnnDataShadow::open(data(CELLS[0])).unwrap();
    let view = shadow.select([2, 1], ..).unwrap();
    for scale in [1.0_f32, 2.0] {
        shadow.obsm().insert("m", embedding() * scale).unwrap();
        let seen: Array2<f32> = view.obsm().read("m").unwrap();
        assert_eq!(seen.row(0).to_vec(), [6.0 * scale, 7.0 * scale, 8.0 * scale]);
        shadow.obsm().remove("m").unwrap();
        assert!(matches!(view.obsm().read::<Array2<f32>>("m"), Err(Error::NotFound { .. })));
    }
}

#[test]
fn what_others_wrote_meanwhile_is_seen_after_reopen() {
    for name in CELLS {
        let copy = Copy::of(name);
        let (mine, other) = (copy.open(), copy.open());
        let before: Element = mine.uns().read("neighbors").unwrap();
        let _: Array2<f32> = mine.obsm().read("X_pca").unwrap();
        let view = mine.select(0..3, ..).unwrap();
        mine.obsm().insert("pending", embedding()).unwrap();
        mine.close().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        other.uns().insert("neighbors/more", 1_i64).unwrap();
        other.obsm().insert("theirs", embedding()).unwrap();
        other.reopen(Mode::ReadWrite).unwrap().write(WriteOptions::default()).unwrap();
        other.close().unwrap();
        mine.reopen(Mode::Read).unwrap();
        let after: Element = mine.uns().read("neighbors").unwrap();
        assert!(after != before && after.below(["more"]).is_some(), "{name}");
        assert!(mine.obsm().contains("theirs").unwrap());
        assert_eq!(mine.obsm().member("X_pca").unwrap().mark(), None, "{name}: the cache was dropped");
        assert_eq!(mine.changes().len(), 1, "{name}: what was pending is kept");
        assert_eq!(view.obsm().read::<Array2<f32>>("theirs").unwrap().nrows(), 3);
    }
}

#[test]
fn the_cache_outlives_a_change_of_mode() {
    for name in CELLS {
        let copy = Copy::of(name);
        let shadow = copy.open();
        let _: Array2<f32> = shadow.obsm().read("X_pca").unwrap();
        shadow.obsm().insert("m", embedding()).unwrap();
        shadow.reopen(Mode::ReadWrite).unwrap().write(WriteOptions::default()).unwrap();
        shadow.reopen(Mode::Read).unwrap();
        assert_eq!(shadow.obsm().to_string(), "obsm:\tX_pcaᐁ, X_umap, mᐁ", "{name}");
    }
}

#[test]
fn modes_say_what_to_do() {
    for name in CELLS {
        let copy = Copy::of(name);
        let shadow = copy.open();
        shadow.obsm().insert("m", embedding()).unwrap();
        let refused = shadow.write(WriteOptions::default()).unwrap_err();
        assert!(matches!(refused, Error::ReadOnly { .. }));
        let text = refused.to_string();
        assert!(text.contains(name) && text.contains("reopen(Mode::ReadWrite)"), "{text}");
        assert_eq!(shadow.changes().len(), 1, "still pending");

        let _: Array2<f32> = shadow.obsm().read("X_pca").unwrap();
        shadow.close().unwrap();
        shadow.close().unwrap();
        assert_eq!(shadow.mode(), None);
        let shown = shadow.to_string();
        assert!(shown.starts_with("AnnData Shadow object with n_obs × n_vars = 700 × 765 (closed)"), "{shown}");
        assert!(shown.contains("obsm:\tX_pcaᐁ, m▲"), "{shown}");
        assert!(shadow.obsm().read::<Array2<f32>>("X_pca").is_ok(), "what it holds can be had");
        let refused = shadow.obsm().read::<Array2<f64>>("X_umap").unwrap_err();
        assert!(matches!(refused, Error::Closed { .. }) && refused.to_string().contains("reopen"), "{refused}");
        assert!(matches!(shadow.write(WriteOptions::default()), Err(Error::Closed { .. })));

        shadow.reopen(Mode::ReadWrite).unwrap();
        assert_eq!(shadow.mode(), Some(Mode::ReadWrite));
        shadow.write(WriteOptions::default()).unwrap();
        assert!(shadow.write(WriteOptions::default()).unwrap().elements.is_empty(), "nothing left to write");
        shadow.reopen(Mode::Read).unwrap();
        assert_eq!(copy.open().obsm().read::<Array2<f32>>("m").unwrap(), embedding());
    }
}

#[test]
fn a_failing_write_leaves_file_and_overlay_as_they_were() {
    for name in CELLS {
        let copy = Copy::of(name);
        let (mine, other) = (copy.open(), copy.open());
        mine.uns().insert("first", 1_i64).unwrap();
        mine.obsm().insert("m", embedding()).unwrap();
        mine.obs().insert(Series::new("score".into(), vec![1_i64; 700])).unwrap();
        // Meanwhile somebody else adds an element of that name.
        mine.close().unwrap();
        other.obsm().insert("m", Array2::<f64>::ones((700, 1))).unwrap();
        other.reopen(Mode::ReadWrite).unwrap().write(WriteOptions::default()).unwrap();
        other.close().unwrap();
        let before = copy.bytes();
        let error = mine.reopen(Mode::ReadWrite).unwrap().write(WriteOptions::default()).unwrap_err();
        assert!(matches!(error, Error::Exists { .. }) && error.to_string().contains("obsm/m"), "{error}");
        assert_eq!(mine.changes().len(), 3);
        mine.close().unwrap();
        assert!(copy.bytes() == before, "{name} was touched");
        // Without the clash the rest goes through.
        mine.obsm().remove("m").unwrap();
        mine.reopen(Mode::ReadWrite).unwrap().write(WriteOptions::default()).unwrap();
        assert_eq!(mine.uns().read::<i64>("first").unwrap(), 1);
        assert_eq!(mine.obsm().read::<Array2<f64>>("m").unwrap(), Array2::<f64>::ones((700, 1)));
    }
}

#[test]
fn uns_nests_to_any_depth_pending_and_stored() {
    for name in CELLS {
        let copy = Copy::of(name);
        let shadow = copy.open();
        shadow.uns().insert("neighbors/extra", Array1::from_vec(vec![1_u8, 2])).unwrap();
        let all: Element = shadow.uns().read("neighbors").unwrap();
        assert!(all.below(["extra"]).is_some() && all.below(["params", "method"]).is_some());
        shadow.uns().insert("a", Element::from([("b", Element::from([("c", Element::from("deep"))]))])).unwrap();
        shadow.uns().insert("a/b/d", 2.5_f64).unwrap();
        assert_eq!(shadow.uns().read::<String>("a/b/c").unwrap(), "deep");
        assert_eq!(shadow.uns().read::<f64>("a/b/d").unwrap(), 2.5);
        assert!(matches!(shadow.uns().insert("a/b/c/x", 1_i64), Err(Error::BadName { .. })), "c is no dict");
        assert!(matches!(shadow.uns().insert("louvain_colors/x", 1_i64), Err(Error::Unsupported { .. })));
        shadow.reopen(Mode::ReadWrite).unwrap().write(WriteOptions::default().clear_cache(true)).unwrap();
        assert_eq!(shadow.uns().read::<String>("a/b/c").unwrap(), "deep");
        assert_eq!(shadow.uns().read::<f64>("a/b/d").unwrap(), 2.5);
        assert_eq!(shadow.uns().read::<Array1<u8>>("neighbors/extra").unwrap().to_vec(), [1, 2]);
        assert!(shadow.uns().contains("neighbors/params").unwrap());
    }
}

#[test]
fn raw_can_be_set_where_there_is_none() {
    // This one has neither raw nor a null.
    let copy = Copy::of("archive_v0.13.h5ad");
    let shadow = copy.open();
    let n = shadow.n_obs();
    let names = Array::from_vec(vec!["g1".to_owned(), "g2".to_owned()]);
    let var = Table::new(None, names.into(), Vec::new()).unwrap();
    let x = Array2::from_shape_fn((n, 2), |(r, c)| (r + c) as f32);
    assert!(matches!(
        shadow.set_raw(Array2::<f32>::zeros((n, 3)), var.clone(), BTreeMap::new()),
        Err(Error::Shape { .. })
    ));
    // All of it, or nothing.
    let one = |name: &str, element: Element| BTreeMap::from([(name.to_owned(), element)]);
    let matrix = |rows| Element::from(Array::from(Array2::<f64>::ones((rows, 3))));
    let other = Table::new(None, Array::from_vec(vec!["g2".to_owned(), "g1".to_owned()]).into(), Vec::new()).unwrap();
    let records = Records::new(vec![2], vec![("n".to_owned(), Array::from_vec(vec![1, 2]))]).unwrap();
    let odd = Table::new(None, var.index().clone(), vec![("c".into(), Element::Records(records))]).unwrap();
    let refused = |var: &Table, varm| shadow.set_raw(x.clone(), var.clone(), varm).unwrap_err();
    assert!(matches!(refused(&var, one("bad", matrix(5))), Error::Shape { .. }));
    assert!(matches!(refused(&var, one("bad", other.into())), Error::Shape { .. }), "another index");
    assert!(matches!(refused(&var, one("bad", Element::Null)), Error::WrongType { .. }));
    assert!(matches!(refused(&var, one("a/b", matrix(2))), Error::BadName { .. }));
    assert!(matches!(refused(&odd, BTreeMap::new()), Error::WrongType { .. }), "no column");
    assert!(shadow.raw().unwrap().is_none() && shadow.changes().is_empty());
    let frame = Element::from(Table::new(None, var.index().clone(), Vec::new()).unwrap());
    shadow.set_raw(x.clone(), var.clone(), BTreeMap::from([("m".into(), matrix(2)), ("f".into(), frame)])).unwrap();
    assert_eq!(shadow.raw().unwrap().unwrap().varm().keys().unwrap(), ["f", "m"]);
    assert_eq!(shadow.changes().len(), 1);
    shadow.set_raw(x.clone(), var.clone(), BTreeMap::new()).unwrap();
    assert!(shadow.to_string().contains("raw:\tX▲, var▲, varm▲"), "{shadow}");
    shadow.remove_raw().unwrap();
    assert!(shadow.raw().unwrap().is_none() && shadow.changes().is_empty());
    shadow.set_raw(x.clone(), var.clone(), BTreeMap::new()).unwrap();
    shadow.set_raw(x.clone(), var, BTreeMap::new()).unwrap();
    shadow.raw().unwrap().unwrap().varm().insert("PCs", Array2::<f64>::ones((2, 3))).unwrap();
    let check = |shadow: &AnnDataShadow| {
        let raw = shadow.raw().unwrap().unwrap();
        assert_eq!(raw.var_names().unwrap(), ["g1", "g2"]);
        assert_eq!(raw.x().unwrap().read::<Array2<f32>>().unwrap(), x);
        assert_eq!(raw.varm().read::<Array2<f64>>("PCs").unwrap().dim(), (2, 3));
    };
    check(&shadow);
    shadow.reopen(Mode::ReadWrite).unwrap().write(WriteOptions::default().clear_cache(true)).unwrap();
    check(&shadow);
    shadow.close().unwrap();
    check(&copy.open());
}

#[test]
fn x_can_be_set_where_there_is_none() {
    let copy = Copy::without_x("pbmc68k_reduced.h5ad");
    let shadow = copy.open();
    assert!(!shadow.x().exists().unwrap() && !shadow.to_string().contains("\n  X"));
    let x = Array2::from_shape_fn((700, 765), |(r, c)| ((r + c) % 5) as u16);
    shadow.x().set(Array2::<u16>::zeros((700, 2))).unwrap_err();
    shadow.x().set(x.clone()).unwrap();
    assert!(shadow.to_string().contains("\n  X▲"));
    shadow.x().remove().unwrap();
    assert!(!shadow.x().exists().unwrap());
    shadow.x().set(x.clone()).unwrap();
    shadow.reopen(Mode::ReadWrite).unwrap().write(WriteOptions::default()).unwrap();
    shadow.close().unwrap();
    assert_eq!(copy.open().x().read::<Array2<u16>>().unwrap(), x);
}

#[test]
fn nothing_is_put_into_what_is_no_dict() {
    for name in CELLS {
        let copy = Copy::of(name);
        let shadow = copy.open_to_write();
        let column = Array1::from_vec(vec![1_i32; 3]);
        let frame = Table::new(None, Array::from_vec(vec!["a".to_owned()]).into(), Vec::new()).unwrap();
        shadow.uns().insert("df", frame).unwrap();
        shadow.uns().insert("m", CsMat::<f32>::eye(3)).unwrap();
        assert!(matches!(shadow.uns().insert("df/col", column.clone()), Err(Error::BadName { .. })), "pending");
        shadow.write(WriteOptions::default().clear_cache(true)).unwrap();
        for inside in ["df/col", "m/x", "neighbors/params/method/x"] {
            assert!(matches!(shadow.uns().insert(inside, column.clone()), Err(Error::Unsupported { .. })), "{inside}");
        }
        for inside in ["obsm/X_pca/x", "obsp/distances/x", "obs/louvain/x", "layers/a/b", "X/y"] {
            let refused = shadow.member(inside).and_then(|m| m.set(Array1::from_vec(vec![1_i32; 700])));
            assert!(refused.is_err(), "{inside}");
        }
        for bad in ["obs/_index", "obs/index", "obsm/a\\b", "uns/zarr.json", "uns/a/.zattrs"] {
            let refused = shadow.member(bad).unwrap().set(Array1::from_vec(vec![1_i32; 700]));
            assert!(matches!(refused, Err(Error::BadName { .. })), "{bad}: {refused:?}");
        }
        assert!(shadow.changes().is_empty());
    }
}

#[test]
fn a_pending_dict_is_one_change_however_it_was_built() {
    let copy = Copy::of(CELLS[1]);
    let shadow = copy.open();
    shadow.uns().insert("a", Element::from([("b", 1_i64)])).unwrap();
    shadow.uns().insert("a/d", 2_i64).unwrap();
    shadow.uns().insert("a/b", 3_i64).unwrap();
    shadow.uns().insert("a/e/f", 4_i64).unwrap();
    shadow.uns().insert("a/gone", 5_i64).unwrap();
    shadow.uns().remove("a/gone").unwrap();
    let wanted =
        Element::from([("b", Element::from(3_i64)), ("d", Element::from(2_i64)), ("e", Element::from([("f", 4_i64)]))]);
    assert_eq!(&*shadow.uns().element("a").unwrap(), &wanted);
    assert_eq!(shadow.changes().len(), 1);
    assert_eq!(shadow.uns().info("a").unwrap().children, ["b", "d", "e"]);
    let listed = shadow.elements().unwrap();
    assert!(listed.iter().any(|e| e.path == "uns/a/e/f") && !listed.iter().any(|e| e.path == "uns/a/gone"));
    shadow.reopen(Mode::ReadWrite).unwrap().write(WriteOptions::default().clear_cache(true)).unwrap();
    assert_eq!(&*shadow.uns().element("a").unwrap(), &wanted);
}

#[test]
fn a_closed_shadow_gives_what_it_holds() {
    for name in CELLS {
        let shadow = AnnDataShadow::open(data(name)).unwrap();
        let louvain = shadow.obs().column("louvain").unwrap();
        let names = shadow.obs_names().unwrap();
        shadow.obs().insert(Series::new("score".into(), vec![1.0_f32; 700])).unwrap();
        shadow.close().unwrap();
        assert_eq!(shadow.obs().column("louvain").unwrap(), louvain);
        assert_eq!(shadow.obs_names().unwrap(), names);
        assert_eq!(shadow.obs().column("score").unwrap().len(), 700);
        assert!(shadow.obs().columns().unwrap().contains(&"score".to_owned()));
        assert!(matches!(shadow.obs().column("n_genes"), Err(Error::Closed { .. })));
    }
}

#[test]
fn a_column_that_others_wrote_too_is_listed_once() {
    let copy = Copy::of(CELLS[2]);
    let (mine, other) = (copy.open(), copy.open());
    mine.obs().insert(Series::new("twice".into(), vec![1_i32; 700])).unwrap();
    other.obs().insert(Series::new("twice".into(), vec![2_i32; 700])).unwrap();
    other.reopen(Mode::ReadWrite).unwrap().write(WriteOptions::default()).unwrap();
    mine.reopen(Mode::Read).unwrap();
    assert_eq!(mine.obs().columns().unwrap().iter().filter(|c| *c == "twice").count(), 1);
    assert_eq!(mine.obs().read().unwrap().height(), 700);
}

#[test]
fn a_reopening_that_fails_leaves_the_shadow_open_as_before() {
    for name in CELLS {
        let copy = Copy::of(name);
        let mine = copy.open();
        mine.obsm().insert("m", embedding()).unwrap();
        if name.ends_with("h5ad") {
            // Somebody holds the file for reading: there is no writing beside that.
            let other = copy.open();
            assert!(matches!(mine.reopen(Mode::ReadWrite), Err(Error::Busy { .. })), "{name}");
            drop(other);
        } else {
            let root = copy.path.join(if name.contains("v2") { ".zgroup" } else { "zarr.json" });
            let document = std::fs::read(&root).unwrap();
            std::fs::write(&root, "{").unwrap();
            assert!(mine.reopen(Mode::ReadWrite).is_err(), "{name}");
            std::fs::write(&root, document).unwrap();
            mine.reopen(Mode::Read).unwrap();
        }
        assert_eq!(mine.mode(), Some(Mode::Read));
        assert_eq!(mine.obsm().read::<Array2<f64>>("X_umap").unwrap().nrows(), 700);
        mine.reopen(Mode::ReadWrite).unwrap().write(WriteOptions::default()).unwrap();
    }
}

#[test]
fn a_store_has_one_writer() {
    for name in CELLS {
        let copy = Copy::of(name);
        let first = copy.open_to_write();
        let second = AnnDataShadow::open_with(&copy.path, &OpenOptions::default().mode(Mode::ReadWrite));
        assert!(matches!(second, Err(Error::Busy { .. })), "{name}");
        first.close().unwrap();
        copy.open_to_write();
    }
}

#[test]
fn changes_are_named_as_inside_the_anndata() {
    let keep = tempfile::tempdir().unwrap();
    let outer = keep.path().join("s.zarr");
    ZarrStore::create(&outer, Flavour::V3).unwrap();
    let tables = outer.join("tables");
    std::fs::create_dir(&tables).unwrap();
    std::fs::write(tables.join("zarr.json"), r#"{"zarr_format":3,"node_type":"group","attributes":{}}"#).unwrap();
    stores::copy(&data("pbmc68k_reduced_v3.zarr"), &tables.join("table"));
    {
        let store = anndata_shadow::store::open_write(&outer).unwrap().store;
        store.consolidate().unwrap();
    }
    let shadow = AnnDataShadow::open(tables.join("table")).unwrap();
    shadow.obsm().insert("m", embedding()).unwrap();
    assert_eq!(shadow.changes()[0].path, "obsm/m");
    assert_eq!(shadow.member(&shadow.changes()[0].path).unwrap().mark(), Some(Mark::New));
    let receipt = shadow.reopen(Mode::ReadWrite).unwrap().write(WriteOptions::default()).unwrap();
    assert_eq!(receipt.elements[0].path, "obsm/m");
    // The maps of both groups list it.
    for root in [&outer, &tables.join("table")] {
        let text = std::fs::read_to_string(root.join("zarr.json")).unwrap();
        assert!(text.contains("obsm/m\""), "{}", root.display());
    }
}

#[test]
fn a_link_into_a_store_leads_to_its_enclosing_root() {
    let keep = tempfile::tempdir().unwrap();
    let outer = keep.path().join("s.zarr");
    ZarrStore::create(&outer, Flavour::V2).unwrap();
    stores::copy(&data("pbmc68k_reduced_v2.zarr"), &outer.join("table"));
    anndata_shadow::store::open_write(&outer).unwrap().store.consolidate().unwrap();
    let link = keep.path().join("link");
    #[cfg(unix)]
    std::os::unix::fs::symlink(outer.join("table"), &link).unwrap();
    #[cfg(not(unix))]
    let link = outer.join("x").join("..").join("table");
    let shadow = AnnDataShadow::open_with(&link, &OpenOptions::default().mode(Mode::ReadWrite)).unwrap();
    shadow.obsm().insert("m", embedding()).unwrap();
    shadow.write(WriteOptions::default()).unwrap();
    let map = std::fs::read_to_string(outer.join(".zmetadata")).unwrap();
    assert!(map.contains("table/obsm/m/.zarray"), "the enclosing map was not renewed");
}

#[test]
fn the_cache_keeps_to_its_budget() {
    let shadow = AnnDataShadow::open_with(data(CELLS[0]), &OpenOptions::default().cache_budget(150_000)).unwrap();
    let _: Array2<f32> = shadow.obsm().read("X_pca").unwrap();
    assert_eq!(shadow.cache_bytes(), 140_000);
    let _ = shadow.obs().column("n_genes").unwrap();
    let _: Array2<f64> = shadow.obsm().read("X_umap").unwrap();
    assert!(shadow.cache_bytes() <= 150_000);
    assert_eq!(shadow.obsm().member("X_pca").unwrap().mark(), None, "the longest unused gave way");
    let _: Array2<f32> = shadow.x().read().unwrap();
    assert!(shadow.cache_bytes() <= 150_000, "what is larger than the budget is not kept");
    shadow.set_cache_budget(0);
    assert_eq!(shadow.cache_bytes(), 0);
}

#[test]
fn shapes_and_names_are_checked_when_set() {
    let shadow = AnnDataShadow::open(data(CELLS[1])).unwrap();
    let wrong = shadow.obsm().insert("m", Array2::<f32>::zeros((699, 2))).unwrap_err();
    assert!(matches!(wrong, Error::Shape { .. }) && wrong.to_string().contains("700"), "{wrong}");
    assert!(matches!(shadow.layers().insert("l", Array2::<f32>::zeros((700, 764))), Err(Error::Shape { .. })));
    assert!(matches!(shadow.obsp().insert("p", Array2::<f32>::zeros((700, 765))), Err(Error::Shape { .. })));
    assert!(matches!(shadow.obs().insert(Series::new("s".into(), vec![1_i32; 3])), Err(Error::Shape { .. })));
    assert!(matches!(shadow.obsm().insert("s", 1.0_f64), Err(Error::WrongType { .. })));
    assert!(matches!(shadow.layers().insert("s", "text"), Err(Error::WrongType { .. })));
    for name in ["", "a/b", "a\\b", "..", "zarr.json"] {
        assert!(matches!(shadow.obsm().insert(name, embedding()), Err(Error::BadName { .. })), "{name:?}");
    }
    for name in ["", "_index", "index", "a/b"] {
        let column = Series::new(name.into(), vec![1_i32; 700]);
        assert!(matches!(shadow.obs().insert(column), Err(Error::BadName { .. })), "{name:?}");
    }
    assert!(matches!(shadow.uns().insert("x/../y", 1_i64), Err(Error::BadName { .. })));
    let frame = Table::new(None, Array::from_vec(vec!["other".to_owned(); 700]).into(), Vec::new()).unwrap();
    assert!(matches!(shadow.obsm().insert("f", frame), Err(Error::Shape { .. })), "its index is another");
    assert!(shadow.changes().is_empty());
}

#[test]
fn types_are_exact_and_errors_say_what_is_there() {
    let shadow = AnnDataShadow::open(data(CELLS[2])).unwrap();
    let wrong = shadow.obsm().read::<Array2<f32>>("X_umap").unwrap_err();
    assert!(wrong.to_string().contains("float64") && wrong.to_string().contains("obsm/X_umap"), "{wrong}");
    let absent = shadow.obsm().read::<Array2<f32>>("X_PCA").unwrap_err();
    assert!(absent.to_string().contains("nearest: `X_pca`"), "{absent}");
    let absent = shadow.obs().column("luvain").unwrap_err();
    assert!(absent.to_string().contains("louvain"), "{absent}");
    assert!(matches!(shadow.select(700, ..), Err(Error::Selection { .. })));
    assert!(matches!(shadow.select(vec![true; 5], ..), Err(Error::Selection { .. })));
    let absent = shadow.select(.., ["lyz"]).unwrap_err();
    assert!(absent.to_string().contains("LYZ"), "{absent}");
    assert!(matches!(shadow.member("obsn/X_pca"), Err(Error::NotFound { .. })));
    assert!(matches!(shadow.remove("obsm"), Err(Error::Unsupported { at, .. }) if at.path == "obsm"));
}

/// Nested lists and structured arrays stand where embeddings do, and are cut with the rows; columns they are not.
#[test]
fn awkward_and_structured_arrays_stand_in_obsm() {
    let lists = |n: usize| Awkward::from_lists((0..n).map(|i| (0..(i % 4) as i64).collect::<Vec<_>>()));
    let records = |n: usize| {
        let fields = vec![
            ("n".to_owned(), Array::from_vec((0..n as i32).collect())),
            ("pair".to_owned(), Array::from_shape_vec(&[n, 2], vec![0.5_f64; 2 * n]).unwrap()),
            ("big".to_owned(), Array::from_vec((0..n).map(|i| u64::MAX - i as u64).collect())),
            ("text".to_owned(), Array::from_vec((0..n).map(|i| format!("ü{i}")).collect())),
        ];
        Records::new(vec![n], fields).unwrap()
    };
    for name in CELLS {
        let copy = Copy::of(name);
        let shadow = copy.open_to_write();
        for refused in [Element::from(lists(700)), records(700).into()] {
            assert!(
                matches!(shadow.obs().insert_element("x", refused.clone()), Err(Error::WrongType { .. })),
                "{name}"
            );
            assert!(matches!(shadow.layers().insert("x", refused.clone()), Err(Error::WrongType { .. })), "{name}");
            assert!(matches!(shadow.varm().insert("x", refused), Err(Error::Shape { .. })), "{name}");
        }
        shadow.obsm().insert("lists", lists(700)).unwrap();
        shadow.obsm().insert("records", records(700)).unwrap();
        shadow.varm().insert("lists", lists(765)).unwrap();
        shadow.uns().insert("records", records(3)).unwrap();
        let rows = Rows::picks([699, 5, 5, 2]);
        let check = |shadow: &AnnDataShadow| {
            let view = shadow.select(rows.clone(), [3, 1]).unwrap();
            assert_eq!(view.obsm().read::<Awkward>("lists").unwrap(), lists(700).take(&rows), "{name}");
            assert_eq!(
                view.obsm().read::<Records>("records").unwrap(),
                records(700).take(std::slice::from_ref(&rows)),
                "{name}"
            );
            assert_eq!(view.varm().read::<Awkward>("lists").unwrap(), lists(765).take(&Rows::picks([3, 1])), "{name}");
            assert_eq!(shadow.uns().read::<Records>("records").unwrap(), records(3), "{name}");
            let info = view.obsm().info("records").unwrap();
            assert_eq!((info.kind, &info.shape[..]), (Kind::Records, &[4][..]), "{name}");
            assert_eq!(info.children, ["n", "pair", "big", "text"], "{name}");
            let info = view.obsm().info("lists").unwrap();
            assert_eq!(
                (info.kind, info.shape, info.dtype.as_deref()),
                (Kind::Awkward, vec![4], Some("var * int64")),
                "{name}"
            );
        };
        check(&shadow);
        shadow.write(WriteOptions::default()).unwrap();
        shadow.close().unwrap();
        check(&copy.open());
        // As scanpy leaves them.
        let frame: DataFrame = copy.open().uns().read("rank_genes_groups/names").unwrap();
        assert_eq!(frame.height(), 100, "{name}");
    }
}

#[test]
fn what_is_handed_out_is_not_kept_beside_it() {
    let shadow = AnnDataShadow::open(data("pbmc68k_reduced.h5ad")).unwrap();
    let large: Array2<f32> = shadow.x().read().unwrap();
    assert!(large.len() * 4 > 1 << 20 && shadow.cache_bytes() < 1 << 20, "{}", shadow.cache_bytes());
    let shared = shadow.x().element().unwrap();
    assert!(shadow.cache_bytes() > 1 << 20);
    assert!(std::sync::Arc::ptr_eq(&shared, &shadow.x().element().unwrap()));
}

#[test]
fn columns_side_by_side_are_those_one_by_one() {
    for name in CELLS {
        let shadow = AnnDataShadow::open(data(name)).unwrap();
        let view = shadow.select([5, 1, 5], ..).unwrap();
        for object in [&shadow, &view] {
            let obs = object.obs();
            let mut names = obs.columns().unwrap();
            names.push(obs.index_name().unwrap());
            let found = obs.elements(&names).unwrap();
            let wanted: Vec<Element> = names.iter().map(|n| (*obs.element(n).unwrap()).clone()).collect();
            assert_eq!(found, wanted, "{name}");
        }
        let unknown = shadow.obs().elements(&["louvain".to_owned(), "lovain".to_owned()]);
        assert!(matches!(unknown, Err(Error::NotFound { nearest, .. }) if nearest == ["louvain"]), "{name}");
        // A frame that is pending as a whole has its index in itself.
        let table = shadow.var().table().unwrap();
        let index = Element::Array(Array::from_vec((0..765).map(|i| i.to_string()).collect()));
        shadow.var().set(Table::new(None, index.clone(), table.columns().to_vec()).unwrap()).unwrap();
        assert_eq!(shadow.var().elements(&["_index".to_owned()]).unwrap(), [index]);
    }
}

#[test]
fn without_var_the_frame_of_variables_is_numbered() {
    let copy = Copy::of(CELLS[1]);
    std::fs::remove_dir_all(copy.path.join("var")).unwrap();
    std::fs::remove_file(copy.path.join(".zmetadata")).unwrap();
    let shadow = copy.open();
    let part = shadow.select(..3, [7, 2]).unwrap();
    let Element::Mapping(parts) = part.to_memory().unwrap() else { panic!() };
    let Element::Table(var) = &parts["var"] else { panic!("{:?}", parts["var"]) };
    assert_eq!(var.index().texts().unwrap(), [Some("7".to_owned()), Some("2".to_owned())]);
    assert!(var.columns().is_empty() && shadow.var().table().unwrap().n_rows() == 765);
}

#[test]
fn a_view_tells_its_rows_and_a_shadow_what_goes() {
    let copy = Copy::of(CELLS[1]);
    let shadow = copy.open();
    assert!(shadow.rows().is_none());
    let inner = shadow.select(10..20, ..).unwrap().select([3, -1], 0..5).unwrap();
    let [obs, var] = inner.rows().unwrap();
    assert_eq!((obs.iter().collect::<Vec<_>>(), var.iter().collect::<Vec<_>>()), (vec![13, 19], vec![0, 1, 2, 3, 4]));
    let before = shadow.generation();
    shadow.obsm().rename("X_umap", "X_tsne").unwrap();
    shadow.obs().remove("louvain").unwrap();
    shadow.uns().insert("made/by/hand", "me").unwrap();
    assert!(shadow.generation() > before);
    assert_eq!(shadow.removed_at("obsm").unwrap(), ["X_umap"]);
    assert_eq!(shadow.removed_at("obs").unwrap(), ["louvain"]);
    assert!(shadow.removed_at("uns").unwrap().is_empty());
    let mark = |path| shadow.mark_at(path).unwrap();
    assert_eq!(mark("obsm/X_tsne"), Some(Mark::New));
    assert_eq!((mark("obs/louvain"), mark("obsm/X_umap")), (Some(Mark::Removed), Some(Mark::Removed)));
    assert_eq!((mark("uns/made"), mark("uns/pca")), (Some(Mark::New), None), "a group with something new in it");
    assert_eq!(shadow.raw().unwrap().unwrap().keys().unwrap(), ["X", "var", "varm"]);
}

#[test]
fn values_can_be_taken_apart_and_put_together() {
    let shadow = AnnDataShadow::open(data(CELLS[0])).unwrap();
    let graph: Sparse = shadow.obsp().read("distances").unwrap();
    let (format, shape, data, indices, indptr) = graph.clone().into_parts();
    assert_eq!(Sparse::new(format, shape, data, indices, indptr).unwrap(), graph);
    let louvain: Categorical = shadow.member("obs/louvain").unwrap().read().unwrap();
    let (codes, categories, ordered) = louvain.clone().into_parts();
    assert_eq!(Categorical::new(codes, categories, ordered).unwrap(), louvain);
    let obs = shadow.obs().table().unwrap();
    let (name, index, columns) = obs.clone().into_parts();
    assert_eq!(Table::new(name, index, columns).unwrap(), obs);
    let nullable = Nullable::new(Array::from_vec(vec![1, 2]), vec![true, false], NaValue::Nan).unwrap();
    let (values, missing, na_value) = nullable.clone().into_parts();
    assert_eq!(Nullable::new(values, missing, na_value).unwrap(), nullable);
    let records = Records::new(vec![2], vec![("n".to_owned(), Array::from_vec(vec![1, 2]))]).unwrap();
    let (shape, fields) = records.clone().into_parts();
    assert_eq!(Records::new(shape, fields).unwrap(), records);
}
