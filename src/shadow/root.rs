//! [`Root`]: the one lock of a shadow and all its views, over the link to the file and the overlay.
//!
//! The lock is never held over disk I/O: look up, clone the handle, release, read, take the lock again, remember.

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
use crate::overlay::{Mark, Overlay};
use crate::path::ElemPath;
use crate::store::{Format, IoStats, ReadStore, open_read, open_write};
use crate::value::{Element, texts};

/// How long `reopen` and `close` wait for reads in flight.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Root {
    /// The path as the user gave it; may end inside the file.
    path: PathBuf,
    /// The file or directory itself.
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
    /// The handle is being swapped: new reads wait at the gate.
    draining: bool,
}

impl Root {
    pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        let (link, inner, format) = connect(path, options.mode)?;
        let Some(store) = link.reader() else { return Err(closed_now(path)) };
        let file = store.location().to_owned();
        let base = find_anndata(&*store, inner)?;
        let n_obs = codec::frame_meta(&*store, &base.child("obs"))?.n_rows;
        let n_vars = n_vars(&*store, &base)?;
        let state = State {
            link,
            overlay: Overlay::new(options.cache_budget),
            generation: 0,
            fingerprint: fingerprint(&file, &base),
            past: IoStats::default(),
            draining: false,
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            base,
            format,
            lengths: [n_obs, n_vars],
            state: RwLock::new(state),
            gate: Mutex::new(()),
        })
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
        let what = || format!("reading `{}`", self.relative(at));
        self.store().ok_or_else(|| Error::Closed { at: self.here(), what: what() })
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
        let mut meta = codec::frame_meta(&*self.reader(at)?, at)?;
        let state = self.state.read();
        meta.columns.extend(
            state
                .overlay
                .pending()
                .iter()
                .filter(|p| p.path.parent().as_ref() == Some(at))
                .map(|p| p.path.name().to_owned()),
        );
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
        let stored = codec::describe(&*self.reader(at)?, at)?;
        let pending = self.pending_names(at);
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
        let mut names = match self.store() {
            None => self.held_names(at),
            Some(store) if store.node(at)?.is_some_and(|n| n.is_group()) => store.children(at)?,
            Some(_) => Vec::new(),
        };
        for pending in self.pending_names(at) {
            if !names.contains(&pending) {
                names.push(pending);
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
        let (held, generation) = {
            let state = self.state.read();
            (state.overlay.get(at), state.generation)
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
        let element = Arc::new(self.with_pending(at, stored)?);
        if cut.iter().all(Option::is_none) {
            let mut state = self.state.write();
            if state.generation == generation {
                state.overlay.remember(at, element.clone());
            }
        }
        Ok(element)
    }

    /// Adds to a mapping what is pending below it.
    fn with_pending(&self, at: &ElemPath, stored: Option<Element>) -> Result<Element> {
        let below: Vec<_> = {
            let state = self.state.read();
            state.overlay.pending().into_iter().filter(|p| p.path.starts_with(at)).collect()
        };
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
        let held = self.state.read().overlay.get(&frame);
        let element = match held.as_deref() {
            Some(Element::Table(table)) => Arc::new(table.index().clone()),
            _ => self.read(&frame.join(&meta.index)?, &[axis], &[])?,
        };
        let names = texts(&element).ok_or_else(|| Error::Malformed {
            at: self.place(&frame),
            what: format!("its index is {}", element.describe()),
        })?;
        Ok(names.into_iter().map(|n| n.unwrap_or_else(|| "nan".to_owned())).collect())
    }

    /// Sets an element to be written. The caller has checked that it fits.
    pub(crate) fn set(&self, at: &ElemPath, value: Element) -> Result<()> {
        if let Some(store) = self.store() {
            for above in std::iter::once(at.clone()).chain(at.ancestors()) {
                match store.node(&above)? {
                    Some(_) if above == *at => return Err(Error::Exists { at: self.place(at) }),
                    Some(node) if node.is_group() => break,
                    Some(_) => return Err(Error::Exists { at: self.place(&above) }),
                    None => {}
                }
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
        match self.info(at)? {
            Some(_) => Err(Error::Unsupported {
                at: self.place(at),
                what: "it is stored in the file, and deleting stored elements is not supported yet".into(),
            }),
            None => Err(self.not_found(at)),
        }
    }

    pub(crate) fn changes(&self) -> Vec<commit::Change> {
        self.state.read().overlay.pending().iter().map(commit::Change::of).collect()
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
        let receipt = commit::write(&*store, &self.base, &pending)?;
        let mut state = self.state.write();
        state.overlay.settle(&pending, clear_cache);
        if clear_cache {
            state.overlay.clear_clean();
        }
        state.fingerprint = fingerprint(&self.file, &self.base);
        Ok(receipt)
    }

    /// Swaps the handle. After Err the shadow is open as before or, if even that fails, closed; the overlay is kept.
    pub(crate) fn reopen(&self, mode: Mode) -> Result<()> {
        let _gate = self.gate.lock();
        // Asked before the handle goes: closing an HDF5 file that was open for writing touches it.
        let changed = self.state.read().fingerprint != fingerprint(&self.file, &self.base);
        let before = self.disconnect()?;
        let (link, result) = match self.connect_again(mode) {
            Ok(link) => (link, Ok(())),
            Err(error) => (before.and_then(|mode| self.connect_again(mode).ok()).unwrap_or(Link::Closed), Err(error)),
        };
        let mut state = self.state.write();
        state.link = link;
        state.draining = false;
        state.fingerprint = fingerprint(&self.file, &self.base);
        if changed {
            // Somebody else wrote meanwhile: what was read of the file may be stale.
            state.overlay.clear_clean();
            state.generation += 1;
        }
        result
    }

    /// A new handle, if the file still has the shape that views and pending changes were made for.
    fn connect_again(&self, mode: Mode) -> Result<Link> {
        let (link, _, _) = connect(&self.path, mode)?;
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
        self.disconnect()?;
        let mut state = self.state.write();
        state.draining = false;
        state.fingerprint = fingerprint(&self.file, &self.base);
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
                return Ok(std::mem::replace(&mut state.link, Link::Closed).mode());
            }
            if started.elapsed() > PATIENCE {
                state.draining = false;
                let why =
                    format!("reads are still under way after {} s; try again when they are done", PATIENCE.as_secs());
                return Err(Error::Busy { at: self.here(), why });
            }
            drop(state);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn connect(path: &Path, mode: Mode) -> Result<(Link, ElemPath, Format)> {
    Ok(match mode {
        Mode::Read => {
            let opened = open_read(path)?;
            (Link::Read(opened.store), opened.inner, opened.format)
        }
        Mode::ReadWrite => {
            let opened = open_write(path)?;
            (Link::Write(opened.store), opened.inner, opened.format)
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
fn fingerprint(file: &str, base: &ElemPath) -> Fingerprint {
    let root = Path::new(file);
    let stamp = |p: &Path| std::fs::metadata(p).ok().and_then(|m| Some((m.modified().ok()?, m.len())));
    if root.is_file() {
        return vec![stamp(root)];
    }
    let here = base.components().fold(root.to_owned(), |dir, name| dir.join(name));
    let documents = ["zarr.json", ".zmetadata", ".zattrs"].map(|name| root.join(name));
    let slots = slots::SHOWN.iter().map(|spec| here.join(spec.name));
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
