//! Handles of single elements ([`Member`]) and of slots that hold named ones ([`Slot`]).

use std::fmt;
use std::sync::Arc;

use super::anndata::AnnDataShadow;
use super::repr;
use super::root::Keep;
use super::slots::{Admits, Axis, SlotSpec};
use crate::codec::{Info, Kind};
use crate::error::{Error, Place, Result};
use crate::index::{Rows, Select};
use crate::overlay::Mark;
use crate::path::{ElemPath, check_new_name};
use crate::value::{Element, FromElement, Table};

/// One element at a fixed place, such as X. Nothing is read until asked for.
#[derive(Clone)]
pub struct Member {
    pub(crate) shadow: AnnDataShadow,
    pub(crate) spec: &'static SlotSpec,
    pub(crate) at: ElemPath,
}

impl Member {
    /// Whether there is a value: present, and not the `null` element.
    ///
    /// # Errors
    /// [`Error::Closed`], and those of the store.
    pub fn exists(&self) -> Result<bool> {
        Ok(self.info()?.is_some_and(|i| i.kind != Kind::Null))
    }

    /// What is known without reading data, cut to the view; `None` if there is no such element.
    ///
    /// # Errors
    /// [`Error::Closed`], and those of the store.
    pub fn info(&self) -> Result<Option<Info>> {
        Ok(self.shadow.root.info(&self.at)?.map(|info| self.shadow.cut_info(info, self.spec.axes)))
    }

    /// The element (of a view: the part that the view takes; nothing else is read). Beyond 1 MiB it is not kept in the cache,
    /// which would hold it twice: who comes back to it [shares](Self::element) it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongType`] if it is of another type than asked for, [`Error::Malformed`],
    /// [`Error::Unsupported`] for encodings that are not read, [`Error::Closed`].
    pub fn read<T: FromElement>(&self) -> Result<T> {
        let element = self.shadow.read(&self.at, self.spec.axes, Keep::Small)?;
        self.convert(self.in_view(element)?)
    }

    /// The element, shared with the cache.
    ///
    /// # Errors
    /// As [`read`](Self::read), but for the type.
    pub fn element(&self) -> Result<Arc<Element>> {
        self.in_view(self.shadow.read(&self.at, self.spec.axes, Keep::All)?)
    }

    /// In a view, positions in modalities count the rows that the view takes of these.
    fn in_view(&self, element: Arc<Element>) -> Result<Arc<Element>> {
        if self.spec.admits == Admits::Positions && self.shadow.is_view() {
            let Element::Array(positions) = &*element else { return Ok(element) };
            return Ok(Arc::new(Element::Array(positions.renumbered())));
        }
        Ok(element)
    }

    /// The part at these positions, one selection per leading axis (axes beyond the list are whole), counted within the
    /// view. Nothing else is read, and nothing is kept in memory. Names may be used on axes that have them; the columns of a
    /// frame are not an axis.
    ///
    /// ```no_run
    /// # use anndata_shadow::{AnnDataShadow, Select, ndarray::Array2};
    /// # fn main() -> anndata_shadow::Result<()> {
    /// # let shadow = AnnDataShadow::open("pbmc.h5ad")?;
    /// // The first two components of 100 cells.
    /// let two: Array2<f32> = shadow.obsm().member("X_pca")?.read_part(&[(0..100).into(), (..2).into()])?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`read`](Self::read); [`Error::Selection`] and [`Error::UnknownName`] if a selection does not fit its axis.
    pub fn read_part<T: FromElement>(&self, at: &[Select]) -> Result<T> {
        let info = self.info()?.ok_or_else(|| self.shadow.root.not_found(&self.at))?;
        let axes = if info.kind == Kind::Table { 1 } else { info.shape.len() };
        let refuse = |axis: &str, why: String| Error::Selection {
            at: self.shadow.root.place(&self.at),
            axis: axis.to_owned(),
            why,
        };
        if at.len() > axes {
            return Err(refuse(&format!("number {axes}"), format!("{} selections for {axes} axes", at.len())));
        }
        let mut cut = Vec::with_capacity(at.len());
        for (i, select) in at.iter().enumerate() {
            let axis = self.spec.axes.get(i).copied();
            let name = axis.map_or_else(|| format!("number {i}"), |a| a.name().to_owned());
            let names = match axis.filter(|_| select.needs_names()) {
                Some(axis) => self.shadow.axis_names(axis)?,
                None if select.needs_names() => return Err(refuse(&name, "it has no names".into())),
                None => Vec::new(),
            };
            let rows = select.resolve(info.shape[i], &names);
            let rows = rows.map_err(|e| e.on(&name, self.shadow.root.place(&self.at)))?;
            cut.push(Some(rows).filter(|r| !matches!(r, Rows::All(_))));
        }
        self.convert(self.part(&cut)?)
    }

    /// Only these rows (and columns) of the element, counted within the view, without keeping them in memory.
    pub(crate) fn part(&self, cut: &[Option<Rows>]) -> Result<Arc<Element>> {
        // Positions are counted over the whole view.
        if self.spec.admits == Admits::Positions && self.shadow.is_view() {
            let whole = self.element()?;
            return Ok(Arc::new(whole.take(&Rows::of_cut(&whole.shape(), cut))));
        }
        let mut whole = self.shadow.cut_for(self.spec.axes);
        whole.resize(whole.len().max(cut.len()), None);
        for (outer, inner) in whole.iter_mut().zip(cut) {
            if let Some(inner) = inner {
                *outer = Some(outer.as_ref().map_or_else(|| inner.clone(), |o| o.compose(inner)));
            }
        }
        self.shadow.root.read(&self.at, self.spec.axes, &whole, Keep::Small)
    }

    fn convert<T: FromElement>(&self, element: Arc<Element>) -> Result<T> {
        T::from_element(Arc::unwrap_or_clone(element)).map_err(|m| Error::WrongType {
            at: self.shadow.root.place(&self.at),
            wanted: m.wanted,
            found: m.found,
        })
    }

    /// The mark of the element, if it has one.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        self.shadow.mark(&self.at)
    }

    /// Sets the element, in memory, in place of what is there; `write()` brings it to the file.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::WrongType`] if it does not fit the slot, [`Error::View`], [`Error::BadName`].
    pub fn set(&self, value: impl Into<Element>) -> Result<()> {
        self.put(value.into())
    }

    fn put(&self, value: Element) -> Result<()> {
        let shape = self.shadow.root.shape();
        self.check(&value)?;
        self.shadow.root.set(&self.at, value, self.spec.admits == Admits::Column, shape)
    }

    /// Checks that `value` can be set here.
    fn check(&self, value: &Element) -> Result<()> {
        let root = &self.shadow.root;
        self.shadow.refuse_view(&self.at, "setting an element")?;
        root.check_has(self.spec.name)?;
        self.check_name()?;
        check_keys(value)?;
        let lengths = self.spec.axes.iter().map(|&a| root.length(a)).collect::<Result<Vec<_>>>()?;
        self.spec.check(&root.place(&self.at), value, &lengths)?;
        match (self.spec.admits, value) {
            (Admits::Aligned, Element::Table(table)) => self.check_frame_index(table),
            _ => Ok(()),
        }
    }

    /// Outside `uns` an element has one name below its slot (X has none); a column is not named like the index.
    fn check_name(&self) -> Result<()> {
        let below = self.at.strip_prefix(&self.shadow.root.at(self.spec.name)?).unwrap_or_default();
        let names: Vec<&str> = below.components().collect();
        let bad = |why: &str| Err(Error::BadName { name: below.to_string(), why: why.to_owned() });
        match (self.spec.admits, &names[..]) {
            (Admits::Any, [_, ..]) | (_, [_]) => {}
            (Admits::Matrix, []) if self.spec.name.ends_with('X') => {}
            _ => return bad("`/` separates groups, and this slot holds none"),
        }
        names.iter().try_for_each(|name| check_new_name(name))?;
        if let (Admits::Column, [name]) = (self.spec.admits, &names[..]) {
            let frame = self.shadow.root.frame(&self.shadow.root.at(self.spec.name)?)?;
            if *name == "_index" || *name == frame.index {
                return bad("it names the index of the frame");
            }
        }
        Ok(())
    }

    /// The index of a frame in obsm or varm must equal the names of its axis (format, section 7).
    fn check_frame_index(&self, table: &Table) -> Result<()> {
        let Some(&axis) = self.spec.axes.first() else { return Ok(()) };
        let root = &self.shadow.root;
        check_index(&root.place(&self.at), table, &root.axis_names(axis)?)
    }

    /// Removes the element: one that the file has is gone from here at once, and from the file with the next `write()`; what
    /// was set and not written is forgotten, too.
    ///
    /// # Errors
    /// [`Error::NotFound`] with the nearest names; [`Error::Unsupported`] for the index of a frame; [`Error::View`],
    /// [`Error::Closed`].
    pub fn remove(&self) -> Result<()> {
        self.shadow.refuse_view(&self.at, "removing an element")?;
        self.refuse_index("removed")?;
        self.shadow.root.remove(&self.at, self.spec.admits == Admits::Column)
    }

    /// Gives the element another path inside the AnnData, without reading or writing its data: another name in its slot, or
    /// between X and the layers. A column keeps its place among the others.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Exists`] if something is there, [`Error::BadName`], [`Error::View`],
    /// [`Error::Unsupported`] for a path that elements of this slot cannot have.
    pub fn rename_to(&self, path: &str) -> Result<()> {
        let to = self.shadow.member(path)?;
        self.shadow.refuse_view(&self.at, "renaming an element")?;
        self.refuse_index("renamed")?;
        to.refuse_index("replaced")?;
        to.check_name()?;
        let same = |slot: fn(&SlotSpec) -> bool| slot(self.spec) && slot(to.spec);
        if self.spec.name != to.spec.name && !same(|s| matches!(s.name, "X" | "layers")) {
            let what = format!("elements of `{}` cannot become `{path}`", self.spec.name);
            return Err(Error::Unsupported { at: self.shadow.root.place(&self.at), what });
        }
        self.shadow.root.rename(&self.at, &to.at, self.spec.admits == Admits::Column)
    }

    /// Takes back what is pending here (of a renamed element, by its new or its old path): it is as in the file again.
    ///
    /// # Errors
    /// [`Error::NotFound`] if nothing is pending here; [`Error::View`]; [`Error::Unsupported`] for what hangs together with
    /// changes of modalities; [`Error::Closed`] where the names that a frame in obsm or varm is to have hang on the file.
    pub fn discard(&self) -> Result<()> {
        self.shadow.refuse_view(&self.at, "discarding changes")?;
        self.shadow.take_back(&self.at)
    }

    /// Refuses what cannot be done with the index of a frame.
    fn refuse_index(&self, what: &str) -> Result<()> {
        if self.spec.admits != Admits::Column {
            return Ok(());
        }
        let frame = self.shadow.root.at(self.spec.name)?;
        let meta = self.shadow.root.frame(&frame)?;
        if frame.join(&meta.index).is_ok_and(|index| index == self.at) {
            let what = format!("it holds the row names, which cannot be {what} as a column; set_names() gives others");
            return Err(Error::Unsupported { at: self.shadow.root.place(&self.at), what });
        }
        Ok(())
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Member({})", self.shadow.root.place(&self.at))
    }
}

/// Checks that the rows of a frame are named like the axis that it is aligned to.
pub(crate) fn check_index(at: &Place, table: &Table, names: &[String]) -> Result<()> {
    let index = table.index().texts().unwrap_or_default();
    if index.iter().map(|n| n.as_deref()).eq(names.iter().map(|n| Some(n.as_str()))) {
        return Ok(());
    }
    Err(Error::Shape {
        at: at.clone(),
        expected: "the index of the frame equal to the names of its axis".into(),
        got: "another index".into(),
    })
}

/// Names inside a value follow the same rules as names of elements.
pub(crate) fn check_keys(value: &Element) -> Result<()> {
    match value {
        Element::Mapping(m) => m.iter().try_for_each(|(name, e)| check_new_name(name).and_then(|()| check_keys(e))),
        Element::Table(t) => {
            t.index_name().map_or(Ok(()), check_new_name)?;
            t.columns().iter().try_for_each(|(name, _)| check_new_name(name))
        }
        _ => Ok(()),
    }
}

/// A slot of named elements, such as obsm. In `uns`, a name may be a path: `neighbors/params`.
///
/// Shown as its name and its elements with their marks: `obsm:\tX_pcaᐁ, X_umap, X_new▲`.
#[derive(Clone)]
pub struct Slot {
    pub(crate) shadow: AnnDataShadow,
    pub(crate) spec: &'static SlotSpec,
}

impl Slot {
    /// Name of the slot.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.spec.name
    }

    /// Names of its elements: those in the file, sorted, then the pending ones in the order in which they were set.
    ///
    /// # Errors
    /// Those of the store.
    pub fn keys(&self) -> Result<Vec<String>> {
        self.shadow.root.names(&self.at()?)
    }

    /// Whether there is an element `name`.
    ///
    /// # Errors
    /// Those of the store.
    pub fn contains(&self, name: &str) -> Result<bool> {
        Ok(self.shadow.root.info(&self.member(name)?.at)?.is_some())
    }

    /// The handle of the element `name`, whether it exists or not.
    ///
    /// # Errors
    /// [`Error::BadName`].
    pub fn member(&self, name: &str) -> Result<Member> {
        let at = self.at()?.join(name)?;
        Ok(Member { shadow: self.shadow.clone(), spec: self.spec, at })
    }

    /// The element `name`, as [`Member::read`]; [`element`](Self::element) shares what is large.
    ///
    /// # Errors
    /// As [`Member::read`].
    pub fn read<T: FromElement>(&self, name: &str) -> Result<T> {
        self.member(name)?.read()
    }

    /// The element `name`, shared with the cache.
    ///
    /// # Errors
    /// As [`Member::read`].
    pub fn element(&self, name: &str) -> Result<Arc<Element>> {
        self.member(name)?.element()
    }

    /// What is known of the element `name` without reading data.
    ///
    /// # Errors
    /// [`Error::NotFound`] with the nearest names.
    pub fn info(&self, name: &str) -> Result<Info> {
        let member = self.member(name)?;
        member.info()?.ok_or_else(|| self.shadow.root.not_found(&member.at))
    }

    /// Sets the element `name`, in memory, in place of what is there; `write()` brings it to the file.
    ///
    /// # Errors
    /// As [`Member::set`]; [`Error::BadName`] for names that readers would misread.
    pub fn insert(&self, name: &str, value: impl Into<Element>) -> Result<()> {
        self.member(name)?.set(value)
    }

    /// Makes these all of its elements, in memory: each takes the place of what is there by its name, and whatever else is there
    /// goes. If one of them does not fit, nothing changes.
    ///
    /// # Errors
    /// As [`insert`](Self::insert) and [`remove`](Self::remove).
    pub fn replace(&self, elements: Vec<(String, Element)>) -> Result<()> {
        let root = &self.shadow.root;
        let shape = root.shape();
        self.shadow.refuse_view(&self.at()?, "replacing elements")?;
        let stays = |old: &String| elements.iter().any(|(name, _)| name == old);
        let mut gone = Vec::new();
        for name in self.keys()?.into_iter().filter(|name| !stays(name)) {
            gone.push(self.member(&name)?.at);
        }
        let mut new = Vec::new();
        for (name, value) in elements {
            let member = self.member(&name)?;
            member.check(&value)?;
            new.push((member.at, value, false));
        }
        root.replace_all(new, &gone, shape)
    }

    /// Removes the element `name`.
    ///
    /// # Errors
    /// As [`Member::remove`].
    pub fn remove(&self, name: &str) -> Result<()> {
        self.member(name)?.remove()
    }

    /// Gives the element `name` another name, without reading or writing its data.
    ///
    /// # Errors
    /// As [`Member::rename_to`].
    pub fn rename(&self, name: &str, new: &str) -> Result<()> {
        self.member(name)?.rename_to(&format!("{}/{new}", self.spec.name))
    }

    fn at(&self) -> Result<ElemPath> {
        self.shadow.root.at(self.spec.name)
    }

    /// The axes its elements are aligned to.
    pub(crate) const fn axes(&self) -> &'static [Axis] {
        self.spec.axes
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        repr::slot(f, &self.shadow, self.spec, "")
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
