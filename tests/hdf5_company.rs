//! h5ad files in the company of other programs: their locks and ours, and what they find of what we did. Alone in its process,
//! which starts others: these hold for a moment every lock that it has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stores;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anndata_shadow::store::{Attrs, Hdf5Store, Locking, Safety, Style, WriteStore};
use anndata_shadow::{Array, ElemPath, Error};

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
