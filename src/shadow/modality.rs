//! [`Modality`]: one AnnData of a MuData, and the maps that tell which of its rows a global row is.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::anndata::AnnDataShadow;
use super::core::Core;
use super::root::{Keep, Root};
use super::slots::Axis;
use crate::error::{Error, Result};
use crate::index::Rows;
use crate::path::ElemPath;
use crate::value::Element;

/// For every global row the row of the modality that it is, if it is any.
pub(super) type Map = Arc<[Option<usize>]>;

pub(super) struct Modality {
    pub(super) name: String,
    /// Where it begins in the store.
    pub(super) base: ElemPath,
    /// Made here, not found in the file.
    pub(super) made: bool,
    /// The shadow, once it could be opened: one damaged modality does not hide the others.
    shadow: Mutex<Option<AnnDataShadow>>,
    /// The maps, obs and var, as they were read at this generation.
    maps: Mutex<[Option<(u64, Map)>; 2]>,
}

impl Modality {
    pub(super) fn new(name: &str, base: ElemPath) -> Self {
        Self { name: name.to_owned(), base, made: false, shadow: Mutex::default(), maps: Mutex::default() }
    }

    /// One that is not in the file yet.
    pub(super) fn pending(name: &str, core: &Arc<Core>, base: ElemPath) -> Self {
        let new = Self { made: true, ..Self::new(name, base) };
        *new.shadow.lock() = Some(new.over(core));
        new
    }

    fn over(&self, core: &Arc<Core>) -> AnnDataShadow {
        AnnDataShadow::whole(Arc::new(Root { core: core.clone(), base: self.base.clone(), is_mudata: false }))
    }

    /// The whole modality, over the same open file.
    pub(super) fn shadow(&self, core: &Arc<Core>) -> Result<AnnDataShadow> {
        let mut shadow = self.shadow.lock();
        if let Some(open) = &*shadow {
            return Ok(open.clone());
        }
        core.add_object(&self.base)?;
        let open = self.over(core);
        *shadow = Some(open.clone());
        Ok(open)
    }

    /// The modality cut to the global rows `rows`, obs and var: in their order, with their repeats, without those that the
    /// modality lacks.
    pub(super) fn cut(&self, whole: &AnnDataShadow, rows: &[Rows; 2]) -> Result<AnnDataShadow> {
        let shadow = self.shadow(&whole.root.core)?;
        let inside = |axis: Axis, rows: &Rows| -> Result<Rows> {
            let map = self.map(whole, axis)?;
            let picks: Vec<usize> = rows.iter().filter_map(|i| map.get(i).copied().flatten()).collect();
            Ok(Rows::picks(picks))
        };
        Ok(shadow.at_rows([inside(Axis::Obs, &rows[0])?, inside(Axis::Var, &rows[1])?]))
    }

    /// The map of an axis: `obsmap` or `varmap`, or where a file has none (mudata 0.1), by the names.
    pub(super) fn map(&self, whole: &AnnDataShadow, axis: Axis) -> Result<Map> {
        let generation = whole.root.core.generation();
        let slot = if axis == Axis::Obs { 0 } else { 1 };
        if let Some((at, map)) = &self.maps.lock()[slot]
            && *at == generation
        {
            return Ok(map.clone());
        }
        let map: Map = match self.stored_map(whole, axis)? {
            Some(map) => map.into(),
            None => self.map_by_names(whole, axis)?.into(),
        };
        self.maps.lock()[slot] = Some((generation, map.clone()));
        Ok(map)
    }

    /// `obsmap/<name>`: 1-based positions, 0 where the modality lacks the row, of any integer type.
    fn stored_map(&self, whole: &AnnDataShadow, axis: Axis) -> Result<Option<Vec<Option<usize>>>> {
        let at = whole.root.at(&format!("{}map", axis.name()))?.child(&self.name);
        if whole.root.info(&at)?.is_none() {
            return Ok(None);
        }
        let element = whole.root.read(&at, &[axis], &[], Keep::All)?;
        let malformed = |what: String| Error::Malformed { at: whole.root.place(&at), what };
        let positions = match &*element {
            Element::Array(a) if a.len() == whole.root.length(axis)? => a.to_i64(),
            _ => None,
        };
        let positions =
            positions.ok_or_else(|| malformed(format!("it is {}, not a position per row", element.describe())))?;
        let n = self.shadow(&whole.root.core)?.root.length(axis)?;
        let place = |p: i64| match usize::try_from(p) {
            Ok(0) => Ok(None),
            Ok(p) if p <= n => Ok(Some(p - 1)),
            _ => Err(malformed(format!("position {p} does not exist among the {n} of the modality"))),
        };
        positions.into_iter().map(place).collect::<Result<_>>().map(Some)
    }

    /// The k-th row of a name in the modality is the k-th global row of this name, among those that the modality's mask
    /// admits if there is one.
    fn map_by_names(&self, whole: &AnnDataShadow, axis: Axis) -> Result<Vec<Option<usize>>> {
        let shadow = self.shadow(&whole.root.core)?;
        let mask = self.mask(whole, axis)?;
        let (known, names) = (whole.root.axis_names(axis)?, shadow.axis_names(axis)?);
        Ok(rows_by_name(&known, &names, |i| mask.as_ref().is_none_or(|mask| mask[i])))
    }

    /// `obsm/<name>`: which global rows the modality has, as (n,) or (n, 1) of booleans or of numbers.
    fn mask(&self, whole: &AnnDataShadow, axis: Axis) -> Result<Option<Vec<bool>>> {
        let at = whole.root.at(&format!("{}m", axis.name()))?.child(&self.name);
        let fits = |info: crate::codec::Info| matches!(info.shape[..], [_] | [_, 1]);
        if !whole.root.info(&at)?.is_some_and(fits) {
            return Ok(None);
        }
        let element = whole.root.read(&at, &[axis], &[], Keep::All)?;
        let Element::Array(a) = &*element else { return Ok(None) };
        Ok(a.to_f64().map(|values| values.into_iter().map(|x| x != 0.0).collect()))
    }
}

/// For every known name the row of `names` that it is: the k-th of a name is the k-th known one of this name, among those that
/// are admitted.
pub(super) fn rows_by_name(known: &[String], names: &[String], admitted: impl Fn(usize) -> bool) -> Vec<Option<usize>> {
    let mut rows: HashMap<&str, VecDeque<usize>> = HashMap::new();
    for (i, name) in names.iter().enumerate() {
        rows.entry(name).or_default().push_back(i);
    }
    let mut row = |name: &str| rows.get_mut(name).and_then(VecDeque::pop_front);
    known.iter().enumerate().map(|(i, name)| if admitted(i) { row(name) } else { None }).collect()
}
