//! What a write that is cut short leaves, and what becomes of it: for every instant, the old file or the new one.

use std::fs::File;
use std::ops::ControlFlow;

use super::super::bytes::write_at;
use super::super::faults::{Step, fail};
use super::super::journal::{Changes, Journal, Left, look};
use super::super::pages::Run;
use super::*;
use crate::store::{Fate, LeftOver, Locking, Safety};

/// A file before and after a write, and the changes that make one of the other.
struct Written {
    temp: Temp,
    old: Vec<u8>,
    new: Vec<u8>,
    changes: Changes,
}

/// What is pages of 512 bytes apart in two files, below the end of the first.
fn runs(old: &[u8], new: &[u8]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (number, (old, new)) in old.chunks(512).zip(new.chunks(512)).enumerate() {
        let (at, old) = (512 * number as u64, &old[..old.len().min(new.len())]);
        let new = &new[..old.len()];
        if old == new {
            continue;
        }
        match runs.last_mut().filter(|run| run.at + run.new.len() as u64 == at) {
            Some(run) => {
                run.old.extend(old);
                run.new.extend(new);
            }
            None => runs.push(Run { at, old: old.to_vec(), new: new.to_vec() }),
        }
    }
    runs
}

/// One write of everything, to a file behind a user block.
fn written(user_block: usize) -> Written {
    let temp = temp();
    let store = Hdf5Store::create(&temp.path).unwrap();
    for name in ["g", "h"] {
        store.create_group(&path(name), &attrs(json!({"a": name}))).unwrap();
        for i in 0..40 {
            store.create_array(&path(&format!("{name}/{i}")), &ints(30), PLAIN, &attrs(json!({"i": i}))).unwrap();
        }
    }
    store.publish().unwrap();
    drop(store);
    let old = [vec![b'u'; user_block], fs::read(&temp.path).unwrap()].concat();
    fs::write(&temp.path, &old).unwrap();
    let store = Hdf5Store::open_write(&temp.path).unwrap();
    stage(&store);
    store.publish().unwrap();
    assert_eq!(state(&store), "new");
    drop(store);
    let new = fs::read(&temp.path).unwrap();
    let changes = Changes { base: old.len() as u64, length: new.len() as u64, runs: runs(&old, &new) };
    assert!(changes.runs.len() > 1 && new.len() > old.len());
    Written { temp, old, new, changes }
}

fn stage(store: &Hdf5Store) {
    store.create_array(&path("g/big"), &ints(5000), PLAIN, &attrs(json!({"b": "text"}))).unwrap();
    store.set_attrs(&path("g"), &attrs(json!({"a": "changed", "more": [1, 2]}))).unwrap();
    store.remove(&path("g/7")).unwrap();
    store.create_array(&path("g/7"), &ints(7), PLAIN, &Attrs::new()).unwrap();
    store.remove(&path("g/8")).unwrap();
    store.rename(&path("h"), &path("moved")).unwrap();
}

/// Which of the two states a store is in, looked at as a whole.
fn state(store: &dyn ReadStore) -> &'static str {
    let children = store.children(&ElemPath::root()).unwrap();
    let all = |group: &str| {
        store.children(&path(group)).unwrap().iter().fold(0, |sum, name| {
            sum + read_all(store, &path(&format!("{group}/{name}"))).unwrap().to_i64().unwrap().len()
        })
    };
    let g = store.node(&path("g")).unwrap().unwrap().attrs;
    if children == ["g", "h"] {
        assert_eq!((g, all("g"), all("h")), (attrs(json!({"a": "g"})), 1200, 1200));
        "old"
    } else {
        assert_eq!(children, ["g", "moved"]);
        assert_eq!((g, all("g")), (attrs(json!({"a": "changed", "more": [1, 2]})), 1140 + 7 + 5000));
        assert_eq!((all("moved"), store.node(&path("g/8")).unwrap()), (1200, None));
        "new"
    }
}

impl Written {
    /// The file as a writer leaves it that dies with this much appended, and its journal.
    fn dying(&self, appended: usize) -> (File, Journal) {
        fs::write(&self.temp.path, &self.old).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&self.temp.path).unwrap();
        let journal = Journal::begin(self.journal(), &file, self.changes.base).unwrap();
        write_at(&file, self.changes.base, &self.new[self.old.len()..][..appended]).unwrap();
        (file, journal)
    }

    /// As a writer leaves it that dies after publishing, with all pages before this byte of them in place.
    fn published(&self, mut bytes: usize) {
        let (file, mut journal) = self.dying(self.new.len() - self.old.len());
        journal.commit(self.changes.length, &self.changes.runs).unwrap();
        for run in &self.changes.runs {
            let part = bytes.min(run.new.len());
            write_at(&file, run.at, &run.new[..part]).unwrap();
            bytes -= part;
        }
    }

    fn journal(&self) -> PathBuf {
        beside::journal_of(&self.temp.path.canonicalize().unwrap())
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.temp.path).unwrap()
    }
}

#[test]
fn before_publishing_the_old_file_is_restored() {
    for user_block in [0, 512] {
        let written = written(user_block);
        let most = written.new.len() - written.old.len();
        for appended in [0, 1, 511, 4096, most] {
            drop(written.dying(appended));
            // A reader leaves all as it is.
            let reader = Hdf5Store::open_read(&written.temp.path).unwrap();
            assert_eq!(state(&reader), "old");
            assert!(written.journal().exists() && written.bytes().len() == written.old.len() + appended);
            drop(reader);
            let left = left_over(&written.temp.path).unwrap();
            assert!(matches!(&left[..], [LeftOver { fate: Fate::Forget, path, .. }] if *path == written.journal()));
            drop(Hdf5Store::open_write(&written.temp.path).unwrap());
            assert!(written.bytes() == written.old && !written.journal().exists(), "{appended}");
            assert!(left_over(&written.temp.path).unwrap().is_empty());
        }
    }
}

#[test]
fn a_journal_cut_short_anywhere_is_none() {
    let written = written(0);
    written.published(0);
    let (whole, file) = (fs::read(written.journal()).unwrap(), written.bytes());
    for length in (0..64).step_by(21).chain((64..whole.len()).step_by(241)).chain([whole.len() - 1]) {
        fs::write(written.journal(), &whole[..length]).unwrap();
        fs::write(&written.temp.path, &file).unwrap();
        assert_eq!(state(&Hdf5Store::open_read(&written.temp.path).unwrap()), "old", "{length}");
        assert_eq!(recover(&written.temp.path, Locking::On).unwrap().len(), 1);
        assert_eq!(state(&Hdf5Store::open_read(&written.temp.path).unwrap()), "old", "{length}");
        // Before its head is complete, nothing is appended, so that nothing was to be cut.
        assert!(length < 64 || written.bytes() == written.old, "{length}");
        assert!(!written.journal().exists());
    }
}

#[test]
fn after_publishing_every_part_of_the_pages_becomes_the_whole() {
    for user_block in [0, 2048] {
        let written = written(user_block);
        let pages: usize = written.changes.runs.iter().map(|run| run.new.len()).sum();
        for bytes in (0..pages).step_by(512).chain([1, 777, pages]) {
            // Opening for reading rolls forward where it may,
            written.published(bytes);
            assert_eq!(left_over(&written.temp.path).unwrap()[0].fate, Fate::CarryOut);
            assert_eq!(state(&Hdf5Store::open_read(&written.temp.path).unwrap()), "new", "{bytes}");
            assert!(written.bytes() == written.new && !written.journal().exists(), "{bytes}");
            // and so do opening for writing and recovery;
            written.published(bytes);
            assert_eq!(state(&Hdf5Store::open_write(&written.temp.path).unwrap()), "new");
            assert!(written.bytes() == written.new && !written.journal().exists(), "{bytes}");
            written.published(bytes);
            assert!(recover(&written.temp.path, Locking::On).unwrap()[0].contains("published"));
            assert!(written.bytes() == written.new && !written.journal().exists(), "{bytes}");
            // where it may not, it reads as if it had.
            written.published(bytes);
            let before = written.bytes();
            let other = File::open(&written.temp.path).unwrap();
            other.lock_shared().unwrap();
            assert_eq!(state(&Hdf5Store::open_read(&written.temp.path).unwrap()), "new", "{bytes}");
            other.unlock().unwrap();
            assert_eq!(state(&Hdf5Store::open_read_with(&written.temp.path, Locking::Off).unwrap()), "new");
            assert!(written.bytes() == before && written.journal().exists());
        }
    }
}

#[test]
fn journals_that_do_not_fit_are_refused_and_change_nothing() {
    let written = written(0);
    written.published(600);
    let (journal, file) = (fs::read(written.journal()).unwrap(), written.bytes());
    let refused = |what: &str, journal: &[u8], file: &[u8]| {
        fs::write(written.journal(), journal).unwrap();
        fs::write(&written.temp.path, file).unwrap();
        let opened = [
            Hdf5Store::open_read(&written.temp.path).map(drop),
            Hdf5Store::open_write(&written.temp.path).map(drop),
            recover(&written.temp.path, Locking::On).map(drop),
        ];
        for error in opened.map(|opened| opened.expect_err(what)) {
            let text = error.to_string();
            assert!(matches!(error, Error::Malformed { .. }), "{what}: {error}");
            assert!(text.contains("adshadow-journal") && text.contains("remove the journal"), "{what}: {error}");
        }
        assert!(fs::read(written.journal()).unwrap() == journal && written.bytes() == file, "{what}");
        let left = left_over(&written.temp.path).unwrap();
        assert!(left[0].what.contains("cannot be used") && left[0].fate == Fate::LeaveAlone, "{what}: {left:?}");
    };
    // Another file; one that other programs have made longer, shorter, or changed where pages are to change.
    refused("another file", &journal, &[&b"\x89HDF\r\n\x1a\n"[..], &[7; 5000]].concat());
    refused("longer", &journal, &[&file[..], b"x"].concat());
    refused("shorter", &journal, &file[..file.len() - 1]);
    let mut changed = file.clone();
    let run = &written.changes.runs[1];
    let differs = run.old.iter().zip(&run.new).position(|(old, new)| old != new).unwrap();
    changed[run.at as usize + differs] ^= 0x55;
    refused("changed", &journal, &changed);
    // A journal that claims what cannot be, with all checksums right.
    let forged = |at: usize, value: u64| {
        let mut journal = journal.clone();
        journal[at..at + 8].copy_from_slice(&value.to_le_bytes());
        let first = crc32c::crc32c(&journal[..60]).to_le_bytes();
        journal[60..64].copy_from_slice(&first);
        let end = journal.len() - 4;
        let crc = crc32c::crc32c(&journal[..end]).to_le_bytes();
        journal[end..].copy_from_slice(&crc);
        journal
    };
    let length = written.new.len() as u64;
    for (at, value) in [(16, u64::MAX), (16, 10), (72, u64::MAX), (72, 0), (80, 1 << 60), (88, length), (88, u64::MAX)]
    {
        refused("forged", &forged(at, value), &file);
    }
    for value in [0, 1, 1 << 62, u64::MAX] {
        refused("forged length of a run", &forged(96, value), &file);
    }
    // Damage in the file after publishing, when some pages are made already.
    let mut damaged = journal.clone();
    damaged[200] ^= 1;
    refused("damaged", &damaged, &file);
    let mut damaged = journal.clone();
    damaged[20] ^= 1;
    refused("damaged head", &damaged, &file);
    refused("endless", &vec![0; 4 * file.len() + 5000], &file);
}

#[test]
fn what_other_programs_have_written_since_is_not_cut() {
    let written = written(0);
    drop(written.dying(4096));
    // Whoever writes the file, writes its head: this one says that all of it is in use.
    let mut theirs = written.new[..written.old.len() + 4096].to_vec();
    theirs[written.old.len()..].fill(9);
    fs::write(&written.temp.path, &theirs).unwrap();
    let file = File::open(&written.temp.path).unwrap();
    assert!(matches!(look(&written.journal(), &file).unwrap(), Some(Left::Nothing)));
    let _ = recover(&written.temp.path, Locking::On).unwrap();
    assert!(written.bytes() == theirs && !written.journal().exists());
}

#[test]
fn nothing_staged_is_in_the_file_when_all_is_abandoned() {
    let written = written(512);
    fs::write(&written.temp.path, &written.old).unwrap();
    let store = Hdf5Store::open_write(&written.temp.path).unwrap();
    for _ in 0..2 {
        stage(&store);
        store.create_array(&path("vast"), &ints(100_000), PLAIN, &Attrs::new()).unwrap();
        assert!(written.journal().exists(), "items are in the file at once, behind a journal");
        assert_eq!(state(&store), "old");
        store.abandon().unwrap();
        assert!(written.bytes() == written.old && !written.journal().exists());
        assert_eq!(state(&store), "old");
    }
    stage(&store);
    let before = store.stats();
    store.publish_with(Safety::default()).unwrap();
    let cost = store.stats() - before;
    assert_eq!(state(&store), "new");
    assert!(cost.bytes_freed >= 2 * 30 * 4 && cost.bytes_written < 5007 * 4 + 65_536, "{cost:?}");
    store.set_attrs(&path("g"), &attrs(json!({"once": "more"}))).unwrap();
    store.publish().unwrap();
    assert_eq!(store.node(&path("g")).unwrap().unwrap().text("once"), Some("more"));
    drop(store);
    assert!(!written.journal().exists());
}

#[test]
fn what_lies_behind_the_end_of_an_hdf5_file_stays() {
    let written = written(0);
    let before = [&written.old[..], &[b'x'; 3000]].concat();
    fs::write(&written.temp.path, &before).unwrap();
    let store = Hdf5Store::open_write(&written.temp.path).unwrap();
    stage(&store);
    store.abandon().unwrap();
    assert!(written.bytes() == before);
    stage(&store);
    store.publish().unwrap();
    assert_eq!(state(&store), "new");
    drop(store);
    assert!(written.bytes()[written.old.len()..].starts_with(&[b'x'; 3000]));
    assert_eq!(names(&written.temp.path), "g moved");
}

#[test]
fn a_copy_takes_the_place_of_the_file_in_one_step() {
    let written = written(512);
    fs::write(&written.temp.path, &written.old).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&written.temp.path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let link = written.temp.path.with_file_name("link.h5ad");
    #[cfg(unix)]
    std::os::unix::fs::symlink("x.h5ad", &link).unwrap();
    let others = File::open(&written.temp.path).unwrap();
    let store = Hdf5Store::open_write(&link).unwrap();
    stage(&store);
    store.publish_with(Safety::Copy).unwrap();
    assert_eq!(state(&store), "new");
    // The old file is as it was for whoever has it open, but for its tail.
    let mut seen = vec![0; written.old.len()];
    super::super::bytes::read_at(&others, 0, &mut seen).unwrap();
    assert!(seen == written.old, "no page of the old file changes");
    // The new file is held as the old one was, and written on.
    assert!(matches!(Hdf5Store::open_read(&link), Err(Error::Busy { .. })));
    let new = File::open(&written.temp.path).unwrap();
    assert!(new.try_lock_shared().is_err());
    store.create_group(&path("more"), &Attrs::new()).unwrap();
    store.publish_with(Safety::Copy).unwrap();
    store.create_group(&path("again"), &Attrs::new()).unwrap();
    store.publish().unwrap();
    drop(store);
    assert_eq!(names(&written.temp.path), "again g more moved");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    #[cfg(unix)]
    {
        let mode = fs::metadata(&written.temp.path).unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o7777, 0o640);
    }
    let names = fs::read_dir(written.temp.path.parent().unwrap()).unwrap();
    assert_eq!(names.count(), 2, "the file and the link");
}

#[test]
fn copies_of_the_dead_are_swept() {
    let written = written(0);
    let name = beside::copy_of(&written.temp.path.canonicalize().unwrap());
    let text = name.to_str().unwrap();
    let dead = PathBuf::from(text.replace(&format!("-{}", std::process::id()), "-4194305"));
    let elsewhere = PathBuf::from(text.replace(".adshadow-copy-", ".adshadow-copy-elsewhere"));
    // Of a process elsewhere the lock tells, whatever lives under its number here.
    let alive = PathBuf::from(text.replace(".adshadow-copy-", ".adshadow-copy-far"));
    // Not what a copy is named.
    let other = PathBuf::from(format!("{text}x"));
    for copy in [&name, &dead, &elsewhere, &alive, &other] {
        fs::write(copy, "half a file").unwrap();
    }
    let (held, dead_and_held) = (File::open(&alive).unwrap(), File::open(&dead).unwrap());
    held.lock().unwrap();
    dead_and_held.lock().unwrap();
    let left = || {
        let left = left_over(&written.temp.path).unwrap();
        left.into_iter().map(|left| left.path).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(left(), [elsewhere.clone()].into());
    drop(dead_and_held);
    assert_eq!(left(), [dead.clone(), elsewhere.clone()].into());
    assert_eq!(recover(&written.temp.path, Locking::On).unwrap().len(), 2);
    let there = [&name, &dead, &elsewhere, &alive, &other].map(|copy| copy.exists());
    assert_eq!(there, [true, false, false, true, true]);
}

/// What the next process would meet if this one died now: the file and its journal, in another place.
fn after_death(written: &Written) -> Temp {
    let later = temp();
    fs::copy(&written.temp.path, &later.path).unwrap();
    let journal = beside::journal_of(&later.path.canonicalize().unwrap());
    fs::copy(written.journal(), journal).unwrap();
    later
}

const MAKES_THEM: &str = "the next opening makes the changes";

#[test]
fn changes_that_are_half_made_are_taken_back_before_the_next() {
    let written = written(0);
    fs::write(&written.temp.path, &written.old).unwrap();
    let store = Hdf5Store::open_write(&written.temp.path).unwrap();
    stage(&store);
    fail(&[(Step::Make, 1), (Step::TakeBack, 0)]);
    let error = store.publish().unwrap_err().to_string();
    assert!(error.contains("Make") && error.contains("TakeBack") && error.contains(MAKES_THEM), "{error}");
    assert!(written.bytes()[..written.old.len()] != written.old, "some are made,");
    assert_eq!(state(&store), "old", "and not seen");
    assert_eq!(state(&Hdf5Store::open_read(&after_death(&written).path).unwrap()), "new");
    // Refused, as long as they cannot be taken back.
    store.create_group(&path("more"), &Attrs::new()).unwrap();
    assert!(store.publish().is_err());
    // Appends nothing, and fails in the middle as well.
    store.remove(&path("g/9")).unwrap();
    fail(&[(Step::Make, 1)]);
    let error = store.publish().unwrap_err().to_string();
    assert!(!error.contains(MAKES_THEM), "{error}");
    assert!(written.bytes() == written.old && !written.journal().exists());
    fail(&[]);
    store.remove(&path("g/9")).unwrap();
    store.publish().unwrap();
    assert_eq!(store.children(&path("g")).unwrap().len(), 39);
}

#[test]
fn changes_that_stay_in_the_journal_are_announced() {
    let written = written(0);
    fs::write(&written.temp.path, &written.old).unwrap();
    let store = Hdf5Store::open_write(&written.temp.path).unwrap();
    stage(&store);
    fail(&[(Step::Make, 1), (Step::Uncommit, 0)]);
    let error = store.publish().unwrap_err().to_string();
    assert!(error.contains(MAKES_THEM) && error.contains("adshadow-journal"), "{error}");
    assert!(written.bytes()[..written.old.len()] == written.old);
    assert_eq!(state(&store), "old");
    assert_eq!(state(&Hdf5Store::open_read(&after_death(&written).path).unwrap()), "new");
    fail(&[]);
    store.abandon().unwrap();
    assert!(written.bytes() == written.old && !written.journal().exists());
}

#[test]
fn a_copy_whose_name_may_not_last_gives_way_to_the_old_file() {
    let written = written(0);
    fs::write(&written.temp.path, &written.old).unwrap();
    let store = Hdf5Store::open_write(&written.temp.path).unwrap();
    stage(&store);
    fail(&[(Step::Name, 0)]);
    let error = store.publish_with(Safety::Copy).unwrap_err().to_string();
    assert!(error.contains("made to fail") && !error.contains("in its place"), "{error}");
    assert_eq!(state(&store), "old");
    assert!(written.bytes() == written.old && !written.journal().exists());
    assert!(!beside::copy_of(&written.temp.path.canonicalize().unwrap()).exists());
    fail(&[]);
    stage(&store);
    store.publish_with(Safety::Copy).unwrap();
    assert_eq!(state(&store), "new");
}

#[test]
fn a_copy_that_cannot_give_way_is_in_place_and_an_error() {
    // Where names are never exchanged, and where they are once only.
    for exchanges in [0, 1] {
        let written = written(0);
        fs::write(&written.temp.path, &written.old).unwrap();
        let store = Hdf5Store::open_write(&written.temp.path).unwrap();
        stage(&store);
        fail(&[(Step::Name, 0), (Step::Exchange, exchanges)]);
        let error = store.publish_with(Safety::Copy).unwrap_err().to_string();
        assert!(error.contains("in its place") && error.contains("power failure"), "{error}");
        assert_eq!(state(&store), "new");
        store.create_group(&path("more"), &Attrs::new()).unwrap();
        store.publish().unwrap();
        drop(store);
        fail(&[(Step::Name, 0), (Step::Exchange, exchanges)]);
        let error = Hdf5Store::compact(&written.temp.path, Locking::On, &|_, _| ControlFlow::Continue(()))
            .unwrap_err()
            .to_string();
        assert!(error.contains("in its place"), "{error}");
        fail(&[]);
        assert_eq!(Hdf5Store::open_write(&written.temp.path).unwrap().children(&ElemPath::root()).unwrap().len(), 3);
        assert!(!written.journal().exists());
    }
}

#[test]
fn a_new_file_has_nothing_to_do_with_what_one_of_its_name_has_left() {
    let written = written(0);
    written.published(600);
    fs::remove_file(&written.temp.path).unwrap();
    drop(Hdf5Store::create(&written.temp.path).unwrap());
    assert!(!written.journal().exists());
    assert!(Hdf5Store::open_read(&written.temp.path).unwrap().children(&ElemPath::root()).unwrap().is_empty());
    // Beside so long a name there can be none.
    Hdf5Store::create(&written.temp.path.with_file_name("x".repeat(250))).unwrap();
}

#[test]
fn a_name_too_long_for_a_journal_is_read_and_not_written() {
    let written = written(0);
    let long = written.temp.path.with_file_name("x".repeat(250));
    fs::rename(&written.temp.path, &long).unwrap();
    assert_eq!(state(&Hdf5Store::open_read(&long).unwrap()), "new");
    let store = Hdf5Store::open_write(&long).unwrap();
    let error = store.create_array(&path("vast"), &ints(100_000), PLAIN, &Attrs::new()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("the journal"), "{error}");
    store.abandon().unwrap();
    store.create_group(&path("small"), &Attrs::new()).unwrap();
    assert!(store.publish().is_err());
    assert_eq!(state(&store), "new");
    drop(store);
    assert!(fs::read(&long).unwrap() == written.new);
}

#[test]
fn a_reader_notices_that_its_file_has_changed() {
    let written = written(0);
    let changed = |result: Result<()>| assert!(matches!(result, Err(Error::StoreChanged { .. })), "{result:?}");
    let all = |store: &Hdf5Store| {
        changed(store.node(&path("g")).map(drop));
        changed(store.children(&path("g")).map(drop));
        changed(store.read(&path("g/1"), &[Rows::All(30)]).map(drop));
        changed(store.read_fields(&path("g/1"), &["x"], &[Rows::All(30)]).map(drop));
    };
    // Replaced by another; rewritten in place, at another time; gone.
    let store = Hdf5Store::open_read(&written.temp.path).unwrap();
    assert_eq!(state(&store), "new");
    let other = written.temp.path.with_file_name("other");
    fs::write(&other, &written.new).unwrap();
    fs::rename(&other, &written.temp.path).unwrap();
    all(&store);
    drop(store);
    let store = Hdf5Store::open_read(&written.temp.path).unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    OpenOptions::new().write(true).open(&written.temp.path).unwrap().set_modified(later).unwrap();
    all(&store);
    drop(store);
    let store = Hdf5Store::open_read(&written.temp.path).unwrap();
    fs::remove_file(&written.temp.path).unwrap();
    all(&store);
}

#[test]
fn a_writer_does_not_publish_to_a_file_that_was_replaced() {
    let written = written(0);
    fs::write(&written.temp.path, &written.old).unwrap();
    let store = Hdf5Store::open_write(&written.temp.path).unwrap();
    stage(&store);
    let other = written.temp.path.with_file_name("other");
    fs::write(&other, &written.new).unwrap();
    fs::rename(&other, &written.temp.path).unwrap();
    assert!(matches!(store.publish(), Err(Error::StoreChanged { .. })));
    drop(store);
    assert!(written.bytes() == written.new);
}

/// Names in the root, as HDF5's own driver finds them.
fn names(path: &Path) -> String {
    let mut names = hdf5_metno::File::open(path).unwrap().member_names().unwrap();
    names.sort();
    names.join(" ")
}

#[test]
fn few_pages_change_for_what_is_added() {
    let temp = temp();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/pbmc68k_reduced.h5ad");
    fs::copy(source, &temp.path).unwrap();
    let count = |what: &str, stage: &dyn Fn(&Hdf5Store)| {
        let old = fs::read(&temp.path).unwrap();
        let store = Hdf5Store::open_write(&temp.path).unwrap();
        stage(&store);
        store.publish().unwrap();
        let bytes = store.stats().bytes_written;
        drop(store);
        let new = fs::read(&temp.path).unwrap();
        let runs = runs(&old, &new);
        let pages: usize = runs.iter().map(|run| run.new.len().div_ceil(512)).sum();
        println!("{what}: {pages} pages of 512 bytes in {} writes, {bytes} bytes in all", runs.len());
        assert!(pages <= 16 && runs.len() <= 12);
        bytes
    };
    let tags = attrs(json!({"encoding-type": "array", "encoding-version": "0.2.0"}));
    let embedding = Array::from(ndarray::Array2::<f32>::ones((700, 50)));
    let bytes = count("embedding of 700 x 50 f32", &|store| {
        store.create_array(&path("obsm/X_new"), &embedding, PLAIN, &tags).unwrap();
    });
    assert!(bytes < 700 * 50 * 4 + 65_536);
    let bytes = count("obs column of 700 f64", &|store| {
        let mut columns = store.node(&path("obs")).unwrap().unwrap().attrs["column-order"].clone();
        columns.as_array_mut().unwrap().push("new".into());
        store.create_array(&path("obs/new"), &Array::from_vec(vec![0.5_f64; 700]), PLAIN, &tags).unwrap();
        store.set_attrs(&path("obs"), &attrs(json!({"column-order": columns}))).unwrap();
    });
    assert!(bytes < 700 * 8 + 65_536);
}

#[test]
fn compaction_refuses_what_it_cannot_keep() {
    let temp = temp();
    let obstacles: [&dyn Fn(&Id); 3] = [
        // The root in itself; a group in itself, which is no obstacle; groups in groups in groups.
        &|file| ffi::link(&ffi::open_object(file, "/").unwrap(), file, "again").unwrap(),
        &|file| {
            let group = ffi::new_group(file, false).unwrap();
            ffi::link(&group, file, "self").unwrap();
            ffi::link(&group, &group, "self").unwrap();
        },
        &|file| {
            let mut group = ffi::open_object(file, "/").unwrap();
            for _ in 0..300 {
                let below = ffi::new_group(file, false).unwrap();
                ffi::link(&below, &group, "g").unwrap();
                group = below;
            }
        },
    ];
    for (i, (obstacle, refused)) in obstacles.into_iter().zip([true, false, true]).enumerate() {
        let _ = fs::remove_file(&temp.path);
        let store = Hdf5Store::create(&temp.path).unwrap();
        store.create_group(&path("a"), &Attrs::new()).unwrap();
        inside(&store, obstacle);
        store.publish().unwrap();
        drop(store);
        let before = fs::read(&temp.path).unwrap();
        match Hdf5Store::compact(&temp.path, Locking::On, &|_, _| ControlFlow::Continue(())) {
            Err(error) if refused => {
                assert!(matches!(error, Error::Unsupported { .. }), "{error}");
                assert!(fs::read(&temp.path).unwrap() == before);
            }
            Ok(_) if !refused => {
                let store = Hdf5Store::open_read(&temp.path).unwrap();
                assert!(store.node(&path("self/self/self")).unwrap().is_some());
            }
            other => panic!("{i}: {other:?}"),
        }
        assert_eq!(fs::read_dir(temp.path.parent().unwrap()).unwrap().count(), 1, "no copy is left");
    }
    let reader = Hdf5Store::open_read(&temp.path).unwrap();
    assert!(matches!(
        Hdf5Store::compact(&temp.path, Locking::On, &|_, _| ControlFlow::Continue(())),
        Err(Error::Busy { .. })
    ));
    drop(reader);
}
