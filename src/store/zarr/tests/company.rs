//! Stores that others use, too: readers that notice changes, locks, and what was left behind, be it in malice.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde_json::{Value, json};

use super::transactions::{Maps, attrs, base, copy, put, temp};
use super::trial::{self, Fate};
use super::{at, snapshot};
use crate::error::{Error, Result};
use crate::store::zarr::source::OURS;
use crate::store::zarr::{Flavour, ZarrStore, left_over, recover};
use crate::store::{Locking, ReadStore, WriteStore, read_all};

const STORES: [(Flavour, Maps); 4] =
    [(Flavour::V2, Maps::None), (Flavour::V2, Maps::Nested), (Flavour::V3, Maps::None), (Flavour::V3, Maps::Nested)];

fn python(script: &str, dir: &Path) {
    let python = std::env::var_os("ADSHADOW_PYTHON")
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python").into());
    let run = Command::new(python).args(["-W", "ignore", "-c", script]).arg(dir).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

fn is_changed<T>(done: Result<T>) -> bool {
    matches!(done, Err(Error::StoreChanged { .. }))
}

#[test]
fn readers_notice_what_a_writer_of_this_crate_publishes() {
    let stages: [fn(&ZarrStore) -> Result<()>; 5] = [
        |s| put(s, "layers/new", 500, 6),
        |s| s.remove(&at("layers/two")),
        |s| s.remove(&at("layers/one")).and_then(|()| put(s, "layers/one", 500, 6)),
        |s| s.rename(&at("layers/one"), &at("layers/uno")),
        |s| s.set_attrs(&at("obs"), &attrs(&json!({"column-order": ["a"]}))),
    ];
    for (flavour, maps) in STORES {
        let temp = temp();
        for (number, stage) in stages.iter().enumerate() {
            let dir = temp.path().join(format!("{number}.zarr"));
            base(&dir, flavour, maps);
            let writer = ZarrStore::open_write(&dir).unwrap();
            let reader = ZarrStore::open_read(&dir).unwrap();
            stage(&writer).unwrap();
            assert!(read_all(&reader, &at("layers/one")).is_ok(), "it is only staged");
            writer.publish().unwrap();
            let what = format!("{flavour:?} {maps:?} {number}");
            assert!(is_changed(read_all(&reader, &at("layers/one"))), "{what}: what has been read before");
            assert!(is_changed(reader.node(&at("X"))), "{what}: what has not");
            assert!(is_changed(reader.children(&at("layers"))), "{what}");
            assert!(read_all(&ZarrStore::open_read(&dir).unwrap(), &at("X")).is_ok());
            // And not only by their attributes: in the middle of it all, too.
            assert!(read_all(&writer, &at("X")).is_ok());
        }
    }
}

/// From the first step on, at each of them, a reader has the old state or knows that it is gone.
#[test]
fn readers_notice_a_publishing_that_is_not_done() {
    for (flavour, maps) in STORES {
        let temp = temp();
        let origin = temp.path().join("base.zarr");
        base(&origin, flavour, maps);
        let old = read_all(&ZarrStore::open_read(&origin).unwrap(), &at("layers/one")).unwrap();
        for last in 0.. {
            let dir = temp.path().join("s.zarr");
            copy(&origin, &dir);
            let reader = ZarrStore::open_read(&dir).unwrap();
            let stage = |s: &ZarrStore| {
                s.remove(&at("layers/one"))?;
                s.rename(&at("layers/two"), &at("layers/one"))?;
                s.publish()
            };
            let writer = ZarrStore::open_write(&dir).unwrap();
            let (done, _) = trial::with(Fate::Killed(last), || stage(&writer));
            trial::with(Fate::Killed(0), || drop(writer));
            match read_all(&reader, &at("layers/one")) {
                Ok(found) => assert_eq!(found, old, "{flavour:?} {maps:?} {last}"),
                Err(e) => assert!(is_changed::<()>(Err(e)), "{flavour:?} {maps:?} {last}"),
            }
            fs::remove_dir_all(&dir).unwrap();
            if done.is_ok() {
                break;
            }
        }
    }
}

#[test]
fn readers_notice_what_other_programs_change() {
    let rewrite = "import sys, zarr; zarr.open_array(sys.argv[1] + '/layers/one', mode='r+')[:] = 7";
    let clear = "import sys, zarr; zarr.open_array(sys.argv[1] + '/layers/one', mode='r+')[:] = 0";
    let replace = "import sys, zarr, numpy, anndata; \
        anndata.io.write_elem(zarr.open_group(sys.argv[1], mode='r+', use_consolidated=False)['layers'], 'one', numpy.arange(1., 4.))";
    let delete = "import sys, shutil; shutil.rmtree(sys.argv[1] + '/layers/one')";
    for (flavour, maps) in STORES {
        let temp = temp();
        for (number, script) in [rewrite, clear, replace, delete].into_iter().enumerate() {
            let dir = temp.path().join(format!("{number}.zarr"));
            base(&dir, flavour, maps);
            let before = ZarrStore::open_read(&dir).unwrap();
            let known = ZarrStore::open_read(&dir).unwrap();
            let node = known.node(&at("layers/one")).unwrap();
            read_all(&known, &at("layers/one")).unwrap();
            python(script, &dir);
            let what = format!("{flavour:?} {maps:?} {script}");
            assert!(is_changed(read_all(&known, &at("layers/one"))), "{what}: known before");
            if maps == Maps::None && number == 3 {
                assert!(before.node(&at("layers/one")).unwrap().is_none(), "{what}: gone, and never seen");
            } else {
                assert!(is_changed(read_all(&before, &at("layers/one"))), "{what}: not known before");
            }
            let after = ZarrStore::open_read(&dir).unwrap();
            assert!(number > 1 || after.node(&at("layers/one")).unwrap() == node, "{what}: opened again");
            assert!(read_all(&after, &at("layers/two")).is_ok());
        }
    }
}

/// A writer's own readers, in other threads, find the whole of the old or of the new.
#[test]
fn a_writer_reads_while_it_publishes() {
    let temp = temp();
    let dir = temp.path().join("s.zarr");
    base(&dir, Flavour::V3, Maps::Nested);
    let store = ZarrStore::open_write(&dir).unwrap();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Relaxed) {
                let found = read_all(&store, &at("layers/one")).unwrap();
                let items: Vec<i32> = found.view::<i32>().unwrap().iter().copied().collect();
                assert!(items[0] % 100 == 0 && items.windows(2).all(|w| w[0] + 1 == w[1]), "{items:?}");
            }
        });
        for round in 2..30 {
            store.remove(&at("layers/one")).unwrap();
            put(&store, "layers/one", round * 100, 6).unwrap();
            store.publish().unwrap();
        }
        ended.store(true, Relaxed);
    });
}

#[test]
fn there_is_one_writer_and_the_error_says_who_it_is() {
    let temp = temp();
    let dir = temp.path().join("s.zarr");
    let writer = ZarrStore::create(&dir, Flavour::V3).unwrap();
    for refused in [ZarrStore::open_write(&dir).map(drop), recover(&dir, Locking::On).map(drop)] {
        let Err(Error::Busy { why, .. }) = refused else { panic!("{refused:?}") };
        assert!(!cfg!(target_os = "linux") || why.contains("this process"), "{why}");
    }
    // Whoever asks for it sees to it that nobody else writes.
    drop(ZarrStore::open_write_with(&dir, Locking::Off).unwrap());
    // The store is another one by now.
    put(&writer, "x", 1, 2).unwrap();
    fs::rename(&dir, temp.path().join("old.zarr")).unwrap();
    drop(ZarrStore::create(&dir, Flavour::V3).unwrap());
    let before = snapshot(&dir);
    assert!(is_changed(writer.publish()));
    assert_eq!(snapshot(&dir), before);
}

#[test]
fn who_may_not_write_all_of_it_changes_nothing() {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let temp = temp();
        let dir = temp.path().join("s.zarr");
        base(&dir, Flavour::V3, Maps::Nested);
        let before = snapshot(&dir);
        let mode = |path: &str, mode| fs::set_permissions(dir.join(path), fs::Permissions::from_mode(mode)).unwrap();
        let store = ZarrStore::open_write(&dir).unwrap();
        mode("obs", 0o555);
        put(&store, "layers/new", 1, 2).unwrap();
        put(&store, "obs/new", 1, 2).unwrap();
        assert!(matches!(store.publish(), Err(Error::Io { .. })));
        assert_eq!(snapshot(&dir), before);
        mode("obs", 0o755);
        drop(store);
        // A write that is to be finished, where it may not be.
        interrupted(&dir);
        mode("", 0o555);
        for refused in [ZarrStore::open_read(&dir).map(drop), ZarrStore::open_read_with(&dir, Locking::Off).map(drop)] {
            assert!(
                matches!(&refused, Err(Error::Unsupported { what, .. }) if what.contains("recover")),
                "{refused:?}"
            );
        }
        assert!(matches!(ZarrStore::open_write(&dir), Err(Error::Io { .. })));
        mode("", 0o755);
        assert!(ZarrStore::open_read(&dir).unwrap().node(&at("layers/new")).unwrap().is_some());
    }
}

/// Leaves the addition of `layers/new` complete, but not carried out.
fn interrupted(dir: &Path) {
    for last in 0.. {
        let store = ZarrStore::open_write(dir).unwrap();
        let _ = trial::with(Fate::Killed(last), || put(&store, "layers/new", 1, 2).and_then(|()| store.publish()));
        trial::with(Fate::Killed(0), || drop(store));
        let left = left_over(dir).unwrap();
        if left.iter().any(|left| left.fate == crate::store::Fate::CarryOut) {
            assert!(!dir.join("layers/new").exists());
            return;
        }
        // Of a process that lives: not listed, and not swept.
        assert!(left.is_empty());
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.file_name().unwrap().to_str().unwrap().starts_with(OURS) {
                fs::remove_dir_all(path).unwrap();
            }
        }
    }
}

#[test]
fn a_reader_waits_for_a_writer_that_publishes() {
    let temp = temp();
    let dir = temp.path().join("s.zarr");
    base(&dir, Flavour::V3, Maps::Nested);
    interrupted(&dir);
    // As if the writer were still at it.
    let held = File::open(&dir).unwrap();
    held.lock().unwrap();
    assert!(matches!(ZarrStore::open_read(&dir), Err(Error::Busy { .. })));
    assert!(left_over(&dir).unwrap().is_empty(), "the writer is at it");
    let reader = std::thread::scope(|scope| {
        let reader = scope.spawn(|| ZarrStore::open_read(&dir).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(100));
        drop(held);
        reader.join().unwrap()
    });
    assert!(reader.node(&at("layers/new")).unwrap().is_some());
    assert!(left_over(&dir).unwrap().is_empty());
}

#[test]
fn what_earlier_versions_left_is_told_and_kept() {
    let temp = temp();
    let dir = temp.path().join("s.zarr");
    base(&dir, Flavour::V3, Maps::None);
    let old = dir.join(format!("{OURS}old-4294967295-0-X"));
    fs::rename(dir.join("X"), &old).unwrap();
    let left = left_over(&dir).unwrap();
    assert_eq!((left.len(), left[0].fate, &left[0].path), (1, crate::store::Fate::LeaveAlone, &old));
    assert!(recover(&dir, Locking::On).unwrap().is_empty());
    assert!(old.join("zarr.json").exists());
}

#[test]
fn hostile_records_are_errors_and_touch_nothing() {
    let moves =
        |from: Value, to: Value| json!({"version": 1, "locked": true, "steps": [{"move": [from, to]}]}).to_string();
    let cases: Vec<(String, String)> = vec![
        ("intent-0.json".into(), "{".into()),
        ("intent-0.json".into(), "{\"version\": 9}".into()),
        ("intent-0.json".into(), moves(json!("../outside"), json!(1))),
        ("intent-0.json".into(), moves(json!("/etc/hosts"), json!(1))),
        ("intent-0.json".into(), moves(json!("layers/../../outside"), json!(1))),
        ("intent-0.json".into(), moves(json!("link/inside"), json!(1))),
        ("intent-0.json".into(), moves(json!("link"), json!(1))),
        ("intent-0.json".into(), moves(json!(1), json!("link/new"))),
        ("intent-0.json".into(), moves(json!("layers/none"), json!(7))),
        ("intent-0.json".into(), moves(json!("nowhere/none"), json!(7))),
        ("intent-0.json".into(), moves(json!("X"), json!("layers"))),
        ("intent-0.json".into(), moves(json!(""), json!(1))),
    ];
    for (name, text) in cases {
        let temp = temp();
        let dir = temp.path().join("s.zarr");
        base(&dir, Flavour::V3, Maps::Nested);
        let outside = temp.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("inside"), "").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(&outside, dir.join("link")).unwrap();
        let stage = dir.join(format!("{OURS}stage-elsewhere-1-0"));
        fs::create_dir_all(stage.join("1")).unwrap();
        fs::write(stage.join(name), &text).unwrap();
        let before = names(temp.path());
        for locking in [Locking::On, Locking::Off] {
            for failed in [
                ZarrStore::open_read_with(&dir, locking).map(drop),
                ZarrStore::open_write_with(&dir, locking).map(drop),
                recover(&dir, locking).map(drop),
            ] {
                let is_typed = matches!(&failed, Err(Error::Malformed { .. } | Error::Exists { .. }));
                assert!(is_typed, "{text}: {failed:?}");
            }
        }
        assert_eq!(names(temp.path()), before, "{text}");
    }
    // A staging directory that is a link is nobody's.
    #[cfg(unix)]
    {
        let temp = temp();
        let (dir, outside) = (temp.path().join("s.zarr"), temp.path().join("outside"));
        base(&dir, Flavour::V3, Maps::None);
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("done.json"), "").unwrap();
        std::os::unix::fs::symlink(&outside, dir.join(format!("{OURS}stage-elsewhere-1-0"))).unwrap();
        drop(ZarrStore::open_write(&dir).unwrap());
        assert!(recover(&dir, Locking::On).unwrap().is_empty());
        assert!(outside.join("done.json").exists());
    }
}

fn names(dir: &Path) -> Vec<PathBuf> {
    snapshot(dir).into_keys().collect()
}
