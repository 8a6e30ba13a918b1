//! What publishing refuses and keeps, and what it leaves when it can neither go on nor back.

use std::fs;

use serde_json::json;

use super::at;
use super::transactions::{Maps, attrs, base, copy, published, put, temp};
use super::trial::{self, Fate, NO_EXCHANGE};
use crate::error::{Error, Result};
use crate::store::zarr::{Flavour, ZarrStore, left_over, recover};
use crate::store::{Locking, ReadStore, WriteStore};

#[cfg(unix)]
#[test]
fn a_column_with_a_link_in_it_keeps_its_name() {
    let temp = temp();
    let dir = temp.path().join("s.zarr");
    base(&dir, Flavour::V3, Maps::Nested);
    fs::rename(dir.join("obs/a/c/0"), temp.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(temp.path().join("elsewhere"), dir.join("obs/a/c/0")).unwrap();
    let before = published(&dir);
    let store = ZarrStore::open_write(&dir).unwrap();
    store.rename(&at("obs/a"), &at("obs/z")).unwrap();
    store.set_attrs(&at("obs"), &attrs(&json!({"column-order": ["z", "b", "c"]}))).unwrap();
    match store.publish() {
        Err(Error::Unsupported { at, what }) => {
            assert_eq!(at.path, "obs/a");
            assert!(what.contains("obs/a/c/0"), "{what}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(published(&dir), before);
}

#[cfg(unix)]
#[test]
fn documents_keep_their_modes() {
    use std::os::unix::fs::PermissionsExt;
    for (flavour, names) in [(Flavour::V2, [".zattrs", ".zmetadata"].as_slice()), (Flavour::V3, &["zarr.json"])] {
        let temp = temp();
        let dir = temp.path().join("s.zarr");
        base(&dir, flavour, Maps::Nested);
        let store = ZarrStore::open_write(&dir).unwrap();
        store.set_attrs(&at(""), &attrs(&json!({"said": "a"}))).and_then(|()| store.publish()).unwrap();
        let group = if flavour == Flavour::V2 { ".zgroup" } else { "zarr.json" };
        let _ = fs::remove_file(dir.join("layers/.zattrs"));
        // Neither is what a usual mask gives; a document that is new follows that of its group.
        fs::set_permissions(dir.join("layers").join(group), fs::Permissions::from_mode(0o602)).unwrap();
        for name in names {
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o662)).unwrap();
        }
        store.set_attrs(&at(""), &attrs(&json!({"said": "b"}))).unwrap();
        store.set_attrs(&at("layers"), &attrs(&json!({"said": "b"}))).unwrap();
        store.publish().unwrap();
        // Out, and in again.
        store.rename(&at("layers/one"), &at("layers/uno")).and_then(|()| store.publish()).unwrap();
        let mode = |path: &str| fs::metadata(dir.join(path)).unwrap().permissions().mode() & 0o777;
        for name in names {
            assert_eq!(mode(name), 0o662, "{name}");
        }
        assert_eq!(mode(if flavour == Flavour::V2 { "layers/.zattrs" } else { "layers/zarr.json" }), 0o602);
    }
}

#[test]
fn readers_notice_a_write_that_leaves_the_root_as_it_was() {
    for flavour in [Flavour::V2, Flavour::V3] {
        let temp = temp();
        let dir = temp.path().join("s.zarr");
        base(&dir, flavour, Maps::Nested);
        let store = ZarrStore::open_write(&dir).unwrap();
        let said = attrs(&json!({"said": "a"}));
        store.set_attrs(&at(""), &said).and_then(|()| store.publish()).unwrap();
        let before = published(&dir);
        let reader = ZarrStore::open_read(&dir).unwrap();
        store.set_attrs(&at(""), &said).and_then(|()| store.publish()).unwrap();
        assert_eq!(published(&dir), before);
        assert!(matches!(reader.node(&at("X")), Err(Error::StoreChanged { .. })), "{flavour:?}");
    }
}

fn stage(store: &ZarrStore) -> Result<()> {
    store.remove(&at("g/x"))?;
    put(store, "g/x", 500, 9)?;
    store.set_attrs(&at("g"), &attrs(&json!({"said": "new"})))?;
    store.set_attrs(&at(""), &attrs(&json!({"said": "new"})))
}

/// One change fails, and from a later one on all do: taking back stops somewhere, too.
#[test]
fn what_can_go_neither_on_nor_back_says_so_and_is_carried_out_when_opened() {
    for (flavour, can_exchange) in [(Flavour::V2, false), (Flavour::V3, true), (Flavour::V3, false)] {
        NO_EXCHANGE.set(!can_exchange);
        let temp = temp();
        let origin = temp.path().join("base.zarr");
        let store = ZarrStore::create(&origin, flavour).unwrap();
        store.create_group(&at("g"), &attrs(&json!({"said": "old"}))).and_then(|()| put(&store, "g/x", 1, 3)).unwrap();
        store.publish().and_then(|()| store.set_attrs(&at(""), &attrs(&json!({"said": "old"})))).unwrap();
        store.publish().unwrap();
        drop(store);
        let (dir, done) = (temp.path().join("trial.zarr"), temp.path().join("done.zarr"));
        copy(&origin, &done);
        let store = ZarrStore::open_write(&done).unwrap();
        let (run, count) = trial::with(Fate::Fine, || stage(&store).and_then(|()| store.publish()));
        run.unwrap();
        drop(store);
        let (before, after) = (published(&origin), published(&done));
        let mut stuck = 0;
        for fails in (0..count).step_by(2) {
            let mut stops = fails + 1;
            loop {
                copy(&origin, &dir);
                let store = ZarrStore::open_write(&dir).unwrap();
                let run = || stage(&store).and_then(|()| store.publish());
                let (run, tried) = trial::with(Fate::Stuck(fails, stops), run);
                let what = format!("{flavour:?}, exchange {can_exchange}, {fails} and {stops} of {tried}");
                let documents: &[&str] = if flavour == Flavour::V3 { &["zarr.json"] } else { &[".zgroup", ".zattrs"] };
                for name in documents {
                    assert!(dir.join(name).is_file() && dir.join("g").join(name).is_file(), "{what}: no {name}");
                }
                let reads = store.node(&at(""));
                trial::with(Fate::Killed(0), || drop(store));
                let record =
                    left_over(&dir).unwrap().into_iter().find(|left| left.fate == crate::store::Fate::CarryOut);
                if let (Some(record), Err(e)) = (&record, &run) {
                    stuck += 1;
                    assert!(matches!(e, Error::Io { .. }), "{what}: {e}");
                    let told = e.to_string();
                    assert!(
                        told.contains(record.path.to_str().unwrap()) && told.contains("opened next"),
                        "{what}: {told}"
                    );
                    assert!(matches!(reads, Err(Error::StoreChanged { .. })), "{what}");
                }
                recover(&dir, Locking::On).unwrap();
                let expected = if record.is_some() || run.is_ok() { &after } else { &before };
                assert_eq!(&published(&dir), expected, "{what}: {run:?}");
                fs::remove_dir_all(&dir).unwrap();
                if stops >= tried {
                    break;
                }
                stops += 1;
            }
        }
        assert!(stuck > 20, "{stuck}");
    }
    NO_EXCHANGE.set(false);
}
