//! The gene index: a matrix stored by rows (CSR) once more by columns (CSC), as an ordinary layer that every reader of AnnData can
//! open. A few genes are then read from it, as long as it fits the matrix.
//!
//! The matrix says in an attribute where its index is, and goes without when it is replaced; the index says in another how the
//! matrix was stored when it was made. Where that has changed since, or where values of the genes asked for differ, the index is
//! passed over.

use std::fmt;
use std::ops::ControlFlow;

use serde_json::json;

use super::anndata::AnnDataShadow;
use super::link::Mode;
use super::root::Root;
use crate::codec::{self, Cut, Dialect, Info, Kind};
use crate::commit::{Change, ChangeKind, Receipt};
use crate::error::{Error, Result};
use crate::index::Rows;
use crate::overlay::{Lookup, Was};
use crate::path::ElemPath;
use crate::progress::Progress;
use crate::store::{Attrs, ReadStore, Safety};
use crate::value::{Element, Sparse, SparseFormat};

/// Attribute of an indexed matrix: path of its index inside the AnnData.
const INDEX: &str = "adshadow-gene-index";
/// Attribute of an index: the fingerprint of the matrix when the index was made.
const SOURCE: &str = "adshadow-source-fingerprint";
/// The layer that is the index.
const LAYER: &str = "X_csc";

/// Rows with values, and rows of all, that are compared with the matrix each time the index is used.
const SAMPLES: usize = 3;

/// How a gene index is made.
#[derive(Clone, Copy)]
pub struct GeneIndexOptions<'a> {
    memory: usize,
    safety: Safety,
    progress: Option<Progress<'a>>,
}

impl Default for GeneIndexOptions<'_> {
    fn default() -> Self {
        Self { memory: 1 << 30, safety: Safety::default(), progress: None }
    }
}

impl fmt::Debug for GeneIndexOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory, safety, .. } = self;
        f.debug_struct("GeneIndexOptions").field("memory", memory).field("safety", safety).finish_non_exhaustive()
    }
}

impl<'a> GeneIndexOptions<'a> {
    /// Bytes of the index that are put together at a time, 1 GiB unless told otherwise: the matrix is read once for each such
    /// part, and once more. As much as is read in one step is taken in any case.
    #[must_use]
    pub const fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// As [`WriteOptions::safety`](super::WriteOptions::safety).
    #[must_use]
    pub const fn safety(mut self, safety: Safety) -> Self {
        self.safety = safety;
        self
    }

    /// Whom to tell how far it is, in stored values looked at. On a break nothing is written. It must not change, write, reopen
    /// or close the same shadow, which waits for the index.
    #[must_use]
    pub const fn progress(mut self, progress: Progress<'a>) -> Self {
        self.progress = Some(progress);
        self
    }
}

impl AnnDataShadow {
    /// Writes X once more by its columns, as the layer `X_csc`, at once and as one transaction; what is pending stays so. From
    /// then on, reading few genes of many cells reads that layer instead of looking through all of X.
    ///
    /// An index that is there already is replaced. It is not used for an X that was replaced, or written over by another program,
    /// since it was made. That is told by a fingerprint of X, taken once for each opening (each time, if it is open for writing): all
    /// of its indptr; how long its chunks are as they are stored; and bytes from 1024 places each in its values and their indices.
    /// And whenever the index is used, six rows of what it gives are compared with X. A copy of the file has its index; an X that
    /// was compressed anew needs a new one.
    ///
    /// What may stay unseen: of an X that is *not compressed*, values written over that lie between two of these places (fewer than
    /// three in a thousand of all values in a row, or scattered ones); of a *compressed* one, a change that leaves its chunks as
    /// long as they were, to the byte, and the same where they are looked at, as may happen with lz4 and blosc (zlib and gzip end
    /// chunks with a checksum, which is looked at in up to 1024 of them); and changes of a few rows of the layer `X_csc` itself.
    /// Remove the layer before such edits, or make it anew afterwards. `verify` with `deep` compares all values;
    /// [`OpenOptions::gene_index`](super::OpenOptions::gene_index) leaves the index alone.
    ///
    /// # Errors
    /// [`Error::NotFound`] without X; [`Error::Unsupported`] if X in the file is not a CSR matrix, or is stored in a way in which
    /// other programs' changes could not be noticed, or holds more values than there are places in it, or needs so many passes that
    /// they would never end (allow more memory then), or if there is a layer of that name that is no index; [`Error::Malformed`]
    /// if a gene's values do not fit into memory; [`Error::Cancelled`]; as [`write`](Self::write).
    pub fn add_gene_index(&self, options: &GeneIndexOptions<'_>) -> Result<Receipt> {
        let (x, index) = (self.root.at("X")?, self.root.at("layers")?.child(LAYER));
        self.refuse_view(&x, "adding a gene index")?;
        let go_on = |_, _| ControlFlow::Continue(());
        let progress = options.progress.unwrap_or(&go_on);
        self.root.core.transact(&index, "adding a gene index", options.safety, |store, delta| {
            let unsupported = |what: &str| Error::Unsupported { at: self.root.place(&x), what: what.to_owned() };
            let (Lookup::Stored(file), Lookup::Stored(_)) = (delta.lookup(&x), delta.lookup(&index)) else {
                return Err(unsupported("there are pending changes to it or to its index: write() them first"));
            };
            let info = codec::describe(store, &file)?.ok_or_else(|| self.root.not_found(&x))?;
            if file != x || !is_csr(&info) {
                return Err(unsupported("only a csr_matrix gets a gene index: of others, genes are read as they are"));
            }
            let old = match store.node(&index)? {
                Some(old) if old.attrs.contains_key(SOURCE) => {
                    let old = codec::describe(store, &index)?;
                    store.remove(&index)?;
                    old.map(|info| Was { what: info.describe(), shape: info.shape })
                }
                Some(_) => {
                    let what = "a layer with the name of the gene index that is none (programs that write a file anew lose its \
                                mark): remove it first";
                    return Err(Error::Unsupported { at: self.root.place(&index), what: what.to_owned() });
                }
                None => None,
            };
            let layers = index.parent().unwrap_or_default();
            if store.node(&layers)?.is_none() {
                codec::encode_dict(store, &layers)?;
            }
            let dialect = Dialect { like: Some(x.child("data")), nullable_strings: false };
            // Taken first: what others write while X is read makes it another one.
            let source = fingerprint(store, &x)?;
            let source = source.ok_or_else(|| unsupported("it is stored in a way in which changes are not noticed"))?;
            let attrs = Attrs::from_iter([(SOURCE.to_owned(), json!(source))]);
            let twin = codec::Twin { attrs, dialect: &dialect, budget: options.memory, progress };
            let bytes = codec::encode_twin(store, &x, &index, twin)?;
            let link = json!(self.root.relative(&index));
            store.set_attrs(&x, &Attrs::from_iter([(INDEX.to_owned(), link)]))?;
            let kind = if old.is_some() { ChangeKind::Replaced } else { ChangeKind::Added };
            let what = format!("a {} of {}", SparseFormat::Csc, info.dtype.unwrap_or_default());
            // As in all receipts of a modality: from where the MuData begins.
            let path = self.root.core.relative(&index);
            Ok(Change { path, kind, what, shape: info.shape, bytes, old })
        })
    }
}

/// What a selection takes of the matrix `file`, from its index; `None` where it has none that fits, or where reading by rows
/// is less work.
///
/// # Errors
/// Those of the store that do not lie in the index alone.
pub(super) fn read(
    root: &Root,
    store: &dyn ReadStore,
    file: &ElemPath,
    info: &Info,
    cut: Cut<'_>,
) -> Result<Option<Element>> {
    let ([rows, Some(genes)], true) = (cut, root.core.gene_index) else { return Ok(None) };
    let &[n_rows, n_genes] = &info.shape[..] else { return Ok(None) };
    // Shares of the stored values that are looked at.
    let by_rows = rows.as_ref().map_or(n_rows, Rows::len) as f64 / n_rows as f64;
    let by_genes = genes.len() as f64 / n_genes as f64;
    if !is_csr(info) || by_genes >= by_rows || genes.is_empty() {
        return Ok(None);
    }
    let Some(index) = named(store, &root.base, file)? else { return Ok(None) };
    // Only as it is in the file; what is pending may be anything.
    match root.core.state().overlay.delta.lookup(&index) {
        Lookup::Stored(there) if there == index => {}
        _ => return Ok(None),
    }
    let found = || -> Result<Option<Sparse>> {
        let Some(node) = store.node(&index)? else { return Ok(None) };
        let source = node.text(SOURCE);
        if source.is_none() || source != known_fingerprint(root, store, file)?.as_deref() {
            return Ok(None);
        }
        let whole =
            codec::describe(store, &index)?.is_some_and(|twin| twin.shape == info.shape && twin.stored == info.stored);
        match codec::decode(store, &index, cut)? {
            Element::Sparse(found) if whole && agrees(store, file, cut, &found)? => Ok(Some(found)),
            _ => Ok(None),
        }
    };
    match found() {
        Ok(found) => Ok(found.map(|sparse| Element::Sparse(sparse.to_format(SparseFormat::Csr)))),
        Err(error @ (Error::StoreChanged { .. } | Error::Io { .. } | Error::Closed { .. })) => Err(error),
        // X is there all the same.
        Err(_) => Ok(None),
    }
}

/// Where the index of a matrix is, if it has one.
pub(crate) fn index_of(store: &dyn ReadStore, matrix: &ElemPath) -> Result<Option<ElemPath>> {
    let Some(index) = named(store, &matrix.parent().unwrap_or_default(), matrix)? else { return Ok(None) };
    let is_index = store.node(&index)?.is_some_and(|node| node.text(SOURCE).is_some());
    Ok(is_index.then_some(index))
}

/// Where a matrix of the object at `base` says that its index is.
fn named(store: &dyn ReadStore, base: &ElemPath, matrix: &ElemPath) -> Result<Option<ElemPath>> {
    let node = store.node(matrix)?;
    Ok(node.as_ref().and_then(|node| node.text(INDEX)).and_then(|link| base.join(link).ok()))
}

fn is_csr(info: &Info) -> bool {
    info.kind == Kind::Sparse && info.encoding.as_ref().is_some_and(|(name, _)| name == SparseFormat::Csr.name())
}

/// The fingerprint of a matrix. A handle that reads is told when others change the file, and takes it once; one that writes is
/// not, and takes it every time.
fn known_fingerprint(root: &Root, store: &dyn ReadStore, matrix: &ElemPath) -> Result<Option<String>> {
    let (known, generation, mode) = {
        let state = root.core.state();
        (state.sources.get(matrix).cloned(), state.generation, state.mode())
    };
    if let Some((then, source)) = known
        && then == generation
    {
        return Ok(Some(source));
    }
    let source = fingerprint(store, matrix)?;
    if let Some(source) = source.clone().filter(|_| mode == Some(Mode::Read)) {
        root.core.state_mut().sources.insert(matrix.clone(), (generation, source));
    }
    Ok(source)
}

/// By which a change of the matrix is noticed: all of its indptr, which says how long the rows are, and how the others are stored.
/// `None` if that cannot be told.
fn fingerprint(store: &dyn ReadStore, matrix: &ElemPath) -> Result<Option<String>> {
    let [data, indices] = [store.fingerprint(&matrix.child("data"))?, store.fingerprint(&matrix.child("indices"))?];
    let indptr = crc32c::crc32c(&crate::store::read_all(store, &matrix.child("indptr"))?.to_le_bytes());
    Ok(data.zip(indices).map(|(data, indices)| format!("{indptr:08x}-{data:08x}-{indices:08x}")))
}

/// Whether some rows of what was found are those of the matrix: the values, and the dtype. They are rows in which something was
/// found, and others. That tells an index that was written over itself, and a matrix that was since its fingerprint was taken.
fn agrees(store: &dyn ReadStore, matrix: &ElemPath, cut: Cut<'_>, found: &Sparse) -> Result<bool> {
    let Some(Some(genes)) = cut.get(1) else { return Ok(false) };
    let spread = |n: usize| (0..SAMPLES.min(n)).map(move |i| i * (n - 1) / (SAMPLES - 1).max(1));
    let mut rows: Vec<usize> = spread(found.nnz()).filter_map(|entry| found.indices().get(entry)).collect();
    rows.extend(spread(found.shape()[0]));
    rows.sort_unstable();
    rows.dedup();
    let rows = Rows::picks(rows);
    let there = match cut.first() {
        Some(Some(of_view)) => of_view.compose(&rows),
        _ => rows.clone(),
    };
    let Element::Sparse(there) = codec::decode(store, matrix, &[Some(there), Some(genes.clone())])? else {
        return Ok(false);
    };
    // Of both in one order: by columns, and by rows in these.
    let [there, here] = [there.to_format(SparseFormat::Csc), found.take(Some(&rows), None)];
    let [there, here] = [there, here].map(|part| part.to_format(SparseFormat::Csr).to_format(SparseFormat::Csc));
    let bytes = |part: &Sparse| (part.data().dtype(), part.data().to_le_bytes());
    Ok(there.indptr() == here.indptr() && there.indices() == here.indices() && bytes(&there) == bytes(&here))
}
