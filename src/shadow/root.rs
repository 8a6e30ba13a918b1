//! [`Root`]: one AnnData (or the global part of a MuData) in an open file: what is at a path, in the overlay or on disk.

use std::sync::Arc;

use super::core::{Core, State};
use super::gene_index;
use super::link::Mode;
use super::slots::Axis;
use crate::codec::{self, FrameMeta, Info, Kind};
use crate::error::{Error, Place, Result, nearest};
use crate::index::Rows;
use crate::overlay::{Lookup, Mark, Source, Was};
use crate::path::ElemPath;
use crate::store::ReadStore;
use crate::value::{Element, Table};

pub(crate) struct Root {
    pub(super) core: Arc<Core>,
    /// Where in the store the object begins.
    pub(super) base: ElemPath,
    /// Whether this is the global part of a MuData, which has no X, layers and raw.
    pub(super) is_mudata: bool,
}

/// What of an element that was read stays in the cache.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Keep {
    /// It does, if it fits: who reads it shares it.
    All,
    /// It does up to 1 MiB: who reads it has it, and a larger one would be in memory twice.
    Small,
}

impl Keep {
    pub(crate) fn keeps(self, element: &Element) -> bool {
        self == Self::All || element.nbytes() <= 1 << 20
    }
}

impl Root {
    /// The path in the store of `below`, a path inside the AnnData.
    pub(crate) fn at(&self, below: &str) -> Result<ElemPath> {
        self.base.join(below)
    }

    /// Refuses what only a modality can have.
    pub(crate) fn check_has(&self, slot: &str) -> Result<()> {
        if self.is_mudata && matches!(slot, "X" | "layers" | "raw") {
            let what = format!("a MuData has no {slot} of its own: it belongs to one of the modalities");
            return Err(Error::Unsupported { at: self.here(), what });
        }
        Ok(())
    }

    /// A path in the store as a path inside the AnnData.
    pub(crate) fn relative(&self, at: &ElemPath) -> String {
        at.strip_prefix(&self.base).unwrap_or_default().to_string()
    }

    pub(crate) fn place(&self, at: &ElemPath) -> Place {
        self.core.place(at)
    }

    /// The object as a whole, for messages.
    pub(crate) fn here(&self) -> Place {
        self.place(&self.base)
    }

    /// Observations and variables.
    pub(crate) fn shape(&self) -> [usize; 2] {
        // Counted when this object was made.
        self.core.state().shapes.get(&self.base).map_or([0, 0], |shape| shape.now)
    }

    pub(crate) fn length(&self, axis: Axis) -> Result<usize> {
        match axis {
            Axis::Obs => Ok(self.shape()[0]),
            Axis::Var => Ok(self.shape()[1]),
            Axis::RawVar => Ok(self.frame(&self.at("raw/var")?)?.n_rows),
        }
    }

    /// What is known of a path: a value, that there is none, or where the file has it.
    fn lookup(&self, at: &ElemPath) -> Lookup {
        self.core.state().overlay.lookup(at)
    }

    /// The frame at `at`, with pending changes of its columns, without reading data.
    pub(crate) fn frame(&self, at: &ElemPath) -> Result<FrameMeta> {
        let _reading = self.core.reading();
        let file = match self.lookup(at) {
            Lookup::Value(element) => match &*element {
                Element::Table(table) => {
                    return Ok(FrameMeta {
                        index: table.index_name().unwrap_or("_index").to_owned(),
                        columns: table.columns().iter().map(|(name, _)| name.clone()).collect(),
                        n_rows: table.n_rows(),
                    });
                }
                _ => at.clone(),
            },
            Lookup::Gone => return Err(self.not_found(at)),
            Lookup::Stored(file) => file,
        };
        let meta = self.stored_frame(&file)?;
        let columns = self.core.state().overlay.delta.order(at, meta.columns, Some(&meta.index));
        Ok(FrameMeta { columns, ..meta })
    }

    /// The frame in the file. Of one that is open for reading only, and of a closed one, as it was last looked up.
    fn stored_frame(&self, at: &ElemPath) -> Result<FrameMeta> {
        let (known, generation) = {
            let state = self.core.state();
            (state.frames.get(at).cloned(), state.generation)
        };
        let mode = self.core.mode();
        match known {
            Some((_, meta)) if mode.is_none() => return Ok(meta),
            Some((then, meta)) if mode == Some(Mode::Read) && then == generation => return Ok(meta),
            _ => {}
        }
        let meta = codec::frame_meta(&*self.core.reader(at)?, at)?;
        self.core.state_mut().frames.insert(at.clone(), (generation, meta.clone()));
        Ok(meta)
    }

    /// The index, cut, of a frame that is in memory as a whole (pending, or kept since it was written), if `name` names it.
    pub(crate) fn held_index(&self, frame: &ElemPath, name: &str, cut: &[Option<Rows>]) -> Result<Option<Element>> {
        let Lookup::Value(element) = self.lookup(frame) else { return Ok(None) };
        match &*element {
            Element::Table(t) if t.index_name().unwrap_or("_index") == name && t.column(name).is_none() => {
                self.cut_held(frame, t.index(), cut).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The part of an element that is in memory. A view may have been cut when there were more rows: of a MuData whose new
    /// modality was taken back.
    fn cut_held(&self, at: &ElemPath, element: &Element, cut: &[Option<Rows>]) -> Result<Element> {
        let shape = element.shape();
        let rows = Rows::of_cut(&shape, cut);
        for (axis, (rows, len)) in rows.iter().zip(shape).enumerate() {
            if let Some(max) = rows.max().filter(|&max| max >= len) {
                let (axis, why) =
                    (format!("number {axis}"), format!("position {max} is out of bounds for an axis of {len}"));
                return Err(Error::Selection { at: self.place(at), axis, why });
            }
        }
        Ok(element.take(&rows))
    }

    /// What is known of the element at `at`, pending ones included; `None` if there is none.
    pub(crate) fn info(&self, at: &ElemPath) -> Result<Option<Info>> {
        let _reading = self.core.reading();
        let file = match self.lookup(at) {
            Lookup::Value(element) => return Ok(Some(Info::of(&element))),
            Lookup::Gone => return Ok(None),
            Lookup::Stored(file) => file,
        };
        let stored = codec::describe(&*self.core.reader(at)?, &file)?;
        Ok(match stored {
            None if self.new_names(at).is_empty() => None,
            None => Some(Info::of(&Element::Mapping(Default::default())).with_children(self.new_names(at))),
            Some(info) if info.kind == Kind::Mapping => {
                let mut info = info.with_children(self.new_names(at));
                info.children.retain(|name| self.is_left(at, name));
                Some(info)
            }
            some => some,
        })
    }

    /// Names of the elements directly below the group `at`: those in the file, sorted, then the pending ones in the order in
    /// which they were set. Empty if there is no such group. A closed shadow tells what it holds.
    pub(crate) fn names(&self, at: &ElemPath) -> Result<Vec<String>> {
        let _reading = self.core.reading();
        let mut names = match (self.lookup(at), self.core.store()) {
            (Lookup::Value(held), _) => match &*held {
                Element::Mapping(entries) => entries.keys().cloned().collect(),
                _ => Vec::new(),
            },
            (Lookup::Gone, _) => return Ok(Vec::new()),
            (Lookup::Stored(_), None) => self.held_names(at),
            (Lookup::Stored(file), Some(store)) if store.node(&file)?.is_some_and(|n| n.is_group()) => {
                store.children(&file)?
            }
            _ => Vec::new(),
        };
        names.retain(|name| self.is_left(at, name));
        for name in self.new_names(at) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Names of what changes bring directly below `at`.
    fn new_names(&self, at: &ElemPath) -> Vec<String> {
        self.core.state().overlay.delta.names(at)
    }

    /// Names of what the file has directly below `at` and loses.
    pub(crate) fn removed_names(&self, at: &ElemPath) -> Vec<String> {
        self.core.state().overlay.delta.removed_names(at)
    }

    /// Whether what the file has by this name below `at` stays.
    fn is_left(&self, at: &ElemPath, name: &str) -> bool {
        at.join(name).is_ok_and(|at| !matches!(self.lookup(&at), Lookup::Gone))
    }

    /// Names of clean elements below `at`, sorted.
    fn held_names(&self, at: &ElemPath) -> Vec<String> {
        let state = self.core.state();
        let name = |p: &ElemPath| p.strip_prefix(at)?.components().next().map(str::to_owned);
        let names: std::collections::BTreeSet<String> = state.overlay.cache.below(at).filter_map(name).collect();
        names.into_iter().collect()
    }

    pub(crate) fn mark(&self, at: &ElemPath) -> Option<Mark> {
        self.core.state().overlay.mark(at)
    }

    /// Whether something pending stands at `at` or below it.
    pub(crate) fn is_pending(&self, at: &ElemPath) -> bool {
        self.core.state().overlay.delta.touches(at)
    }

    /// The element at `at`, cut on its leading `axes`, of which a stored one must have the lengths. One that is read whole is
    /// remembered, as far as it is to be kept.
    pub(crate) fn read(&self, at: &ElemPath, axes: &[Axis], cut: &[Option<Rows>], keep: Keep) -> Result<Arc<Element>> {
        let _reading = self.core.reading();
        let (found, below, generation) = {
            let state = self.core.state();
            (state.overlay.lookup(at), state.overlay.delta.below(at), state.generation)
        };
        let file = match found {
            Lookup::Value(element) if cut.iter().all(Option::is_none) => return Ok(element),
            Lookup::Value(element) => return self.cut_held(at, &element, cut).map(Arc::new),
            Lookup::Gone => return Err(self.not_found(at)),
            Lookup::Stored(file) => file,
        };
        let lengths = match axes.iter().map(|&a| self.length(a)).collect::<Result<Vec<_>>>() {
            // Without the axis there is nothing along it: no `raw/X` without `raw`.
            Err(Error::NotFound { .. }) => return Err(self.not_found(at)),
            other => other?,
        };
        let store = self.core.reader(at)?;
        let stored = match codec::describe(&*store, &file)? {
            Some(info) => {
                self.check_axes(at, &info, axes, &lengths)?;
                Some(match gene_index::read(self, &*store, &file, &info, cut)? {
                    Some(found) => found,
                    None => codec::decode(&*store, &file, cut)?,
                })
            }
            None if below.is_empty() => {
                drop(store);
                return Err(self.not_found(at));
            }
            None => None,
        };
        let element = Arc::new(with_changes(&*store, stored, below)?);
        drop(store);
        if cut.iter().all(Option::is_none) && keep.keeps(&element) {
            let mut state = self.core.state_mut();
            if state.generation == generation {
                state.overlay.remember(at, element.clone());
            }
        }
        Ok(element)
    }

    /// The element at `at` if it is in memory: read before, or pending.
    pub(crate) fn held(&self, at: &ElemPath) -> Option<Arc<Element>> {
        match self.lookup(at) {
            Lookup::Value(element) => Some(element),
            Lookup::Gone | Lookup::Stored(_) => None,
        }
    }

    /// How many entries a sparse matrix stores in each of these lines of the whole (rows of a CSR matrix, columns of a CSC), as
    /// its indptr says: a guide to how much to read at once, and checked only when that is done.
    pub(crate) fn entry_counts(&self, at: &ElemPath, lines: &Rows) -> Result<Vec<u64>> {
        let _reading = self.core.reading();
        let ends: Vec<usize> = lines.iter().flat_map(|i| [i, i.saturating_add(1)]).collect();
        let found: Vec<u64> = match self.lookup(at) {
            Lookup::Value(element) => match &*element {
                Element::Sparse(held) => ends.iter().filter_map(|&i| held.indptr().get(i).copied()).collect(),
                _ => Vec::new(),
            },
            Lookup::Gone => return Err(self.not_found(at)),
            Lookup::Stored(file) => {
                let read = self.core.reader(at)?.read(&file.child("indptr"), &[Rows::picks(ends)])?;
                read.to_i64().unwrap_or_default().into_iter().map(|end| end.try_into().unwrap_or_default()).collect()
            }
        };
        let mut counts: Vec<u64> = found.chunks_exact(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        counts.resize(lines.len(), 0);
        Ok(counts)
    }

    /// A stored element that does not fit the axes of its slot is damage: its rows would be those of other cells.
    fn check_axes(&self, at: &ElemPath, info: &Info, axes: &[Axis], lengths: &[usize]) -> Result<()> {
        if matches!(info.kind, Kind::Null | Kind::Opaque) || info.shape.starts_with(lengths) {
            return Ok(());
        }
        let named: Vec<String> = axes.iter().zip(lengths).map(|(a, n)| format!("{} {n}", a.name())).collect();
        Err(Error::Malformed {
            at: self.place(at),
            what: format!("its shape is {:?}, but its axes are {}", info.shape, named.join(" × ")),
        })
    }

    /// A `NotFound` for `at` with the nearest names beside it.
    pub(crate) fn not_found(&self, at: &ElemPath) -> Error {
        let beside = at.parent().and_then(|p| self.names(&p).ok()).unwrap_or_default();
        Error::NotFound { at: self.place(at), nearest: nearest(at.name(), beside.iter().map(String::as_str)) }
    }

    /// The names along an axis of the whole object.
    pub(crate) fn axis_names(&self, axis: Axis) -> Result<Vec<String>> {
        let frame = self.at(match axis {
            Axis::Obs => "obs",
            Axis::Var => "var",
            Axis::RawVar => "raw/var",
        })?;
        let meta = match self.frame(&frame) {
            Err(Error::NotFound { .. }) if axis == Axis::Var => {
                // No var at all: anndata numbers the columns of X.
                return Ok((0..self.shape()[1]).map(|i| i.to_string()).collect());
            }
            other => other?,
        };
        let index = match self.held_index(&frame, &meta.index, &[])? {
            Some(index) => Arc::new(index),
            None => self.read(&frame.join(&meta.index)?, &[axis], &[], Keep::All)?,
        };
        self.row_names(&frame, &index)
    }

    /// The index of a frame as text; a missing name is `nan`, as pandas shows it.
    pub(crate) fn row_names(&self, frame: &ElemPath, index: &Element) -> Result<Vec<String>> {
        let names = index.texts().ok_or_else(|| Error::Malformed {
            at: self.place(frame),
            what: format!("its index is {}", index.describe()),
        })?;
        Ok(names.into_iter().map(|n| n.unwrap_or_else(|| "nan".to_owned())).collect())
    }

    /// As [`row_names`](Self::row_names), of a frame that is to be set.
    pub(crate) fn names_to_be(&self, frame: &ElemPath, table: &Table) -> Result<Vec<String>> {
        self.row_names(frame, table.index()).map_err(|_| Error::WrongType {
            at: self.place(frame),
            wanted: "a frame whose index is row names".into(),
            found: format!("one whose index is {}", table.index().describe()),
        })
    }

    /// What the file has at `at`, as far as it can be said; `None` if it has nothing there or is closed.
    pub(super) fn stored(&self, at: &ElemPath) -> Result<Option<Was>> {
        let home = self.core.state().overlay.delta.home(at);
        let (Some(file), Some(store)) = (home, self.core.store()) else { return Ok(None) };
        match codec::describe(&*store, &file) {
            Ok(info) => Ok(info.map(|info| Was { what: info.describe(), shape: info.shape })),
            Err(Error::Malformed { what, .. } | Error::Unsupported { what, .. }) => {
                Ok(Some(Was { what: format!("something that cannot be read ({what})"), shape: Vec::new() }))
            }
            Err(other) => Err(other),
        }
    }

    /// Refuses a place that is not in a dict or (for a `column`) in a frame.
    fn check_holds(&self, at: &ElemPath, column: bool) -> Result<()> {
        let Some(store) = self.core.store() else { return Ok(()) };
        for above in at.ancestors() {
            let Lookup::Stored(file) = self.lookup(&above) else { return Ok(()) };
            let Some(node) = store.node(&file)? else { continue };
            let encoding = node.text("encoding-type");
            let open = node.is_group() && matches!(encoding, None | Some("dict" | "anndata" | "raw" | "MuData"));
            let frame = column && encoding == Some("dataframe") && at.parent().as_ref() == Some(&above);
            if !open && !frame {
                let what = format!("it is {}, and nothing can be put into it", encoding.unwrap_or("an array"));
                return Err(Error::Unsupported { at: self.place(&above), what });
            }
            return Ok(());
        }
        Ok(())
    }

    /// Refuses a group that the file does not have yet: what is stored cannot be moved there.
    fn check_group(&self, at: &ElemPath) -> Result<()> {
        let (Lookup::Stored(file), Some(store)) = (self.lookup(at), self.core.store()) else { return Ok(()) };
        if store.node(&file)?.is_some() {
            return Ok(());
        }
        let what =
            "there is no such group in the file yet, so that nothing can be moved into it: set the element anew".into();
        Err(Error::Unsupported { at: self.place(at), what })
    }

    /// Sets an element to be written, in place of what the file has there. The caller has checked that it fits its slot; here,
    /// that it has a place: a dict above it (or, for a column, a frame). `shape` is the object's at the time of that check.
    pub(crate) fn set(&self, at: &ElemPath, value: Element, column: bool, shape: [usize; 2]) -> Result<()> {
        self.set_all(vec![(at.clone(), value, column)], shape)
    }

    /// As [`set`](Self::set), several elements, all or none.
    pub(crate) fn set_all(&self, elements: Vec<(ElemPath, Element, bool)>, shape: [usize; 2]) -> Result<()> {
        self.replace_all(elements, &[], shape)
    }

    /// As [`set_all`](Self::set_all), and what is at `gone` is [removed](Self::remove) with that, all or nothing.
    pub(crate) fn replace_all(
        &self,
        elements: Vec<(ElemPath, Element, bool)>,
        gone: &[ElemPath],
        shape: [usize; 2],
    ) -> Result<()> {
        let elements: Vec<(ElemPath, Arc<Element>, bool)> =
            elements.into_iter().map(|(at, value, column)| (at, Arc::new(value), column)).collect();
        loop {
            let generation = self.core.generation();
            let sure = self.core.mode().is_some();
            let mut olds = Vec::new();
            for (at, _, column) in &elements {
                olds.push(self.stored(at)?);
                self.check_holds(at, *column)?;
            }
            let mut lost = Vec::new();
            for at in gone {
                lost.push(self.to_remove(at, false)?);
            }
            let change = |state: &mut State| {
                if state.generation != generation {
                    // Others have changed something meanwhile: what was found belongs to that.
                    return Ok(false);
                }
                let now = state.shapes.get(&self.base).map(|known| known.now);
                for (at, _, column) in &elements {
                    self.check_free(state, at)?;
                    self.check_takes_in(state, at, *column)?;
                    if now != Some(shape) {
                        let expected = format!("an object of {:?}", now.unwrap_or_default());
                        return Err(Error::Shape { at: self.place(at), expected, got: format!("one for {shape:?}") });
                    }
                }
                gone.iter().try_for_each(|at| self.check_free(state, at))?;
                for ((at, value, _), old) in elements.iter().zip(olds) {
                    state.overlay.edit(at, |delta| delta.set(at, value.clone(), sure.then_some(old)));
                }
                for (at, old) in gone.iter().zip(lost) {
                    state.overlay.edit(at, |delta| delta.remove(at, old));
                }
                Ok(true)
            };
            let done = if gone.is_empty() {
                let mut state = self.core.state_mut();
                let done = change(&mut state)?;
                state.generation += u64::from(done);
                done
            } else {
                // What goes waits for a write under way.
                self.core.edit(change)?
            };
            if done {
                return Ok(());
            }
        }
    }

    /// Checks that what is at `at` can be removed, and gives what the file has there.
    fn to_remove(&self, at: &ElemPath, column: bool) -> Result<Option<Was>> {
        let old = match self.core.mode() {
            None if !self.is_pending(at) => return Err(self.core.closed(at)),
            _ => self.stored(at)?,
        };
        self.check_holds(at, column)?;
        Ok(old)
    }

    /// Refuses a place inside something that is pending and takes in no such thing.
    fn check_takes_in(&self, state: &State, at: &ElemPath, column: bool) -> Result<()> {
        let takes_in = |above: &Element| match above {
            Element::Mapping(_) => true,
            Element::Table(_) => column,
            _ => false,
        };
        let blocked =
            at.ancestors().find(|a| matches!(state.overlay.delta.lookup(a), Lookup::Value(whole) if !takes_in(&whole)));
        blocked.map_or(Ok(()), |above| {
            Err(Error::BadName {
                name: at.to_string(),
                why: format!("`{above}` is pending and is no dict; take it back first"),
            })
        })
    }

    /// Removes an element (of a frame, a `column`): takes back a new one, and has a stored one removed by the next write.
    pub(crate) fn remove(&self, at: &ElemPath, column: bool) -> Result<()> {
        loop {
            let generation = self.core.generation();
            let old = self.to_remove(at, column)?;
            let done = self.core.edit(|state| {
                if state.generation != generation {
                    return Ok(None);
                }
                self.check_free(state, at)?;
                Ok(Some(state.overlay.edit(at, |delta| delta.remove(at, old))))
            })?;
            match done {
                Some(true) => return Ok(()),
                Some(false) => return Err(self.not_found(at)),
                None => {}
            }
        }
    }

    /// Gives an element (of a frame, a `column`) another name, where there is nothing.
    pub(crate) fn rename(&self, from: &ElemPath, to: &ElemPath, column: bool) -> Result<()> {
        if from == to {
            return self.info(from)?.map(drop).ok_or_else(|| self.not_found(from));
        }
        if from.starts_with(to) || to.starts_with(from) {
            let what = format!("it cannot become `{}`", self.relative(to));
            return Err(Error::Unsupported { at: self.place(from), what });
        }
        loop {
            let generation = self.core.generation();
            if self.info(from)?.is_none() {
                return Err(self.not_found(from));
            }
            if self.info(to)?.is_some() {
                return Err(Error::Exists { at: self.place(to) });
            }
            self.check_holds(from, column)?;
            self.check_holds(to, column)?;
            self.check_group(&to.parent().unwrap_or_default())?;
            let was = self.stored(from)?;
            let done = self.core.edit(|state| {
                if state.generation != generation {
                    return Ok(false);
                }
                self.check_free(state, from)?;
                self.check_free(state, to)?;
                let delta = &state.overlay.delta;
                if !delta.is_part(from) && !delta.is_part(to) {
                    state.overlay.edit(from, |_| ());
                    state.overlay.edit(to, |delta| delta.rename(from, to, was));
                    return Ok(true);
                }
                // A part of something new is a value like any other.
                self.check_takes_in(state, to, column)?;
                let Lookup::Value(value) = state.overlay.delta.lookup(from) else {
                    let what = format!("it is in the file, and `{to}` lies in something new: write() that first");
                    return Err(Error::Unsupported { at: self.place(from), what });
                };
                state.overlay.edit(from, |delta| delta.remove(from, None));
                state.overlay.edit(to, |delta| delta.set(to, value, Some(None)));
                Ok(true)
            })?;
            if done {
                return Ok(());
            }
        }
    }

    /// Takes back what is pending at and below `at`.
    pub(crate) fn discard(&self, at: &ElemPath) -> Result<()> {
        if *at == self.core.base {
            self.core.discard();
            return Ok(());
        }
        let done = self.core.edit(|state| {
            if let Some(bound) = state.bound.iter().find(|b| b.starts_with(at) || at.starts_with(b)) {
                return Err(self.is_bound(bound));
            }
            if state.overlay.delta.is_part(at) {
                let what = "it is a part of something that is pending as a whole: remove it, or discard the whole";
                return Err(Error::Unsupported { at: self.place(at), what: what.to_owned() });
            }
            Ok(state.overlay.edit(at, |delta| delta.discard(at)))
        })?;
        if done || *at == self.base { Ok(()) } else { Err(self.not_found(at)) }
    }

    /// Refuses what hangs together with other changes, and what belongs to an object that is gone.
    fn check_free(&self, state: &State, at: &ElemPath) -> Result<()> {
        if matches!(state.overlay.delta.lookup(&self.base), Lookup::Gone) {
            return Err(Error::NotFound { at: self.here(), nearest: Vec::new() });
        }
        if state.bound.contains(at) { Err(self.is_bound(at)) } else { Ok(()) }
    }

    fn is_bound(&self, at: &ElemPath) -> Error {
        let what = "it is pending as a part of a change of the modalities: write() first, or discard() that".to_owned();
        Error::Unsupported { at: self.place(at), what }
    }
}

/// What the file has, with the changes below it.
fn with_changes(
    store: &dyn ReadStore,
    stored: Option<Element>,
    below: Vec<(ElemPath, Option<Source>)>,
) -> Result<Element> {
    let mut element = stored.unwrap_or_else(|| Element::Mapping(Default::default()));
    for (path, source) in below {
        let names: Vec<&str> = path.components().collect();
        match source {
            None => drop(element.remove_below(&names)),
            Some(Source::Value(value)) => element.put_below(&names, (*value).clone()),
            Some(Source::Stored(file)) => element.put_below(&names, codec::decode(store, &file, &[])?),
        }
    }
    Ok(element)
}
