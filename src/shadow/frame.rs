//! [`Frame`]: the handle of obs or var, a data frame on disk of which single columns are read and added.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use polars::prelude::{DataFrame, IntoColumn, NamedFrom, Series};

use super::anndata::AnnDataShadow;
use super::member::{Member, Slot, check_keys};
use super::repr;
use super::side_by_side::side_by_side;
use super::slots::{self, SlotSpec};
use crate::codec::{FrameMeta, Kind};
use crate::error::{Error, Place, Result, nearest};
use crate::path::ElemPath;
use crate::value::{Array, Categorical, Element, Table, column_to_series, narrow_codes, series_to_column};

/// A data frame on disk. Nothing is read until asked for, and then by column.
#[derive(Clone)]
pub struct Frame {
    pub(crate) shadow: AnnDataShadow,
    pub(crate) spec: &'static SlotSpec,
}

impl Frame {
    /// Name of the frame: `obs`, `var`, `raw/var`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.spec.name
    }

    /// Names of the columns, in order, pending ones last. The index is not among them.
    ///
    /// # Errors
    /// Those of the store.
    pub fn columns(&self) -> Result<Vec<String>> {
        Ok(self.meta()?.columns)
    }

    /// Name of the index as it is stored; `_index` if it has none.
    ///
    /// # Errors
    /// Those of the store.
    pub fn index_name(&self) -> Result<String> {
        Ok(self.meta()?.index)
    }

    /// A column, for messages.
    pub(crate) fn place(&self, column: &str) -> Place {
        self.shadow.root.place(&self.at().and_then(|at| at.join(column)).unwrap_or_default())
    }

    fn meta(&self) -> Result<FrameMeta> {
        match self.shadow.root.frame(&self.at()?) {
            // Without var, the columns of X are numbered, as in anndata.
            Err(Error::NotFound { .. }) if self.is_var() => {
                Ok(FrameMeta { index: "_index".into(), columns: Vec::new(), n_rows: self.n_rows()? })
            }
            other => other,
        }
    }

    fn is_var(&self) -> bool {
        self.spec.name == slots::VAR.name
    }

    /// The row names: the index as text.
    ///
    /// # Errors
    /// Those of the store.
    pub fn names(&self) -> Result<Vec<String>> {
        let index = match self.part(&self.index_name()?) {
            Err(Error::NotFound { .. }) if self.is_var() => return self.shadow.var_names(),
            other => other?,
        };
        self.shadow.root.row_names(&self.at()?, &index)
    }

    /// Number of rows (of a view: of those that it takes).
    ///
    /// # Errors
    /// Those of the store.
    pub fn n_rows(&self) -> Result<usize> {
        self.spec.axes.iter().map(|&axis| self.shadow.length(axis)).next().unwrap_or(Ok(0))
    }

    /// One column as a polars series, reading that column alone: text as `String`, categoricals as `Enum` with all
    /// categories in their order, missing values as nulls.
    ///
    /// # Errors
    /// [`Error::NotFound`] with the nearest names; [`Error::WrongType`] for what polars cannot hold (complex numbers).
    pub fn column(&self, name: &str) -> Result<Series> {
        self.series(name, &*self.element(name)?)
    }

    fn series(&self, name: &str, element: &Element) -> Result<Series> {
        let at = self.shadow.root.place(&self.at()?.join(name)?);
        let wanted = || "a column that polars can hold".to_owned();
        column_to_series(name, element).map_err(|found| Error::WrongType { at, wanted: wanted(), found })
    }

    /// One column, or the index by its name, as it is stored, shared with the cache.
    ///
    /// # Errors
    /// [`Error::NotFound`] with the nearest names, and those of the store.
    pub fn element(&self, name: &str) -> Result<Arc<Element>> {
        let meta = self.shadow.root.frame(&self.at()?)?;
        if meta.index != name && !meta.columns.iter().any(|c| c == name) {
            return Err(Error::NotFound {
                at: self.shadow.root.place(&self.at()?.join(name)?),
                nearest: nearest(name, meta.columns.iter().map(String::as_str)),
            });
        }
        self.part(name)
    }

    /// These columns (or the index, by its name) as they are stored, read side by side. As with [`Member::read`], what is larger than
    /// 1 MiB is not kept in the cache.
    ///
    /// # Errors
    /// As [`element`](Self::element).
    pub fn elements(&self, names: &[String]) -> Result<Vec<Element>> {
        self.elements_of(&self.meta()?, names)
    }

    fn elements_of(&self, meta: &FrameMeta, names: &[String]) -> Result<Vec<Element>> {
        let known: HashSet<&str> = meta.columns.iter().map(String::as_str).chain([&*meta.index]).collect();
        if let Some(unknown) = names.iter().find(|name| !known.contains(name.as_str())) {
            let nearest = nearest(unknown, meta.columns.iter().map(String::as_str));
            return Err(Error::NotFound { at: self.place(unknown), nearest });
        }
        side_by_side(names.len(), |i| match self.held_index(&names[i])? {
            Some(index) => Ok(index),
            None => match self.member(&names[i])?.read() {
                // Without var, its rows are numbered.
                Err(Error::NotFound { .. }) if self.is_var() && names[i] == meta.index => {
                    Ok(Element::Array(Array::from_vec(self.shadow.var_names()?)))
                }
                other => other,
            },
        })
    }

    /// The whole frame: the index first, under its name (`_index` if it has none), then the columns.
    ///
    /// # Errors
    /// As [`column`](Self::column).
    pub fn read(&self) -> Result<DataFrame> {
        let (index, columns) = (self.index_name()?, self.columns()?);
        let own_index = !columns.contains(&index);
        let names = own_index.then_some(&index).into_iter().chain(&columns).collect::<Vec<_>>();
        let series = side_by_side(names.len(), |i| {
            Ok(match names[i] {
                _ if own_index && i == 0 => Series::new(index.as_str().into(), self.names()?),
                // The names are known to be columns: looking each up among all would take their square.
                name => self.series(name, &*self.part(name)?)?,
            }
            .into_column())
        })?;
        DataFrame::new(self.n_rows()?, series)
            .map_err(|e| Error::Unsupported { at: self.shadow.root.here(), what: format!("as a polars frame: {e}") })
    }

    /// The whole frame as it is stored, every dtype, category and missing value kept. Its columns are read as by
    /// [`elements`](Self::elements).
    ///
    /// # Errors
    /// Those of the store; [`Error::Malformed`] if index and columns do not fit each other.
    pub fn table(&self) -> Result<Table> {
        let meta = self.meta()?;
        let names: Vec<String> = std::iter::once(&meta.index).chain(&meta.columns).cloned().collect();
        let mut elements = self.elements_of(&meta, &names)?.into_iter();
        let index = elements.next().unwrap_or(Element::Null);
        let columns = meta.columns.into_iter().zip(elements).collect();
        Table::new(Some(meta.index).filter(|name| name != "_index"), index, columns)
            .map_err(|what| Error::Malformed { at: self.shadow.root.place(&self.at().unwrap_or_default()), what })
    }

    /// Sets a column, in memory, in place of one of this name or behind the others; `write()` brings it to the file. A column,
    /// not the frame: the others are not touched.
    ///
    /// Nulls become missing values; in float columns, where the format has none, NaN.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::BadName`] (empty, `_index`, with a slash), [`Error::WrongType`] for
    /// polars types that the format has no form for, [`Error::View`].
    pub fn insert(&self, column: Series) -> Result<()> {
        let name = column.name().to_string();
        let at = self.shadow.root.place(&self.at()?.join(&name)?);
        let element = series_to_column(&column).map_err(|found| Error::WrongType {
            at,
            wanted: "a column that AnnData can hold".into(),
            found,
        })?;
        self.insert_element(&name, element)
    }

    /// Sets a column as [`insert`](Self::insert), from an array, a categorical or a nullable array.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn insert_element(&self, name: &str, value: impl Into<Element>) -> Result<()> {
        self.member(name)?.set(value)
    }

    /// Sets the whole frame, in place of what is there: the same number of rows; its index gives the row names.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::BadName`], [`Error::WrongType`], [`Error::View`]; those of [`set_names`](Self::set_names).
    pub fn set(&self, table: Table) -> Result<()> {
        let (root, at) = (&self.shadow.root, self.at()?);
        self.shadow.refuse_view(&at, "setting a frame")?;
        let value = Element::Table(table);
        check_keys(&value)?;
        let Element::Table(table) = &value else { return Ok(()) };
        let (shape, rows) = (root.shape(), self.n_rows()?);
        let lengths = [rows];
        for (name, column) in table.columns() {
            self.spec.check(&root.place(&at.join(name)?), column, &lengths)?;
        }
        let names = root.names_to_be(&at, table)?;
        if names.len() != rows {
            let (expected, got) = (format!("[{rows}, …]"), format!("{} rows", names.len()));
            return Err(Error::Shape { at: root.place(&at), expected, got });
        }
        let aligned = self.aligned(&names, table.index_name())?;
        root.set_all(with_aligned((at, value, false), aligned), shape)
    }

    /// Gives the rows other names: the index, and with it that of every frame in obsm (or varm), which must have the same. In
    /// a MuData, the names of the global part are its own.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are more or fewer names than rows; [`Error::View`]; those of the store.
    pub fn set_names(&self, names: Vec<String>) -> Result<()> {
        let (root, at) = (&self.shadow.root, self.at()?);
        self.shadow.refuse_view(&at, "setting row names")?;
        let (shape, rows, index) = (root.shape(), self.n_rows()?, self.index_name()?);
        if names.len() != rows {
            let (expected, got) = (format!("[{rows}]"), format!("{} names", names.len()));
            return Err(Error::Shape { at: root.place(&at.join(&index)?), expected, got });
        }
        let aligned = self.aligned(&names, Some(&*index).filter(|name| *name != "_index"))?;
        let first = match self.held_index(&index)? {
            // The frame is pending as a whole.
            Some(_) => {
                let table = self.table()?;
                let whole = renamed(&table, table.index_name(), &names)
                    .map_err(|what| Error::Malformed { at: root.place(&at), what })?;
                (at, Element::Table(whole), false)
            }
            None => (at.join(&index)?, Element::Array(Array::from_vec(names)), true),
        };
        root.set_all(with_aligned(first, aligned), shape)
    }

    /// The frames aligned to this one, as they are with these names of their rows under this name; none if they have these
    /// already.
    fn aligned(&self, names: &[String], index: Option<&str>) -> Result<Vec<(Member, Table)>> {
        let slot = match self.spec.name {
            "obs" => self.shadow.obsm(),
            "var" => self.shadow.varm(),
            _ => Slot { shadow: self.shadow.clone(), spec: &slots::RAW_VARM },
        };
        if self.names().is_ok_and(|old| old == names) {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for name in slot.keys()? {
            let member = slot.member(&name)?;
            if member.info()?.is_some_and(|info| info.kind == Kind::Table) {
                let table = renamed(&member.read::<Table>()?, index, names)
                    .map_err(|what| Error::Malformed { at: self.shadow.root.place(&member.at), what })?;
                found.push((member, table));
            }
        }
        Ok(found)
    }

    /// Adds categories to a categorical column, behind those that it has.
    ///
    /// # Errors
    /// [`Error::WrongType`] if it is no categorical of texts; [`Error::BadName`] if it has one of them already.
    pub fn add_categories(&self, name: &str, more: &[&str]) -> Result<()> {
        let at = self.shadow.root.place(&self.at()?.join(name)?);
        let element = self.element(name)?;
        let wrong =
            || Error::WrongType { at: at.clone(), wanted: "a categorical of texts".into(), found: element.describe() };
        let Element::Categorical(old) = &*element else { return Err(wrong()) };
        let Array::Str(_) = old.categories() else { return Err(wrong()) };
        let mut categories = old.categories().to_strings();
        for &new in more {
            if categories.iter().any(|known| known == new) {
                return Err(Error::BadName {
                    name: new.to_owned(),
                    why: format!("`{name}` has this category already"),
                });
            }
            categories.push(new.to_owned());
        }
        let codes = old.positions().into_iter().map(|p| p.map_or(-1, |p| p as i64)).collect();
        let codes = narrow_codes(codes, categories.len());
        let column = Categorical::new(codes, Array::from_vec(categories), old.ordered())
            .map_err(|what| Error::Malformed { at: at.clone(), what })?;
        self.insert_element(name, column)
    }

    /// Removes a column.
    ///
    /// # Errors
    /// As [`Member::remove`].
    pub fn remove(&self, name: &str) -> Result<()> {
        self.member(name)?.remove()
    }

    /// Gives a column another name; it keeps its place among the others.
    ///
    /// # Errors
    /// As [`Member::rename_to`].
    pub fn rename(&self, name: &str, new: &str) -> Result<()> {
        self.member(name)?.rename_to(&format!("{}/{new}", self.spec.name))
    }

    pub(crate) fn at(&self) -> Result<ElemPath> {
        self.shadow.root.at(self.spec.name)
    }

    /// The handle of a column, or of the index. Its name may be a path (anndata before 0.13 wrote `a/b` so).
    pub(crate) fn member(&self, name: &str) -> Result<Member> {
        Ok(Member { shadow: self.shadow.clone(), spec: self.spec, at: self.at()?.join(name)? })
    }

    fn part(&self, name: &str) -> Result<Arc<Element>> {
        match self.held_index(name)? {
            Some(index) => Ok(Arc::new(index)),
            None => self.member(name)?.element(),
        }
    }

    /// The index (of a view: of the rows that it takes), if `name` names it and the frame is in memory as a whole: it is not an
    /// element at a path then.
    fn held_index(&self, name: &str) -> Result<Option<Element>> {
        self.shadow.root.held_index(&self.at()?, name, &self.shadow.cut_for(self.spec.axes))
    }
}

/// An element to set and, with it, frames that are aligned to it.
fn with_aligned(first: (ElemPath, Element, bool), aligned: Vec<(Member, Table)>) -> Vec<(ElemPath, Element, bool)> {
    let aligned = aligned.into_iter().map(|(member, frame)| (member.at, Element::Table(frame), false));
    std::iter::once(first).chain(aligned).collect()
}

/// The same frame with other row names.
pub(super) fn renamed(table: &Table, index_name: Option<&str>, names: &[String]) -> Result<Table, String> {
    let index = Element::Array(Array::from_vec(names.to_vec()));
    // A column of the index's name is one child with it (format, 2.4).
    let of_index = |name: &str| index_name == Some(name);
    let column = |(name, c): &(String, Element)| (name.clone(), if of_index(name) { index.clone() } else { c.clone() });
    let columns = table.columns().iter().map(column).collect();
    Table::new(index_name.map(str::to_owned), index.clone(), columns)
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        repr::slot(f, &self.shadow, self.spec, "")
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
