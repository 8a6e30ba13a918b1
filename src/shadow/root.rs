//! [`Root`]: one AnnData (or the global part of a MuData) in an open file: what is at a path, in the overlay or on disk.

use std::sync::Arc;

use super::core::Core;
use super::link::Mode;
use super::slots::Axis;
use crate::codec::{self, FrameMeta, Info, Kind};
use crate::error::{Error, Place, Result, nearest};
use crate::index::Rows;
use crate::overlay::{Mark, Pending};
use crate::path::ElemPath;
use crate::value::Element;

pub(crate) struct Root {
    pub(super) core: Arc<Core>,
    /// Where in the store the object begins.
    pub(super) base: ElemPath,
    /// Whether this is the global part of a MuData, which has no X, layers and raw.
    pub(super) is_mudata: bool,
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

    /// The frame at `at`, pending columns included, without reading data.
    pub(crate) fn frame(&self, at: &ElemPath) -> Result<FrameMeta> {
        if let Some(element) = self.core.state().overlay.get(at)
            && let Element::Table(table) = &*element
        {
            return Ok(FrameMeta {
                index: table.index_name().unwrap_or("_index").to_owned(),
                columns: table.columns().iter().map(|(name, _)| name.clone()).collect(),
                n_rows: table.n_rows(),
            });
        }
        // Before the file is asked: a column that is written in between is then found in both, not in neither.
        let pending = self.pending_names(at);
        let mut meta = self.stored_frame(at)?;
        let new = pending.into_iter().filter(|name| !meta.columns.contains(name)).collect::<Vec<_>>();
        meta.columns.extend(new);
        Ok(meta)
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

    /// The index of a frame that is pending as a whole, if `name` names it.
    pub(crate) fn held_index(&self, frame: &ElemPath, name: &str) -> Option<Element> {
        match self.core.state().overlay.get(frame).as_deref() {
            Some(Element::Table(t)) if t.index_name().unwrap_or("_index") == name && t.column(name).is_none() => {
                Some(t.index().clone())
            }
            _ => None,
        }
    }

    /// What is known of the element at `at`, pending ones included; `None` if there is none.
    pub(crate) fn info(&self, at: &ElemPath) -> Result<Option<Info>> {
        if let Some(element) = self.core.state().overlay.get(at) {
            return Ok(Some(Info::of(&element)));
        }
        let pending = self.pending_names(at);
        let stored = codec::describe(&*self.core.reader(at)?, at)?;
        Ok(match stored {
            None if pending.is_empty() => None,
            None => Some(Info::of(&Element::Mapping(Default::default())).with_children(pending)),
            Some(info) if info.kind == Kind::Mapping => Some(info.with_children(pending)),
            some => some,
        })
    }

    /// Names of the elements directly below the group `at`: those in the file, sorted, then the pending ones in the order in
    /// which they were set. Empty if there is no such group. A closed shadow tells what it holds.
    pub(crate) fn names(&self, at: &ElemPath) -> Result<Vec<String>> {
        let pending = self.pending_names(at);
        let held = self.core.state().overlay.get(at);
        let mut names = match (held.as_deref(), self.core.store()) {
            (Some(Element::Mapping(entries)), _) => entries.keys().cloned().collect(),
            (_, None) => self.held_names(at),
            (_, Some(store)) if store.node(at)?.is_some_and(|n| n.is_group()) => store.children(at)?,
            _ => Vec::new(),
        };
        for name in pending {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn pending_names(&self, at: &ElemPath) -> Vec<String> {
        let pending = self.core.state().overlay.pending();
        pending.iter().filter_map(|p| first_below(&p.path, at)).collect()
    }

    /// Names of clean elements below `at`, sorted.
    fn held_names(&self, at: &ElemPath) -> Vec<String> {
        let state = self.core.state();
        let clean = state.overlay.held_below(at).filter(|(_, mark)| *mark == Mark::Cached);
        let names: std::collections::BTreeSet<String> = clean.filter_map(|(p, _)| first_below(p, at)).collect();
        names.into_iter().collect()
    }

    pub(crate) fn mark(&self, at: &ElemPath) -> Option<Mark> {
        self.core.state().overlay.mark(at)
    }

    /// Whether something pending stands at `at` or below it.
    pub(crate) fn is_pending(&self, at: &ElemPath) -> bool {
        self.core.state().overlay.pending_below(at).next().is_some()
    }

    /// The element at `at`, cut on its leading `axes`, of which a stored one must have the lengths.
    pub(crate) fn read(&self, at: &ElemPath, axes: &[Axis], cut: &[Option<Rows>]) -> Result<Arc<Element>> {
        // What is pending is noted together with what is held: a write in between moves it from here to the file, where it
        // is then found, and its new generation keeps this reading out of the cache.
        let (held, pending, generation) = {
            let state = self.core.state();
            let below: Vec<Pending> = state.overlay.pending().into_iter().filter(|p| p.path.starts_with(at)).collect();
            (state.overlay.get(at), below, state.generation)
        };
        if let Some(element) = held {
            return Ok(cut_held(element, cut));
        }
        let lengths = match axes.iter().map(|&a| self.length(a)).collect::<Result<Vec<_>>>() {
            // Without the axis there is nothing along it: no `raw/X` without `raw`.
            Err(Error::NotFound { .. }) => return Err(self.not_found(at)),
            other => other?,
        };
        let store = self.core.reader(at)?;
        let stored = match codec::describe(&*store, at)? {
            Some(info) => {
                self.check_axes(at, &info, axes, &lengths)?;
                Some(codec::decode(&*store, at, cut)?)
            }
            None => None,
        };
        drop(store);
        let element = Arc::new(self.with_pending(at, stored, pending)?);
        if cut.iter().all(Option::is_none) {
            let mut state = self.core.state_mut();
            if state.generation == generation {
                state.overlay.remember(at, element.clone());
            }
        }
        Ok(element)
    }

    /// Adds to a mapping what is pending below it.
    fn with_pending(&self, at: &ElemPath, stored: Option<Element>, below: Vec<Pending>) -> Result<Element> {
        let mut element = match stored {
            Some(element) => element,
            None if below.is_empty() => return Err(self.not_found(at)),
            None => Element::Mapping(Default::default()),
        };
        for change in below {
            let rest = change.path.strip_prefix(at).unwrap_or_default();
            element.put_below(&rest.components().collect::<Vec<_>>(), (*change.value).clone());
        }
        Ok(element)
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
        let index = match self.held_index(&frame, &meta.index) {
            Some(index) => Arc::new(index),
            None => self.read(&frame.join(&meta.index)?, &[axis], &[])?,
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

    /// Sets an element to be written. The caller has checked that it fits its slot; here, that it has a place: nothing
    /// stored there, and a dict above it (or, for a column, a frame).
    /// `shape` is the object's at the time of that check.
    pub(crate) fn set(&self, at: &ElemPath, value: Element, column: bool, shape: [usize; 2]) -> Result<()> {
        if let Some(store) = self.core.store() {
            if store.node(at)?.is_some() {
                return Err(Error::Exists { at: self.place(at) });
            }
            for above in at.ancestors() {
                let Some(node) = store.node(&above)? else { continue };
                let encoding = node.text("encoding-type");
                let open = node.is_group() && matches!(encoding, None | Some("dict" | "anndata" | "raw" | "MuData"));
                let frame = column && encoding == Some("dataframe") && at.parent().as_ref() == Some(&above);
                if !open && !frame {
                    let what = format!("it is {}, and nothing can be put into it", encoding.unwrap_or("an array"));
                    return Err(Error::Unsupported { at: self.place(&above), what });
                }
                break;
            }
        }
        let mut state = self.core.state_mut();
        if state.bound.contains(at) {
            return Err(self.is_bound(at));
        }
        let now = state.shapes.get(&self.base).map(|known| known.now);
        if now != Some(shape) {
            let (expected, got) = (format!("an object of {:?}", now.unwrap_or_default()), format!("one for {shape:?}"));
            return Err(Error::Shape { at: self.place(at), expected, got });
        }
        let blocked = at.ancestors().find(|a| {
            state.overlay.mark(a).is_some_and(Mark::is_pending)
                && !matches!(state.overlay.get(a).as_deref(), None | Some(Element::Mapping(_)))
        });
        if let Some(above) = blocked {
            return Err(Error::BadName {
                name: at.to_string(),
                why: format!("`{above}` is pending and is no dict; take it back first"),
            });
        }
        state.overlay.set(at, Arc::new(value));
        state.generation += 1;
        Ok(())
    }

    /// Takes back a pending element.
    pub(crate) fn unset(&self, at: &ElemPath) -> Result<()> {
        {
            let mut state = self.core.state_mut();
            if state.bound.contains(at) {
                return Err(self.is_bound(at));
            }
            if state.overlay.unset(at) {
                state.generation += 1;
                return Ok(());
            }
        }
        match self.core.store() {
            Some(store) if store.node(at)?.is_some() => Err(Error::Unsupported {
                at: self.place(at),
                what: "it is stored in the file, and deleting stored elements is not supported yet".into(),
            }),
            _ => Err(self.not_found(at)),
        }
    }
}

impl Root {
    fn is_bound(&self, at: &ElemPath) -> Error {
        let what = "it is pending as a part of a new modality: write() first".to_owned();
        Error::Unsupported { at: self.place(at), what }
    }
}

fn first_below(path: &ElemPath, at: &ElemPath) -> Option<String> {
    path.strip_prefix(at)?.components().next().map(str::to_owned)
}

fn cut_held(element: Arc<Element>, cut: &[Option<Rows>]) -> Arc<Element> {
    if cut.iter().all(Option::is_none) {
        return element;
    }
    Arc::new(element.take(&Rows::of_cut(&element.shape(), cut)))
}
