//! Mending what has one right answer.

use super::Report;
use crate::error::Result;
use crate::path::ElemPath;
use crate::store::{Attrs, Format, Found, ZarrStore, find, open_write};

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

    /// Mends what has one right answer: consolidated metadata are renewed from what is there. Elements are never touched.
    /// Gives a sentence for each thing that was done; [`verify`](crate::verify) tells what is left.
    ///
    /// # Errors
    /// Those of opening for writing and of writing; then the store is as it was.
    pub fn repair(&self) -> Result<Vec<String>> {
        let mut done = Vec::new();
        done.extend(self.renew_maps()?);
        Ok(done)
    }

    fn renew_maps(&self) -> Result<Vec<String>> {
        let Found { format: Format::Zarr, root, .. } = find(&self.file)? else { return Ok(Vec::new()) };
        // As things are now: what was recovered before may have renewed them already.
        let maps = ZarrStore::open_as_it_lies(&root, false)?.audit()?.maps;
        if maps.is_empty() {
            return Ok(Vec::new());
        }
        let store = open_write(&root)?.store;
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
