//! What is looked at in the data: one [`Task`] after the other, each in blocks.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;

use super::blocks::{Blocks, array_bytes};
use super::sparse::Matrix;
use super::{Examiner, Severity};
use crate::codec;
use crate::error::{Error, Place, Result};
use crate::index::Rows;
use crate::path::ElemPath;
use crate::store::{ArrayMeta, ReadStore, array_meta};
use crate::value::{Array, Element};

/// Something to be looked at.
pub(super) struct Task {
    pub(super) at: ElemPath,
    pub(super) look: Look,
    /// Bytes that it reads, roughly.
    pub(super) weight: u64,
}

/// What to look for.
pub(super) enum Look {
    /// That every chunk can be decoded.
    Decode,
    /// Codes below the number of categories, and from -1 on.
    Codes { categories: usize },
    /// Names along an axis: none twice, none missing.
    Names { axis: String },
    /// The names of a frame along an axis, which repeats those of the axis.
    SameNames { of: ElemPath },
    /// The positions in a sparse matrix.
    Sparse(Matrix),
    /// That a gene index holds the entries of this matrix.
    Twin { of: ElemPath },
    /// The buffers of an awkward array against its form.
    Awkward,
    /// The map of a modality with this many rows, against the mask that says the same, and the indexes: global, and the
    /// modality's.
    Map { rows: usize, mask: Option<ElemPath>, names: Option<(ElemPath, ElemPath)> },
}

/// Who is told of bytes that were looked at.
pub(super) type Tell<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

/// How many rows of an index are taken at a time, at least.
const ROWS: usize = 1 << 16;
/// Chunks beyond this are not looked at.
const MAX_BLOCK: u64 = 4 << 30;
/// Awkward arrays beyond this are not looked at as a whole.
const MAX_AWKWARD: u64 = 256 << 20;

impl Task {
    /// A task that reads an array once.
    pub(super) fn over(at: &ElemPath, look: Look, meta: &ArrayMeta) -> Self {
        Self { at: at.clone(), look, weight: array_bytes(meta) }
    }

    pub(super) fn decode(at: &ElemPath, meta: &ArrayMeta) -> Self {
        Self::over(at, Look::Decode, meta)
    }
}

impl Examiner {
    /// Does what a task says; what cannot be read is a finding. A break ends the looking.
    pub(super) fn look(&mut self, store: &dyn ReadStore, task: &Task, tell: Tell<'_>) -> ControlFlow<()> {
        let at = &task.at;
        let looked = match &task.look {
            Look::Decode => each_block(store, at, tell, &mut |_, _| {}),
            Look::Codes { categories } => self.codes(store, at, *categories, tell),
            Look::Sparse(matrix) => self.positions(store, at, matrix, tell),
            Look::Twin { of } => self.twin(store, at, of, tell),
            whole => {
                let looked = match whole {
                    Look::Names { axis } => self.unique_names(store, at, axis),
                    Look::SameNames { of } => self.same_names(store, at, of),
                    Look::Map { rows, mask, names } => {
                        self.positions_of(store, at, *rows, mask.as_ref(), names.as_ref())
                    }
                    _ => self.awkward(store, at),
                };
                looked.map(|()| tell(task.weight))
            }
        };
        match looked {
            Ok(flow) => flow,
            Err(error) => {
                self.error(at, error);
                ControlFlow::Continue(())
            }
        }
    }

    fn codes(&mut self, store: &dyn ReadStore, at: &ElemPath, n: usize, tell: Tell<'_>) -> Result<ControlFlow<()>> {
        let (mut bad, mut first) = (0_usize, None);
        let flow = each_block(store, at, tell, &mut |_, codes| {
            for code in codes.to_i64().unwrap_or_default() {
                if code < -1 || code >= n as i64 {
                    bad += 1;
                    first.get_or_insert(code);
                }
            }
        })?;
        if let Some(first) = first {
            self.damage(at, format!("code {first} is none of {n} categories ({bad} such codes)"));
        }
        Ok(flow)
    }

    fn unique_names(&mut self, store: &dyn ReadStore, at: &ElemPath, axis: &str) -> Result<()> {
        let (mut hashes, mut missing) = (Vec::new(), 0_usize);
        each_name(store, at, &mut |name| match name {
            Some(name) => hashes.push(hash(name)),
            None => missing += 1,
        })?;
        if missing > 0 {
            self.damage(at, format!("{missing} of the {axis} names are missing values"));
        }
        hashes.sort_unstable();
        let twice: HashSet<u64> = hashes.windows(2).filter(|w| w[0] == w[1]).map(|w| w[0]).collect();
        if !twice.is_empty() {
            let mut example = None;
            each_name(store, at, &mut |name| {
                if let Some(name) = name.filter(|name| example.is_none() && twice.contains(&hash(name))) {
                    example = Some(name.to_owned());
                }
            })?;
            let example = example.unwrap_or_default();
            let what = format!("{} of the {axis} names stand there more than once, as `{example}`", twice.len());
            self.note(at, what);
        }
        Ok(())
    }

    fn same_names(&mut self, store: &dyn ReadStore, at: &ElemPath, of: &ElemPath) -> Result<()> {
        let (own, names) = (hashes(store, at)?, hashes(store, of)?);
        if own != names {
            let row = own.iter().zip(&names).position(|(a, b)| a != b).unwrap_or(own.len().min(names.len()));
            self.damage(at, format!("it is not the same as `{of}` from row {row} on: anndata refuses the frame"));
        }
        Ok(())
    }

    fn positions_of(
        &mut self,
        store: &dyn ReadStore,
        at: &ElemPath,
        rows: usize,
        mask: Option<&ElemPath>,
        names: Option<&(ElemPath, ElemPath)>,
    ) -> Result<()> {
        let map = crate::store::read_all(store, at)?;
        let Some(map) = map.to_i64() else {
            self.damage(at, format!("it holds {}, not positions", map.dtype()));
            return Ok(());
        };
        let mut seen = vec![false; rows];
        for &position in map.iter().filter(|&&position| position != 0) {
            let row = usize::try_from(position).ok().and_then(|p| seen.get_mut(p - 1));
            match row {
                None => {
                    self.damage(at, format!("position {position} is none of the modality's {rows} rows"));
                    return Ok(());
                }
                Some(true) => {
                    self.damage(at, format!("position {position} stands there twice"));
                    return Ok(());
                }
                Some(row) => *row = true,
            }
        }
        let left = seen.iter().filter(|&&seen| !seen).count();
        if left > 0 {
            let what = format!("{left} of the modality's {rows} rows are in no global row");
            self.find(Severity::Stale, at, what);
        }
        if let Some(mask) = mask {
            let masked = crate::store::read_all(store, mask)?;
            let same = masked.view::<bool>().is_some_and(|m| m.iter().zip(&map).all(|(&m, &p)| m == (p != 0)));
            if !same {
                self.find(Severity::Stale, mask, format!("the mask does not say the same as the map `{at}`"));
            }
        }
        if let Some((global, own)) = names {
            let (global, own) = (hashes(store, global)?, hashes(store, own)?);
            let differ = |(name, &position): (&u64, &i64)| position > 0 && own.get(position as usize - 1) != Some(name);
            if global.len() == map.len() && global.iter().zip(&map).any(differ) {
                self.find(Severity::Stale, at, "rows that it leads to have other names than the global rows");
            }
        }
        Ok(())
    }

    fn awkward(&mut self, store: &dyn ReadStore, at: &ElemPath) -> Result<()> {
        let mut bytes = 0_u64;
        for name in store.children(at)? {
            bytes = bytes.saturating_add(array_bytes(&array_meta(store, &at.join(&name)?)?));
        }
        if bytes <= MAX_AWKWARD {
            codec::decode(store, at, &[])?;
        }
        Ok(())
    }
}

/// Reads an array block by block. Structured ones are only decoded.
pub(super) fn each_block(
    store: &dyn ReadStore,
    at: &ElemPath,
    tell: Tell<'_>,
    then: &mut dyn FnMut(&[Rows], &Array),
) -> Result<ControlFlow<()>> {
    let meta = array_meta(store, at)?;
    if meta.null || (meta.dtype.is_none() && meta.fields.is_empty()) {
        return Ok(ControlFlow::Continue(()));
    }
    let fields: Vec<&str> = meta.fields.iter().map(|f| f.name.as_str()).collect();
    let one = ArrayMeta { shape: Vec::new(), ..meta.clone() };
    for rows in Blocks::new(&meta) {
        if rows.iter().map(Rows::len).fold(array_bytes(&one), |n, len| n.saturating_mul(len as u64)) > MAX_BLOCK {
            let what =
                format!("its chunks of {:?} items are too large to be looked at", meta.chunks.unwrap_or_default());
            return Err(Error::Unsupported { at: Place::new(store.location(), at), what });
        }
        if fields.is_empty() {
            then(&rows, &store.read(at, &rows)?);
        } else {
            store.read_fields(at, &fields, &rows)?;
        }
        let items = rows.iter().map(Rows::len).product::<usize>() as u64;
        if tell(items.saturating_mul(array_bytes(&one))).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The names in an index, one after the other; `None` where one is missing.
fn each_name(store: &dyn ReadStore, at: &ElemPath, then: &mut dyn FnMut(Option<&str>)) -> Result<()> {
    let Some(info) = codec::describe(store, at)? else { return Ok(()) };
    let [n] = info.shape[..] else { return Ok(()) };
    let chunk = info.chunks.and_then(|chunks| chunks.first().copied()).unwrap_or(1).max(1);
    let step = chunk.saturating_mul((ROWS / chunk).max(1));
    for start in (0..n).step_by(step) {
        let rows = Rows::span(start, start.saturating_add(step).min(n));
        let block = codec::decode(store, at, &[Some(rows)])?;
        let is_nan = match &block {
            Element::Array(array) => array.to_f64().map(|items| items.iter().map(|x| x.is_nan()).collect::<Vec<_>>()),
            _ => None,
        };
        for (i, name) in block.texts().unwrap_or_default().iter().enumerate() {
            let nan = is_nan.as_ref().and_then(|nan| nan.get(i)).copied().unwrap_or(false);
            then(name.as_deref().filter(|_| !nan));
        }
    }
    Ok(())
}

/// Hashes of all names in an index: what can be held of millions of them.
fn hashes(store: &dyn ReadStore, at: &ElemPath) -> Result<Vec<u64>> {
    let mut hashes = Vec::new();
    each_name(store, at, &mut |name| hashes.push(name.map_or(0, hash)))?;
    Ok(hashes)
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
