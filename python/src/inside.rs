//! What is at a path inside an [`Object`]: an element, a slot, a frame, or `raw`.

use std::collections::BTreeMap;

use anndata_shadow::{Element, Error, Frame, Member, MuDataShadow, Place, Result, Select, Slot};

use crate::object::Object;

/// The slots that are frames.
pub(crate) const FRAMES: [&str; 3] = ["obs", "var", "raw/var"];

impl Object {
    fn no_raw(&self) -> Error {
        Error::NotFound { at: Place::new(self.shadow.path().display(), "raw"), nearest: Vec::new() }
    }

    pub(crate) fn frame(&self, name: &str) -> Result<Frame> {
        match name {
            "obs" => Ok(self.shadow.obs()),
            "var" => Ok(self.shadow.var()),
            "raw/var" => Ok(self.shadow.raw()?.ok_or_else(|| self.no_raw())?.var()),
            other => {
                Err(Error::BadName { name: other.to_owned(), why: "frames are `obs`, `var` and `raw/var`".into() })
            }
        }
    }

    /// The slot of this name, if it is one that holds elements other than columns.
    pub(crate) fn slot(&self, name: &str) -> Result<Option<Slot>> {
        let shadow = &self.shadow;
        Ok(match name {
            "layers" => Some(shadow.layers()),
            "obsm" => Some(shadow.obsm()),
            "varm" => Some(shadow.varm()),
            "obsp" => Some(shadow.obsp()),
            "varp" => Some(shadow.varp()),
            "uns" => Some(shadow.uns()),
            "raw/varm" => Some(shadow.raw()?.ok_or_else(|| self.no_raw())?.varm()),
            "obsmap" => self.mudata.as_ref().map(MuDataShadow::obsmap),
            "varmap" => self.mudata.as_ref().map(MuDataShadow::varmap),
            _ => None,
        })
    }

    pub(crate) fn member(&self, path: &str) -> Result<Member> {
        self.shadow.member(path)
    }

    pub(crate) fn names_in(&self, slot: &str) -> Result<Vec<String>> {
        if FRAMES.contains(&slot) {
            return self.frame(slot)?.columns();
        }
        if slot == "raw" {
            let keys = self.shadow.raw()?.map_or_else(|| Ok(Vec::new()), |raw| raw.keys())?;
            return Ok(keys.into_iter().map(str::to_owned).collect());
        }
        match self.slot(slot)? {
            Some(slot) => slot.keys(),
            // A dict in uns.
            None => Ok(self.member(slot)?.info()?.map(|info| info.children).unwrap_or_default()),
        }
    }

    pub(crate) fn is_there(&self, path: &str) -> Result<bool> {
        if path == "raw" {
            return Ok(self.shadow.raw()?.is_some());
        }
        match self.member(path) {
            Ok(member) if path == "X" => member.exists(),
            Ok(member) => Ok(member.info()?.is_some()),
            // A slot, which is always there.
            Err(Error::Unsupported { .. }) => Ok(true),
            Err(Error::NotFound { .. } | Error::BadName { .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }

    pub(crate) fn element(&self, path: &str) -> Result<Element> {
        if FRAMES.contains(&path) {
            return self.frame(path)?.table().map(Element::Table);
        }
        match self.slot(path)? {
            Some(slot) => {
                let entry = |name: String| Ok((name.clone(), slot.read(&name)?));
                Ok(Element::Mapping(slot.keys()?.into_iter().map(entry).collect::<Result<_>>()?))
            }
            None => self.member(path)?.read(),
        }
    }

    pub(crate) fn part(&self, path: &str, at: &[Select]) -> Result<Element> {
        let rows = || at.first().cloned().unwrap_or(Select::All);
        match path {
            "obs" => self.shadow.select(rows(), ..)?.obs().table().map(Element::Table),
            "var" => self.shadow.select(.., rows())?.var().table().map(Element::Table),
            _ => self.member(path)?.read_part(at),
        }
    }

    pub(crate) fn set_element(&self, path: &str, value: Element) -> Result<()> {
        match value {
            Element::Mapping(parts) if path == "raw" => self.set_raw(parts),
            value => self.member(path)?.set(value),
        }
    }

    /// Makes these all that is in a slot.
    pub(crate) fn replace_slot(&self, slot: &str, elements: Vec<(String, Element)>) -> Result<()> {
        let why = "it is no slot of named elements".to_owned();
        self.slot(slot)?.ok_or_else(|| Error::BadName { name: slot.to_owned(), why })?.replace(elements)
    }

    /// All that `raw` has: X, var and, perhaps, varm.
    fn set_raw(&self, mut parts: BTreeMap<String, Element>) -> Result<()> {
        let bad = |name: &str, wanted: &str, found: Option<Element>| Error::WrongType {
            at: Place::new(self.shadow.path().display(), format!("raw/{name}")),
            wanted: wanted.to_owned(),
            found: found.map_or_else(|| "nothing".to_owned(), |found| found.describe()),
        };
        let x = parts.remove("X").ok_or_else(|| bad("X", "a matrix", None))?;
        let var = match parts.remove("var") {
            Some(Element::Table(var)) => var,
            other => return Err(bad("var", "a dataframe", other)),
        };
        let varm = match parts.remove("varm") {
            None => BTreeMap::new(),
            Some(Element::Mapping(varm)) => varm,
            other => return Err(bad("varm", "a dict", other)),
        };
        if let Some((name, _)) = parts.pop_first() {
            return Err(Error::BadName { name, why: "`raw` has X, var and varm".into() });
        }
        self.shadow.set_raw(x, var, varm)
    }

    /// This, for work on another thread.
    pub(crate) fn handle(&self) -> Self {
        Self { shadow: self.shadow.clone(), mudata: self.mudata.clone() }
    }
}
