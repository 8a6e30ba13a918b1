//! [`Reference`]: a store before an edit and after it, by Python's word and by ours, and the system calls of the edit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anndata_shadow::{Error, Mode};

use super::strace::{self, Point};
use super::witness::Witness;
use super::{Container, Edit, Held, Picture, Verdict, judge, picture_of, tree};
use crate::stores::copy;

/// A child that makes the edit of this name in the store at `path`.
pub fn child(container: Container, edit: &str, path: &Path) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["child_edits", "--exact", "--nocapture", "--test-threads=1"]);
    child.env("ADSHADOW_TEST_EDIT", format!("{}|{}|{}", container.name(), edit, path.display()));
    child.env("POLARS_MAX_THREADS", "1");
    child
}

/// Opens, edits, writes, closes.
pub fn make_edit(container: Container, edit: Edit, path: &Path) -> Result<(), Error> {
    let held = Held::open(container, path, Mode::ReadWrite)?;
    edit.apply(&held)?;
    edit.write(&held, container)?;
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
        // Only of a sparse X there is an index.
        let sparse = edit == Edit::AddIndex;
        let before = folder.join(if sparse { "before sparse" } else { "before" });
        let [after, traced] = ["after", "traced"].map(|name| folder.join(name));
        let store = |folder: &Path| folder.join(container.file());
        if !before.exists() {
            std::fs::create_dir(&before).unwrap();
            witness.make_as(container, &store(&before), sparse);
        }
        for to in [&after, &traced] {
            let _ = std::fs::remove_dir_all(to);
            copy(&before, to);
        }
        let run = child(container, edit.name(), &store(&after)).output().unwrap();
        assert!(run.status.success(), "{container:?} {edit:?}: {}", String::from_utf8_lossy(&run.stderr));
        let truths = [witness.read(container, &store(&before)), witness.read(container, &store(&after))];
        let [old, new] = truths.map(|views| {
            let views: Vec<Picture> = views.into_values().map(Result::unwrap).collect();
            assert!(views.iter().all(|v| *v == views[0]), "{container:?} {edit:?}: readers disagree");
            views[0].clone()
        });
        if edit == Edit::RemoveModality {
            // mudata leaves the global part as it was.
            assert!(!new.keys().any(|key| key.starts_with("mod/prot/")) && new.contains_key("mod/rna/X"));
        } else {
            let wanted = witness.truth(container, &store(&before), edit);
            assert_eq!(new, wanted, "{container:?} {edit:?}: an edit that nobody disturbs");
        }
        let points = strace::record(&child(container, edit.name(), &store(&traced)), &traced);
        assert_eq!(names(&traced), names(&after));
        let ours = [&before, &after].map(|folder| picture_of(container, &store(folder)).unwrap());
        Self { container, edit, before, after, python: [old, new], ours, points }
    }

    fn judge(&self, found: &Picture, [old, new]: &[Picture; 2]) -> Verdict {
        judge(self.container, self.edit, found, old, new)
    }

    /// The worst that readers without recovery find. Where things are only added, the map hides them all to the last.
    pub fn without_recovery(&self, views: BTreeMap<String, Result<Picture, String>>) -> Verdict {
        let judge = |(reader, view): (String, Result<Picture, String>)| match view {
            Err(error) => Verdict::Else(format!("{reader}: {error}")),
            Ok(picture) => match self.judge(&picture, &self.python) {
                Verdict::Parts if self.edit == Edit::Add && reader == "read_zarr" => {
                    Verdict::Else(format!("{reader}: one of two additions"))
                }
                Verdict::Else(what) => Verdict::Else(format!("{reader}: {what}")),
                other => other,
            },
        };
        let verdicts: Vec<Verdict> = views.into_iter().map(judge).collect();
        let find = |is: fn(&Verdict) -> bool| verdicts.iter().find(|v| is(v));
        let worst = find(|v| matches!(v, Verdict::Else(_))).or_else(|| find(|v| *v == Verdict::Parts));
        worst.unwrap_or(&verdicts[0]).clone()
    }

    /// What we find in the folder `trial`, by opening for reading, then for writing: old or new, with nothing beside it. With
    /// `again` the edit is then done again if it was not done. `fault` is told what must not be.
    pub fn after_recovery(&self, trial: &Path, again: bool, fault: &mut dyn FnMut(String)) -> Verdict {
        let Self { container, edit, before, after, ours, .. } = self;
        let store = trial.join(container.file());
        let look = |mode| {
            let found = Held::open(*container, &store, mode).and_then(|held| {
                let picture = held.picture()?;
                held.close().map(|()| picture)
            });
            found.map_or_else(|e| Verdict::Else(e.to_string()), |p| self.judge(&p, ours))
        };
        let (read, verdict) = (look(Mode::Read), look(Mode::ReadWrite));
        if !matches!((&read, &verdict), (Verdict::Old, Verdict::Old) | (Verdict::New, Verdict::New)) {
            fault(format!("opened for reading: {read:?}; then for writing: {verdict:?}"));
            return Verdict::Else(String::new());
        }
        let now = tree(trial);
        if verdict == Verdict::New {
            let left: Vec<&PathBuf> = now.keys().filter(|p| !after.join(p).exists()).collect();
            if !left.is_empty() || now.len() != names(after).len() {
                fault(format!("new, but not like it: {left:?} is left"));
            }
            return verdict;
        }
        let old = tree(before);
        if now != old {
            let differ: BTreeSet<_> = now.keys().chain(old.keys()).filter(|p| now.get(*p) != old.get(*p)).collect();
            fault(format!("old, but not byte for byte: {differ:?}"));
        }
        if again {
            let again = make_edit(*container, *edit, &store).and_then(|()| picture_of(*container, &store));
            match again {
                Ok(again) if again == ours[1] && names(trial) == names(after) => return verdict,
                Ok(_) => fault("doing it again does not give the new state".into()),
                Err(e) => fault(format!("doing it again: {e}")),
            }
            return Verdict::Else(String::new());
        }
        verdict
    }
}

/// Everything in a folder, by its path from there.
pub fn names(folder: &Path) -> Vec<PathBuf> {
    tree(folder).into_keys().collect()
}

/// How often what was found.
#[derive(Default)]
pub struct Count {
    pub old: usize,
    pub new: usize,
    pub parts: usize,
    pub other: usize,
}

impl Count {
    pub fn add(&mut self, verdict: &Verdict) {
        *match verdict {
            Verdict::Old => &mut self.old,
            Verdict::New => &mut self.new,
            Verdict::Parts => &mut self.parts,
            Verdict::Else(_) => &mut self.other,
        } += 1;
    }
}
