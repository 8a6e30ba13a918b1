//! The command line as it is typed.

use std::path::PathBuf;

use anndata_shadow::{Locking, Safety};
use clap::{Parser, Subcommand, ValueEnum};

/// Look into, cut and change AnnData files (.h5ad, .h5mu, Zarr) without loading them.
#[derive(Parser, Debug)]
#[command(name = "adshadow", version, about)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Show(ShowArgs),
    Get(GetArgs),
    Stats(StatsArgs),
    Add(AddArgs),
    Set(SetArgs),
    Rm(RmArgs),
    Mv(MvArgs),
    Apply(ApplyArgs),
    Diff(DiffArgs),
    Verify(VerifyArgs),
    Repair(RepairArgs),
    Recover(RecoverArgs),
    Compact(CompactArgs),
    Index(IndexArgs),
    Consolidate(ConsolidateArgs),
}

/// List what is in a file; reads no array data, however large the file.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  adshadow show cells.h5ad\n  adshadow show study.h5mu\n  adshadow show study.h5mu/mod/rna --json"
)]
pub(crate) struct ShowArgs {
    /// File or Zarr directory; may end inside it (`x.h5mu/mod/rna`).
    pub(crate) path: PathBuf,
    /// One JSON document with path, kind, shape, dtype, encoding and chunks of every element.
    #[arg(long)]
    pub(crate) json: bool,
}

const SELECTIONS: &str = "\
Selections (SEL):
  0:100  -5:  ::2       a slice, as in Python
  3,1,-1                positions, in this order; negative ones count from the end
  CST3,LYZ              names, in this order (a list of integers only is always positions)
  louvain=B,NK          where the column of obs (or var) has, as text, one of these values
  @names.txt            the names in a file, one a line, whatever they look like";

/// Show an element, or part of it, or save it to a file.
///
/// ELEMENT is a path inside the AnnData: X, layers/counts, obs, obs/louvain, obsm/X_pca, raw/X, raw/var, uns/a/b; in a
/// MuData, mod/rna/X is of a modality, obsm/X_umap global.
/// Without -o a small corner is shown, and only that corner is read where the file allows it.
#[derive(clap::Args, Debug)]
#[command(after_help = format!("{SELECTIONS}

--rows cuts the first axis of the element, --cols the second: obs and var of X and layers, positions (or names of
columns) of obsm and varm, obs twice of obsp. Of obs and var, --cols takes columns.

Output files, by suffix:
  .npy      dense numbers and booleans
  .npz      sparse matrices as scipy.sparse.load_npz reads them; dense as numpy.savez does
  .csv      frames, columns, matrices: row names first, categories as text (float16 widened to float32)
  .parquet  the same with types; categoricals stay categorical, all categories in their order

Examples:
  adshadow get cells.h5ad X --rows louvain=B --cols CST3,LYZ -o b_cells.csv
  adshadow get cells.h5ad obsm/X_pca --rows 0:100 -o pca.npy
  adshadow get cells.h5ad raw/X -o raw.npz
  adshadow get cells.h5ad uns/neighbors"))]
pub(crate) struct GetArgs {
    /// File or Zarr directory; may end inside it (`x.h5mu/mod/rna`).
    pub(crate) path: PathBuf,
    /// Path of the element inside the AnnData.
    pub(crate) element: String,
    /// Which rows.
    #[arg(long, value_name = "SEL", allow_hyphen_values = true)]
    pub(crate) rows: Option<String>,
    /// Which columns.
    #[arg(long, value_name = "SEL", allow_hyphen_values = true)]
    pub(crate) cols: Option<String>,
    /// File to write: .npy, .npz, .csv or .parquet. Replaced if it is there, and only when all has been read.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Read genes from X itself, also where there is a gene index.
    #[arg(long)]
    pub(crate) no_index: bool,
}

/// Sum, mean, variance, min, max and number of nonzero values of each gene or each cell.
///
/// The matrix is read once, block by block, and never held whole; --by holds about 100 bytes for each gene and group. Values that a sparse matrix does not store count as zeros.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
ELEMENT is X, layers/NAME, raw/X or any other matrix of real numbers; in a MuData, mod/rna/X is of a modality.

Examples:
  adshadow stats cells.h5ad
  adshadow stats cells.h5ad layers/counts --axis cells -o qc.csv
  adshadow stats cells.zarr raw/X --by louvain -o means.parquet")]
pub(crate) struct StatsArgs {
    /// File or Zarr directory; may end inside it (`x.h5mu/mod/rna`).
    pub(crate) path: PathBuf,
    /// Path of the matrix inside the AnnData.
    #[arg(default_value = "X")]
    pub(crate) element: String,
    /// Of each gene within the groups of cells that this column of obs makes (cells without a value are in none).
    #[arg(long, value_name = "COLUMN", conflicts_with = "axis")]
    pub(crate) by: Option<String>,
    /// Of what.
    #[arg(long, value_enum, default_value_t = Per::Genes)]
    pub(crate) axis: Per,
    /// What is taken off the number of values to divide by for the variance: 1 as scanpy, 0 as numpy.
    #[arg(long, default_value_t = 1)]
    pub(crate) ddof: u64,
    /// File to write: .csv or .parquet. Replaced if it is there, and only when all has been read. Without it, a table is shown.
    #[arg(short, long, alias = "out", value_name = "FILE", conflicts_with = "json")]
    pub(crate) output: Option<PathBuf>,
    /// One JSON document; NaN and infinite values are null.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What statistics are of.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Per {
    /// Each column.
    Genes,
    /// Each row.
    Cells,
}

/// Whether the file is locked against others.
#[derive(clap::Args, Debug)]
pub(crate) struct LockArgs {
    /// Take no lock, on file systems that have none: nobody else may have the file open.
    #[arg(long)]
    no_lock: bool,
}

impl LockArgs {
    pub(crate) fn locking(&self) -> Locking {
        if self.no_lock { Locking::Off } else { Locking::On }
    }
}

/// How to write. Whatever ends a command early (an error, Ctrl-C, a kill, a power cut), the file is as it was or has all changes.
#[derive(clap::Args, Debug)]
pub(crate) struct WriteArgs {
    /// Check names, shapes and values against the file as readers see it, and say what would change; write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How an HDF5 file is changed.
    #[arg(long, value_enum, default_value_t = Safely::Journal)]
    pub(crate) safety: Safely,
    #[command(flatten)]
    pub(crate) lock: LockArgs,
}

/// What other programs may meet in an HDF5 file after a kill and before this one has opened it.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Safely {
    /// Changed pages go to a journal first, then into the file: for the moment of these few writes, some old and some new.
    Journal,
    /// The file is copied, changed and put in place of the old one: the old file or the new.
    Copy,
}

impl From<Safely> for Safety {
    fn from(safely: Safely) -> Self {
        match safely {
            Safely::Journal => Self::Journal,
            Safely::Copy => Self::Copy,
        }
    }
}

const VALUES: &str = "\
ELEMENT is X, obs/NAME, var/NAME, layers/NAME, obsm/NAME, varm/NAME, obsp/NAME, varp/NAME or uns/PATH; in a MuData,
mod/rna/X is of a modality. `obs` or `var` alone takes every column of a .csv or .parquet file.

Input files, by suffix:
  .npy      an array; dtype kept exactly
  .npz      a sparse matrix from scipy.sparse.save_npz, or numpy.savez with one array (or one of the element's name)
  .csv, .parquet
            columns. For obs/NAME the column NAME, or the only one. For obsm and varm numeric columns become an array
            (float32 if all are, else float64), others a dataframe. For X, layers, obsp and varp a dense matrix, whose
            columns are matched by name if the header has any name of the axis, else taken in order.

Rows are matched by name, in any order, if the file has a column named `_index`, `index`, `obs_names` (`var_names`),
`__index_level_0__`, as the index of the frame, or (.csv) without a name; every name must then be there exactly once.
Otherwise rows are taken in order.

In .csv, empty fields and NA, N/A, NaN, nan, <NA>, NULL, null are missing values. As anndata does, text columns of .csv
with fewer distinct values than rows become categorical, with sorted categories; other text stays text.";

/// Add an element from a file of values. What is there already is refused; `set` replaces it.
#[derive(clap::Args, Debug)]
#[command(after_help = format!("{VALUES}

Examples:
  adshadow add cells.h5ad obsm/X_umap --from umap.npy
  adshadow add cells.h5ad obs/doublet --from doublets.csv --dry-run
  adshadow add cells.h5ad layers/counts --from counts.npz"))]
pub(crate) struct AddArgs {
    /// File or Zarr directory; may end inside it (`x.h5mu/mod/rna`).
    pub(crate) path: PathBuf,
    /// Path of the new element inside the AnnData.
    pub(crate) element: String,
    /// File with the values: .npy, .npz, .csv or .parquet.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,
    #[command(flatten)]
    pub(crate) how: WriteArgs,
}

/// Set an element from a file of values, in place of what is there or as a new one.
#[derive(clap::Args, Debug)]
#[command(after_help = format!("{VALUES}

In an HDF5 file, what is replaced leaves unused bytes, which the receipt counts.

Examples:
  adshadow set cells.h5ad obs/louvain --from labels.csv
  adshadow set cells.zarr obsm/X_umap --from umap.npy --dry-run"))]
pub(crate) struct SetArgs {
    /// File or Zarr directory; may end inside it (`x.h5mu/mod/rna`).
    pub(crate) path: PathBuf,
    /// Path of the element inside the AnnData.
    pub(crate) element: String,
    /// File with the values: .npy, .npz, .csv or .parquet.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,
    #[command(flatten)]
    pub(crate) how: WriteArgs,
}

/// Remove elements, all in one transaction.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  adshadow rm cells.h5ad layers/old obs/tmp_score
  adshadow rm cells.zarr raw --dry-run
  adshadow rm study.h5mu mod/atac")]
pub(crate) struct RmArgs {
    /// File or Zarr directory; may end inside it (`x.h5mu/mod/rna`).
    pub(crate) path: PathBuf,
    /// Paths of the elements inside the AnnData: obsm/X_pca, obs/NAME, X, raw, uns/a/b; of a MuData, mod/NAME.
    #[arg(required = true)]
    pub(crate) elements: Vec<String>,
    #[command(flatten)]
    pub(crate) how: WriteArgs,
}

/// Give an element another path, without reading or writing its data.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
An element keeps its slot; only X and layers may become one another. A column keeps its place among the others.

Examples:
  adshadow mv cells.h5ad obsm/X_pca obsm/X_pca_old
  adshadow mv cells.h5ad X layers/counts
  adshadow mv study.h5mu mod/rna mod/gex")]
pub(crate) struct MvArgs {
    /// File or Zarr directory; may end inside it (`x.h5mu/mod/rna`).
    pub(crate) path: PathBuf,
    /// Path of the element inside the AnnData.
    pub(crate) old: String,
    /// Its new path.
    pub(crate) new: String,
    #[command(flatten)]
    pub(crate) how: WriteArgs,
}

const CHANGES: &str = "\
A file of changes is a list, made in its order:

  [[change]]
  add = \"obsm/X_umap\"          # or set, which replaces
  from = \"umap.npy\"            # from where the list lies

  [[change]]
  rm = [\"layers/old\", \"obs/tmp_score\"]

  [[change]]
  mv = \"obsm/X_pca\"
  to = \"obsm/X_pca_old\"";

/// Make several changes in one transaction: all of them, or none.
#[derive(clap::Args, Debug)]
#[command(after_help = format!("{CHANGES}

Example:
  adshadow apply cells.h5ad changes.toml"))]
pub(crate) struct ApplyArgs {
    /// File or Zarr directory; may end inside it (`x.h5mu/mod/rna`).
    pub(crate) path: PathBuf,
    /// The list of changes, a .toml file.
    pub(crate) changes: PathBuf,
    #[command(flatten)]
    pub(crate) how: WriteArgs,
}

/// Say what `apply` would change; write nothing.
#[derive(clap::Args, Debug)]
#[command(after_help = format!("{CHANGES}

Example:
  adshadow diff cells.h5ad changes.toml"))]
pub(crate) struct DiffArgs {
    /// File or Zarr directory; may end inside it (`x.h5mu/mod/rna`).
    pub(crate) path: PathBuf,
    /// The list of changes, a .toml file.
    pub(crate) changes: PathBuf,
    #[command(flatten)]
    pub(crate) lock: LockArgs,
}

/// Look for what is wrong with a file; changes nothing.
///
/// Damage is what is lost, contradicts the format or keeps readers from the file; stale is what readers may be told that is
/// not so any more, as by old consolidated metadata; all else is a note. Without --deep, of data only what is small is read.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Exit codes: 0 nothing but notes, 1 damaged or stale, 2 could not look.

Examples:
  adshadow verify cells.h5ad
  adshadow verify cells.zarr --deep
  adshadow verify study.h5mu --json | jq '.findings[] | select(.severity == \"damage\")'")]
pub(crate) struct VerifyArgs {
    /// File or Zarr directory; may end inside it (`x.h5mu/mod/rna`).
    pub(crate) path: PathBuf,
    /// Read all data, in blocks: indices and codes out of range, names that stand there twice, chunks that do not decode.
    #[arg(long)]
    pub(crate) deep: bool,
    /// One JSON document with severity, path, words and repair of every finding.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Mend what has one right answer: renew consolidated metadata, finish or undo interrupted writes.
///
/// Says what it will do, and what it leaves because there is no one right answer; asks before it begins. Elements are never
/// touched.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Exit codes: 0 nothing damaged or stale is left, 1 something is, or it failed.

Examples:
  adshadow repair cells.zarr --dry-run
  adshadow repair cells.zarr --yes")]
pub(crate) struct RepairArgs {
    /// File or Zarr directory.
    pub(crate) path: PathBuf,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Say what would be done, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) lock: LockArgs,
}

/// End what interrupted writes have left: carry out what was complete, forget the rest.
///
/// Opening a file to change it does the same; this is for files that are only read from then on, as on a disk that is to become
/// read-only.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  adshadow recover cells.h5ad")]
pub(crate) struct RecoverArgs {
    /// File or Zarr directory.
    pub(crate) path: PathBuf,
    /// Say what is left, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) lock: LockArgs,
}

/// Rewrite an HDF5 file without the holes that replaced and removed elements have left.
///
/// The new file is written beside the old one and put in its place in one step: it takes as much room for that time. Data are
/// copied as they are stored, not decoded.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  adshadow compact cells.h5ad")]
pub(crate) struct CompactArgs {
    /// The HDF5 file.
    pub(crate) path: PathBuf,
    /// Say what would be rewritten, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) lock: LockArgs,
}

/// Write X once more by its columns, so that reading few genes of many cells is fast: the layer `X_csc`.
///
/// Every AnnData reader can open that layer. This program and its library read genes from it as long as it fits X. The file
/// grows by as much as X takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  adshadow index cells.h5ad")]
pub(crate) struct IndexArgs {
    /// File or Zarr directory; may end inside it (`x.h5mu/mod/rna`).
    pub(crate) path: PathBuf,
    /// MiB of the new layer that are put together at a time; X is read once for each such part, and once more.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub(crate) memory: u32,
    /// How an HDF5 file is changed.
    #[arg(long, value_enum, default_value_t = Safely::Journal)]
    pub(crate) safety: Safely,
    #[command(flatten)]
    pub(crate) lock: LockArgs,
}

/// Renew or create the consolidated metadata of a Zarr store.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  adshadow consolidate cells.zarr")]
pub(crate) struct ConsolidateArgs {
    /// Zarr directory; the whole store is consolidated if the path ends inside it.
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) lock: LockArgs,
}
