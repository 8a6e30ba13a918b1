//! Many readers at once: ten threads and ten processes over one store read different slices and agree.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stores;

use std::path::Path;
use std::process::{Command, Stdio};

use anndata_shadow::ndarray::{Array2, s};
use anndata_shadow::polars::prelude::{NamedFrom, Series};
use anndata_shadow::{AnnDataShadow, Element, Error, FromElement, Mode, OpenOptions, WriteOptions};
use stores::{CELLS, Copy, data};

fn slice(shadow: &AnnDataShadow, i: i32) -> Array2<f32> {
    shadow.select(i * 70..(i + 1) * 70, ..).unwrap().x().read().unwrap()
}

/// A number that differs if any value, or their order, does.
fn fingerprint(x: &Array2<f32>) -> u64 {
    x.iter().fold(0xcbf2_9ce4_8422_2325, |h, v| (h ^ u64::from(v.to_bits())).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn ten_shadows_in_ten_threads_agree() {
    for name in CELLS {
        let whole: Array2<f32> = AnnDataShadow::open(data(name)).unwrap().x().read().unwrap();
        std::thread::scope(|scope| {
            for i in 0..10 {
                let whole = &whole;
                scope.spawn(move || {
                    let shadow = AnnDataShadow::open(data(name)).unwrap();
                    for k in 0..10 {
                        let k = (i + k) % 10;
                        assert_eq!(slice(&shadow, k), whole.slice(s![k * 70..(k + 1) * 70, ..]), "{name}");
                    }
                });
            }
        });
    }
}

#[test]
fn one_shadow_serves_ten_threads() {
    for name in CELLS {
        let shadow = AnnDataShadow::open(data(name)).unwrap();
        let whole: Array2<f32> = AnnDataShadow::open(data(name)).unwrap().x().read().unwrap();
        std::thread::scope(|scope| {
            for i in 0..10 {
                let (shadow, whole) = (&shadow, &whole);
                scope.spawn(move || {
                    assert_eq!(slice(shadow, i), whole.slice(s![i * 70..(i + 1) * 70, ..]), "{name}");
                    assert_eq!(shadow.obs().column("louvain").unwrap().len(), 700);
                });
            }
        });
    }
}

/// The child of the test below: reads its slice and prints the fingerprint. On its own it checks nothing.
#[test]
fn child_reads_a_slice() {
    let Ok(job) = std::env::var("ADSHADOW_TEST_SLICE") else { return };
    let (i, path) = job.split_once(' ').unwrap();
    let shadow = AnnDataShadow::open(path).unwrap();
    println!("fingerprint {}", fingerprint(&slice(&shadow, i.parse().unwrap())));
}

#[test]
fn ten_processes_agree_while_this_one_reads_too() {
    for name in CELLS {
        let path = data(name);
        let here = AnnDataShadow::open(&path).unwrap();
        let children: Vec<_> = (0..10)
            .map(|i| {
                Command::new(std::env::current_exe().unwrap())
                    .args(["child_reads_a_slice", "--exact", "--nocapture"])
                    .env("ADSHADOW_TEST_SLICE", format!("{i} {}", path.display()))
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for (i, child) in children.into_iter().enumerate() {
            let out = child.wait_with_output().unwrap();
            let text = String::from_utf8(out.stdout).unwrap();
            let told = text.lines().find_map(|l| l.rsplit_once("fingerprint ")).unwrap_or_else(|| panic!("{text}")).1;
            assert_eq!(told, fingerprint(&slice(&here, i as i32)).to_string(), "{name} {i}");
        }
    }
}

#[test]
fn threads_read_while_one_sets_reopens_and_writes() {
    for name in CELLS {
        let copy = Copy::of(name);
        let shadow = AnnDataShadow::open_with(&copy.path, &OpenOptions::default()).unwrap();
        let whole: Array2<f32> = shadow.x().read().unwrap();
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..4)
                .map(|i| {
                    let (shadow, whole) = (&shadow, &whole);
                    scope.spawn(move || {
                        for k in 0..30 {
                            // What is being written is there, whole, or not there.
                            let columns = shadow.obs().columns().unwrap();
                            let pending = columns.iter().filter(|c| c.starts_with("score")).count();
                            assert!(columns.len() == 8 + pending && pending <= 3, "{name}: {columns:?}");
                            if let Ok(Element::Mapping(made)) = shadow.uns().read("made") {
                                let numbers: Vec<i64> =
                                    made.into_values().map(|v| i64::from_element(v).unwrap()).collect();
                                assert_eq!(numbers, (0..numbers.len() as i64).collect::<Vec<_>>(), "{name}");
                            }
                            let at = (i * 30 + k) * 5 % 600;
                            let x: Array2<f32> = shadow.select(at..at + 50, ..).unwrap().x().read().unwrap();
                            assert_eq!(x, whole.slice(s![at..at + 50, ..]), "{name}");
                            // Its columns are read on threads of their own.
                            assert_eq!(shadow.obs().read().unwrap().height(), 700, "{name}");
                        }
                    })
                })
                .collect();
            for k in 0..3 {
                shadow.obsm().insert(&format!("m{k}"), Array2::<f32>::ones((700, 2))).unwrap();
                shadow.obs().insert(Series::new(format!("score{k}").into(), vec![k; 700])).unwrap();
                shadow.uns().insert(&format!("made/n{k}"), i64::from(k)).unwrap();
                shadow.reopen(Mode::ReadWrite).unwrap().write(WriteOptions::default()).unwrap();
                shadow.reopen(Mode::Read).unwrap();
            }
            readers.into_iter().for_each(|r| r.join().unwrap());
        });
        // Nothing stale was kept on the way.
        let made: Element = shadow.uns().read("made").unwrap();
        assert!((0..3).all(|k| made.below([format!("n{k}").as_str()]).is_some()), "{name}: {made:?}");
        assert_eq!(shadow.obs().columns().unwrap(), copy.open().obs().columns().unwrap());
        assert_eq!(copy.open().obsm().keys().unwrap().iter().filter(|k| k.starts_with('m')).count(), 3);
    }
}

/// Sets the permission to write of everything below.
fn set_read_only(at: &Path, read_only: bool) {
    let mut permissions = std::fs::metadata(at).unwrap().permissions();
    if at.is_dir() {
        std::fs::read_dir(at).unwrap().for_each(|e| set_read_only(&e.unwrap().path(), read_only));
    }
    permissions.set_readonly(read_only);
    std::fs::set_permissions(at, permissions).unwrap();
}

#[test]
fn a_file_that_may_not_be_written_can_be_read() {
    for name in CELLS {
        let copy = Copy::of(name);
        set_read_only(&copy.path, true);
        let shadow = copy.open();
        assert_eq!(shadow.obs().column("louvain").unwrap().len(), 700);
        // The superuser may write all the same; everybody else is told, and reads on.
        match shadow.reopen(Mode::ReadWrite) {
            Ok(_) => println!("{name}: this user may write whatever the permissions say"),
            Err(error) => assert!(matches!(error, Error::Io { .. }), "{name}: {error}"),
        }
        assert_eq!(shadow.obs().column("n_genes").unwrap().len(), 700);
        shadow.close().unwrap();
        set_read_only(&copy.path, false);
    }
}
