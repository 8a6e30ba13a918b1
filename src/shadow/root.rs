//! [`Root`]: the one lock of a shadow and all its views, over the link to the file and the overlay.
//!
//! The lock is never held over disk I/O: look up, clone the handle, release, read, take the lock again, remember.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::link::{Link, Mode, OpenOptions};
use super::slots::{self, Axis};
use crate::codec::{self, FrameMeta, Info, Kind};
use crate::commit::{self, Receipt};
use crate::error::{Error, Place, Result, nearest};
use crate::index::Rows;
use crate::overlay::{Mark, Overlay, Pending};
use crate::path::ElemPath;
use crate::store::{Format, IoStats, Opened, ReadStore, open_read, open_write};
use crate::value::Element;

/// How long `reopen` and `close` wait for reads in flight.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Root {
    /// The path as the user gave it; may end inside the file.
    path: PathBuf,
    /// The file or directory itself, and its name for messages.
    root: PathBuf,
    file: String,
    /// Where in the store the AnnData begins.
    base: ElemPath,
    format: Format,
    lengths: [usize; 2],
    state: RwLock<State>,
    /// One write, reopen or close at a time.
    gate: Mutex<()>,
}

struct State {
    link: Link,
    overlay: Overlay,
    /// Counts the times when what views have read before may have become stale.
    generation: u64,
    /// The file as it was when this object last opened, wrote or closed it.
    fingerprint: Fingerprint,
    /// What handles that are closed by now have read and written.
    past: IoStats,
    /// Frames as they were last looked up in the file, for when it is closed.
    frames: HashMap<ElemPath, FrameMeta>,
    /// The handle is being swapped: new reads wait at the gate.
    draining: bool,
}

impl Root {
    pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        let Connected { link, root, inner, format } = connect(path, options.mode)?;
        let Some(store) = link.reader() else { return Err(closed_now(path)) };
        let file = store.location().to_owned();
        let base = find_anndata(&*store, inner)?;
        let obs = codec::frame_meta(&*store, &base.child("obs"))?;
        let lengths = [obs.n_rows, n_vars(&*store, &base)?];
        let state = State {
            link,
            overlay: Overlay::new(options.cache_budget),
            generation: 0,
            fingerprint: fingerprint(&root, &base),
            past: IoStats::default(),
            frames: HashMap::from([(base.child("obs"), obs)]),
            draining: false,
        };
        let (path, state, gate) = (path.to_owned(), RwLock::new(state), Mutex::new(()));
        Ok(Self { path, root, file, base, format, lengths, state, gate })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    /// The path in the store of `below`, a path inside the AnnData.
    pub(crate) fn at(&self, below: &str) -> Result<ElemPath> {
        self.base.join(below)
    }

    /// A path in the store as a path inside the AnnData.
    pub(crate) fn relative(&self, at: &ElemPath) -> String {
        at.strip_prefix(&self.base).unwrap_or_default().to_string()
    }

    pub(crate) fn place(&self, at: &ElemPath) -> Place {
        Place::new(&self.file, at)
    }

    /// The object as a whole, for messages.
    pub(crate) fn here(&self) -> Place {
        self.place(&self.base)
    }

    /// The state, once no swap of the handle is under way.
    fn settled(&self) -> RwLockReadGuard<'_, State> {
        loop {
            let state = self.state.read();
            if !state.draining {
                return state;
            }
            drop(state);
            drop(self.gate.lock());
        }
    }

    pub(crate) fn mode(&self) -> Option<Mode> {
        self.settled().link.mode()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.state.read().generation
    }

    pub(crate) fn stats(&self) -> IoStats {
        let state = self.state.read();
        let now = state.link.reader().map(|s| s.stats()).unwrap_or_default();
        state.past + now
    }

    /// The store to read from; `None` when closed. Whoever holds one must not ask for another: a swap of the handle lets
    /// the first finish and keeps the second waiting.
    fn store(&self) -> Option<Arc<dyn ReadStore>> {
        self.settled().link.reader()
    }

    fn reader(&self, at: &ElemPath) -> Result<Arc<dyn ReadStore>> {
        self.store().ok_or_else(|| self.closed(at))
    }

    fn closed(&self, at: &ElemPath) -> Error {
        Error::Closed { at: self.here(), what: format!("reading `{}`", self.relative(at)) }
    }

    pub(crate) fn length(&self, axis: Axis) -> Result<usize> {
        match axis {
            Axis::Obs => Ok(self.lengths[0]),
            Axis::Var => Ok(self.lengths[1]),
            Axis::RawVar => Ok(self.frame(&self.at("raw/var")?)?.n_rows),
        }
    }

    /// The frame at `at`, pending columns included, without reading data.
    pub(crate) fn frame(&self, at: &ElemPath) -> Result<FrameMeta> {
        if let Some(element) = self.state.read().overlay.get(at)
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
        let mut meta = match self.store() {
            Some(store) => {
                let meta = codec::frame_meta(&*store, at)?;
                self.state.write().frames.insert(at.clone(), meta.clone());
                meta
            }
            None => {
                let known = self.state.read().frames.get(at).cloned();
                known.ok_or_else(|| self.closed(at))?
            }
        };
        let new = pending.into_iter().filter(|name| !meta.columns.contains(name)).collect::<Vec<_>>();
        meta.columns.extend(new);
        Ok(meta)
    }

    /// The index of a frame that is pending as a whole, if `name` names it.
    pub(crate) fn held_index(&self, frame: &ElemPath, name: &str) -> Option<Element> {
        match self.state.read().overlay.get(frame).as_deref() {
            Some(Element::Table(t)) if t.index_name().unwrap_or("_index") == name && t.column(name).is_none() => {
                Some(t.index().clone())
            }
            _ => None,
        }
    }

    /// What is known of the element at `at`, pending ones included; `None` if there is none.
    pub(crate) fn info(&self, at: &ElemPath) -> Result<Option<Info>> {
        if let Some(element) = self.state.read().overlay.get(at) {
            return Ok(Some(Info::of(&element)));
        }
        let pending = self.pending_names(at);
        let stored = codec::describe(&*self.reader(at)?, at)?;
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
        let held = self.state.read().overlay.get(at);
        let mut names = match (held.as_deref(), self.store()) {
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
        let pending = self.state.read().overlay.pending();
        pending.iter().filter_map(|p| first_below(&p.path, at)).collect()
    }

    /// Names of clean elements below `at`, sorted.
    fn held_names(&self, at: &ElemPath) -> Vec<String> {
        let state = self.state.read();
        let clean = state.overlay.held_below(at).filter(|(_, mark)| *mark == Mark::Cached);
        let names: std::collections::BTreeSet<String> = clean.filter_map(|(p, _)| first_below(p, at)).collect();
        names.into_iter().collect()
    }

    pub(crate) fn mark(&self, at: &ElemPath) -> Option<Mark> {
        self.state.read().overlay.mark(at)
    }

    /// Whether something pending stands at `at` or below it.
    pub(crate) fn is_pending(&self, at: &ElemPath) -> bool {
        self.state.read().overlay.pending_below(at).next().is_some()
    }

    /// The element at `at`, cut on its leading `axes`, of which a stored one must have the lengths.
    pub(crate) fn read(&self, at: &ElemPath, axes: &[Axis], cut: &[Option<Rows>]) -> Result<Arc<Element>> {
        // What is pending is noted together with what is held: a write in between moves it from here to the file, where it
        // is then found, and its new generation keeps this reading out of the cache.
        let (held, pending, generation) = {
            let state = self.state.read();
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
        let store = self.reader(at)?;
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
            let mut state = self.state.write();
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
                return Ok((0..self.lengths[1]).map(|i| i.to_string()).collect());
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
    pub(crate) fn set(&self, at: &ElemPath, value: Element, column: bool) -> Result<()> {
        if let Some(store) = self.store() {
            if store.node(at)?.is_some() {
                return Err(Error::Exists { at: self.place(at) });
            }
            for above in at.ancestors() {
                let Some(node) = store.node(&above)? else { continue };
                let encoding = node.text("encoding-type");
                let open = node.is_group() && matches!(encoding, None | Some("dict" | "anndata" | "raw"));
                let frame = column && encoding == Some("dataframe") && at.parent().as_ref() == Some(&above);
                if !open && !frame {
                    let what = format!("it is {}, and nothing can be put into it", encoding.unwrap_or("an array"));
                    return Err(Error::Unsupported { at: self.place(&above), what });
                }
                break;
            }
        }
        let mut state = self.state.write();
        let blocked = at.ancestors().find(|a| {
            state.overlay.mark(a) == Some(Mark::New)
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
            let mut state = self.state.write();
            if state.overlay.unset(at) {
                state.generation += 1;
                return Ok(());
            }
        }
        match self.store() {
            Some(store) if store.node(at)?.is_some() => Err(Error::Unsupported {
                at: self.place(at),
                what: "it is stored in the file, and deleting stored elements is not supported yet".into(),
            }),
            _ => Err(self.not_found(at)),
        }
    }

    pub(crate) fn changes(&self) -> Vec<commit::Change> {
        self.state.read().overlay.pending().iter().map(|p| commit::Change::of(p, &self.base)).collect()
    }

    pub(crate) fn clear_cache(&self) {
        self.state.write().overlay.clear_clean();
    }

    pub(crate) fn set_cache_budget(&self, bytes: usize) {
        self.state.write().overlay.set_budget(bytes);
    }

    pub(crate) fn cache_budget(&self) -> usize {
        self.state.read().overlay.budget()
    }

    pub(crate) fn cache_bytes(&self) -> usize {
        self.state.read().overlay.clean_bytes()
    }

    pub(crate) fn write(&self, clear_cache: bool) -> Result<Receipt> {
        let _gate = self.gate.lock();
        let (link, pending) = {
            let state = self.state.read();
            (state.link.clone(), state.overlay.pending())
        };
        let what = || format!("writing {} pending element(s)", pending.len());
        let store = match link {
            Link::Write(store) => store,
            Link::Read(_) => return Err(Error::ReadOnly { at: self.here(), what: what() }),
            Link::Closed => return Err(Error::Closed { at: self.here(), what: what() }),
        };
        let changed = self.state.read().fingerprint != self.fingerprint();
        let receipt = commit::write(&*store, &self.base, &pending)?;
        let mut state = self.state.write();
        state.overlay.settle(&pending, clear_cache);
        state.generation += 1;
        // What somebody else wrote meanwhile makes stale what was read before.
        if clear_cache || changed {
            state.overlay.clear_clean();
        }
        state.fingerprint = self.fingerprint();
        Ok(receipt)
    }

    /// Swaps the handle. After Err the shadow is open as before or, if even that fails, closed; the overlay is kept.
    pub(crate) fn reopen(&self, mode: Mode) -> Result<()> {
        let _gate = self.gate.lock();
        let draining = Draining(self);
        // Asked before the handle goes: closing an HDF5 file that was open for writing touches it.
        let mut changed = self.state.read().fingerprint != self.fingerprint();
        let before = self.disconnect()?;
        let gone = self.fingerprint();
        let (link, result) = match self.connect_again(mode) {
            Ok(link) => (link, Ok(())),
            Err(error) => (before.and_then(|mode| self.connect_again(mode).ok()).unwrap_or(Link::Closed), Err(error)),
        };
        let arrived = self.fingerprint();
        // Opening for reading touches nothing, so that any difference is somebody else's.
        changed |= link.mode() == Some(Mode::Read) && arrived != gone;
        let mut state = self.state.write();
        state.link = link;
        state.fingerprint = arrived;
        if changed {
            // Somebody else wrote meanwhile: what was read of the file may be stale.
            state.overlay.clear_clean();
            state.generation += 1;
        }
        drop(state);
        drop(draining);
        result
    }

    fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.root, &self.base)
    }

    /// A new handle, if the file still has the shape that views and pending changes were made for.
    fn connect_again(&self, mode: Mode) -> Result<Link> {
        let link = connect(&self.path, mode)?.link;
        let store = link.reader().ok_or_else(|| closed_now(&self.path))?;
        let n_obs = codec::frame_meta(&*store, &self.base.child("obs"))?.n_rows;
        let lengths = [n_obs, n_vars(&*store, &self.base)?];
        if lengths != self.lengths {
            let what = format!("it was {:?} when first opened and is {lengths:?} now; open it anew", self.lengths);
            return Err(Error::Malformed { at: self.here(), what });
        }
        Ok(link)
    }

    pub(crate) fn close(&self) -> Result<()> {
        let _gate = self.gate.lock();
        let _draining = Draining(self);
        self.disconnect()?;
        self.state.write().fingerprint = self.fingerprint();
        Ok(())
    }

    /// Takes the handle away once reads in flight are done; new ones wait until `draining` is unset. Gives the mode it had.
    fn disconnect(&self) -> Result<Option<Mode>> {
        let started = Instant::now();
        loop {
            let mut state = self.state.write();
            state.draining = true;
            if !state.link.in_use() {
                let stats = state.link.reader().map(|s| s.stats()).unwrap_or_default();
                state.past = state.past + stats;
                let link = std::mem::replace(&mut state.link, Link::Closed);
                // Closing may take a while; nobody needs to wait for the lock meanwhile.
                drop(state);
                return Ok(link.mode());
            }
            drop(state);
            if started.elapsed() > PATIENCE {
                let why =
                    format!("reads are still under way after {} s; try again when they are done", PATIENCE.as_secs());
                return Err(Error::Busy { at: self.here(), why });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// New reads wait while the handle is swapped; whatever becomes of that, they do not wait for ever.
struct Draining<'a>(&'a Root);

impl Drop for Draining<'_> {
    fn drop(&mut self) {
        self.0.state.write().draining = false;
    }
}

struct Connected {
    link: Link,
    root: PathBuf,
    inner: ElemPath,
    format: Format,
}

fn connect(path: &Path, mode: Mode) -> Result<Connected> {
    Ok(match mode {
        Mode::Read => {
            let Opened { store, root, inner, format } = open_read(path)?;
            Connected { link: Link::Read(store), root, inner, format }
        }
        Mode::ReadWrite => {
            let Opened { store, root, inner, format } = open_write(path)?;
            Connected { link: Link::Write(store), root, inner, format }
        }
    })
}

fn closed_now(path: &Path) -> Error {
    Error::Closed { at: Place::new(path.display(), ""), what: "opening".into() }
}

fn first_below(path: &ElemPath, at: &ElemPath) -> Option<String> {
    path.strip_prefix(at)?.components().next().map(str::to_owned)
}

fn cut_held(element: Arc<Element>, cut: &[Option<Rows>]) -> Arc<Element> {
    if cut.iter().all(Option::is_none) {
        return element;
    }
    let shape = element.shape();
    let rows: Vec<Rows> =
        shape.iter().enumerate().map(|(i, &n)| cut.get(i).cloned().flatten().unwrap_or(Rows::All(n))).collect();
    Arc::new(element.take(&rows))
}

/// When a file, or what matters of a directory, was last changed, and how long it is.
type Fingerprint = Vec<Option<(SystemTime, u64)>>;

/// Of a file, the file; of a Zarr store, the documents at its root and the slots of the AnnData, whose directories change
/// when an element comes or goes.
fn fingerprint(root: &Path, base: &ElemPath) -> Fingerprint {
    let stamp = |p: &Path| std::fs::metadata(p).ok().and_then(|m| Some((m.modified().ok()?, m.len())));
    if root.is_file() {
        return vec![stamp(root)];
    }
    let here = base.components().fold(root.to_owned(), |dir, name| dir.join(name));
    let documents = ["zarr.json", ".zmetadata", ".zattrs"].map(|name| root.join(name));
    let slots = ["X", "raw"].into_iter().chain(slots::SHOWN.iter().map(|spec| spec.name)).map(|name| here.join(name));
    documents.into_iter().chain(slots).map(|p| stamp(&p)).collect()
}

/// Where the AnnData begins: at `inner`, or at the modality of that name.
fn find_anndata(store: &dyn ReadStore, inner: ElemPath) -> Result<ElemPath> {
    let at = || Place::new(store.location(), &inner);
    let not = |why: String| Error::NotAnnData { at: at(), why };
    let Some(node) = store.node(&inner)? else {
        let modality = ElemPath::root().child("mod").append(&inner);
        if store.node(&modality)?.is_some() {
            return find_anndata(store, modality);
        }
        let beside = store.children(&inner.parent().unwrap_or_default()).unwrap_or_default();
        return Err(Error::NotFound { at: at(), nearest: nearest(inner.name(), beside.iter().map(String::as_str)) });
    };
    let below = |name: &str| -> Result<Vec<String>> {
        let group = inner.child(name);
        if store.node(&group)?.is_some_and(|n| n.is_group()) { store.children(&group) } else { Ok(Vec::new()) }
    };
    let inside = |group: &str, names: &[String]| {
        let shown: Vec<String> = names
            .iter()
            .map(|n| format!("`{}/{}`", store.location(), inner.child(group).append(&ElemPath::root().child(n))))
            .collect();
        shown.join(", ")
    };
    if !node.is_group() {
        return Err(not("it is an array".into()));
    }
    if store.node(&inner.child("obs"))?.is_some() && node.text("encoding-type") != Some("MuData") {
        return Ok(inner);
    }
    let modalities = below("mod")?;
    if !modalities.is_empty() {
        return Err(not(format!("it is a MuData; open one of its modalities: {}", inside("mod", &modalities))));
    }
    let tables = below("tables")?;
    if !tables.is_empty() {
        return Err(not(format!("it holds tables; open one of them: {}", inside("tables", &tables))));
    }
    Err(not("there is no `obs` in it".into()))
}

/// Length of `var`, or without one the width of X.
fn n_vars(store: &dyn ReadStore, base: &ElemPath) -> Result<usize> {
    if store.node(&base.child("var"))?.is_some() {
        return codec::frame_meta(store, &base.child("var")).map(|m| m.n_rows);
    }
    Ok(codec::describe(store, &base.child("X"))?.and_then(|x| x.shape.get(1).copied()).unwrap_or(0))
}
