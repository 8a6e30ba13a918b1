//! Trials: the same small store in every container, the same edits, and what is in a store afterwards as a picture that two
//! trials can be compared by. `python/witness.py` has the same store, edits and numbers.
#![allow(dead_code, reason = "every test binary uses a part of it")]

pub mod disk;
mod edits;
mod picture;
pub mod recording;
pub mod reference;
pub mod strace;
pub mod witness;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Component, Path, PathBuf};

use anndata_shadow::ndarray::Array2;

pub use edits::{Container, Edit, Held};
pub use picture::{Picture, Verdict, judge, picture_of};

/// Rows of the store.
pub const CELLS: usize = 300;

/// Where trials take place: in memory, where there is such a place, so that waiting for the disk costs nothing.
pub fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// Lets a child do everything in the thread that calls, and go ahead of all other threads in the number of calls of each name:
/// strace counts calls by thread, and what starts tests opens and writes files, too.
pub fn in_one_thread() {
    rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global().unwrap();
    for _ in 0..128 {
        std::fs::write("/dev/null", "x").unwrap();
    }
}

/// Numbers that no compressor makes smaller, the same in Python.
pub fn noise(cols: usize, salt: u64) -> Array2<f64> {
    Array2::from_shape_fn((CELLS, cols), |(r, c)| {
        let i = (r * cols + c) as u64 + salt * 7919;
        ((i * 2_654_435_761) % (1 << 32)) as f64 / 4_294_967_296.0
    })
}

/// Every file in a folder with its bytes, by its path from there; directories without.
pub fn tree(at: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    fn walk(root: &Path, at: &Path, found: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_owned();
            if path.is_dir() {
                found.insert(name, None);
                walk(root, &path, found);
            } else {
                found.insert(name, Some(std::fs::read(&path).unwrap()));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(at, at, &mut found);
    found
}

/// What tells two trees apart for readers that know nothing of us: what lies in our hidden places counts as there only.
pub fn visible(tree: &BTreeMap<PathBuf, Option<Vec<u8>>>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (path, bytes) in tree {
        match path.components().position(is_hidden) {
            None => (path, bytes).hash(&mut hasher),
            Some(i) if i + 1 == path.components().count() => (i, "hidden").hash(&mut hasher),
            Some(_) => {}
        }
    }
    hasher.finish()
}

/// Whether this is a name that we give to what is not part of the store.
pub fn is_hidden(name: Component<'_>) -> bool {
    let name = name.as_os_str().to_string_lossy();
    name.starts_with('.') && name.contains("adshadow")
}
