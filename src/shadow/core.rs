//! [`Core`]: one open file, under a shadow with its views or, in a MuData, under all modalities: the one lock, over the
//! link to the file and the overlay, and the life of the handle.
//!
//! The lock is never held over disk I/O: look up, clone the handle, release, read, take the lock again, remember.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::inherited::{self, Inherited};
use super::insert::{Put, PutEdit};
use super::link::{Link, Mode, OpenOptions, WriteOptions};
use super::locate;
use super::phase::{Phase, Reading};
use super::slots;
use crate::codec::FrameMeta;
use crate::commit::{self, Change, Receipt, Staged};
use crate::error::{Error, Place, Result};
use crate::fork;
use crate::legacy;
use crate::overlay::{Delta, Lookup, Overlay};
use crate::path::ElemPath;
use crate::store::{Format, IoStats, Locking, Opened, ReadStore, Safety, WriteStore, open_read_with, open_write_with};

/// How long `reopen` and `close` wait for reads in flight, and a forked process for what may have been under way at the fork.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long who waits for others does so before he looks whether somebody wants to fork.
const A_MOMENT: Duration = Duration::from_millis(1);

pub(crate) struct Core {
    /// The path as the user gave it; may end inside the file.
    pub(super) path: PathBuf,
    /// The file or directory itself, and its name for messages.
    root: PathBuf,
    file: String,
    /// Where in the store the object begins that was opened.
    pub(super) base: ElemPath,
    pub(super) format: Format,
    locking: Locking,
    /// Whether genes may be read from a gene index.
    pub(super) gene_index: bool,
    state: RwLock<State>,
    /// One write, reopen or close at a time.
    gate: Mutex<()>,
    /// Held while the handle is swapped: new reads wait for that.
    swap: Mutex<()>,
    phase: Phase,
}

pub(super) struct State {
    link: Link,
    /// In which process, counted by forks, the link was made.
    process: u32,
    pub(super) overlay: Overlay,
    /// Counts the times when what views have read before may have become stale.
    pub(super) generation: u64,
    /// The file as it was when this object last opened, wrote or closed it.
    fingerprint: Fingerprint,
    /// What handles that are closed by now have read and written.
    past: IoStats,
    /// Frames as they were last looked up in the file, and at what generation.
    pub(super) frames: HashMap<ElemPath, (u64, FrameMeta)>,
    /// Fingerprints of matrices that have a gene index, as this handle has found them, and at what generation.
    pub(super) sources: HashMap<ElemPath, (u64, String)>,
    /// The objects in the file that shadows stand for, by where they begin, with their observations and variables.
    pub(super) shapes: BTreeMap<ElemPath, Shape>,
    /// Pending elements that hang together: none of them can be set anew or taken back by itself.
    pub(super) bound: BTreeSet<ElemPath>,
    /// Objects that were in the file and were removed from it, or renamed.
    gone: BTreeSet<ElemPath>,
    /// The handle is being swapped.
    draining: bool,
}

/// Observations and variables of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) now: [usize; 2],
    /// In the file; `None` of one that is pending.
    stored: Option<[usize; 2]>,
}

impl State {
    /// Whether the file was open for writing when this process was forked.
    fn is_inherited(&self) -> bool {
        self.process != fork::forks() && self.link.mode() == Some(Mode::ReadWrite)
    }

    /// The mode; `None` when closed. Unlike [`Core::mode`], it does not wait for a swap of the handle: for who holds the handle.
    pub(super) fn mode(&self) -> Option<Mode> {
        self.link.mode()
    }
}

impl Core {
    /// Opens a file and finds the object in it: `find` is given the path that was left over inside the file.
    pub(super) fn open(
        path: &Path,
        options: &OpenOptions,
        find: impl FnOnce(&dyn ReadStore, ElemPath) -> Result<ElemPath>,
    ) -> Result<Self> {
        let Connected { link, root, inner, format } = connect(path, options.mode, options.locking)?;
        let Some(store) = link.reader() else { return Err(closed_now(path)) };
        let file = store.location().to_owned();
        let base = find(&*store, inner)?;
        let (obs, shape) = locate::measure(&*store, &base)?;
        let state = State {
            link,
            process: fork::forks(),
            overlay: Overlay::new(options.cache_budget),
            generation: 0,
            fingerprint: fingerprint(&root, std::slice::from_ref(&base)),
            past: IoStats::default(),
            frames: HashMap::from([(base.child("obs"), (0, obs))]),
            sources: HashMap::new(),
            shapes: BTreeMap::from([(base.clone(), Shape { now: shape, stored: Some(shape) })]),
            bound: BTreeSet::new(),
            gone: BTreeSet::new(),
            draining: false,
        };
        let (path, state, gate, phase) = (path.to_owned(), RwLock::new(state), Mutex::new(()), Phase::default());
        Ok(Self {
            path,
            root,
            file,
            base,
            format,
            locking: options.locking,
            gene_index: options.gene_index,
            state,
            gate,
            swap: Mutex::default(),
            phase,
        })
    }

    /// Counts the object at `base` among those that shadows stand for.
    pub(super) fn add_object(&self, base: &ElemPath) -> Result<()> {
        let store = self.reader(base)?;
        let (obs, shape) = locate::measure(&*store, &self.home(base))?;
        drop(store);
        {
            let mut state = self.state.write();
            let generation = state.generation;
            state.frames.insert(base.child("obs"), (generation, obs));
            state.shapes.insert(base.clone(), Shape { now: shape, stored: Some(shape) });
        }
        let now = self.fingerprint();
        self.state.write().fingerprint = now;
        Ok(())
    }

    /// Where the file has the object at `base`, if it has it.
    fn home(&self, base: &ElemPath) -> ElemPath {
        match self.state.read().overlay.delta.lookup(base) {
            Lookup::Stored(file) => file,
            _ => base.clone(),
        }
    }

    /// Whether there is an object at `base`, with pending changes; one that was `made` here may have been taken back.
    pub(super) fn is_here(&self, base: &ElemPath, made: bool) -> bool {
        let state = self.state.read();
        let known = if made { state.shapes.contains_key(base) } else { !state.gone.contains(base) };
        known && !matches!(state.overlay.delta.lookup(base), Lookup::Gone)
    }

    /// Begins a reading that sees what is before a publication or what is after it.
    pub(super) fn reading(&self) -> Reading<'_> {
        self.phase.read()
    }

    pub(super) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    pub(super) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write()
    }

    pub(super) fn place(&self, at: &ElemPath) -> Place {
        Place::new(&self.file, at)
    }

    /// The object that was opened as a whole, for messages.
    fn here(&self) -> Place {
        self.place(&self.base)
    }

    /// A path in the store as a path inside the object that was opened.
    pub(super) fn relative(&self, at: &ElemPath) -> String {
        at.strip_prefix(&self.base).unwrap_or_default().to_string()
    }

    /// The state, once no swap of the handle is under way.
    fn settled(&self) -> RwLockReadGuard<'_, State> {
        loop {
            let state = self.state.read();
            if !state.draining {
                return state;
            }
            drop(state);
            drop(self.swap.lock());
        }
    }

    pub(super) fn mode(&self) -> Option<Mode> {
        self.settled().link.mode()
    }

    pub(super) fn generation(&self) -> u64 {
        self.state.read().generation
    }

    pub(super) fn stats(&self) -> IoStats {
        let state = self.state.read();
        let now = state.link.reader().map(|s| s.stats()).unwrap_or_default();
        state.past + now
    }

    /// The store to read from; `None` when closed. Whoever holds one must not ask for another: a swap of the handle lets
    /// the first finish and keeps the second waiting.
    pub(super) fn store(&self) -> Option<Arc<dyn ReadStore>> {
        let state = self.settled();
        if state.is_inherited() {
            return Some(Arc::new(Inherited { at: self.here() }));
        }
        state.link.reader()
    }

    pub(super) fn reader(&self, at: &ElemPath) -> Result<Arc<dyn ReadStore>> {
        self.store().ok_or_else(|| self.closed(at))
    }

    pub(super) fn closed(&self, at: &ElemPath) -> Error {
        Error::Closed { at: self.here(), what: format!("reading `{}`", self.relative(at)) }
    }

    /// Makes changes that hang together, and gives the objects the shapes that they have with them, in one step; `false`, and
    /// nothing done, if anything has changed since `generation`. Waits for a write under way.
    pub(super) fn put(&self, puts: Vec<Put>, shapes: Vec<(ElemPath, [usize; 2])>, generation: u64) -> Result<bool> {
        let _gate = self.alone()?;
        let mut state = self.state.write();
        if state.generation != generation {
            return Ok(false);
        }
        for Put { at, edit } in puts {
            state.bound.insert(at.clone());
            if let PutEdit::Rename { to, .. } = &edit {
                state.bound.insert(to.clone());
            }
            state.overlay.edit(&at, |delta| match edit {
                PutEdit::Set { value, old } => delta.set(&at, value, Some(old)),
                PutEdit::Remove { old } => drop(delta.remove(&at, old)),
                PutEdit::Rename { to, what } => delta.rename(&at, &to, what),
            });
        }
        for (base, now) in shapes {
            let stored = state.shapes.get(&base).and_then(|old| old.stored);
            state.shapes.insert(base, Shape { now, stored });
        }
        state.generation += 1;
        Ok(true)
    }

    /// Waits for the write, reopening or closing under way.
    fn alone(&self) -> Result<MutexGuard<'_, ()>> {
        if !self.state.read().is_inherited() {
            return Ok(self.pass());
        }
        // Whoever held it at the fork holds it for ever.
        self.gate.try_lock_for(PATIENCE).ok_or_else(|| inherited::refused(self.here()))
    }

    /// As [`alone`](Self::alone), where the handle is this process' own.
    fn alone_to_write(&self) -> Result<MutexGuard<'_, ()>> {
        if self.state.read().is_inherited() {
            return Err(inherited::refused(self.here()));
        }
        Ok(self.pass())
    }

    /// Waits for the gate. A fork does not wait for who waits here: who has the gate may be waiting for the fork.
    fn pass(&self) -> MutexGuard<'_, ()> {
        loop {
            if let Some(passed) = self.gate.try_lock_for(A_MOMENT) {
                return passed;
            }
            fork::give_way();
        }
    }

    /// Changes what is pending, once no write is under way.
    pub(super) fn edit<T>(&self, how: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let _gate = self.alone()?;
        let mut state = self.state.write();
        let done = how(&mut state)?;
        state.generation += 1;
        Ok(done)
    }

    /// Takes back all that is pending.
    pub(super) fn discard(&self) {
        // A write that was under way at a fork is under way elsewhere.
        let _gate = self.alone().ok();
        let mut state = self.state.write();
        state.overlay.discard();
        state.bound.clear();
        state.shapes.retain(|_, shape| shape.stored.is_some());
        for shape in state.shapes.values_mut() {
            shape.now = shape.stored.unwrap_or(shape.now);
        }
        state.generation += 1;
    }

    /// The pending changes below `base`, by their paths there.
    pub(super) fn changes(&self, base: &ElemPath) -> Vec<Change> {
        commit::changes(&self.state.read().overlay.delta, base)
    }

    pub(super) fn clear_cache(&self) {
        self.state.write().overlay.cache.clear();
    }

    pub(super) fn set_cache_budget(&self, bytes: usize) {
        self.state.write().overlay.cache.set_budget(bytes);
    }

    pub(super) fn cache_budget(&self) -> usize {
        self.state.read().overlay.cache.budget()
    }

    pub(super) fn cache_bytes(&self) -> usize {
        self.state.read().overlay.cache.bytes()
    }

    pub(super) fn write(&self, options: WriteOptions) -> Result<Receipt> {
        let _gate = self.alone_to_write()?;
        let now = self.fingerprint();
        let (link, delta, shapes, changed) = {
            let state = self.state.read();
            (state.link.clone(), state.overlay.delta.clone(), state.shapes.clone(), state.fingerprint != now)
        };
        let bases: Vec<ElemPath> = shapes.keys().cloned().collect();
        let what = || format!("writing {} pending change(s)", delta.entries().len());
        let store = link.writer().ok_or_else(|| self.not_writable(&link, what()))?;
        let staged = commit::stage(&*store, &self.base, &bases, &delta)?;
        let receipt = self.publish(staged, &*store, options.safety)?;
        let after = self.fingerprint();
        let mut state = self.state.write();
        state.frames.retain(|at, (_, meta)| match delta.lookup(at) {
            Lookup::Stored(_) => {
                meta.columns = delta.order(at, std::mem::take(&mut meta.columns), Some(&meta.index));
                true
            }
            _ => false,
        });
        state.overlay.settle(&delta, options.clear_cache);
        state.generation += 1;
        // What somebody else wrote meanwhile makes stale what was read before.
        if options.clear_cache || changed {
            state.overlay.cache.clear();
        }
        for (base, written) in shapes {
            if let Some(shape) = state.shapes.get_mut(&base) {
                shape.stored = Some(written.now);
            }
            if matches!(delta.lookup(&base), Lookup::Gone) {
                state.shapes.remove(&base);
                state.gone.insert(base);
            }
        }
        state.bound.retain(|at| delta.mark(at).is_none());
        state.fingerprint = after;
        Ok(receipt)
    }

    /// Stages something new at `at` beside what is pending, which stays as it is, and publishes it.
    pub(super) fn transact(
        &self,
        at: &ElemPath,
        what: &str,
        safety: Safety,
        stage: impl FnOnce(&dyn WriteStore, &Delta) -> Result<Change>,
    ) -> Result<Receipt> {
        let _gate = self.alone_to_write()?;
        let now = self.fingerprint();
        let (link, delta, changed) = {
            let state = self.state.read();
            (state.link.clone(), state.overlay.delta.clone(), state.fingerprint != now)
        };
        let store = link.writer().ok_or_else(|| self.not_writable(&link, what.to_owned()))?;
        let staged = commit::stage_by(&*store, |store| stage(store, &delta))?;
        let receipt = self.publish(staged, &*store, safety)?;
        let after = self.fingerprint();
        let mut state = self.state.write();
        state.generation += 1;
        state.overlay.cache.forget_around(at);
        // As in `write`.
        if changed {
            state.overlay.cache.clear();
        }
        state.fingerprint = after;
        Ok(receipt)
    }

    fn not_writable(&self, link: &Link, what: String) -> Error {
        match link {
            Link::Closed => Error::Closed { at: self.here(), what },
            _ => Error::ReadOnly { at: self.here(), what },
        }
    }

    /// Publishes what is staged, once nobody reads.
    fn publish(&self, staged: Staged, store: &dyn WriteStore, safety: Safety) -> Result<Receipt> {
        let Some(_alone) = self.phase.alone(PATIENCE) else {
            // What could not be swept is invisible.
            let _ = store.abandon();
            return Err(self.reads_under_way());
        };
        staged.publish(store, safety)
    }

    fn reads_under_way(&self) -> Error {
        let why = format!("reads are still under way after {} s; try again when they are done", PATIENCE.as_secs());
        Error::Busy { at: self.here(), why }
    }

    /// Swaps the handle. After Err the shadow is open as before or, if even that fails, closed; the overlay is kept.
    pub(super) fn reopen(&self, mode: Mode) -> Result<()> {
        let _gate = self.alone()?;
        let draining = Draining::new(self);
        // Asked before the handle goes: closing an HDF5 file that was open for writing touches it.
        let now = self.fingerprint();
        let mut changed = self.state.read().fingerprint != now;
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
        (state.link, state.process) = (link, fork::forks());
        state.fingerprint = arrived;
        // Another program may have added one of the same name.
        state.gone.clear();
        if changed {
            // Somebody else wrote meanwhile: what was read of the file may be stale.
            state.overlay.cache.clear();
            state.generation += 1;
        }
        drop(state);
        drop(draining);
        result
    }

    fn fingerprint(&self) -> Fingerprint {
        let bases: Vec<ElemPath> = self.state.read().shapes.keys().cloned().collect();
        fingerprint(&self.root, &bases)
    }

    /// A new handle, if the file still has the shape that views and pending changes were made for.
    fn connect_again(&self, mode: Mode) -> Result<Link> {
        let link = connect(&self.path, mode, self.locking)?.link;
        let store = link.reader().ok_or_else(|| closed_now(&self.path))?;
        let known = self.state.read().shapes.clone();
        for (base, shape) in known.iter().filter_map(|(base, shape)| Some((base, shape.stored?))) {
            let now = locate::measure(&*store, base)?.1;
            if now != shape {
                let what = format!("it was {shape:?} when first opened and is {now:?} now; open it anew");
                return Err(Error::Malformed { at: self.place(base), what });
            }
        }
        Ok(link)
    }

    pub(super) fn close(&self) -> Result<()> {
        let _gate = self.alone()?;
        let _draining = Draining::new(self);
        self.disconnect()?;
        let now = self.fingerprint();
        self.state.write().fingerprint = now;
        Ok(())
    }

    /// Takes the handle away once reads in flight are done; new ones wait until `draining` is unset. Gives the mode it had.
    fn disconnect(&self) -> Result<Option<Mode>> {
        let started = Instant::now();
        loop {
            let mut state = self.state.write();
            if !state.link.in_use() {
                let stats = state.link.reader().map(|s| s.stats()).unwrap_or_default();
                state.past = state.past + stats;
                let link = std::mem::replace(&mut state.link, Link::Closed);
                state.sources.clear();
                // Closing may take a while; nobody needs to wait for the lock meanwhile.
                drop(state);
                return Ok(link.mode());
            }
            drop(state);
            if started.elapsed() > PATIENCE {
                return Err(self.reads_under_way());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// New reads wait while the handle is swapped; whatever becomes of that, they do not wait for ever.
struct Draining<'a> {
    core: &'a Core,
    _swap: MutexGuard<'a, ()>,
}

impl<'a> Draining<'a> {
    fn new(core: &'a Core) -> Self {
        let swap = core.swap.lock();
        core.state.write().draining = true;
        Self { core, _swap: swap }
    }
}

impl Drop for Draining<'_> {
    fn drop(&mut self) {
        self.core.state.write().draining = false;
    }
}

struct Connected {
    link: Link,
    root: PathBuf,
    inner: ElemPath,
    format: Format,
}

fn connect(path: &Path, mode: Mode, locking: Locking) -> Result<Connected> {
    Ok(match mode {
        Mode::Read => {
            let Opened { store, root, inner, format } = open_read_with(path, locking)?;
            Connected { link: Link::Read(legacy::read(store, &inner)?), root, inner, format }
        }
        Mode::ReadWrite => {
            let Opened { store, root, inner, format } = open_write_with(path, locking)?;
            Connected { link: Link::Write(legacy::write(store, &inner)?), root, inner, format }
        }
    })
}

fn closed_now(path: &Path) -> Error {
    Error::Closed { at: Place::new(path.display(), ""), what: "opening".into() }
}

/// When a file, or what matters of a directory, was last changed, and how long it is.
type Fingerprint = Vec<Option<(SystemTime, u64)>>;

/// Of a file, the file; of a Zarr store, the documents at its root and the slots of the objects in it, whose directories change
/// when an element comes or goes.
fn fingerprint(root: &Path, bases: &[ElemPath]) -> Fingerprint {
    let stamp = |p: &Path| std::fs::metadata(p).ok().and_then(|m| Some((m.modified().ok()?, m.len())));
    if root.is_file() {
        return vec![stamp(root)];
    }
    let documents = ["zarr.json", ".zmetadata", ".zattrs"].map(|name| root.join(name));
    let slots = bases.iter().flat_map(|base| {
        let here = base.components().fold(root.to_owned(), |dir, name| dir.join(name));
        ["X", "raw", "mod", "obsmap", "varmap"]
            .into_iter()
            .chain(slots::SHOWN.iter().map(|spec| spec.name))
            .map(move |name| here.join(name))
    });
    documents.into_iter().chain(slots).map(|p| stamp(&p)).collect()
}
