//! [`Target`]: which element a path names, what its axes are, and how to read a part of it.

use std::fmt;

use anndata_shadow::{AnnDataShadow, Element, Error, Frame, Info, Rows, Select, Table};

use crate::failure::{Failure, Outcome};

/// An axis of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis<'a> {
    Obs,
    Var,
    RawVar,
    /// Aligned to nothing; the names are those of the columns, if the element is a frame.
    Free(&'a [String]),
}

impl fmt::Display for Axis<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Obs => "obs",
            Self::Var => "var",
            Self::RawVar => "raw var",
            Self::Free(_) => "free",
        })
    }
}

impl Axis<'_> {
    /// The frame along this axis.
    pub(crate) fn frame(self, shadow: &AnnDataShadow) -> Outcome<Option<Frame>> {
        Ok(match self {
            Self::Obs => Some(shadow.obs()),
            Self::Var => Some(shadow.var()),
            Self::RawVar => shadow.raw()?.map(|raw| raw.var()),
            Self::Free(_) => None,
        })
    }

    /// All names along this axis of `len`; of an axis without names, the positions as text.
    pub(crate) fn names(self, shadow: &AnnDataShadow, len: usize) -> Outcome<Vec<String>> {
        match self {
            Self::Free(names) if !names.is_empty() => Ok(names.to_vec()),
            Self::Free(_) => Ok((0..len).map(|i| i.to_string()).collect()),
            Self::Obs => Ok(shadow.obs_names()?),
            Self::Var => Ok(shadow.var_names()?),
            Self::RawVar => match shadow.raw()? {
                Some(raw) => Ok(raw.var_names()?),
                None => Ok(Vec::new()),
            },
        }
    }

    /// The names at these positions, reading no others where the file allows it.
    pub(crate) fn names_at(self, shadow: &AnnDataShadow, rows: &Rows, len: usize) -> Outcome<Vec<String>> {
        let cut = Select::from(rows.clone());
        let few = match self {
            // An axis may be longer than its names would have room.
            Self::Free([]) => return Ok(rows.iter().map(|i| i.to_string()).collect()),
            Self::Obs => Some(shadow.select(cut, ..)?.obs().names()),
            Self::Var => Some(shadow.select(.., cut)?.var().names()),
            Self::RawVar | Self::Free(_) => None,
        };
        match few {
            Some(Ok(names)) => Ok(names),
            // A file may have no `var` at all; the library then numbers the variables.
            None | Some(Err(Error::NotFound { .. })) => {
                let all = self.names(shadow, len)?;
                Ok(rows.iter().filter_map(|i| all.get(i).cloned()).collect())
            }
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// Name of the index along this axis.
    pub(crate) fn index_name(self, shadow: &AnnDataShadow) -> Outcome<String> {
        let name = match self.frame(shadow)? {
            Some(frame) => frame.index_name().ok(),
            None => None,
        };
        Ok(name.unwrap_or_else(|| "_index".to_owned()))
    }
}

/// Where in the AnnData a path leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Matrix,
    RawMatrix,
    Frame,
    Column,
    Aligned,
    Pairwise,
    Uns,
    /// A slot itself, such as `obsm`.
    Whole,
}

/// An element that is there.
pub(crate) struct Target {
    pub(crate) shadow: AnnDataShadow,
    pub(crate) path: String,
    pub(crate) info: Option<Info>,
    slot: Slot,
    /// The axis of the rows.
    first: Axis<'static>,
    /// Names of the columns, of frames.
    columns: Vec<String>,
}

impl Target {
    /// Looks up `path`.
    ///
    /// # Errors
    /// The library's, with the nearest names, if there is no such element.
    pub(crate) fn find(shadow: &AnnDataShadow, path: &str) -> Outcome<Self> {
        let path = path.trim_matches('/');
        let (slot, first) = place(path);
        let mut columns = Vec::new();
        let mut info = None;
        match slot {
            Slot::Frame => {
                let frame = first.frame(shadow)?.ok_or_else(|| no_raw(shadow, path))?;
                columns = frame.columns()?;
            }
            Slot::Column => {
                let frame = first.frame(shadow)?.ok_or_else(|| no_raw(shadow, path))?;
                let name = path.strip_prefix(frame.name()).and_then(|p| p.strip_prefix('/')).unwrap_or(path);
                // The frame's own message knows its columns; a member's knows the nodes in the file.
                if name != frame.index_name()? && !frame.columns()?.iter().any(|c| c == name) {
                    frame.element(name)?;
                }
                info = shadow.member(path)?.info()?;
            }
            Slot::Whole => {}
            _ => {
                let member = shadow.member(path)?;
                info = member.info()?;
                if info.is_none() {
                    // Reading is what knows the nearest names.
                    member.element()?;
                }
                if let Some(found) = info.as_ref().filter(|i| i.kind == anndata_shadow::Kind::Table) {
                    columns.clone_from(&found.children);
                }
            }
        }
        Ok(Self { shadow: shadow.clone(), path: path.to_owned(), info, slot, first, columns })
    }

    /// Whether this is a slot itself, not an element of one.
    pub(crate) fn is_slot(&self) -> bool {
        self.slot == Slot::Whole
    }

    /// Names of what is in the slot.
    pub(crate) fn entries(&self) -> Outcome<Vec<String>> {
        let s = &self.shadow;
        Ok(match self.path.as_str() {
            "layers" => s.layers().keys()?,
            "obsm" => s.obsm().keys()?,
            "varm" => s.varm().keys()?,
            "obsp" => s.obsp().keys()?,
            "varp" => s.varp().keys()?,
            "uns" => s.uns().keys()?,
            "raw" => match s.raw()? {
                Some(_) => ["X", "var", "varm"].map(str::to_owned).to_vec(),
                None => return Err(no_raw(s, "raw")),
            },
            "raw/varm" => match s.raw()? {
                Some(raw) => raw.varm().keys()?,
                None => return Err(no_raw(s, "raw/varm")),
            },
            _ => Vec::new(),
        })
    }

    /// Length along each axis.
    pub(crate) fn shape(&self) -> Outcome<Vec<usize>> {
        match (self.slot, self.first.frame(&self.shadow)?) {
            (Slot::Frame, Some(frame)) => Ok(vec![self.frame_rows(&frame)?, self.columns.len()]),
            _ => Ok(self.info.as_ref().map(|i| i.shape.clone()).unwrap_or_default()),
        }
    }

    fn frame_rows(&self, frame: &Frame) -> Outcome<usize> {
        match self.shadow.raw()? {
            Some(raw) if self.first == Axis::RawVar => Ok(raw.n_vars()?),
            _ => Ok(frame.n_rows()?),
        }
    }

    /// What the axis number `i` is aligned to.
    pub(crate) fn axis(&self, i: usize) -> Axis<'_> {
        match (i, self.slot) {
            (0, _) => self.first,
            (1, Slot::Matrix) => Axis::Var,
            (1, Slot::RawMatrix) => Axis::RawVar,
            (1, Slot::Pairwise) => self.first,
            _ => Axis::Free(&self.columns),
        }
    }

    /// Whether rows have names.
    pub(crate) fn has_names(&self) -> bool {
        !matches!(self.first, Axis::Free(_))
    }

    /// The element at these positions, one selection per axis; `None` takes all. Only that part is read.
    pub(crate) fn read(&self, cut: &[Option<Rows>; 2]) -> Outcome<Element> {
        if self.slot == Slot::Frame {
            return self.read_frame(cut[0].as_ref(), cut[1].as_ref());
        }
        // The second axis of a frame is its columns, and cut here.
        let is_frame = self.info.as_ref().is_some_and(|i| i.kind == anndata_shadow::Kind::Table);
        let axes = if is_frame { 1 } else { self.shape()?.len().min(2) };
        let at: Vec<Select> = cut[..axes].iter().map(|rows| rows.clone().map_or(Select::All, Select::from)).collect();
        match (self.shadow.member(&self.path)?.read_part(&at)?, &cut[1]) {
            (Element::Table(table), Some(cols)) => {
                let columns = cols.iter().filter_map(|i| table.columns().get(i).cloned()).collect();
                let name = table.index_name().map(str::to_owned);
                self.table(name, table.index().clone(), columns)
            }
            (element, _) => Ok(element),
        }
    }

    fn table(&self, name: Option<String>, index: Element, columns: Vec<(String, Element)>) -> Outcome<Element> {
        Table::new(name, index, columns)
            .map(Element::Table)
            .map_err(|why| Failure::element(self.shadow.path(), &self.path, why))
    }

    fn read_frame(&self, rows: Option<&Rows>, cols: Option<&Rows>) -> Outcome<Element> {
        let select = rows.map_or(Select::All, |r| Select::from(r.clone()));
        let (frame, left) = match self.first {
            Axis::Obs => (self.shadow.select(select, ..)?.obs(), None),
            Axis::Var => (self.shadow.select(.., select)?.var(), None),
            _ => (self.first.frame(&self.shadow)?.ok_or_else(|| no_raw(&self.shadow, &self.path))?, rows),
        };
        let cut = |e: &Element| left.map_or_else(|| e.clone(), |r| e.take(std::slice::from_ref(r)));
        let index = frame.index_name()?;
        let index_values = cut(&*frame.element(&index)?);
        let mut columns = Vec::new();
        let wanted: Vec<usize> = cols.map_or_else(|| (0..self.columns.len()).collect(), |c| c.iter().collect());
        for name in wanted.iter().filter_map(|&i| self.columns.get(i)) {
            columns.push((name.clone(), cut(&*frame.element(name)?)));
        }
        let name = (index != "_index").then_some(index);
        self.table(name, index_values, columns)
    }
}

fn no_raw(shadow: &AnnDataShadow, path: &str) -> Failure {
    Failure::element(shadow.path(), path, "there is no raw in this file")
}

/// The slot that a path leads into, and the axis of its rows.
fn place(path: &str) -> (Slot, Axis<'static>) {
    let (head, rest) = path.split_once('/').unwrap_or((path, ""));
    let inside = !rest.is_empty();
    match (head, inside) {
        ("X", false) => (Slot::Matrix, Axis::Obs),
        ("layers", true) => (Slot::Matrix, Axis::Obs),
        ("obs", false) => (Slot::Frame, Axis::Obs),
        ("var", false) => (Slot::Frame, Axis::Var),
        ("obs", true) => (Slot::Column, Axis::Obs),
        ("var", true) => (Slot::Column, Axis::Var),
        ("obsm" | "obsmap", true) => (Slot::Aligned, Axis::Obs),
        ("varm" | "varmap", true) => (Slot::Aligned, Axis::Var),
        ("obsp", true) => (Slot::Pairwise, Axis::Obs),
        ("varp", true) => (Slot::Pairwise, Axis::Var),
        ("raw", true) => match rest.split_once('/').unwrap_or((rest, "")) {
            ("X", "") => (Slot::RawMatrix, Axis::Obs),
            ("var", "") => (Slot::Frame, Axis::RawVar),
            ("var", _) => (Slot::Column, Axis::RawVar),
            ("varm", "") => (Slot::Whole, Axis::Free(&[])),
            ("varm", _) => (Slot::Aligned, Axis::RawVar),
            _ => (Slot::Uns, Axis::Free(&[])),
        },
        ("layers" | "obsm" | "varm" | "obsp" | "varp" | "uns" | "raw", false) => (Slot::Whole, Axis::Free(&[])),
        _ => (Slot::Uns, Axis::Free(&[])),
    }
}
