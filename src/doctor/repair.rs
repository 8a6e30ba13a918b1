//! Mending what has one right answer.

use super::Report;
use crate::error::Result;
use crate::path::ElemPath;
use crate::store::{self, Attrs, Fate, Format, Found, Locking, ZarrStore, find, open_write_with};

impl Report {
    /// What [`repair`](Self::repair) would do, each thing once.
    #[must_use]
    pub fn repairs(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for finding in &self.findings {
            let Some(repair) = &finding.repair else { continue };
            let path = if finding.path.is_empty() { "/" } else { &finding.path };
            let line = format!("`{path}`: {repair}");
            if !found.contains(&line) {
                found.push(line);
            }
        }
        found
    }

    /// Mends what has one right answer: interrupted writes are carried out or forgotten, and consolidated metadata renewed from
    /// what is there. Elements are never touched. Gives a sentence for each thing that was done;
    /// [`verify`](super::verify) tells what is left.
    ///
    /// # Errors
    /// Those of opening for writing and of writing; then the store is as it was, or mended in part.
    pub fn repair(&self, locking: Locking) -> Result<Vec<String>> {
        let mut done = Vec::new();
        if store::left_over(&self.file)?.iter().any(|left| left.fate != Fate::LeaveAlone) {
            done.extend(store::recover(&self.file, locking)?);
        }
        done.extend(self.renew_maps(locking)?);
        Ok(done)
    }

    fn renew_maps(&self, locking: Locking) -> Result<Vec<String>> {
        let Found { format: Format::Zarr, root, .. } = find(&self.file)? else { return Ok(Vec::new()) };
        // As things are now: what was recovered before may have renewed them already.
        let maps = ZarrStore::open_as_it_lies(&root, false)?.audit(false)?.maps;
        if maps.is_empty() {
            return Ok(Vec::new());
        }
        let store = open_write_with(&root, locking)?.store;
        if maps.contains(&ElemPath::root()) {
            // All there are, the root's last.
            store.consolidate()?;
        } else {
            // A store without such metadata at its root stays so: a write renews those above what it changes.
            maps.iter().try_for_each(|at| store.set_attrs(at, &Attrs::new()))?;
            store.publish()?;
        }
        let named: Vec<String> =
            maps.iter().map(|at| if at.is_root() { "`/`".into() } else { format!("`{at}`") }).collect();
        Ok(vec![format!("renewed the consolidated metadata of {}", named.join(", "))])
    }
}
