//! [`Reference`]: a store before an edit and after it, by Python's word and by ours, and the system calls of the edit.

use std::path::{Path, PathBuf};
use std::process::Command;

use anndata_shadow::{Error, Mode};

use super::strace::{self, Point};
use super::witness::Witness;
use super::{Container, Edit, Held, Picture, Verdict, judge, picture_of, tree};
use crate::stores::copy;

/// A child that makes one edit in the store at `path`.
pub fn child(container: Container, edit: Edit, path: &Path) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["child_edits", "--exact", "--nocapture", "--test-threads=1"]);
    child.env("ADSHADOW_TEST_EDIT", format!("{}|{}|{}", container.name(), edit.name(), path.display()));
    child.env("POLARS_MAX_THREADS", "1");
    child
}

/// Opens, edits, writes, closes.
pub fn make_edit(container: Container, edit: Edit, path: &Path) -> Result<(), Error> {
    let held = Held::open(container, path, Mode::ReadWrite)?;
    edit.apply(&held.cells())?;
    held.write()?;
    held.close()
}

/// The store before an edit and after it, and what is in both by Python's word and by ours.
pub struct Reference {
    pub container: Container,
    pub edit: Edit,
    /// The folder of each holds the store alone.
    pub before: PathBuf,
    pub after: PathBuf,
    pub python: [Picture; 2],
    pub ours: [Picture; 2],
    pub points: Vec<Point>,
}

impl Reference {
    pub fn new(container: Container, edit: Edit, folder: &Path, witness: &mut Witness) -> Self {
        let [before, after, traced] = ["before", "after", "traced"].map(|name| folder.join(name));
        let store = |folder: &Path| folder.join(container.file());
        if !before.exists() {
            std::fs::create_dir(&before).unwrap();
            witness.make(container, &store(&before));
        }
        for to in [&after, &traced] {
            let _ = std::fs::remove_dir_all(to);
            copy(&before, to);
        }
        let run = child(container, edit, &store(&after)).output().unwrap();
        assert!(run.status.success(), "{container:?} {edit:?}: {}", String::from_utf8_lossy(&run.stderr));
        let truths = [witness.read(container, &store(&before)), witness.read(container, &store(&after))];
        let wanted = witness.truth(container, &store(&before), edit);
        let [old, new] = truths.map(|views| {
            let views: Vec<Picture> = views.into_values().map(Result::unwrap).collect();
            assert!(views.iter().all(|v| *v == views[0]), "{container:?} {edit:?}: readers disagree");
            views[0].clone()
        });
        assert_eq!(new, wanted, "{container:?} {edit:?}: an edit that nobody disturbs");
        let points = strace::record(&child(container, edit, &store(&traced)), &traced);
        assert_eq!(names(&traced), names(&after));
        let ours = [&before, &after].map(|folder| picture_of(container, &store(folder)).unwrap());
        Self { container, edit, before, after, python: [old, new], ours, points }
    }

    pub fn judge(&self, found: &Picture, [old, new]: &[Picture; 2]) -> Verdict {
        judge(self.container, self.edit, found, old, new)
    }
}

/// Everything in a folder, by its path from there.
pub fn names(folder: &Path) -> Vec<PathBuf> {
    tree(folder).into_keys().collect()
}
