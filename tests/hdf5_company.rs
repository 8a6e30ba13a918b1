//! h5ad files in the company of other programs: their locks and ours, and what they find of what we did. Alone in its process,
//! which starts others: these hold for a moment every lock that it has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod stores;

use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anndata_shadow::store::{Attrs, Hdf5Store, Locking, Safety, Style, WriteStore};
use anndata_shadow::{Array, ElemPath, Error};
use serde_json::json;

const PLAIN: Style<'static> = Style { like: None, resizable: false };

fn path(text: &str) -> ElemPath {
    ElemPath::parse(text).unwrap()
}

fn interpreter(code: &str, file: &Path) -> Command {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let mut command = Command::new(std::env::var_os("ADSHADOW_PYTHON").map_or(own, PathBuf::from));
    // What is tested are locks as they are by default.
    command.env_remove("HDF5_USE_FILE_LOCKING").arg("-c").arg(format!("import h5py, sys\n{code}")).arg(file);
    command
}

/// What a program prints, in one line.
fn python(code: &str, file: &Path) -> String {
    let output = interpreter(code, file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().replace('\n', " ")
}

/// Tries to open a file with h5py in both modes.
const MODES: &str = "
for mode in 'r', 'r+':
    try:
        h5py.File(sys.argv[1], mode).close()
        print('opened')
    except OSError as e:
        print('locked' if 'unable to lock' in str(e) else e)";

#[test]
fn h5py_and_this_crate_keep_each_other_out() {
    let copy = stores::Copy::of("pbmc68k_reduced.h5ad");
    let file = &copy.path;
    let store = Hdf5Store::open_write(file).unwrap();
    assert_eq!(python(MODES, file), "locked locked");
    for (i, safety) in [Safety::Journal, Safety::Copy].into_iter().enumerate() {
        let numbers = Array::from_vec(vec![i as i32; 100_000]);
        store.create_array(&path(&format!("uns/new{i}")), &numbers, PLAIN, &Attrs::new()).unwrap();
        store.publish_with(safety).unwrap();
        assert_eq!(python(MODES, file), "locked locked", "between two writes the lock is kept");
    }
    drop(store);
    let reader = Hdf5Store::open_read(file).unwrap();
    assert_eq!(python(MODES, file), "opened locked");
    drop(reader);
    assert_eq!(python("f = h5py.File(sys.argv[1]); print(f['uns/new0'][-1], f['uns/new1'][-1])", file), "0 1");
    for (mode, may_read) in [("r", true), ("r+", false)] {
        let code = format!("f = h5py.File(sys.argv[1], '{mode}'); print('held', flush=True); sys.stdin.read()");
        let mut holder = interpreter(&code, file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        holder.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
        assert_eq!(Hdf5Store::open_read(file).is_ok(), may_read);
        let error = Hdf5Store::open_write(file).unwrap_err();
        assert!(matches!(error, Error::Busy { .. }), "{error}");
        #[cfg(target_os = "linux")]
        assert!(error.to_string().contains(&format!("process {} (python", holder.id())), "{error}");
        // Whoever says so is let in.
        assert!(Hdf5Store::open_write_with(file, Locking::Off).is_ok());
        drop(holder.stdin.take());
        holder.wait().unwrap();
    }
    assert!(Hdf5Store::open_write(file).is_ok(), "a lock goes with its process");
}

#[test]
fn a_compaction_that_is_cancelled_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = &folder.path().join("x.h5");
    // Nothing that a disk or a compressor could make less of.
    let make = "import numpy as np\n\
                x = np.random.default_rng(0).integers(0, 256, 100_000_000, 'u1')\n\
                h5py.File(sys.argv[1], 'w').create_dataset('x', data=x, chunks=(1_000_000,))";
    python(make, file);
    let before = std::fs::read(file).unwrap();
    // At the first word, while it is copied, and at the last, when all is.
    for at_end in [false, true] {
        let asked = std::cell::Cell::new(0);
        let stop = |done: u64, _| {
            asked.set(done);
            let is_end = done > 99_000_000;
            if at_end && !is_end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let stopped = Hdf5Store::compact(file, Locking::On, &stop);
        assert!(matches!(stopped, Err(Error::Cancelled { .. })), "{stopped:?}");
        assert!(at_end || asked.get() < 99_000_000, "it went on to {}", asked.get());
        assert!(std::fs::read(file).unwrap() == before && std::fs::read_dir(folder.path()).unwrap().count() == 1);
    }
}

/// Makes a file with all that a compaction could lose.
const ODD: &str = "
import numpy as np
for name, options in ('odd', {}), ('latest', {'libver': 'latest'}), ('block', {'userblock_size': 1024}), (
        'pages', {'fs_strategy': 'page', 'fs_persist': True}):
    with h5py.File(f'{sys.argv[1]}/{name}.h5', 'w', **options) as f:
        f['junk'] = np.random.default_rng(0).random(100000)
        f.attrs['root'] = ['a', 'b']
        f.attrs['empty'] = h5py.Empty('f4')
        g = f.create_group('g', track_order=True)
        g['texts'] = ['x' * i for i in range(50)]
        g.create_dataset('zipped', data=np.arange(10000).reshape(100, 100), chunks=(7, 9), compression='gzip', shuffle=True)
        g.create_dataset('grows', data=np.arange(5.0), maxshape=(None,))
        g.create_dataset('null', data=h5py.Empty('i4'))
        g.create_dataset('record', data=np.array([(1, 2.5)], dtype=[('a', 'i2'), ('b', 'f8')]))
        f['type'] = np.dtype('i4')
        f.create_dataset('typed', data=[1, 2], dtype=f['type'])
        f['again'] = g['zipped']
        f['soft'] = h5py.SoftLink('/g/texts')
        f['dangling'] = h5py.SoftLink('/nowhere')
        f['elsewhere'] = h5py.ExternalLink('other.h5', '/x')
        f['typed'].attrs['of'] = g['texts'].ref
        f.create_dataset('refs', data=[g.ref, f['again'].ref], dtype=h5py.ref_dtype)
    if name == 'block':
        with open(f'{sys.argv[1]}/{name}.h5', 'r+b') as f:
            f.write(b'user block')
    with h5py.File(f'{sys.argv[1]}/{name}.h5', 'r+') as f:
        del f['junk']";

#[test]
fn compaction_keeps_everything_but_the_holes() {
    let folder = tempfile::tempdir().unwrap();
    python(ODD, folder.path());
    for name in ["pbmc68k_reduced.h5ad", "archive_v0.13.h5ad"] {
        stores::copy(&stores::data(name), &folder.path().join(name));
    }
    for folder_of in [stores::data("h5ad"), stores::data("h5mu"), common::fixtures()] {
        for entry in std::fs::read_dir(folder_of).unwrap() {
            let from = entry.unwrap().path();
            if from.extension().is_some_and(|e| e == "h5ad" || e == "h5mu") {
                stores::copy(&from, &folder.path().join(from.file_name().unwrap()));
            }
        }
    }
    let (mut pairs, mut anndata, mut smaller) = (Vec::new(), Vec::new(), 0);
    let files: Vec<PathBuf> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    for file in &files {
        let old = file.with_extension("before");
        std::fs::copy(file, &old).unwrap();
        let told = std::cell::Cell::new((0, 0));
        let compacted = Hdf5Store::compact(file, Locking::On, &|done, of| {
            told.set((done, of));
            ControlFlow::Continue(())
        });
        if file.file_name().unwrap() == "truncated_scp.h5ad" {
            assert!(compacted.is_err() && std::fs::read(file).unwrap() == std::fs::read(&old).unwrap());
            continue;
        }
        let (before, after) = compacted.unwrap();
        let lengths = [&old, file].map(|file| std::fs::metadata(file).unwrap().len());
        assert_eq!(([before, after], told.get().1), (lengths, before), "{}", file.display());
        assert!(after < before + 8192, "{}: {before} became {after}", file.display());
        smaller += u32::from(after + 700_000 < before);
        pairs.push([old, file.clone()]);
        if file.extension().is_some_and(|e| e == "h5ad") {
            anndata.push(file.clone());
        }
    }
    assert!(smaller >= 4, "the holes of 800 kB are gone");
    let read = ["pbmc68k_reduced.h5ad", "main.h5ad", "odd.h5"].map(|name| folder.path().join(name));
    let answer = common::python("same_hdf5.py", &json!({"pairs": pairs, "anndata": &read[..2]}));
    assert_eq!(answer, json!([]));
    assert!(pairs.len() > 20 && !anndata.is_empty(), "{}", pairs.len());
}
