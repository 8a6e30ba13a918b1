//! Readers in company of a writer: a process that replaces a pair of elements all the time, both with one number in all items,
//! while others read. What they get is whole, and of one state; or a typed error.
//!
//! `ADSHADOW_COMPANY_SECONDS` lasts longer than the minute that it takes otherwise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(unix)]

mod stores;
mod trials;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anndata_shadow::ndarray::Array2;
use anndata_shadow::{AnnDataShadow, Error, Mode, OpenOptions, WriteOptions};
use trials::disk::Dice;
use trials::witness::Witness;
use trials::{CELLS, Container, folder};

fn seconds() -> u64 {
    std::env::var("ADSHADOW_COMPANY_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60)
}

fn stamped(stamp: usize) -> Array2<f64> {
    Array2::from_elem((CELLS, 150 + stamp % 7), stamp as f64)
}

/// The number that is in all items.
fn stamp_of(values: &Array2<f64>, what: &str) -> usize {
    let first = values[[0, 0]];
    assert!(first != 0.0 && values.iter().all(|v| *v == first), "{what} is torn: {first} and others");
    assert_eq!(values.ncols(), stamped(first as usize).ncols(), "{what}: {first} in another shape");
    first as usize
}

/// Writes one state after the other until `done`; gives how many. Waits for readers where they exclude writers.
fn write_on(path: &Path, done: impl Fn(usize) -> bool) -> usize {
    let mut stamp = 1;
    while !done(stamp) {
        let written =
            AnnDataShadow::open_with(path, &OpenOptions::default().mode(Mode::ReadWrite)).and_then(|shadow| {
                for name in ["pair_a", "pair_b"] {
                    shadow.obsm().insert(name, stamped(stamp))?;
                }
                if stamp > 1 && stamp % 4 == 0 {
                    shadow.obsm().insert(&format!("new_{}", stamp / 4 % 2), stamped(stamp))?;
                } else if stamp > 8 && stamp % 4 == 2 {
                    shadow.obsm().remove(&format!("new_{}", (stamp / 4 + 1) % 2))?;
                }
                shadow.write(WriteOptions::default())?;
                shadow.close()
            });
        match written {
            Ok(()) => {
                stamp += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(Error::Busy { .. }) => std::thread::sleep(Duration::from_millis(1)),
            Err(e) => panic!("writing state {stamp}: {e}"),
        }
    }
    stamp - 1
}

/// The child: writes as long as it is told. On its own it does nothing.
#[test]
fn child_writes_on() {
    let Ok(job) = std::env::var("ADSHADOW_TEST_COMPANY") else { return };
    let (seconds, path) = job.split_once('|').unwrap();
    let until = Instant::now() + Duration::from_secs(seconds.parse().unwrap());
    println!("\nstates {}", write_on(Path::new(path), |_| Instant::now() > until));
}

/// What a reader has met.
#[derive(Default, Debug)]
struct Met {
    pairs: usize,
    states: usize,
    busy: usize,
    changed: usize,
}

/// Reads pairs until `until`: both of one state, and never an older one than before. With `keep`, through one shadow that is
/// told to reopen when the store has changed, instead of a new one each time.
fn read_on(path: &Path, keep: bool, until: Instant) -> Met {
    let mut met = Met::default();
    let mut last = 0;
    let mut kept: Option<AnnDataShadow> = None;
    while Instant::now() < until {
        let pair = (|| {
            let shadow = match kept.take() {
                Some(shadow) => shadow,
                None => AnnDataShadow::open(path)?,
            };
            shadow.clear_cache();
            let pair = ["pair_a", "pair_b"].map(|name| shadow.obsm().read::<Array2<f64>>(name));
            let changed = pair.iter().any(|p| matches!(p, Err(Error::StoreChanged { .. })));
            if keep {
                if changed {
                    shadow.reopen(Mode::Read)?;
                }
                kept = Some(shadow);
            }
            let [a, b] = pair;
            Ok((a?, b?))
        })();
        match pair {
            Ok((a, b)) => {
                let stamps = [stamp_of(&a, "pair_a"), stamp_of(&b, "pair_b")];
                assert_eq!(stamps[0], stamps[1], "of two states");
                assert!(last <= stamps[0], "back to {} from {last}", stamps[0]);
                met.states += usize::from(last != stamps[0]);
                last = stamps[0];
                met.pairs += 1;
                // Readers of HDF5 exclude the writer: it gets its turn.
                let excludes = path.extension().is_some_and(|e| e == "h5ad");
                if excludes {
                    kept = None;
                }
                std::thread::sleep(Duration::from_millis(if excludes { 100 } else { 5 }));
            }
            Err(Error::Busy { .. }) => {
                met.busy += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(Error::StoreChanged { .. }) => met.changed += 1,
            Err(e) => panic!("reading after state {last}: {e}"),
        }
    }
    met
}

fn bystander(path: &Path, seconds: u64) -> Child {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("ADSHADOW_PYTHON").unwrap_or_else(|| here.join(".venv/bin/python").into());
    let mut child = Command::new(python);
    child.arg("-B").arg(here.join("tests/python/bystander.py")).arg(path).arg(seconds.to_string());
    child.stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn readers_in_other_processes_get_whole_states() {
    let folder = folder();
    let mut witness = Witness::new();
    let seconds = seconds();
    let mut report = Vec::new();
    std::thread::scope(|scope| {
        let runs: Vec<_> = [Container::H5ad, Container::V2, Container::V3]
            .map(|container| {
                let path = folder.path().join(container.file());
                witness.make(container, &path);
                let shadow = AnnDataShadow::open_with(&path, &OpenOptions::default().mode(Mode::ReadWrite)).unwrap();
                shadow.layers().insert("fixed", Array2::<f64>::from_elem((CELLS, 40), 7.0)).unwrap();
                shadow.write(WriteOptions::default()).unwrap();
                shadow.close().unwrap();
                write_on(&path, |stamp| stamp > 1);
                scope.spawn(move || {
                    let writer = Command::new(std::env::current_exe().unwrap())
                        .args(["child_writes_on", "--exact", "--nocapture"])
                        .env("ADSHADOW_TEST_COMPANY", format!("{seconds}|{}", path.display()))
                        .stdout(Stdio::piped())
                        .stderr(Stdio::piped())
                        .spawn()
                        .unwrap();
                    let python = bystander(&path, seconds);
                    let until = Instant::now() + Duration::from_secs(seconds);
                    let (anew, kept) = std::thread::scope(|scope| {
                        let kept = scope.spawn(|| read_on(&path, true, until));
                        (read_on(&path, false, until), kept.join().unwrap())
                    });
                    let wrote = writer.wait_with_output().unwrap();
                    let text = String::from_utf8_lossy(&wrote.stdout);
                    assert!(wrote.status.success(), "{text}\n{}", String::from_utf8_lossy(&wrote.stderr));
                    let states: usize = text.lines().find_map(|l| l.strip_prefix("states ")).unwrap().parse().unwrap();
                    let python = python.wait_with_output().unwrap().stdout;
                    let python: BTreeMap<String, usize> = serde_json::from_slice(&python).unwrap();
                    (container, states, anew, kept, python)
                })
            })
            .into_iter()
            .collect();
        report = runs.into_iter().map(|run| run.join().unwrap()).collect();
    });
    for (container, states, anew, kept, python) in &report {
        println!(
            "{}: {states} states written; opened anew: {anew:?}; kept open: {kept:?}; Python: {python:?}",
            container.name()
        );
    }
    for (container, states, anew, _, python) in report {
        assert!(states > 10 && anew.pairs > 10 && anew.states > 5, "{container:?}: too little happened");
        let torn: usize = python.iter().filter(|(what, _)| what.ends_with("torn")).map(|(_, n)| n).sum();
        assert_eq!(torn, 0, "{container:?}: Python read what nobody wrote: {python:?}");
        let disturbed = python.keys().any(|what| what.starts_with("fixed") && what != "fixed whole");
        assert!(python.get("pair whole").is_some_and(|n| *n > 5), "{container:?}: {python:?}");
        assert!(!disturbed, "{container:?}: an element that nobody edits: {python:?}");
    }
}

/// Kills without regard to system calls, in the midst of them, too.
#[test]
fn writers_killed_at_any_time_leave_whole_states() {
    let folder = folder();
    let mut witness = Witness::new();
    let mut dice = Dice(5);
    for container in [Container::H5ad, Container::V2, Container::V3] {
        let path = folder.path().join(container.file());
        witness.make(container, &path);
        write_on(&path, |stamp| stamp > 1);
        let until = Instant::now() + Duration::from_secs(seconds().div_ceil(10));
        let (mut kills, mut last, mut advanced) = (0, 0, 0);
        while Instant::now() < until {
            let mut writer = Command::new(std::env::current_exe().unwrap())
                .args(["child_writes_on", "--exact", "--nocapture"])
                .env("ADSHADOW_TEST_COMPANY", format!("{}|{}", seconds(), path.display()))
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(50 + dice.throw(300) as u64));
            writer.kill().unwrap();
            writer.wait().unwrap();
            let mode = if dice.throw(2) == 0 { Mode::Read } else { Mode::ReadWrite };
            let shadow = AnnDataShadow::open_with(&path, &OpenOptions::default().mode(mode)).unwrap();
            let pair = ["pair_a", "pair_b"].map(|name| stamp_of(&shadow.obsm().read(name).unwrap(), name));
            assert_eq!(pair[0], pair[1], "{container:?}: of two states");
            assert_eq!(shadow.layers().element("scaled").unwrap().shape(), [CELLS, 40]);
            advanced += usize::from(pair[0] != last);
            last = pair[0];
            kills += 1;
        }
        println!("{}: {kills} kills, {advanced} times another state than before", container.name());
        assert!(kills > 5);
    }
}

#[test]
fn threads_read_whole_elements_of_a_shadow_that_is_written() {
    let folder = folder();
    let mut witness = Witness::new();
    for container in [Container::H5ad, Container::V2, Container::V3, Container::Sharded] {
        let path = folder.path().join(container.file());
        witness.make(container, &path);
        write_on(&path, |stamp| stamp > 1);
        let shadow = AnnDataShadow::open_with(&path, &OpenOptions::default().mode(Mode::ReadWrite)).unwrap();
        let whole: Array2<f32> = shadow.x().read().unwrap();
        let (done, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
        let states = std::thread::scope(|scope| {
            for name in ["pair_a", "pair_b", "pair_a"] {
                let (shadow, done, reads, whole) = (&shadow, &done, &reads, &whole);
                scope.spawn(move || {
                    let mut last = 0;
                    while !done.load(Relaxed) {
                        let stamp = stamp_of(&shadow.obsm().read(name).unwrap(), name);
                        assert!(last <= stamp, "{name}: back to {stamp} from {last}");
                        last = stamp;
                        // Also what is only in the file, and through a view.
                        assert_eq!(shadow.x().read::<Array2<f32>>().unwrap(), whole);
                        let view = shadow.select(0..10, ..).unwrap();
                        stamp_of(&view.obsm().read(name).unwrap(), "of a view");
                        reads.fetch_add(1, Relaxed);
                    }
                });
            }
            let until = Instant::now() + Duration::from_secs(seconds().div_ceil(15));
            let mut stamp = 1;
            while Instant::now() < until {
                stamp += 1;
                for name in ["pair_a", "pair_b"] {
                    shadow.obsm().insert(name, stamped(stamp)).unwrap();
                }
                shadow.write(WriteOptions::default().clear_cache(true)).unwrap();
            }
            done.store(true, Relaxed);
            stamp
        });
        let reads = reads.into_inner();
        println!("{}: {states} states written, {reads} times read by threads", container.name());
        assert!(states > 5 && reads > 5);
    }
}
