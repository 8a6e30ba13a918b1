//! Every fixture, every element: what this library reads is what the Python libraries read, to the bit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod stores;

use std::collections::{BTreeMap, BTreeSet};

use anndata_shadow::{AnnDataShadow, ElementInfo, Kind, Mode, OpenOptions};
use common::{Object, differences, is_like, is_unsupported};
use serde_json::{Value, json};

/// What is not read yet: fixture, element ("" for the file as a whole), why. One `*` stands for anything. A row that is not
/// needed any more is a failure, too.
const NOT_READ: &[(&str, &str, &str)] = &[];

/// HDF5 has one type for fixed bytes and fixed text, and foreign writers use it for text (foreign.h5ad, the row names): it is
/// read as text, where h5py gives bytes. Shape and characters are compared.
const TEXT_FOR_BYTES: (&str, &str) = ("kitchen.h5ad", "uns/arr_bytes");

/// Categories of `raw.var` that anndata does not look for, so that it shows codes.
const WITH_CATEGORIES: (&str, &str) = ("legacy_06.h5ad", "raw/var/v");

/// Stores whose map lacks these elements. In mode `r` the map is believed, as zarr-python does; in `r+` the disk.
const STALE: &str = "stale_consolidated_v*.zarr";
const NOT_IN_MAP: [&str; 2] = ["obsm/late", "uns/added"];

/// Elements that must be compared, at least.
const FLOOR: usize = 1188;

#[derive(Default)]
struct Tally {
    /// Fixtures, AnnData objects in them, elements found equal.
    fixtures: usize,
    objects: usize,
    equal: usize,
    /// Elements and files not read, by reason.
    not_read: BTreeMap<&'static str, usize>,
    /// Rows of the table that were of use.
    rows_used: BTreeSet<usize>,
    faults: Vec<String>,
}

impl Tally {
    /// Whether the table says that this is not read.
    fn excused(&mut self, fixture: &str, element: &str) -> bool {
        let row = NOT_READ.iter().position(|(f, e, _)| is_like(fixture, f) && is_like(element, e));
        let Some(row) = row else { return false };
        self.rows_used.insert(row);
        *self.not_read.entry(NOT_READ[row].2).or_default() += 1;
        true
    }

    fn fault(&mut self, fixture: &str, what: impl std::fmt::Display) {
        self.faults.push(format!("{fixture}: {what}"));
    }
}

#[test]
fn every_element_of_every_fixture_reads_as_in_python() {
    let mut tally = Tally::default();
    for name in common::fixture_names() {
        let expected = common::expected(&name);
        for object in common::objects(&expected) {
            check_object(&mut tally, &name, &object);
            tally.objects += 1;
        }
        tally.fixtures += 1;
    }
    for (row, entry) in NOT_READ.iter().enumerate() {
        if !tally.rows_used.contains(&row) {
            tally.faults.push(format!("{entry:?} is not needed any more, or matches nothing"));
        }
    }
    println!("{} fixtures, {} AnnData objects, {} elements equal", tally.fixtures, tally.objects, tally.equal);
    for (reason, count) in &tally.not_read {
        println!("not read: {count} × {reason}");
    }
    assert!(tally.faults.is_empty(), "{} faults:\n{}", tally.faults.len(), tally.faults.join("\n"));
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(common::fixtures().join("manifest.json")).unwrap()).unwrap();
    assert_eq!(tally.fixtures, manifest["fixtures"].as_object().unwrap().len(), "fixtures on disk and in the manifest");
    assert!(tally.equal >= FLOOR, "only {} elements compared", tally.equal);
}

fn check_object(tally: &mut Tally, fixture: &str, object: &Object) {
    let name = if object.inner.is_empty() { fixture.to_owned() } else { format!("{fixture}/{}", object.inner) };
    let path = common::fixtures().join(&name);
    let copy = tempfile::tempdir().unwrap();
    let opened = if is_like(&name, STALE) {
        check_stale(tally, &name);
        stores::copy(&path, &copy.path().join(&name));
        let options = OpenOptions::default().mode(Mode::ReadWrite);
        AnnDataShadow::open_with(copy.path().join(&name), &options)
    } else {
        AnnDataShadow::open(path)
    };
    let shadow = match opened {
        Ok(shadow) => shadow,
        Err(e) if is_unsupported(&e) && tally.excused(&name, "") => return,
        Err(e) => return tally.fault(&name, e),
    };
    let described = &object.described;
    let shape = json!([described["n_obs"], described["n_vars"]]);
    if shape != json!([shadow.n_obs(), shadow.n_vars()]) {
        tally.fault(&name, format!("shape {shape} wanted, {:?} found", shadow.shape()));
    }
    common::frame_differences(&shadow, described).into_iter().for_each(|fault| tally.fault(&name, fault));

    let mut wanted = common::elements_of(described);
    let listed = match shadow.elements() {
        Ok(listed) => listed,
        Err(e) => return tally.fault(&name, format!("listing: {e}")),
    };
    for info in listed {
        match wanted.remove(&info.path) {
            Some(description) => check_element(tally, &name, &shadow, &info, description, object),
            // Python hides a null X; here it is listed as what it is, and does not exist.
            None if info.path == "X" && info.info.kind == Kind::Null && !shadow.x().exists().unwrap() => {}
            None => tally.fault(&name, format!("{} is listed but Python has no such element", info.path)),
        }
    }
    for path in wanted.keys() {
        tally.fault(&name, format!("{path} is not listed"));
    }
}

/// Through the map, what it does not list is not there.
fn check_stale(tally: &mut Tally, name: &str) {
    let listed = AnnDataShadow::open(common::fixtures().join(name)).unwrap().elements().unwrap();
    if listed.iter().any(|e| NOT_IN_MAP.contains(&e.path.as_str())) {
        tally.fault(name, "in mode `r` elements are listed that the map lacks");
    }
}

fn check_element(
    tally: &mut Tally,
    name: &str,
    shadow: &AnnDataShadow,
    listed: &ElementInfo,
    wanted: Value,
    object: &Object,
) {
    let path = &listed.path;
    let read = shadow.member(path).and_then(|m| m.element());
    let element = match read {
        Ok(element) => element,
        Err(e) if is_unsupported(&e) => {
            if !tally.excused(name, path) {
                tally.fault(name, format!("{e} (listed as {:?})", listed.info.kind));
            }
            return;
        }
        Err(e) => return tally.fault(name, format!("reading {path}: {e}")),
    };
    let faults = if (name, path.as_str()) == TEXT_FOR_BYTES {
        let found = common::describe(&element);
        differences(path, &json!([wanted["shape"], wanted["values"]]), &json!([found["shape"], found["values"]]))
    } else if (name, path.as_str()) == WITH_CATEGORIES {
        let found = common::describe(&element);
        differences(
            path,
            &json!([wanted["values"], ["u", "w"]]),
            &json!([found["codes"], found["categories"]["values"]]),
        )
    } else {
        common::element_differences(path, &object.nodes, &wanted, &element)
    };
    let faults = [faults, common::info_differences(listed, &element)].concat();
    if faults.is_empty() {
        tally.equal += 1;
    }
    faults.into_iter().for_each(|fault| tally.fault(name, fault));
}
