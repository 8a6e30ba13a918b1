//! Elements larger than memory, a part at a time: [`RowBlocks`] in order, [`Minibatches`] in random order, and [`Stats`] taken
//! in one pass.
//!
//! `lines` cuts an element into blocks of about the bytes asked for, and `ahead` reads the next one on a thread of its own while
//! one is consumed: never more than two are in memory. (What batches are cut from is read so, too.) Statistics are two things
//! more: `matrix` gives the values of a block line by line, whatever their type, and `tally` takes them in.

mod ahead;
mod batches;
mod blocks;
mod dice;
mod groups;
mod lines;
mod matrix;
mod stats;
mod tally;

use crate::error::{Error, Place, Result};
use crate::shadow::Member;
use crate::shadow::slots::Axis;
use crate::value::{Element, FromElement, Mismatch};
use groups::Groups;

pub use batches::{Batch, Minibatches, Shuffle};
pub use blocks::{BlockSize, RowBlock, RowBlocks};
pub use stats::{GroupedStats, MatrixStats, Stats, StatsOptions};

/// Parts of an element that is larger than memory. Each part is a read of its own: what is changed in the shadow meanwhile
/// shows in the parts that are still to be read, and a file that another program changes is [`Error::StoreChanged`].
impl Member {
    /// The element block by block of rows, in order; of a view, its rows. The next block is read and decoded on another
    /// thread while the caller works on this one, and never more than these two are in memory.
    ///
    /// Of a CSC matrix each block reads all indices: have it stored as CSR, or ask for few large blocks.
    ///
    /// ```no_run
    /// # use anndata_shadow::{AnnDataShadow, BlockSize, Element};
    /// # fn main() -> anndata_shadow::Result<()> {
    /// # let shadow = AnnDataShadow::open("pbmc.h5ad")?;
    /// for block in shadow.x().row_blocks(BlockSize::default())? {
    ///     let block = block?;
    ///     println!("cells {:?}: {}", block.rows, block.element.describe());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::WrongType`] for what has no rows, such as scalars and dicts. While reading, those of
    /// [`read`](Self::read).
    pub fn row_blocks(&self, size: BlockSize) -> Result<RowBlocks> {
        RowBlocks::new(self, size)
    }

    /// The rows in random order, `size` at a time, each row exactly once; the last batch may have fewer. The order depends on
    /// `seed`, `shuffle`, `size` of blocks and the number of rows, and on nothing else: it is the same on every machine. For another
    /// epoch, take another seed.
    ///
    /// Batches that follow one another are read together, about 32 MiB at once (with [`Shuffle::Blocks`], 16 blocks), on another
    /// thread while the caller works on the ones before. Two such loads are in memory, the batch at hand, and 8 bytes for each row
    /// of the element.
    ///
    /// ```no_run
    /// # use anndata_shadow::{AnnDataShadow, Shuffle};
    /// # fn main() -> anndata_shadow::Result<()> {
    /// # let shadow = AnnDataShadow::open("pbmc.h5ad")?;
    /// for epoch in 0..3 {
    ///     for batch in shadow.x().minibatches(256, epoch, Shuffle::Rows)?.drop_last(true) {
    ///         let batch = batch?;
    ///         println!("{:?}… {}", &batch.rows[..3], batch.element.describe());
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`row_blocks`](Self::row_blocks); [`Error::Unsupported`] for batches or blocks of no rows.
    pub fn minibatches(&self, size: usize, seed: u64, shuffle: Shuffle) -> Result<Minibatches> {
        Minibatches::new(self, size, seed, shuffle)
    }

    /// Sum, mean, variance, least and greatest value, and how many are not zero, of each row (cell) and of each column (gene),
    /// in one pass that holds two blocks and the chunks being decoded, besides the result: CSR and dense ones are read by rows, CSC ones
    /// by columns. Entries that a sparse matrix repeats are added up first, as its type adds.
    ///
    /// ```no_run
    /// # use anndata_shadow::{AnnDataShadow, StatsOptions};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let shadow = AnnDataShadow::open("pbmc.h5ad")?;
    /// let stats = shadow.x().stats(&StatsOptions::default())?;
    /// println!("{}", stats.columns.to_frame("gene", shadow.var_names()?)?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::WrongType`] for what is no matrix of real numbers; [`Error::Cancelled`] if
    /// [`progress`](StatsOptions::progress) says so; those of [`read`](Self::read).
    pub fn stats(&self, options: &StatsOptions<'_>) -> Result<MatrixStats> {
        stats::both(self, options)
    }

    /// As [`stats`](Self::stats), of the columns alone, which takes less time.
    ///
    /// # Errors
    /// As [`stats`](Self::stats).
    pub fn column_stats(&self, options: &StatsOptions<'_>) -> Result<Stats> {
        stats::along(self, 1, options)
    }

    /// As [`stats`](Self::stats), of the rows alone.
    ///
    /// # Errors
    /// As [`stats`](Self::stats).
    pub fn row_stats(&self, options: &StatsOptions<'_>) -> Result<Stats> {
        stats::along(self, 0, options)
    }

    /// As [`column_stats`](Self::column_stats), within the groups of cells that the obs column `by` makes. Cells whose value is
    /// missing are in no group.
    ///
    /// ```no_run
    /// # use anndata_shadow::{AnnDataShadow, StatsOptions};
    /// # fn main() -> anndata_shadow::Result<()> {
    /// # let shadow = AnnDataShadow::open("pbmc.h5ad")?;
    /// let by = shadow.x().stats_by("louvain", &StatsOptions::default())?;
    /// for (group, genes) in by.groups.iter().zip(&by.stats) {
    ///     println!("{group}: {} cells, mean of the first gene {}", genes.count, genes.mean[0]);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`stats`](Self::stats); [`Error::NotFound`] with the nearest names if there is no such column;
    /// [`Error::Unsupported`] where rows are not cells, and for more than 16 million columns of groups (such as 400 groups of
    /// 40,000 genes), for which 1 GB is taken (of a CSC matrix up to 2): ask a view of
    /// some of the genes then.
    pub fn stats_by(&self, by: &str, options: &StatsOptions<'_>) -> Result<GroupedStats> {
        if self.spec.axes.first() != Some(&Axis::Obs) {
            let what = "its rows are no observations, and only these are grouped".to_owned();
            return Err(Error::Unsupported { at: self.shadow.root.place(&self.at), what });
        }
        stats::grouped(self, Groups::new(&self.shadow.obs(), by)?, options)
    }
}

/// A part as the type asked for; `at` is the element.
fn convert<T: FromElement>(element: Element, at: &Place) -> Result<T> {
    T::from_element(element).map_err(|Mismatch { wanted, found }| Error::WrongType { at: at.clone(), wanted, found })
}
