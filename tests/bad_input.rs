//! Bad input: typed errors that name file and path, never a panic, and everything else in the file still works.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stores;

use std::fs;
use std::path::Path;

use anndata_shadow::ndarray::Array2;
use anndata_shadow::store::{Flavour, Hdf5Store, Style, WriteStore, ZarrStore, open_write};
use anndata_shadow::{
    AnnDataShadow, Array, ElemPath, Element, Error, GeneIndexOptions, Kind, Mode, OpenOptions, Rows, WriteOptions,
};
use serde_json::{Value, json};
use stores::{CELLS, Copy, data, edit_v3};

fn open_error(path: &Path) -> Error {
    match AnnDataShadow::open(path) {
        Err(error) => {
            let name = path.file_name().unwrap().to_string_lossy();
            assert!(error.to_string().contains(&*name), "the message names the file: {error}");
            error
        }
        Ok(shadow) => panic!("{} opened as {shadow}", path.display()),
    }
}

#[test]
fn what_is_not_anndata_is_refused_by_name() {
    let keep = tempfile::tempdir().unwrap();
    let at = |name: &str| keep.path().join(name);
    assert!(matches!(open_error(&at("absent.h5ad")), Error::Io { .. }));
    fs::write(at("text.h5ad"), "not HDF5 at all").unwrap();
    assert!(matches!(open_error(&at("text.h5ad")), Error::NotAnnData { .. }));
    fs::write(at("empty.h5ad"), "").unwrap();
    assert!(matches!(open_error(&at("empty.h5ad")), Error::NotAnnData { .. }));
    fs::create_dir(at("folder.zarr")).unwrap();
    assert!(matches!(open_error(&at("folder.zarr")), Error::NotAnnData { .. }));
    drop(Hdf5Store::create(&at("bare.h5")).unwrap());
    assert!(matches!(open_error(&at("bare.h5")), Error::NotAnnData { .. }));
    drop(ZarrStore::create(&at("bare.zarr"), Flavour::V3).unwrap());
    assert!(matches!(open_error(&at("bare.zarr")), Error::NotAnnData { .. }));
    let inside = data("pbmc68k_reduced.h5ad").join("obms");
    let error = AnnDataShadow::open(&inside).unwrap_err();
    assert!(error.to_string().contains("obsm"), "{error}");
}

#[test]
fn truncated_files_are_errors_at_every_length() {
    let bytes = fs::read(data("archive_v0.13.h5ad")).unwrap();
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("cut.h5ad");
    for part in 0..24 {
        fs::write(&path, &bytes[..bytes.len() * part / 24]).unwrap();
        assert!(matches!(open_error(&path), Error::NotAnnData { .. } | Error::Malformed { .. }), "{part}");
    }
}

#[test]
fn one_damaged_element_does_not_spoil_the_others() {
    type Damage = (&'static str, fn(&mut Value));
    let damages: [Damage; 8] = [
        ("obsm/X_pca", |d| d["shape"] = json!([700])),
        ("obsm/X_pca", |d| d["shape"] = json!([600, 50])),
        ("obsm/X_pca", |d| d["shape"] = json!([1_u64 << 60, 1_u64 << 40])),
        // As many chunks, of which none exists, as would take hours to look for.
        ("uns/pca/variance", |d| {
            d["shape"] = json!([1 << 27]);
            d["chunk_grid"]["configuration"]["chunk_shape"] = json!([1]);
        }),
        ("obsm/X_pca", |d| d["data_type"] = json!("float8_nobody_knows")),
        ("obsm/X_pca", |d| d["codecs"] = json!([{"name": "no_such_codec"}])),
        ("obsm/X_pca", |d| d["chunk_grid"]["configuration"]["chunk_shape"] = json!([0, 0])),
        ("obsm/X_pca", |d| d["attributes"]["encoding-type"] = json!("tomorrow")),
    ];
    for (i, (node, damage)) in damages.into_iter().enumerate() {
        let copy = Copy::of("pbmc68k_reduced_v3.zarr");
        edit_v3(&copy.path, node, damage);
        let shadow = copy.open();
        assert!(shadow.to_string().contains("X_pca"), "damage {i}: still listed");
        let listed = shadow.elements().unwrap();
        assert!(listed.iter().any(|e| e.path == node) && listed.iter().any(|e| e.path == "obsm/X_umap"), "damage {i}");
        let error = shadow.member(node).unwrap().element().unwrap_err();
        assert!(error.to_string().contains(node), "damage {i}: {error}");
        assert!(matches!(error, Error::Malformed { .. } | Error::Unsupported { .. }), "damage {i}: {error:?}");
        assert!(shadow.obsm().read::<Array2<f64>>("X_umap").is_ok(), "damage {i}");
        assert!(shadow.obs().column("louvain").is_ok(), "damage {i}");
    }
}

#[test]
fn lengths_beyond_all_memory_are_errors() {
    for huge in [1_u64 << 63, u64::MAX, 1 << 62] {
        let copy = Copy::of("pbmc68k_reduced_v3.zarr");
        edit_v3(&copy.path, "obs/index", |d| {
            d["shape"] = json!([huge]);
            d["chunk_grid"]["configuration"]["chunk_shape"] = json!([1000]);
        });
        match AnnDataShadow::open(&copy.path) {
            Err(error) => assert!(error.to_string().contains("obs"), "{error}"),
            Ok(shadow) => {
                let _ = shadow.to_string();
                assert!(shadow.obs_names().is_err());
                assert!(shadow.select(0..3, ..).unwrap().x().element().is_err());
            }
        }
    }
}

#[test]
fn links_that_lead_in_circles_are_errors() {
    let copy = Copy::of("pbmc68k_reduced.h5ad");
    let python = std::env::var_os("ADSHADOW_PYTHON").unwrap_or_else(|| data("../.venv/bin/python").into());
    let code = "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); \
                f['uns/one'] = h5py.SoftLink('/uns'); f['uns/two'] = f['uns']; f.close()";
    let done = std::process::Command::new(python).args(["-c", code]).arg(&copy.path).status();
    assert!(done.is_ok_and(|s| s.success()), "no Python with h5py: run `make test`, or tools/setup.sh");
    let shadow = copy.open();
    assert!(shadow.to_string().contains("two"));
    assert!(matches!(shadow.uns().element("one"), Err(Error::Malformed { .. })));
    assert!(matches!(shadow.elements(), Err(Error::Malformed { .. })));
    assert!(shadow.uns().element("pca").is_ok() && shadow.obs().column("louvain").is_ok());
}

#[test]
fn broken_frames_say_which_and_why() {
    type Damage = (&'static str, fn(&mut Value));
    let damages: [Damage; 5] = [
        ("obs", |d| d["attributes"]["_index"] = json!("gone")),
        ("obs", |d| d["attributes"]["_index"] = json!("..")),
        ("obs", |d| d["attributes"]["column-order"] = json!(7)),
        ("obs", |d| d["attributes"]["encoding-version"] = json!("9.9.9")),
        ("var", |d| d["attributes"]["_index"] = json!(null)),
    ];
    for (i, (node, damage)) in damages.into_iter().enumerate() {
        let copy = Copy::of("pbmc68k_reduced_v3.zarr");
        edit_v3(&copy.path, node, damage);
        let error = open_error(&copy.path);
        assert!(error.to_string().contains(node), "damage {i}: {error}");
    }
    // A column that is listed but absent is an error of that column.
    let copy = Copy::of("pbmc68k_reduced_v3.zarr");
    edit_v3(&copy.path, "obs", |d| d["attributes"]["column-order"].as_array_mut().unwrap().push(json!("ghost")));
    let shadow = copy.open();
    assert!(matches!(shadow.obs().column("ghost"), Err(Error::NotFound { .. })));
    assert!(shadow.obs().column("louvain").is_ok());
    assert!(shadow.obs().read().is_err());
}

#[test]
fn sparse_matrices_that_contradict_themselves_are_errors() {
    // (data, indices, indptr) of a 3 × 4 matrix in an otherwise sound file.
    let cases: [(&str, Vec<i32>, Vec<i64>); 5] = [
        ("index out of range", vec![0, 9, 1], vec![0, 1, 2, 3]),
        ("negative index", vec![0, -1, 1], vec![0, 1, 2, 3]),
        ("descending indptr", vec![0, 1, 1], vec![0, 3, 2, 3]),
        ("indptr past the end", vec![0, 1, 1], vec![0, 1, 2, 99]),
        ("short indptr", vec![0, 1, 1], vec![0, 1, 3]),
    ];
    for (why, indices, indptr) in cases {
        let copy = Copy::of("pbmc68k_reduced.h5ad");
        {
            let store = Hdf5Store::open_write(&copy.path).unwrap();
            let at = ElemPath::parse("uns/m").unwrap();
            let attrs = json!({"shape": [3, 4], "encoding-type": "csr_matrix", "encoding-version": "0.1.0"});
            store.create_group(&at, attrs.as_object().unwrap()).unwrap();
            let style = Style { like: None, resizable: true };
            let part = |name: &str, array: Array| {
                store.create_array(&at.join(name).unwrap(), &array, style, &serde_json::Map::new()).unwrap();
            };
            part("data", Array::from_vec(vec![1.0_f32; 3]));
            part("indices", Array::from_vec(indices));
            part("indptr", Array::from_vec(indptr));
            store.publish().unwrap();
        }
        let error = copy.open().uns().element("m").unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }) && error.to_string().contains("uns/m"), "{why}: {error:?}");
    }
}

#[test]
fn an_index_of_more_values_than_there_can_be_is_refused_at_once() {
    const HUGE: u64 = 1 << 45;
    let refused = |columns: u64, memory: usize| -> Error {
        let copy = Copy::of("pbmc68k_reduced_v3.zarr");
        {
            let store = ZarrStore::open_write(&copy.path).unwrap();
            let at = ElemPath::parse("X").unwrap();
            store.remove(&at).unwrap();
            let attrs = json!({"shape": [1, columns], "encoding-type": "csr_matrix", "encoding-version": "0.1.0"});
            store.create_group(&at, attrs.as_object().unwrap()).unwrap();
            let style = Style { like: None, resizable: true };
            let part = |name: &str, array: Array| {
                store.create_array(&at.join(name).unwrap(), &array, style, &serde_json::Map::new()).unwrap();
            };
            part("data", Array::from_vec(vec![0.0_f32]));
            part("indices", Array::from_vec(vec![0_i32]));
            part("indptr", Array::from_vec(vec![0, HUGE as i64]));
            store.publish().unwrap();
        }
        // No chunk of them is there: they are all fill value.
        for node in ["X/data", "X/indices"] {
            edit_v3(&copy.path, node, |d| {
                d["shape"] = json!([HUGE]);
                d["chunk_grid"]["configuration"]["chunk_shape"] = json!([1 << 20]);
            });
            let _ = fs::remove_dir_all(copy.path.join(node).join("c"));
        }
        let before = copy.bytes();
        let options = GeneIndexOptions::default().memory(memory);
        let error = copy.open_to_write().add_gene_index(&options).unwrap_err();
        assert!(copy.bytes() == before && error.to_string().contains("`X` in "), "{error}");
        error
    };
    // More than there are places; so many that the passes would have no end, or with all memory too many columns to be counted.
    for (columns, memory, why) in [
        (3, 0, "for 1 × 3 places"),
        (3, usize::MAX, "for 1 × 3 places"),
        (HUGE, 0, "536870913 passes"),
        (HUGE, 1 << 30, "passes"),
        (HUGE, usize::MAX, "do not fit into memory"),
    ] {
        let error = refused(columns, memory);
        assert!(matches!(error, Error::Unsupported { .. } | Error::Malformed { .. }), "{error:?}");
        assert!(error.to_string().contains(why), "{columns} {memory}: {error}");
    }
}

#[test]
fn codes_beyond_the_categories_are_errors() {
    let copy = Copy::of("pbmc68k_reduced.h5ad");
    {
        let store = Hdf5Store::open_write(&copy.path).unwrap();
        let at = ElemPath::parse("uns/c").unwrap();
        let attrs = json!({"ordered": false, "encoding-type": "categorical", "encoding-version": "0.2.0"});
        store.create_group(&at, attrs.as_object().unwrap()).unwrap();
        let style = Style { like: None, resizable: false };
        let none = serde_json::Map::new();
        store.create_array(&at.join("codes").unwrap(), &Array::from_vec(vec![0_i8, 1, -1]), style, &none).unwrap();
        let categories = Array::from_vec(vec!["only".to_owned()]);
        store.create_array(&at.join("categories").unwrap(), &categories, style, &none).unwrap();
        store.publish().unwrap();
    }
    let error = copy.open().uns().element("c").unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }), "{error:?}");
}

#[test]
fn garbage_in_zarr_documents_and_chunks_is_an_error_of_that_element() {
    for (file, text) in
        [("obsm/X_pca/zarr.json", "{"), ("obsm/X_pca/zarr.json", "[1, 2]"), ("obsm/X_pca/zarr.json", "null")]
    {
        let copy = Copy::of("pbmc68k_reduced_v3.zarr");
        // Without the map the documents themselves count.
        let root: Value = serde_json::from_slice(&fs::read(copy.path.join("zarr.json")).unwrap()).unwrap();
        let plain = json!({"attributes": root["attributes"], "zarr_format": 3, "node_type": "group"});
        fs::write(copy.path.join("zarr.json"), plain.to_string()).unwrap();
        fs::write(copy.path.join(file), text).unwrap();
        let shadow = copy.open();
        let error = shadow.obsm().element("X_pca").unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }) && error.to_string().contains("obsm/X_pca"), "{error:?}");
        assert!(shadow.to_string().contains("X_umap"));
        assert!(shadow.obsm().read::<Array2<f64>>("X_umap").is_ok());
    }
    for name in &CELLS[1..] {
        let copy = Copy::of(name);
        let mut cut = 0;
        for (path, bytes) in copy.bytes() {
            let of_chunk = !path.file_name().unwrap().to_string_lossy().contains('z');
            if path.to_string_lossy().contains("obsm/X_pca") && of_chunk {
                fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
                cut += 1;
            }
        }
        assert!(cut > 0, "{name}");
        let error = copy.open().obsm().element("X_pca").unwrap_err();
        assert!(
            matches!(error, Error::Malformed { .. }) && error.to_string().contains("obsm/X_pca"),
            "{name}: {error:?}"
        );
    }
}

#[test]
fn opaque_elements_are_listed_and_refused_alone() {
    let tomorrow = json!({"encoding-type": "tomorrow", "encoding-version": "0.1.0"});
    for name in CELLS {
        let copy = Copy::of(name);
        {
            let store = open_write(&copy.path).unwrap().store;
            let at = ElemPath::parse("uns/opaque").unwrap();
            store.create_group(&at, tomorrow.as_object().unwrap()).unwrap();
            store.publish().unwrap();
        }
        let shadow = copy.open();
        let elements = shadow.elements().unwrap();
        let opaque: Vec<_> = elements.iter().filter(|e| e.info.kind == Kind::Opaque).collect();
        assert!(opaque.iter().any(|e| e.path == "uns/opaque"), "{name}");
        for element in opaque {
            let error = shadow.member(&element.path).unwrap().element().unwrap_err();
            assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains(&element.path), "{error}");
        }
        assert!(shadow.uns().element("rank_genes_groups/params").is_ok());
    }
}

#[test]
fn arrays_of_unknown_types_are_opaque_alone() {
    let v2 = json!({"zarr_format": 2, "shape": [2], "chunks": [2], "dtype": "|V7", "fill_value": null, "order": "C",
        "filters": null, "compressor": null});
    let v3 = json!({"zarr_format": 3, "node_type": "array", "shape": [2], "data_type": "nonesuch", "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
        "chunk_key_encoding": {"name": "default"}, "codecs": [{"name": "bytes"}]});
    for (name, file, document) in
        [(CELLS[1], ".zarray", &v2), (CELLS[2], "zarr.json", &v3), (CELLS[3], "zarr.json", &v3)]
    {
        let copy = Copy::of(name);
        fs::create_dir(copy.path.join("uns/odd")).unwrap();
        fs::write(copy.path.join("uns/odd").join(file), document.to_string()).unwrap();
        // The map does not list it; whoever writes looks at what is there.
        let shadow = copy.open_to_write();
        let elements = shadow.elements().unwrap();
        let opaque: Vec<_> = elements.iter().filter(|e| e.info.kind == Kind::Opaque).map(|e| &e.path).collect();
        assert_eq!(opaque, ["uns/odd"], "{name}");
        let error = shadow.member("uns/odd").unwrap().element().unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains("uns/odd"), "{error}");
        assert!(shadow.uns().element("rank_genes_groups/params").is_ok());
    }
}

#[test]
fn selections_past_the_end_are_errors_and_the_shadow_goes_on() {
    let shadow = AnnDataShadow::open(data(CELLS[0])).unwrap();
    for bad in [765_i64, -766, i64::MAX, i64::MIN] {
        assert!(matches!(shadow.select(bad, ..), Err(Error::Selection { .. })), "{bad}");
        assert!(matches!(shadow.select(.., [0, bad]), Err(Error::Selection { .. })), "{bad}");
    }
    let view = shadow.select(0..10, ..).unwrap();
    assert!(matches!(view.select(10, ..), Err(Error::Selection { .. })), "counted within the view");
    assert_eq!(view.select(.., Rows::picks([764])).unwrap().shape(), (10, 1));
    // A name that a view holds twice cannot be asked for.
    let name = shadow.obs_names().unwrap()[3].clone();
    let twice = shadow.select([3, 3], ..).unwrap();
    let error = twice.select(name.as_str(), ..).unwrap_err();
    assert!(error.to_string().contains("2 times"), "{error}");
}

#[test]
fn a_field_that_cannot_be_carried_over_keeps_its_frame_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.h5ad");
    let python = std::env::var_os("ADSHADOW_PYTHON").unwrap_or_else(|| data("../.venv/bin/python").into());
    let code = "import h5py, numpy as np, sys; f = h5py.File(sys.argv[1], 'w'); \
                f['X'] = np.ones((2, 1), 'f4'); f['var'] = np.array([(b'g',)], [('index', 'S1')]); \
                f['obs'] = np.array([(b'a', b'1234', 5), (b'b', b'5678', 6)], [('index', 'S1'), ('odd', 'V4'), ('n', 'i4')]); \
                f['obsm'] = np.array([([0, 1],), ([2, 3],)], [('X_pca', 'f4', 2)]); f.close()";
    let done = std::process::Command::new(python).args(["-c", code]).arg(&path).status();
    assert!(done.is_ok_and(|s| s.success()), "no Python with h5py: run `make test`, or tools/setup.sh");
    let before = fs::read(&path).unwrap();

    let shadow = AnnDataShadow::open_with(&path, &OpenOptions::default().mode(Mode::ReadWrite)).unwrap();
    assert!(shadow.obs().columns().unwrap().contains(&"odd".to_owned()));
    assert!(shadow.obs().column("n").is_ok());
    assert!(matches!(shadow.obs().element("odd"), Err(Error::Unsupported { .. })));
    shadow.obs().insert_element("new", Array::from_vec(vec![1_i64, 2])).unwrap();
    let error = shadow.write(WriteOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains("obs/odd"), "{error}");
    shadow.close().unwrap();
    assert!(fs::read(&path).unwrap() == before, "nothing is changed");

    // The other slots can be written to.
    shadow.reopen(Mode::ReadWrite).unwrap();
    shadow.obs().remove("new").unwrap();
    shadow.obsm().insert("X_new", Array2::<f32>::zeros((2, 3))).unwrap();
    shadow.write(WriteOptions::default()).unwrap();
    shadow.close().unwrap();
    let again = AnnDataShadow::open(&path).unwrap();
    assert_eq!(
        again.obsm().read::<Array2<f32>>("X_pca").unwrap(),
        Array2::from_shape_vec((2, 2), vec![0.0, 1.0, 2.0, 3.0]).unwrap()
    );
    assert_eq!(again.obsm().read::<Array2<f32>>("X_new").unwrap().dim(), (2, 3));
}

/// Runs a few lines of Python on the copy, with `f` open for writing by h5py and `outside` a file beside it.
fn with_h5py(copy: &Copy, code: &str) {
    let python = std::env::var_os("ADSHADOW_PYTHON").unwrap_or_else(|| data("../.venv/bin/python").into());
    let code = format!(
        "import h5py, sys, os, numpy as np\nf = h5py.File(sys.argv[1], 'r+')\n\
         outside = os.path.join(os.path.dirname(sys.argv[1]), 'outside')\n{code}\nf.close()"
    );
    let done = std::process::Command::new(python).args(["-c", &code]).arg(&copy.path).status();
    assert!(done.is_ok_and(|s| s.success()), "no Python with h5py: run `make test`, or tools/setup.sh");
}

const SECRET: f64 = 42.125;

/// Reads every element, and looks for the secret that lies outside of the store.
fn leaks(path: &Path) -> bool {
    let Ok(shadow) = AnnDataShadow::open(path) else { return false };
    let elements = shadow.elements().unwrap_or_default();
    elements.iter().filter_map(|e| shadow.member(&e.path).and_then(|m| m.element()).ok()).any(|e| {
        let Element::Array(array) = &*e else { return false };
        array.to_f64().is_some_and(|items| items.contains(&SECRET))
    })
}

#[test]
fn nothing_outside_an_h5ad_is_read() {
    let copy = Copy::of("archive_v0.13.h5ad");
    with_h5py(
        &copy,
        &format!(
            "o = h5py.File(outside, 'w'); o['X'] = np.full(4, {SECRET}); o.create_group('g')['x'] = np.full(4, {SECRET}); o.close()
open(outside + '.raw', 'wb').write(np.full(4, {SECRET}).tobytes())
u = f['uns']
u['file'] = h5py.ExternalLink(outside, '/X')
u['group'] = h5py.ExternalLink(outside, '/g')
u['soft'] = h5py.SoftLink('/uns/group/x')
u['dots'] = h5py.SoftLink('../../../outside')
u.create_dataset('raw', (4,), 'f8', external=[(outside + '.raw', 0, h5py.h5f.UNLIMITED)])
layout = h5py.VirtualLayout((4,), 'f8')
layout[:] = h5py.VirtualSource(outside, 'X', (4,))
u.create_virtual_dataset('virtual', layout)"
        ),
    );
    assert!(!leaks(&copy.path));
    let shadow = copy.open();
    for name in ["file", "group/x", "soft", "dots", "raw", "virtual"] {
        let error = shadow.uns().element(name).unwrap_err();
        assert!(
            matches!(error, Error::NotFound { .. } | Error::Unsupported { .. } | Error::Malformed { .. }),
            "{error:?}"
        );
    }
    assert!(shadow.obs_names().is_ok());
}

#[test]
#[cfg(unix)]
fn nothing_outside_a_zarr_store_is_read() {
    use std::os::unix::fs::symlink;
    let copy = Copy::of("pbmc68k_reduced_v3.zarr");
    let outside = copy.path.parent().unwrap().join("outside");
    let array = json!({"zarr_format": 3, "node_type": "array", "shape": [4], "data_type": "float64", "fill_value": 0.0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}], "attributes": {}});
    fs::create_dir_all(outside.join("c")).unwrap();
    fs::write(outside.join("zarr.json"), array.to_string()).unwrap();
    fs::write(outside.join("c/0"), SECRET.to_le_bytes().repeat(4)).unwrap();
    // Sound nodes of which a chunk, the folder of chunks, and the node itself is a link out of the store.
    for name in ["chunk", "chunks"] {
        fs::create_dir_all(copy.path.join("uns").join(name)).unwrap();
        fs::write(copy.path.join("uns").join(name).join("zarr.json"), array.to_string()).unwrap();
    }
    fs::create_dir(copy.path.join("uns/chunk/c")).unwrap();
    symlink(outside.join("c/0"), copy.path.join("uns/chunk/c/0")).unwrap();
    symlink(outside.join("c"), copy.path.join("uns/chunks/c")).unwrap();
    symlink(&outside, copy.path.join("uns/node")).unwrap();
    let mut separator = array.clone();
    separator["chunk_key_encoding"] = json!({"name": "v2", "configuration": {"separator": "/../"}});
    let mut root: Value = serde_json::from_slice(&fs::read(copy.path.join("zarr.json")).unwrap()).unwrap();
    let map = root["consolidated_metadata"]["metadata"].as_object_mut().unwrap();
    for name in ["uns/chunk", "uns/chunks", "uns/node", "../outside", "uns/../../outside", "/../outside", "uns/.."] {
        map.insert(name.to_owned(), array.clone());
    }
    map.insert("uns/separator".into(), separator);
    map["obs"]["attributes"]["column-order"].as_array_mut().unwrap().push(json!("../../outside"));
    fs::write(copy.path.join("zarr.json"), root.to_string()).unwrap();

    assert!(!leaks(&copy.path));
    let shadow = copy.open();
    for name in ["chunk", "chunks", "node", "separator"] {
        let error = shadow.uns().element(name).unwrap_err();
        assert!(error.to_string().contains(&format!("uns/{name}")), "{error}");
    }
    assert!(shadow.member("uns/../../outside").is_err());
    assert!(shadow.obs().column("../../outside").is_err());
    assert!(shadow.elements().unwrap().iter().any(|e| e.path == "obs/../../outside" && e.info.kind == Kind::Opaque));
    assert!(AnnDataShadow::open(copy.path.join("../outside")).is_err());
    assert!(shadow.obsm().element("X_pca").is_ok());
}

#[test]
#[cfg(unix)]
fn nothing_outside_a_zarr_store_is_written() {
    let copy = Copy::of("pbmc68k_reduced_v3.zarr");
    let outside = copy.path.parent().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::rename(copy.path.join("obsm"), outside.join("obsm")).unwrap();
    std::os::unix::fs::symlink(outside.join("obsm"), copy.path.join("obsm")).unwrap();
    let before = fs::read_dir(outside.join("obsm")).unwrap().count();
    if let Ok(shadow) = AnnDataShadow::open_with(&copy.path, &OpenOptions::default().mode(Mode::ReadWrite)) {
        for name in ["..", "../outside/x", "a/b", "", "."] {
            assert!(shadow.obsm().insert(name, Array2::<f32>::zeros((700, 2))).is_err(), "{name:?}");
        }
        let _ = shadow.obsm().insert("new", Array2::<f32>::zeros((700, 2)));
        let _ = shadow.write(WriteOptions::default());
    }
    assert_eq!(fs::read_dir(outside.join("obsm")).unwrap().count(), before);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

/// The places of HDF5's global heaps, in which texts lie.
fn heaps(bytes: &[u8]) -> Vec<usize> {
    (0..bytes.len()).step_by(8).filter(|&at| bytes[at..].starts_with(b"GCOL")).collect()
}

#[test]
fn damaged_heaps_of_texts_are_errors() {
    let sound = fs::read(data("archives/anndata/v0.11.4/adata.h5ad")).unwrap();
    let heaps = heaps(&sound);
    assert!(!heaps.is_empty());
    // What is read from a sound file, so that a damage that goes unseen is seen.
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("heap.h5ad");
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let error = open_error(&path);
        assert!(
            matches!(error, Error::Malformed { .. } | Error::NotAnnData { .. } | Error::Unsupported { .. }),
            "{error:?}"
        );
    };
    // An object 0, the free space, of no length: HDF5 would go round for ever.
    let mut endless = sound.clone();
    heaps.iter().for_each(|at| endless[at + 16..at + 32].fill(0));
    refused(&endless);
    // Heaps and objects of all lengths that they cannot have.
    for (offset, len) in [(8, 1 << 60), (8, 0), (24, u64::MAX), (24, u64::MAX - 16), (24, 1 << 40)] {
        let mut bytes = sound.clone();
        heaps.iter().for_each(|at| bytes[at + offset..at + offset + 8].copy_from_slice(&len.to_le_bytes()));
        refused(&bytes);
    }
    // Texts of four gigabytes, for which HDF5 would clear as much memory: what precedes the address of a heap is a length.
    let mut long = sound.clone();
    let mut found = 0;
    for heap in heaps {
        let address = (heap as u64).to_le_bytes();
        for at in 4..long.len() - 8 {
            if long[at..at + 8] == address {
                long[at - 4..at].fill(0xFF);
                found += 1;
            }
        }
    }
    assert!(found > 0);
    refused(&long);
}

#[test]
fn shapes_beyond_all_memory_are_errors_in_hdf5() {
    let copy = Copy::of("archive_v0.13.h5ad");
    with_h5py(
        &copy,
        "u = f['uns']
n = 2**60
u.create_dataset('chunked', (n,), 'f8', chunks=(1024,))
u.create_dataset('flat', (2**40, 2**18), 'i1', chunks=(1, 1024))
u.create_dataset('chunk', (2**31,), 'f8', chunks=(2**28,))
u.create_dataset('text', (n // 16,), h5py.string_dtype(), chunks=(1024,))
u.create_dataset('fixed', (n // 64,), 'S64', chunks=(1024,))
u.create_dataset('bool', (n,), '?', chunks=(1024,))
u.create_dataset('records', (n // 16,), [('a', 'f8'), ('b', 'f8')], chunks=(1024,))
u.create_dataset('wide', (4,), 'S' + str(2**31 - 1), chunks=(1,))",
    );
    let shadow = copy.open();
    for name in ["chunked", "flat", "text", "fixed", "bool", "records"] {
        let error = shadow.uns().element(name).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        // A part is a part: what was never written is the fill value, or the element is of a kind not read.
        let part = shadow.uns().member(name).unwrap().read_part::<Element>(&[(3..9).into()]);
        assert!(part.is_ok_and(|e| e.shape()[0] == 6) || name == "records" || name == "flat", "{name}");
    }
    assert!(shadow.obs_names().is_ok());
}

/// A zstd frame that swells to `blocks` times 128 KiB of zeros, in four bytes each, and does not say so at its head.
fn swelling_frame(blocks: usize) -> Vec<u8> {
    const LARGEST: u32 = 128 << 10;
    // Magic; no size of content, no checksum; a window of 128 KiB.
    let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x38];
    for block in 0..blocks {
        // One byte, repeated; whether it is the last block.
        let header = u32::from(block + 1 == blocks) | 1 << 1 | LARGEST << 3;
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

#[test]
fn chunks_that_swell_beyond_their_array_are_errors() {
    let copy = Copy::of("pbmc68k_reduced_v3.zarr");
    let mut chunks = 0;
    for (path, _) in copy.bytes() {
        if path.to_string_lossy().contains("obsm/X_umap/c/") {
            // 64 GiB
            fs::write(&path, swelling_frame(1 << 19)).unwrap();
            chunks += 1;
        }
    }
    assert!(chunks > 0);
    let error = copy.open().obsm().element("X_umap").unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }), "{error:?}");
}
