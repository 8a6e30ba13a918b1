//! [`AnnDataShadow`]: the object users hold. A cheap clone over the root; a view is the same with a selection.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use polars::prelude::Series;

use super::core::Core;
use super::frame::Frame;
use super::link::{Mode, OpenOptions, WriteOptions};
use super::locate;
use super::member::{Member, Slot, check_keys};
use super::raw::{RawShadow, check_raw};
use super::repr;
use super::root::{Keep, Root};
use super::slots::{self, Axis, SlotSpec};
use super::view::View;
use crate::codec::{Info, Kind};
use crate::commit::{Change, Receipt};
use crate::error::{Error, Result};
use crate::index::{Rows, Select};
use crate::overlay::Mark;
use crate::path::ElemPath;
use crate::store::{Format, IoStats};
use crate::value::{Array, Element, Table, column_to_series};

/// An AnnData object that stays in its file.
///
/// Opening reads metadata only; every read fetches what it asks for and no more; what is set stays in memory, visible
/// in the object and its views, until [`write`](Self::write). Cloning is cheap, and clones, views and handles share one
/// open file and one set of pending changes. All of it can be used from many threads.
#[derive(Clone)]
pub struct AnnDataShadow {
    pub(crate) root: Arc<Root>,
    view: Option<Arc<View>>,
}

/// All slots, those inside others first.
static ALL: [&SlotSpec; 12] = [
    &slots::RAW_X,
    &slots::RAW_VAR,
    &slots::RAW_VARM,
    &slots::X,
    &slots::LAYERS,
    &slots::OBS,
    &slots::VAR,
    &slots::OBSM,
    &slots::VARM,
    &slots::OBSP,
    &slots::VARP,
    &slots::UNS,
];

/// Bounds of a listing; what goes beyond leads in circles.
const MAX_LISTED: usize = 1_000_000;
const MAX_DEPTH: usize = 64;

/// An element of a shadow, as [`AnnDataShadow::elements`] lists it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ElementInfo {
    /// Path inside the AnnData: `obsm/X_pca`, `obs/louvain`, `uns/neighbors/params`.
    pub path: String,
    /// What is known of it, cut to the view.
    pub info: Info,
    /// Cached, new, replaced, or none of these.
    pub mark: Option<Mark>,
}

impl AnnDataShadow {
    /// Opens a file or directory for reading. The format is found by content; the path may end inside the file
    /// (`x.h5mu/mod/rna`, `s.zarr/tables/table`).
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::NotAnnData`], [`Error::Unsupported`] for layouts that nobody
    /// knows, [`Error::Malformed`] for damaged files, [`Error::Busy`] if somebody writes to it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &OpenOptions::default())
    }

    /// Opens with options.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        let core = Arc::new(Core::open(path.as_ref(), options, locate::find_anndata)?);
        let base = core.base.clone();
        Ok(Self::whole(Arc::new(Root { core, base, is_mudata: false })))
    }

    /// The path it was opened with.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root.core.path
    }

    /// The container.
    #[must_use]
    pub fn format(&self) -> Format {
        self.root.core.format
    }

    /// The mode; `None` when closed.
    #[must_use]
    pub fn mode(&self) -> Option<Mode> {
        self.root.core.mode()
    }

    /// Number of observations (of a view: of those that it takes).
    #[must_use]
    pub fn n_obs(&self) -> usize {
        self.shape().0
    }

    /// Number of variables.
    #[must_use]
    pub fn n_vars(&self) -> usize {
        self.shape().1
    }

    /// Observations, variables.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        match &self.view {
            Some(view) => (view.rows[0].len(), view.rows[1].len()),
            None => self.original_shape(),
        }
    }

    /// Shape of the object that a view was cut from.
    #[must_use]
    pub fn original_shape(&self) -> (usize, usize) {
        self.root.shape().into()
    }

    /// Whether this is a view.
    #[must_use]
    pub const fn is_view(&self) -> bool {
        self.view.is_some()
    }

    /// Which observations and variables of the whole object this view takes; `None` if it is no view.
    #[must_use]
    pub fn rows(&self) -> Option<&[Rows; 2]> {
        self.view.as_ref().map(|view| &view.rows)
    }

    /// X, n_obs × n_vars.
    #[must_use]
    pub fn x(&self) -> Member {
        let at = self.root.at(slots::X.name).unwrap_or_default();
        Member { shadow: self.clone(), spec: &slots::X, at }
    }

    /// Matrices of the shape of X.
    #[must_use]
    pub fn layers(&self) -> Slot {
        self.slot(&slots::LAYERS)
    }

    /// The frame of observations.
    #[must_use]
    pub fn obs(&self) -> Frame {
        Frame { shadow: self.clone(), spec: &slots::OBS }
    }

    /// The frame of variables.
    #[must_use]
    pub fn var(&self) -> Frame {
        Frame { shadow: self.clone(), spec: &slots::VAR }
    }

    /// Arrays and frames over observations, such as embeddings.
    #[must_use]
    pub fn obsm(&self) -> Slot {
        self.slot(&slots::OBSM)
    }

    /// Arrays and frames over variables.
    #[must_use]
    pub fn varm(&self) -> Slot {
        self.slot(&slots::VARM)
    }

    /// Matrices of observations × observations.
    #[must_use]
    pub fn obsp(&self) -> Slot {
        self.slot(&slots::OBSP)
    }

    /// Matrices of variables × variables.
    #[must_use]
    pub fn varp(&self) -> Slot {
        self.slot(&slots::VARP)
    }

    /// Everything else, nested to any depth.
    #[must_use]
    pub fn uns(&self) -> Slot {
        self.slot(&slots::UNS)
    }

    pub(crate) fn slot(&self, spec: &'static SlotSpec) -> Slot {
        Slot { shadow: self.clone(), spec }
    }

    /// The raw data, if there are any.
    ///
    /// # Errors
    /// Those of the store.
    pub fn raw(&self) -> Result<Option<RawShadow>> {
        let at = self.root.at("raw")?;
        let is_there = self.root.info(&at)?.is_some_and(|i| i.kind != Kind::Null);
        Ok(is_there.then(|| RawShadow { shadow: self.clone() }))
    }

    /// Sets `raw`, in memory, in place of what is there: X over the observations and the rows of `var`, and what is aligned to
    /// these rows. All of it, or nothing.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::WrongType`], [`Error::BadName`], [`Error::View`].
    pub fn set_raw(&self, x: impl Into<Element>, var: Table, varm: BTreeMap<String, Element>) -> Result<()> {
        let at = self.root.at("raw")?;
        self.refuse_view(&at, "setting raw")?;
        self.root.check_has("raw")?;
        let shape = self.root.shape();
        let raw = [("X", x.into()), ("var", var.into()), ("varm", Element::Mapping(varm))];
        let raw = raw.map(|(name, element)| (name.to_owned(), element)).into();
        check_raw(&self.root, &at, shape[0], &raw)?;
        let raw = Element::Mapping(raw);
        check_keys(&raw)?;
        self.root.set(&at, raw, false, shape)
    }

    /// Removes `raw` as a whole, as [`Member::remove`] removes an element.
    ///
    /// # Errors
    /// As [`Member::remove`].
    pub fn remove_raw(&self) -> Result<()> {
        let at = self.root.at("raw")?;
        self.refuse_view(&at, "removing raw")?;
        self.root.remove(&at, false)
    }

    /// The element at a path inside the AnnData: `X`, `obsm/X_pca`, `obs/louvain`, `raw/X`, `uns/neighbors/params`. The
    /// handle exists whether the element does or not.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the path does not lead into a slot, [`Error::Unsupported`] if it is a slot itself,
    /// [`Error::BadName`].
    pub fn member(&self, path: &str) -> Result<Member> {
        self.member_of(path, if self.root.is_mudata { &slots::OF_MUDATA } else { &ALL })
    }

    /// The element at a path that leads into one of these slots.
    pub(crate) fn member_of(&self, path: &str, slots: &[&'static SlotSpec]) -> Result<Member> {
        let at = self.root.at(path)?;
        let relative = self.root.relative(&at);
        let of_slot = |spec: &&&'static SlotSpec| match relative.strip_prefix(spec.name) {
            Some("") => spec.name.ends_with('X'),
            Some(rest) => rest.starts_with('/') && !spec.name.ends_with('X'),
            None => false,
        };
        match slots.iter().find(of_slot) {
            Some(spec) => Ok(Member { shadow: self.clone(), spec, at }),
            None if slots.iter().any(|spec| spec.name == relative) => {
                let what = format!("it is a slot, which is always there: name what is in it, as `{relative}/…`");
                Err(Error::Unsupported { at: self.root.place(&at), what })
            }
            None => Err(Error::NotFound {
                at: self.root.place(&at),
                nearest: crate::error::nearest(&relative, slots.iter().map(|s| s.name)),
            }),
        }
    }

    /// Every element there is, pending ones included, in the order shown, without reading data: X and raw, the columns
    /// of obs and var, the elements of the slots, and `uns` to its leaves.
    ///
    /// # Errors
    /// Those of the store.
    pub fn elements(&self) -> Result<Vec<ElementInfo>> {
        let mut found = Vec::new();
        let mut add = |path: String, axes: &[Axis]| -> Result<()> { self.list(&path, axes, &mut found) };
        add(slots::X.name.to_owned(), slots::X.axes)?;
        if let Some(raw) = self.raw()? {
            add(slots::RAW_X.name.to_owned(), slots::RAW_X.axes)?;
            for name in frame_children(&raw.var())? {
                add(format!("raw/var/{name}"), slots::RAW_VAR.axes)?;
            }
            for name in raw.varm().keys()? {
                add(format!("raw/varm/{name}"), raw.varm().axes())?;
            }
        }
        self.list_slots(slots::SHOWN, &mut found)?;
        Ok(found)
    }

    /// Lists the elements of these slots.
    pub(crate) fn list_slots(&self, slots: &[&'static SlotSpec], found: &mut Vec<ElementInfo>) -> Result<()> {
        for &spec in slots {
            let names = if spec.admits == slots::Admits::Column {
                frame_children(&Frame { shadow: self.clone(), spec })?
            } else {
                self.slot(spec).keys()?
            };
            for name in names {
                self.list(&format!("{}/{name}", spec.name), spec.axes, found)?;
            }
        }
        Ok(())
    }

    /// Lists an element and what is below it. One that cannot be described is listed as opaque, so that it hides no other.
    fn list(&self, path: &str, axes: &[Axis], found: &mut Vec<ElementInfo>) -> Result<()> {
        let at = match self.root.at(path) {
            // A name in a frame's list of columns that leads out of its group.
            Err(bad @ Error::BadName { .. }) => {
                let info = Info::opaque(bad.to_string());
                found.push(ElementInfo { path: path.to_owned(), info, mark: None });
                return Ok(());
            }
            other => other?,
        };
        let info = match self.root.info(&at) {
            Ok(None) => return Ok(()),
            Ok(Some(info)) => info,
            Err(Error::Malformed { what, .. } | Error::Unsupported { what, .. }) => Info::opaque(what),
            Err(missing @ Error::NotFound { .. }) => Info::opaque(missing.to_string()),
            Err(other) => return Err(other),
        };
        // Links in HDF5 can lead in circles.
        if found.len() > MAX_LISTED || at.components().count() > MAX_DEPTH {
            let what = format!("there are more than {MAX_LISTED} elements, or they nest deeper than {MAX_DEPTH}");
            return Err(Error::Malformed { at: self.root.place(&at), what });
        }
        if info.kind == Kind::Mapping {
            for name in &info.children {
                self.list(&format!("{path}/{name}"), &[], found)?;
            }
        }
        let info = self.cut_info(info, axes);
        found.push(ElementInfo { path: path.to_owned(), info, mark: self.mark(&at) });
        Ok(())
    }

    /// Names of the observations.
    ///
    /// # Errors
    /// Those of the store.
    pub fn obs_names(&self) -> Result<Vec<String>> {
        self.axis_names(Axis::Obs)
    }

    /// Names of the variables.
    ///
    /// # Errors
    /// Those of the store.
    pub fn var_names(&self) -> Result<Vec<String>> {
        self.axis_names(Axis::Var)
    }

    pub(crate) fn axis_names(&self, axis: Axis) -> Result<Vec<String>> {
        let all = self.root.axis_names(axis)?;
        Ok(match self.view.as_ref().and_then(|v| v.on(axis)) {
            Some(rows) => rows.iter().filter_map(|i| all.get(i).cloned()).collect(),
            None => all,
        })
    }

    /// A value per observation: the obs column `key` or, if there is none, the values of the variable of that name in X
    /// or in `layer`.
    ///
    /// # Errors
    /// [`Error::UnknownName`] with the nearest names if it is neither, and those of reading.
    pub fn obs_vector(&self, key: &str, layer: Option<&str>) -> Result<Series> {
        self.vector(key, layer, &self.obs(), Axis::Var)
    }

    /// A value per variable: the var column `key` or, if there is none, the values of the observation of that name in X
    /// or in `layer`.
    ///
    /// # Errors
    /// As [`obs_vector`](Self::obs_vector).
    pub fn var_vector(&self, key: &str, layer: Option<&str>) -> Result<Series> {
        self.vector(key, layer, &self.var(), Axis::Obs)
    }

    fn vector(&self, key: &str, layer: Option<&str>, frame: &Frame, across: Axis) -> Result<Series> {
        let columns = frame.columns()?;
        if columns.iter().any(|c| c == key) {
            return frame.column(key);
        }
        let names = self.axis_names(across)?;
        let place = Select::from(key).resolve(names.len(), &names);
        let rows = match place {
            Err(crate::index::SelectError::UnknownName { nearest: mut near, .. }) => {
                near.extend(crate::error::nearest(key, columns.iter().map(String::as_str)));
                let of = if across == Axis::Var { "variables" } else { "observations" };
                let why = format!("`{key}` is neither a column of `{}` nor one of the {of}", frame.name());
                return Err(Error::UnknownName {
                    at: self.root.here(),
                    axis: across.name().into(),
                    why: did_you_mean(why, &near),
                });
            }
            other => other.map_err(|e| self.bad_selection(across, &e))?,
        };
        let source = match layer {
            Some(name) => self.layers().member(name)?,
            None => self.x(),
        };
        let cut = if across == Axis::Var { [None, Some(rows)] } else { [Some(rows), None] };
        let element = source.part(&cut)?;
        let dense = match &*element {
            Element::Sparse(s) => {
                s.to_dense().map_err(|what| Error::Unsupported { at: self.root.place(&source.at), what })?
            }
            Element::Array(a) => a.clone(),
            other => {
                let at = self.root.place(&source.at);
                return Err(Error::WrongType { at, wanted: "a matrix".into(), found: other.describe() });
            }
        };
        let n = dense.len();
        let column: Option<Array> = dense.reshape(&[n]);
        column.and_then(|a| column_to_series(key, &Element::Array(a)).ok()).ok_or_else(|| Error::WrongType {
            at: self.root.place(&source.at),
            wanted: "values that polars can hold".into(),
            found: element.describe(),
        })
    }

    /// The part at these observations and variables: a view over the same open file. Of a view, the selection counts
    /// within it.
    ///
    /// Selections are ranges as in Python (negative bounds count from the end, bounds are clamped), integers, lists of
    /// integers in any order with repeats, boolean masks, and names.
    ///
    /// # Errors
    /// [`Error::Selection`] if a position or mask does not fit its axis, [`Error::UnknownName`] if a name does not; reading errors
    /// if names are needed.
    pub fn select(&self, obs: impl Into<Select>, var: impl Into<Select>) -> Result<Self> {
        let rows = [self.resolve(Axis::Obs, &obs.into())?, self.resolve(Axis::Var, &var.into())?];
        Ok(self.at_rows(rows))
    }

    fn resolve(&self, axis: Axis, select: &Select) -> Result<Rows> {
        let len = self.length(axis)?;
        let names = if select.needs_names() { self.axis_names(axis)? } else { Vec::new() };
        let rows = select.resolve(len, &names).map_err(|e| self.bad_selection(axis, &e))?;
        Ok(match self.view.as_ref().and_then(|v| v.on(axis)) {
            Some(outer) => outer.compose(&rows),
            None => rows,
        })
    }

    fn bad_selection(&self, axis: Axis, why: &crate::index::SelectError) -> Error {
        why.on(axis.name(), self.root.here())
    }

    /// All of it (of a view: the part that it takes) in memory, as a dict of its slots: `X`, `obs`, `var`, `layers` and so
    /// on, exactly as stored. Slots without elements are left out.
    ///
    /// # Errors
    /// Those of reading; [`Error::Unsupported`] for an element that cannot be read.
    pub fn to_memory(&self) -> Result<Element> {
        let named = |slot: &Slot| -> Result<Option<Element>> {
            let entries = slot.keys()?.into_iter().map(|name| {
                let element = Arc::unwrap_or_clone(slot.element(&name)?);
                Ok((name, element))
            });
            let entries = entries.collect::<Result<BTreeMap<_, _>>>()?;
            Ok(if entries.is_empty() { None } else { Some(Element::Mapping(entries)) })
        };
        let matrix = |member: &Member| -> Result<Option<Element>> {
            if member.exists()? { Ok(Some(Arc::unwrap_or_clone(member.element()?))) } else { Ok(None) }
        };
        let mut parts = BTreeMap::new();
        let mut put = |name: &str, element: Option<Element>| parts.extend(element.map(|e| (name.to_owned(), e)));
        put("X", matrix(&self.x())?);
        put("obs", Some(self.obs().table()?.into()));
        put("var", Some(self.var().table()?.into()));
        for slot in [self.layers(), self.obsm(), self.varm(), self.obsp(), self.varp(), self.uns()] {
            put(slot.name(), named(&slot)?);
        }
        if let Some(raw) = self.raw()? {
            let mut inside = BTreeMap::from([("var".to_owned(), raw.var().table()?.into())]);
            inside.extend(matrix(&raw.x()?)?.map(|x| ("X".to_owned(), x)));
            inside
                .insert("varm".to_owned(), named(&raw.varm())?.unwrap_or_else(|| Element::Mapping(Default::default())));
            put("raw", Some(Element::Mapping(inside)));
        }
        Ok(Element::Mapping(parts))
    }

    /// Removes what is at a path inside the AnnData: `obsm/X_pca`, `obs/louvain`, `uns/neighbors`, `X`, `raw`.
    ///
    /// # Errors
    /// As [`member`](Self::member) and [`Member::remove`].
    pub fn remove(&self, path: &str) -> Result<()> {
        if path.trim_matches('/') == "raw" { self.remove_raw() } else { self.member(path)?.remove() }
    }

    /// Gives what is at a path inside the AnnData another path.
    ///
    /// # Errors
    /// As [`member`](Self::member) and [`Member::rename_to`].
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.member(from)?.rename_to(to)
    }

    /// Takes back everything that is pending: the object is as in the file again.
    ///
    /// # Errors
    /// [`Error::View`]; of a modality of a MuData, [`Error::Unsupported`] if some of it belongs to a change of the
    /// modalities.
    pub fn discard(&self) -> Result<()> {
        self.refuse_view(&self.root.base, "discarding changes")?;
        self.root.discard(&self.root.base)
    }

    /// Takes back what is pending at a path inside the AnnData and below it (`obsm` for all of a slot). Frames in obsm and
    /// varm have the names of their rows then, too.
    ///
    /// # Errors
    /// As [`Member::discard`].
    pub fn discard_at(&self, path: &str) -> Result<()> {
        let at = self.root.at(path)?;
        self.refuse_view(&at, "discarding changes")?;
        self.take_back(&at)
    }

    /// The mark at a path inside the AnnData, as the object shows it: a group that only holds something pending is marked as new.
    ///
    /// # Errors
    /// [`Error::BadName`].
    pub fn mark_at(&self, path: &str) -> Result<Option<Mark>> {
        let at = self.root.at(path)?;
        Ok(self.mark(&at).or_else(|| self.root.is_pending(&at).then_some(Mark::New)))
    }

    /// Names of what the file has directly below a path inside the AnnData (`obsm`, `obs`, `uns/neighbors`) and loses with the next
    /// `write()`, by removal or by another name.
    ///
    /// # Errors
    /// [`Error::BadName`].
    pub fn removed_at(&self, path: &str) -> Result<Vec<String>> {
        Ok(self.root.removed_names(&self.root.at(path)?))
    }

    /// A number that grows whenever what was read before may have become stale: with each change that is set or taken back, and
    /// when reopening finds that others have changed the file.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.root.core.generation()
    }

    /// What `write()` would do, in the order in which it was asked for.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        self.root.core.changes(&self.root.base)
    }

    /// Writes everything pending to the file, in its own dialect (Zarr version, sharding, chunks, compression, form of
    /// strings), and renews consolidated metadata wherever the store keeps some. What is not pending keeps every byte.
    ///
    /// After Ok it is durable and visible to every new reader, and nothing is pending but what was set meanwhile. After Err
    /// the store is as it was, and the overlay still holds all. After a kill or power loss at any instant, opening yields
    /// the old state or the new, never a mixture, never zeros.
    ///
    /// What programs that do not know of this crate's journal may meet between a kill and the next opening is told at
    /// [`WriteOptions::safety`].
    ///
    /// # Errors
    /// [`Error::ReadOnly`] and [`Error::Closed`] say to `reopen(Mode::ReadWrite)`; [`Error::View`]; [`Error::Exists`] if
    /// an element that was new when it was set is in the file by now; [`Error::StoreChanged`] if the file was replaced;
    /// those of the store.
    pub fn write(&self, options: WriteOptions) -> Result<Receipt> {
        self.refuse_view(&self.root.at("X")?.parent().unwrap_or_default(), "writing")?;
        self.root.core.write(options)
    }

    /// Swaps the open file for one in another mode, under this object, its clones, views and handles: the overlay and
    /// the views are kept. If the file was changed by others meanwhile, what was cached of it is dropped.
    ///
    /// After Err the object is open as it was before, or closed if even that is not possible any more.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Error::Malformed`] if the file now has another number of observations or variables.
    pub fn reopen(&self, mode: Mode) -> Result<&Self> {
        self.root.core.reopen(mode)?;
        Ok(self)
    }

    /// Closes the file. What the object holds in memory stays, pending changes included; closing twice is fine.
    ///
    /// # Errors
    /// [`Error::Busy`] if reads in other threads do not end.
    pub fn close(&self) -> Result<()> {
        self.root.core.close()
    }

    /// Frees what was read and not changed; never what is pending. Views have caches of their own, each freed by itself.
    pub fn clear_cache(&self) {
        match &self.view {
            Some(view) => view.clear_cache(),
            None => self.root.core.clear_cache(),
        }
    }

    /// Changes how many bytes of clean elements are kept in memory, by this object and by views cut from now on.
    pub fn set_cache_budget(&self, bytes: usize) {
        self.root.core.set_cache_budget(bytes);
    }

    /// Bytes of clean elements in memory (without those of views).
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        self.root.core.cache_bytes()
    }

    /// What was read and written so far, over all modes since opening.
    #[must_use]
    pub fn io_stats(&self) -> IoStats {
        self.root.core.stats()
    }

    // ---- for the handles, and for MuData ----

    pub(crate) const fn whole(root: Arc<Root>) -> Self {
        Self { root, view: None }
    }

    /// The view of these rows of the whole object.
    pub(crate) fn at_rows(&self, rows: [Rows; 2]) -> Self {
        // A MuData may get more rows; its views do not.
        let pin = |rows: Rows| match rows {
            Rows::All(len) if self.root.is_mudata => Rows::Range { start: 0, step: 1, len },
            other => other,
        };
        let rows = rows.map(pin);
        let view = View::new(rows, self.root.core.cache_budget(), self.root.core.generation());
        Self { root: self.root.clone(), view: Some(Arc::new(view)) }
    }

    pub(crate) fn length(&self, axis: Axis) -> Result<usize> {
        match self.view.as_ref().and_then(|v| v.on(axis)) {
            Some(rows) => Ok(rows.len()),
            None => self.root.length(axis),
        }
    }

    /// The view's selection for an element of these axes; all `None` without a view.
    pub(crate) fn cut_for(&self, axes: &[Axis]) -> Vec<Option<Rows>> {
        axes.iter().map(|&axis| self.view.as_ref().and_then(|v| v.on(axis)).cloned()).collect()
    }

    pub(crate) fn read(&self, at: &ElemPath, axes: &[Axis], keep: Keep) -> Result<Arc<Element>> {
        let cut = self.cut_for(axes);
        let Some(view) = self.view.as_ref().filter(|_| cut.iter().any(Option::is_some)) else {
            return self.root.read(at, axes, &[], keep);
        };
        let generation = self.root.core.generation();
        if let Some(element) = view.cached(at, generation) {
            return Ok(element);
        }
        let element = self.root.read(at, axes, &cut, keep)?;
        if keep.keeps(&element) {
            view.remember(at, &element, generation);
        }
        Ok(element)
    }

    pub(crate) fn mark(&self, at: &ElemPath) -> Option<Mark> {
        let in_view = || self.view.as_ref()?.cached(at, self.root.core.generation()).map(|_| Mark::Cached);
        self.root.mark(at).or_else(in_view)
    }

    pub(crate) fn cut_info(&self, mut info: Info, axes: &[Axis]) -> Info {
        for (length, &axis) in info.shape.iter_mut().zip(axes) {
            if let Some(rows) = self.view.as_ref().and_then(|v| v.on(axis)) {
                *length = rows.len();
                info.stored = None;
            }
        }
        info
    }

    pub(crate) fn refuse_view(&self, at: &ElemPath, what: &str) -> Result<()> {
        if self.is_view() { Err(Error::View { at: self.root.place(at), what: what.to_owned() }) } else { Ok(()) }
    }
}

fn did_you_mean(why: String, nearest: &[String]) -> String {
    if nearest.is_empty() { why } else { format!("{why}; nearest: {}", nearest.join(", ")) }
}

/// The columns of a frame, the index first unless it is a column too.
fn frame_children(frame: &Frame) -> Result<Vec<String>> {
    let (index, columns) = (frame.index_name()?, frame.columns()?);
    let first = std::iter::once(index).filter(|i| !columns.contains(i));
    Ok(first.chain(columns.iter().cloned()).collect())
}

impl fmt::Display for AnnDataShadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        repr::anndata(f, self)
    }
}

impl fmt::Debug for AnnDataShadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
