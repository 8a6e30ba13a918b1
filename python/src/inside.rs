//! What is at a path inside an [`Object`]: an element, a slot, a frame, or `raw`.

use anndata_shadow::{Element, Error, Frame, Member, MuDataShadow, Place, Result, Select, Slot, Table};

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
            return whole(&self.frame(path)?).map(Element::Table);
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
            "obs" => whole(&self.shadow.select(rows(), ..)?.obs()).map(Element::Table),
            "var" => whole(&self.shadow.select(.., rows())?.var()).map(Element::Table),
            _ => self.member(path)?.read_part(at),
        }
    }

    pub(crate) fn set_element(&self, path: &str, value: Element) -> Result<()> {
        let Element::Mapping(mut parts) = value else { return self.member(path)?.set(value) };
        if path != "raw" {
            return self.member(path)?.set(Element::Mapping(parts));
        }
        let (Some(x), Some(Element::Table(var))) = (parts.remove("X"), parts.remove("var")) else {
            let at = Place::new(self.shadow.path().display(), path);
            return Err(Error::WrongType {
                at,
                wanted: "X, and var, a frame".into(),
                found: "a dict without these".into(),
            });
        };
        self.shadow.set_raw(x, var)?;
        let Some(Element::Mapping(varm)) = parts.remove("varm") else { return Ok(()) };
        varm.into_iter().try_for_each(|(name, value)| self.member(&format!("raw/varm/{name}"))?.set(value))
    }

    /// This, for work on another thread.
    pub(crate) fn handle(&self) -> Self {
        Self { shadow: self.shadow.clone(), mudata: self.mudata.clone() }
    }
}

/// A frame as it is stored, its columns read side by side.
fn whole(frame: &Frame) -> Result<Table> {
    let index_name = frame.index_name()?;
    let mut names = vec![index_name.clone()];
    names.extend(frame.columns()?);
    let mut parts = names.iter().cloned().zip(frame.elements(&names)?);
    let index = parts.next().map_or(Element::Null, |(_, index)| index);
    let at = || Place::new(frame.name(), "");
    Table::new(Some(index_name).filter(|name| name != "_index"), index, parts.collect())
        .map_err(|what| Error::Malformed { at: at(), what })
}
