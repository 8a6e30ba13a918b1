//! [`MuDataShadow`]: several AnnData in one open file, with global frames and slots above them.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::anndata::{AnnDataShadow, ElementInfo};
use super::core::Core;
use super::frame::Frame;
use super::insert::{self, Insertion, Put, PutEdit};
use super::link::{Mode, OpenOptions, WriteOptions};
use super::locate;
use super::member::{Member, Slot};
use super::modality::Modality;
use super::repr;
use super::root::Root;
use super::slots::{self, Axis};
use super::take_out;
use crate::codec::{self, Info};
use crate::commit::{Change, Receipt};
use crate::error::{Error, Result, nearest};
use crate::index::Select;
use crate::overlay::Mark;
use crate::path::check_new_name;
use crate::store::{Format, IoStats};
use crate::value::Element;

/// Which axis the modalities of a MuData share; along the other they are concatenated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SharedAxis {
    /// Observations are shared (`axis` 0, the default).
    #[default]
    Obs,
    /// Variables are shared (`axis` 1).
    Var,
    /// Both are shared (`axis` -1).
    Both,
}

/// A MuData object that stays in its file: modalities, each an [`AnnDataShadow`], and global frames and slots over all of
/// them.
///
/// One open file and one set of pending changes, however many modalities and views: [`write`](Self::write),
/// [`reopen`](Self::reopen), [`close`](Self::close) act on all of it, whether called here or on a modality.
#[derive(Clone)]
pub struct MuDataShadow {
    /// The global part, cut to the view.
    whole: AnnDataShadow,
    shared: Arc<Shared>,
    /// Of a view: the modalities cut so far.
    cuts: Option<Arc<Mutex<Cuts>>>,
}

/// By name, and at what generation: maps may change.
type Cuts = HashMap<String, (u64, AnnDataShadow)>;

struct Shared {
    axis: SharedAxis,
    modalities: RwLock<Vec<Arc<Modality>>>,
}

impl MuDataShadow {
    /// Opens an `.h5mu` file or a Zarr MuData for reading. The format is found by content.
    ///
    /// # Errors
    /// As [`AnnDataShadow::open`]; [`Error::NotMuData`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &OpenOptions::default())
    }

    /// Opens with options.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        let core = Arc::new(Core::open(path.as_ref(), options, locate::find_mudata)?);
        let root = Arc::new(Root { base: core.base.clone(), core: core.clone(), is_mudata: true });
        let store = core.reader(&root.base)?;
        let axis = locate::shared_axis(&*store, &root.base)?;
        let names = codec::modalities(&*store, &root.base.child("mod"))?;
        drop(store);
        let mod_at = root.base.child("mod");
        let modalities =
            names.iter().map(|n| Ok(Arc::new(Modality::new(n, mod_at.join(n)?)))).collect::<Result<Vec<_>>>()?;
        for modality in &modalities {
            // What is wrong with one is said when it is asked for.
            let _ = modality.shadow(&core);
        }
        let shared = Arc::new(Shared { axis, modalities: RwLock::new(modalities) });
        Ok(Self { whole: AnnDataShadow::whole(root), shared, cuts: None })
    }

    /// The path it was opened with.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.whole.path()
    }

    /// The container.
    #[must_use]
    pub fn format(&self) -> Format {
        self.whole.format()
    }

    /// The mode; `None` when closed.
    #[must_use]
    pub fn mode(&self) -> Option<Mode> {
        self.whole.mode()
    }

    /// The axis that the modalities share.
    #[must_use]
    pub fn axis(&self) -> SharedAxis {
        self.shared.axis
    }

    /// Number of global observations (of a view: of those that it takes).
    #[must_use]
    pub fn n_obs(&self) -> usize {
        self.whole.n_obs()
    }

    /// Number of global variables.
    #[must_use]
    pub fn n_vars(&self) -> usize {
        self.whole.n_vars()
    }

    /// Global observations, variables.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        self.whole.shape()
    }

    /// Shape of the object that a view was cut from.
    #[must_use]
    pub fn original_shape(&self) -> (usize, usize) {
        self.whole.original_shape()
    }

    /// Whether this is a view.
    #[must_use]
    pub const fn is_view(&self) -> bool {
        self.whole.is_view()
    }

    /// Names of the modalities, in their order (`mod-order`).
    #[must_use]
    pub fn modalities(&self) -> Vec<String> {
        self.here().iter().map(|m| m.name.clone()).collect()
    }

    /// The modalities that are there, with pending changes.
    fn here(&self) -> Vec<Arc<Modality>> {
        let core = &self.whole.root.core;
        let known = self.shared.modalities.read();
        known.iter().filter(|m| core.is_here(&m.base, m.made)).cloned().collect()
    }

    /// A modality, over the same open file; of a view, cut through the maps: its rows are those of the global rows taken,
    /// in their order and with their repeats, without those that it lacks.
    ///
    /// # Errors
    /// [`Error::NotFound`] with the nearest names; of a damaged modality, what is wrong with it; of a view,
    /// [`Error::Malformed`] if a map does not fit.
    pub fn modality(&self, name: &str) -> Result<AnnDataShadow> {
        let modality = self.find(name)?;
        let (Some(cuts), Some(rows)) = (&self.cuts, self.whole.rows()) else {
            return modality.shadow(&self.whole.root.core);
        };
        let generation = self.whole.root.core.generation();
        if let Some((_, cut)) = cuts.lock().get(name).filter(|(then, _)| *then == generation) {
            return Ok(cut.clone());
        }
        let cut = modality.cut(&self.whole, rows)?;
        cuts.lock().insert(name.to_owned(), (generation, cut.clone()));
        Ok(cut)
    }

    fn find(&self, name: &str) -> Result<Arc<Modality>> {
        let found = self.here().into_iter().find(|m| m.name == name);
        found.ok_or_else(|| {
            let names = self.modalities();
            let at = self.whole.root.at("mod").and_then(|at| at.join(name)).unwrap_or_default();
            Error::NotFound { at: self.whole.root.place(&at), nearest: nearest(name, names.iter().map(String::as_str)) }
        })
    }

    /// For every global observation its row in a modality, `None` where the modality lacks it; of a view, its row in the
    /// modality's view. Counted from 0. From `obsmap`, or where a file has none (mudata 0.1), by the names.
    ///
    /// # Errors
    /// As [`modality`](Self::modality); [`Error::Malformed`] if the map does not fit.
    pub fn obs_rows(&self, modality: &str) -> Result<Vec<Option<usize>>> {
        self.rows_of(modality, Axis::Obs)
    }

    /// As [`obs_rows`](Self::obs_rows), of variables.
    ///
    /// # Errors
    /// As [`obs_rows`](Self::obs_rows).
    pub fn var_rows(&self, modality: &str) -> Result<Vec<Option<usize>>> {
        self.rows_of(modality, Axis::Var)
    }

    fn rows_of(&self, modality: &str, axis: Axis) -> Result<Vec<Option<usize>>> {
        let map = self.find(modality)?.map(&self.whole, axis)?;
        let Some(rows) = self.whole.rows() else { return Ok(map.to_vec()) };
        let taken = rows[if axis == Axis::Obs { 0 } else { 1 }].iter();
        let mut next = 0..;
        Ok(taken.map(|i| map[i].and_then(|_| next.next())).collect())
    }

    /// The global part by itself, for code that works on AnnData: without X, layers and raw, which cannot be set in it. Cut
    /// to the view.
    #[must_use]
    pub const fn global(&self) -> &AnnDataShadow {
        &self.whole
    }

    /// The frame of global observations.
    #[must_use]
    pub fn obs(&self) -> Frame {
        self.whole.obs()
    }

    /// The frame of global variables.
    #[must_use]
    pub fn var(&self) -> Frame {
        self.whole.var()
    }

    /// Arrays and frames over global observations. One named like a modality is its mask: which observations it has.
    #[must_use]
    pub fn obsm(&self) -> Slot {
        self.whole.obsm()
    }

    /// Arrays and frames over global variables, masks included.
    #[must_use]
    pub fn varm(&self) -> Slot {
        self.whole.varm()
    }

    /// Matrices of global observations × observations.
    #[must_use]
    pub fn obsp(&self) -> Slot {
        self.whole.obsp()
    }

    /// Matrices of global variables × variables.
    #[must_use]
    pub fn varp(&self) -> Slot {
        self.whole.varp()
    }

    /// Everything else, nested to any depth.
    #[must_use]
    pub fn uns(&self) -> Slot {
        self.whole.uns()
    }

    /// Per modality, the row that each global observation is there, counted from 1; 0 where the modality lacks it. Of a view,
    /// rows of the modality's view. As stored, where it is stored; [`obs_rows`](Self::obs_rows) always knows.
    #[must_use]
    pub fn obsmap(&self) -> Slot {
        self.whole.slot(&slots::OBSMAP)
    }

    /// As [`obsmap`](Self::obsmap), of variables.
    #[must_use]
    pub fn varmap(&self) -> Slot {
        self.whole.slot(&slots::VARMAP)
    }

    /// The element at a path inside the MuData: `obsm/X_umap`, `obs/leiden`, `mod/rna/X`. The handle exists whether the
    /// element does or not.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the path does not lead into a slot or a modality, [`Error::BadName`].
    pub fn member(&self, path: &str) -> Result<Member> {
        if let Some((name, below)) = path.strip_prefix("mod/").and_then(|rest| rest.split_once('/')) {
            return self.modality(name)?.member(below);
        }
        self.whole.member_of(path, &slots::OF_MUDATA)
    }

    /// Every element there is, pending ones included, in the order shown, without reading data: the global ones, then those
    /// of each modality, below `mod/<name>/`.
    ///
    /// # Errors
    /// Those of the store.
    pub fn elements(&self) -> Result<Vec<ElementInfo>> {
        let mut found = Vec::new();
        self.whole.list_slots(&slots::OF_MUDATA, &mut found)?;
        for name in self.modalities() {
            let elements = match self.modality(&name).and_then(|shadow| shadow.elements()) {
                Ok(elements) => elements,
                // One that is damaged does not hide the others.
                Err(error) => {
                    let (path, info) = (format!("mod/{name}"), Info::opaque(error.to_string()));
                    found.push(ElementInfo { path, info, mark: None });
                    continue;
                }
            };
            for element in elements {
                found.push(ElementInfo { path: format!("mod/{name}/{}", element.path), ..element });
            }
        }
        Ok(found)
    }

    /// Names of the global observations.
    ///
    /// # Errors
    /// Those of the store.
    pub fn obs_names(&self) -> Result<Vec<String>> {
        self.whole.obs_names()
    }

    /// Names of the global variables. Where variables are concatenated, two modalities may have one of the same name.
    ///
    /// # Errors
    /// Those of the store.
    pub fn var_names(&self) -> Result<Vec<String>> {
        self.whole.var_names()
    }

    /// The part at these global observations and variables: a view over the same open file, in which every modality is cut
    /// through the maps. Selections are those of [`AnnDataShadow::select`]; of a view, they count within it.
    ///
    /// # Errors
    /// As [`AnnDataShadow::select`].
    pub fn select(&self, obs: impl Into<Select>, var: impl Into<Select>) -> Result<Self> {
        let whole = self.whole.select(obs, var)?;
        Ok(Self { whole, shared: self.shared.clone(), cuts: Some(Arc::default()) })
    }

    /// Adds a modality, in memory; `write()` brings it to the file. `data` is an AnnData as a dict of its slots, such as
    /// [`AnnDataShadow::to_memory`] gives of a shadow or a view, or one made by hand: `obs` and `var` frames, `X`, and the
    /// others if there are any.
    ///
    /// Masks (`obsm`, `varm`) and maps (`obsmap`, `varmap`) are made to fit. Along an axis that the modalities share, rows are
    /// matched by their names; new names, and along the other axis all rows, are put behind the global rows. What is known
    /// of these in global frames is nothing: missing values, NaN in floats; global embeddings get NaN rows, graphs empty
    /// ones.
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::Exists`], [`Error::WrongType`], [`Error::Shape`], [`Error::View`], [`Error::Closed`];
    /// [`Error::Unsupported`] if new rows come to a global element that has no form for values that are not known (an
    /// embedding of integers), or a global frame that they come to has pending columns. Nothing is changed then.
    pub fn insert_modality(&self, name: &str, data: impl Into<Element>) -> Result<()> {
        let root = &self.whole.root;
        let at = root.at("mod")?.join(name)?;
        self.whole.refuse_view(&at, "adding a modality")?;
        let data = Arc::new(data.into());
        let names = insert::check_anndata(&self.whole, name, &data)?;
        let shared = match self.shared.axis {
            SharedAxis::Obs => [true, false],
            SharedAxis::Var => [false, true],
            SharedAxis::Both => [true, true],
        };
        loop {
            let (generation, modalities) = (root.core.generation(), self.here());
            if modalities.iter().any(|m| m.name == name) || root.info(&at)?.is_some() {
                return Err(Error::Exists { at: root.place(&at) });
            }
            let Insertion { puts, shape, global } =
                insert::plan(&self.whole, &modalities, shared, name, &data, &names)?;
            // What others have set meanwhile belongs into the plan.
            if root.core.put(puts, vec![(at.clone(), shape), (root.base.clone(), global)], generation)? {
                break;
            }
        }
        self.note(Modality::pending(name, &root.core, at), None);
        Ok(())
    }

    /// Removes a modality, in memory, with its masks and maps; `write()` removes it from the file. Global rows that are no
    /// other modality's go, too, and what is along them is cut; the names of the modality in global columns stay.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::View`]; [`Error::Unsupported`] for the only one, and for one that is pending itself
    /// (discard that). Nothing is changed then.
    pub fn remove_modality(&self, name: &str) -> Result<()> {
        let root = &self.whole.root;
        loop {
            let generation = root.core.generation();
            self.check_stored(name, "removing a modality")?;
            let (puts, shape) = take_out::plan(&self.whole, &self.here(), name)?;
            if root.core.put(puts, vec![(root.base.clone(), shape)], generation)? {
                return Ok(());
            }
        }
    }

    /// Gives a modality another name, with its masks and maps; it keeps its place in the order. None of its data is read or
    /// written. Names of global columns (`rna:n_genes`) stay.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Exists`], [`Error::BadName`], [`Error::View`]; [`Error::Unsupported`] for one that is
    /// pending itself. Nothing is changed then.
    pub fn rename_modality(&self, name: &str, new: &str) -> Result<()> {
        check_new_name(new)?;
        let root = &self.whole.root;
        let to = root.at("mod")?.join(new)?;
        loop {
            let generation = root.core.generation();
            let old = self.check_stored(name, "renaming a modality")?;
            let shape = old.root.shape();
            let mut puts = Vec::new();
            for at in take_out::parts(&self.whole, name)? {
                let to = at.parent().unwrap_or_default().join(new)?;
                if root.info(&to)?.is_some() {
                    return Err(Error::Exists { at: root.place(&to) });
                }
                let what = root.stored(&at)?;
                puts.push(Put { at, edit: PutEdit::Rename { to, what } });
            }
            if root.core.put(puts, vec![(to.clone(), shape)], generation)? {
                break;
            }
        }
        self.note(Modality::pending(new, &root.core, to), Some(name));
        Ok(())
    }

    /// The modality of this name, if it is in the file and nothing in the way of changing it as a whole.
    fn check_stored(&self, name: &str, what: &str) -> Result<AnnDataShadow> {
        let modality = self.find(name)?;
        self.whole.refuse_view(&modality.base, what)?;
        let root = &self.whole.root;
        if root.mark(&modality.base).is_some_and(Mark::is_pending) || root.stored(&modality.base)?.is_none() {
            let what = "it is pending itself: write() first, or discard() the changes".to_owned();
            return Err(Error::Unsupported { at: root.place(&modality.base), what });
        }
        modality.shadow(&root.core)
    }

    /// Puts a modality on the list: in the place of `old`, or at the end. One of the same name that was there once gives way.
    fn note(&self, modality: Modality, old: Option<&str>) {
        let mut known = self.shared.modalities.write();
        known.retain(|m| m.name != modality.name);
        let place = old.and_then(|old| known.iter().position(|m| m.name == old)).unwrap_or(known.len());
        known.insert(place, Arc::new(modality));
    }

    /// Takes back everything that is pending, in the global slots and in all modalities, and changes of the modalities.
    ///
    /// # Errors
    /// [`Error::View`].
    pub fn discard(&self) -> Result<()> {
        self.whole.discard()
    }

    /// What `write()` would do, in the global slots and in all modalities.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        self.whole.changes()
    }

    /// Writes everything pending, in the global slots and in all modalities, in one step: as [`AnnDataShadow::write`].
    ///
    /// # Errors
    /// As [`AnnDataShadow::write`].
    pub fn write(&self, options: WriteOptions) -> Result<Receipt> {
        self.whole.write(options)
    }

    /// Swaps the open file for one in another mode, under this object, its modalities, views and handles: as
    /// [`AnnDataShadow::reopen`].
    ///
    /// # Errors
    /// As [`AnnDataShadow::reopen`].
    pub fn reopen(&self, mode: Mode) -> Result<&Self> {
        self.whole.reopen(mode)?;
        // Others may have added some.
        let root = &self.whole.root;
        let mod_at = root.at("mod")?;
        let names = codec::modalities(&*root.core.reader(&mod_at)?, &mod_at)?;
        let mut known = self.shared.modalities.write();
        known.retain(|m| m.made || names.contains(&m.name));
        for name in names {
            if !known.iter().any(|m| m.name == name) {
                known.push(Arc::new(Modality::new(&name, mod_at.join(&name)?)));
            }
        }
        Ok(self)
    }

    /// Closes the file. What the object holds in memory stays, pending changes included; closing twice is fine.
    ///
    /// # Errors
    /// [`Error::Busy`] if reads in other threads do not end.
    pub fn close(&self) -> Result<()> {
        self.whole.close()
    }

    /// Frees what was read and not changed, of the global slots and of all modalities; never what is pending. A view frees
    /// what it has read itself.
    pub fn clear_cache(&self) {
        self.whole.clear_cache();
        if let Some(cuts) = &self.cuts {
            cuts.lock().values().for_each(|(_, cut)| cut.clear_cache());
        }
    }

    /// Changes how many bytes of clean elements are kept in memory, in all, and by each view cut from now on.
    pub fn set_cache_budget(&self, bytes: usize) {
        self.whole.set_cache_budget(bytes);
    }

    /// Bytes of clean elements in memory (without those of views).
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        self.whole.cache_bytes()
    }

    /// What was read and written so far, over all modes since opening.
    #[must_use]
    pub fn io_stats(&self) -> IoStats {
        self.whole.io_stats()
    }
}

impl fmt::Display for MuDataShadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let modalities: Vec<_> = self.modalities().into_iter().map(|name| (self.modality(&name), name)).collect();
        repr::mudata(f, &self.whole, &slots::OF_MUDATA, &modalities)
    }
}

impl fmt::Debug for MuDataShadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
