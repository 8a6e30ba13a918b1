//! What lies in the directories of a store, by name.

use std::fs;
use std::path::Path;

use super::{DOCUMENTS, MAX_DEPTH};

/// The position of a chunk that could have this key.
pub(super) fn position(key: &str) -> Option<Vec<usize>> {
    let numbers = key.strip_prefix("c/").or_else(|| key.strip_prefix("c.")).unwrap_or(key);
    numbers.split(['/', '.']).map(|n| n.parse().ok()).collect()
}

/// The files of an array, by their path from it.
#[derive(Default)]
pub(super) struct Files {
    pub(super) names: Vec<String>,
    pub(super) empty_directories: bool,
}

impl Files {
    pub(super) fn collect(&mut self, dir: &Path, above: &str, depth: usize) {
        let found = entries(dir);
        self.empty_directories |= found.is_empty() && !above.is_empty();
        for (name, kind) in found {
            if above.is_empty() && DOCUMENTS.contains(&name.as_str()) {
                continue;
            }
            if kind.is_dir() && depth > 0 {
                self.collect(&dir.join(&name), &format!("{above}{name}/"), depth - 1);
            } else {
                self.names.push(format!("{above}{name}"));
            }
        }
    }
}

/// Names and kinds of what is in a directory, sorted; nothing if it cannot be read, which the reader is told.
pub(super) fn entries(dir: &Path) -> Vec<(String, fs::FileType)> {
    let found = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut entries: Vec<(String, fs::FileType)> = found
        .filter_map(|entry| Some((entry.file_name().to_string_lossy().into_owned(), entry.file_type().ok()?)))
        .collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries
}

pub(super) fn is_node(dir: &Path) -> bool {
    ["zarr.json", ".zarray", ".zgroup"].iter().any(|name| dir.join(name).is_file())
}

/// How many directories below are nodes.
pub(super) fn nodes_below(dir: &Path, depth: usize) -> usize {
    if depth > MAX_DEPTH {
        return 0;
    }
    let below = entries(dir).into_iter().filter(|(_, kind)| kind.is_dir()).map(|(name, _)| dir.join(name));
    below.map(|dir| usize::from(is_node(&dir)) + nodes_below(&dir, depth + 1)).sum()
}
