//! [`Picture`]: what is in a store, to compare two stores by, and [`judge`], which says whether it is that before an edit or that
//! after it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anndata_shadow::{AnnDataShadow, Element, Error, Frame, Mode};

use super::{Container, Edit, Held};

/// What is in a store, by path; frames column by column, with their order and names.
pub type Picture = BTreeMap<String, Seen>;

/// An element, or how it is told from others.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    Element(Arc<Element>),
    /// A digest of it by Python, or names.
    Text(String),
}

impl Held {
    /// Everything in it, read.
    pub fn picture(&self) -> Result<Picture, Error> {
        let mut picture = Picture::new();
        match self {
            Self::Cells(cells) => describe(cells, "", &mut picture)?,
            Self::Mu(mu) => {
                for element in mu.elements()?.iter().filter(|e| !e.path.starts_with("mod/")) {
                    picture.insert(element.path.clone(), Seen::Element(mu.member(&element.path)?.element()?));
                }
                frames([mu.obs(), mu.var()], "", &mut picture)?;
                for name in mu.modalities() {
                    describe(&mu.modality(&name)?, &format!("mod/{name}/"), &mut picture)?;
                }
            }
        }
        Ok(picture)
    }
}

fn describe(cells: &AnnDataShadow, prefix: &str, picture: &mut Picture) -> Result<(), Error> {
    for element in cells.elements()? {
        if element.info.kind != anndata_shadow::Kind::Mapping {
            picture.insert(format!("{prefix}{}", element.path), Seen::Element(cells.member(&element.path)?.element()?));
        }
    }
    frames([cells.obs(), cells.var()], prefix, picture)
}

fn frames(frames: [Frame; 2], prefix: &str, picture: &mut Picture) -> Result<(), Error> {
    for frame in frames {
        let at = format!("{prefix}{}", frame.name());
        picture.insert(format!("{at}/<names>"), Seen::Text(frame.names()?.join("\n")));
        picture.insert(format!("{at}/<order>"), Seen::Text(frame.columns()?.join(" ")));
    }
    Ok(())
}

/// What opening, for reading, and reading everything gives.
pub fn picture_of(container: Container, path: &Path) -> Result<Picture, Error> {
    let held = Held::open(container, path, Mode::Read)?;
    let picture = held.picture()?;
    held.close()?;
    Ok(picture)
}

/// How a picture stands to those before and after an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Old,
    New,
    /// Each of several elements is old or new.
    Parts,
    Else(String),
}

/// Judges what was found, by the pictures before and after.
pub fn judge(container: Container, edit: Edit, found: &Picture, old: &Picture, new: &Picture) -> Verdict {
    if found == old {
        return Verdict::Old;
    }
    if found == new {
        return Verdict::New;
    }
    let is_of = |key: &str, names: &[&str]| {
        let key = key.strip_prefix(container.prefix()).unwrap_or(key);
        names.iter().any(|n| key == *n || key.strip_prefix(n).is_some_and(|rest| rest.starts_with('/')))
    };
    let only = |picture: &Picture, names: &[&str]| -> Picture {
        picture.iter().filter(|(key, _)| is_of(key, names)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let order = ["obs/<order>"];
    let mut groups: Vec<&[&str]> = edit.parts().iter().map(|part| part.touches()).collect();
    groups.push(&order);
    for names in &groups {
        let part = only(found, names);
        if part != only(old, names) && part != only(new, names) {
            return Verdict::Else(format!("{names:?} is neither old nor new"));
        }
    }
    let others = |picture: &Picture| -> Picture {
        picture
            .iter()
            .filter(|(key, _)| !groups.iter().any(|g| is_of(key, g)))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    if others(found) != others(old) {
        let (found, old) = (others(found), others(old));
        let keys = found.keys().chain(old.keys()).filter(|k| found.get(*k) != old.get(*k));
        return Verdict::Else(format!("an element was damaged that is not edited: {:?}", keys.collect::<Vec<_>>()));
    }
    if edit.parts().len() > 1 { Verdict::Parts } else { Verdict::Else("partly old, partly new".into()) }
}
