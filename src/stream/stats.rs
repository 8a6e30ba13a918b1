//! [`Stats`]: what the rows and columns of a matrix come to, found in one pass over its blocks.

use std::ops::ControlFlow;

use polars::prelude::{DataFrame, IntoColumn, NamedFrom, Series};
use rayon::prelude::*;

use super::BlockSize;
use super::blocks::{RowBlock, blocks};
use super::groups::Groups;
use super::lines::Axis;
use super::matrix::{Compressed, Dense, Lines, with_numbers};
use super::tally::{Moments, Tally};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::shadow::Member;
use crate::value::{DType, Element, check_memory, with_indices};

/// How statistics are taken.
#[derive(Clone, Copy)]
pub struct StatsOptions<'a> {
    ddof: u64,
    block: BlockSize,
    progress: Option<Progress<'a>>,
}

impl Default for StatsOptions<'_> {
    fn default() -> Self {
        Self { ddof: 1, block: BlockSize::default(), progress: None }
    }
}

impl std::fmt::Debug for StatsOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatsOptions").field("ddof", &self.ddof).field("block", &self.block).finish_non_exhaustive()
    }
}

impl<'a> StatsOptions<'a> {
    /// What is taken off the number of values to divide squares by: 1 (the default, as in scanpy) for the variance of a
    /// sample, 0 (as in numpy) for that of a population.
    #[must_use]
    pub const fn ddof(mut self, ddof: u64) -> Self {
        self.ddof = ddof;
        self
    }

    /// How much is read at once. Two such blocks are in memory.
    #[must_use]
    pub const fn block(mut self, size: BlockSize) -> Self {
        self.block = size;
        self
    }

    /// Whom to tell how far the pass is, in rows (of a CSC matrix: in columns). On a break it ends with
    /// [`Error::Cancelled`].
    #[must_use]
    pub const fn progress(mut self, progress: Progress<'a>) -> Self {
        self.progress = Some(progress);
        self
    }
}

/// What each row, or each column, of a matrix comes to, in `f64`. Values that a sparse matrix does not store are zeros, and count as such.
///
/// NaN is handled as numpy does: a line with one has NaN for all but `nonzero`. Lines without any value have sum 0 and NaN for
/// mean, variance, min and max.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Values in each line: rows for a column, columns for a row.
    pub count: u64,
    /// Sum of the values.
    pub sum: Vec<f64>,
    /// Their mean.
    pub mean: Vec<f64>,
    /// Their variance; with [`ddof`](StatsOptions::ddof) 1, that of a sample: NaN of a single value.
    pub variance: Vec<f64>,
    /// The least value.
    pub min: Vec<f64>,
    /// The greatest value.
    pub max: Vec<f64>,
    /// How many values are not zero; zeros that are stored are not counted, NaN is.
    pub nonzero: Vec<u64>,
}

impl Stats {
    /// Of no lines yet, each of which has `count` values.
    fn new(count: u64) -> Self {
        let [sum, mean, variance, min, max] = [const { Vec::new() }; 5];
        Self { count, sum, mean, variance, min, max, nonzero: Vec::new() }
    }

    /// Takes memory for so many lines and no more.
    fn reserve(&mut self, lines: usize) {
        let Self { count: _, sum, mean, variance, min, max, nonzero } = self;
        [sum, mean, variance, min, max].into_iter().for_each(|list| list.reserve_exact(lines));
        nonzero.reserve_exact(lines);
    }

    fn push(&mut self, line: &Moments, ddof: u64) {
        let line = line.among(self.count);
        self.sum.push(line.sum);
        self.mean.push(line.mean());
        self.variance.push(line.variance(ddof));
        self.min.push(line.min);
        self.max.push(line.max);
        self.nonzero.push(line.nonzero);
    }

    /// Number of lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sum.len()
    }

    /// Whether there are no lines.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sum.is_empty()
    }

    /// A frame of a row a line: its name, in the column `index`, then `sum`, `mean`, `variance`, `min`, `max`, `nonzero`. Names
    /// are those of `var_names()` or `obs_names()`.
    ///
    /// # Errors
    /// If there are not as many names as lines, or `index` is the name of another column.
    pub fn to_frame(&self, index: &str, names: Vec<String>) -> Result<DataFrame, String> {
        let floats = [
            ("sum", &self.sum),
            ("mean", &self.mean),
            ("variance", &self.variance),
            ("min", &self.min),
            ("max", &self.max),
        ];
        let mut columns = vec![Series::new(index.into(), names).into_column()];
        columns.extend(floats.map(|(name, values)| Series::new(name.into(), values.as_slice()).into_column()));
        columns.push(Series::new("nonzero".into(), self.nonzero.as_slice()).into_column());
        DataFrame::new(self.len(), columns).map_err(|e| e.to_string())
    }
}

/// What the rows and the columns of a matrix come to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MatrixStats {
    /// Of each row: in X and layers, of each cell.
    pub rows: Stats,
    /// Of each column: in X and layers, of each gene.
    pub columns: Stats,
}

/// What the columns of a matrix come to within groups of its rows.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GroupedStats {
    /// The groups that have rows: of a categorical in the order of its categories, of others sorted.
    pub groups: Vec<String>,
    /// For each group, its columns.
    pub stats: Vec<Stats>,
}

/// About the most bytes of tallies that are kept beside one another, so that the lines of a block are taken in at once.
const TALLIES: usize = 64 << 20;
/// The most parts of a block that are taken in at once. Sums do not depend on the number of cores: it is the parts that are
/// added up.
const PARTS: usize = 8;
/// The most columns of groups: their tallies take 768 MiB, and give way to the result, which takes as much.
const MOST: usize = 1 << 24;

/// What is asked for. A line is what lies together, a row but in a CSC matrix; across are the positions on the other axis.
#[derive(Clone, Copy)]
enum Asked<'a> {
    Lines,
    Across,
    Both,
    /// Across, within groups of the lines.
    AcrossBy(&'a Groups),
    /// Lines, within groups of the positions across.
    LinesBy(&'a Groups),
}

/// What one part of the lines has come to.
struct Part {
    /// Of the positions across; within groups of the lines, of each group.
    across: Vec<Vec<Tally>>,
    /// Of the lines of the block at hand.
    lines: Vec<Moments>,
}

impl Part {
    fn take_in(&mut self, source: &impl Lines, lines: std::ops::Range<usize>, first: usize, asked: Asked<'_>) {
        let Self { across, lines: found } = self;
        match asked {
            Asked::Across => {
                let across = &mut across[0];
                source.sweep(lines, across.len(), |_, k, x| across[k].add(x));
            }
            Asked::Lines => lines.for_each(|i| {
                let mut line = Tally::EMPTY;
                source.each(i, |_, x| line.add(x));
                found.push(line.moments());
            }),
            Asked::Both => {
                let across = &mut across[0];
                lines.for_each(|i| {
                    let mut line = Tally::EMPTY;
                    source.each(i, |k, x| {
                        line.add(x);
                        across[k].add(x);
                    });
                    found.push(line.moments());
                });
            }
            Asked::AcrossBy(groups) => {
                let width = across.first().map_or(0, Vec::len);
                source.sweep(lines, width, |i, k, x| {
                    if let Some(group) = groups.of(first + i) {
                        across[group][k].add(x);
                    }
                });
            }
            Asked::LinesBy(groups) => {
                found.reserve_exact(lines.len() * groups.len());
                let mut line = vec![Tally::EMPTY; groups.len()];
                for i in lines {
                    line.fill(Tally::EMPTY);
                    source.each(i, |k, x| {
                        if let Some(group) = groups.of(k) {
                            line[group].add(x);
                        }
                    });
                    found.extend(line.iter().map(Tally::moments));
                }
            }
        }
    }
}

/// What a pass over a matrix has found: of the lines, within groups of the positions across for each group, and of the positions
/// across, within groups of the lines for each group.
struct Found {
    lines: Vec<Stats>,
    across: Vec<Stats>,
}

/// Takes in the matrix, block by block.
fn pass(axis: Axis, asked: Asked<'_>, options: &StatsOptions<'_>) -> Result<Found> {
    let (len, width, major, place) = (axis.len(), axis.info.shape[1 - axis.axis], axis.axis, axis.place());
    let of_values = |counts: Vec<usize>| counts.into_iter().map(|n| Stats::new(n as u64)).collect();
    let sizes = |groups: &Groups| (0..groups.len()).map(|group| Stats::new(groups.size(group))).collect();
    let (mut lines, mut across): (Vec<Stats>, Vec<Stats>) = match asked {
        Asked::Lines => (of_values(vec![width]), Vec::new()),
        Asked::Across => (Vec::new(), of_values(vec![len])),
        Asked::Both => (of_values(vec![width]), of_values(vec![len])),
        Asked::AcrossBy(groups) => (Vec::new(), sizes(groups)),
        Asked::LinesBy(groups) => (sizes(groups), Vec::new()),
    };
    let bytes = width.saturating_mul(across.len()).saturating_mul(size_of::<Tally>());
    check_memory(DType::U8, &[bytes]).map_err(|what| Error::Malformed { at: axis.place(), what })?;
    let parts = (TALLIES / bytes.max(1)).clamp(1, PARTS);
    let part = || Part { across: vec![vec![Tally::EMPTY; width]; across.len()], lines: Vec::new() };
    let mut parts: Vec<Part> = (0..parts).map(|_| part()).collect();
    let tell = |done: usize| match options.progress.map(|tell| tell(done as u64, len as u64)) {
        Some(ControlFlow::Break(())) => Err(Error::Cancelled { at: place.clone(), what: "taking statistics".into() }),
        _ => Ok(()),
    };
    tell(0)?;
    for block in blocks(axis, options.block)? {
        let RowBlock { rows, element, .. } = block?;
        if !take_in(&mut parts, &element, [rows.len(), width], major, rows.start, asked) {
            let wanted = format!("a matrix of real numbers, {} × {width}, as when the pass began", rows.len());
            return Err(Error::WrongType { at: place, wanted, found: element.describe() });
        }
        for part in &mut parts {
            for line in part.lines.chunks(lines.len().max(1)) {
                lines.iter_mut().zip(line).for_each(|(stats, found)| stats.push(found, options.ddof));
            }
            part.lines.clear();
        }
        tell(rows.end)?;
    }
    for (group, stats) in across.iter_mut().enumerate() {
        // Taken out: what has come to a result makes room for the next.
        let tallies: Vec<Vec<Tally>> = parts.iter_mut().map(|part| std::mem::take(&mut part.across[group])).collect();
        stats.reserve(width);
        for k in 0..width {
            let of_all = tallies.iter().map(|part| part[k].moments()).fold(Moments::EMPTY, Moments::and);
            stats.push(&of_all, options.ddof);
        }
    }
    Ok(Found { lines, across })
}

/// Takes in a block of `[lines, width]`, the first line of which is number `first`; `false` if it is no such thing.
fn take_in(
    parts: &mut [Part],
    block: &Element,
    [len, width]: [usize; 2],
    major: usize,
    first: usize,
    asked: Asked<'_>,
) -> bool {
    match block {
        Element::Array(array) if major == 0 && array.shape() == [len, width] => {
            with_numbers!(array, items => share_out(parts, &Dense { items, width, len }, first, asked), else return false);
        }
        Element::Sparse(s)
            if s.format().major() == major && [s.shape()[major], s.shape()[1 - major]] == [len, width] =>
        {
            let indptr = s.indptr();
            with_numbers!(
                s.data(),
                data => with_indices!(
                    s.indices(),
                    indices => share_out(parts, &Compressed { data, indices, indptr }, first, asked)
                ),
                else return false
            );
        }
        _ => return false,
    }
    true
}

/// Each part takes in its lines, on all cores.
fn share_out(parts: &mut [Part], source: &impl Lines, first: usize, asked: Asked<'_>) {
    let cuts = source.cut(parts.len());
    let lines = parts.par_iter_mut().zip(cuts.par_windows(2));
    lines.for_each(|(part, cut)| part.take_in(source, cut[0]..cut[1], first, asked));
}

/// The statistics of what is in no groups.
fn only(mut found: Vec<Stats>) -> Stats {
    found.pop().unwrap_or_else(|| Stats::new(0))
}

/// Of the rows and of the columns.
pub(super) fn both(member: &Member, options: &StatsOptions<'_>) -> Result<MatrixStats> {
    let axis = Axis::major(member)?;
    let major = axis.axis;
    let Found { lines, across } = pass(axis, Asked::Both, options)?;
    let [rows, columns] = if major == 0 { [lines, across] } else { [across, lines] };
    Ok(MatrixStats { rows: only(rows), columns: only(columns) })
}

/// Of the lines along one axis: 0 for the rows, 1 for the columns.
pub(super) fn along(member: &Member, wanted: usize, options: &StatsOptions<'_>) -> Result<Stats> {
    let axis = Axis::major(member)?;
    if axis.axis == wanted {
        Ok(only(pass(axis, Asked::Lines, options)?.lines))
    } else {
        Ok(only(pass(axis, Asked::Across, options)?.across))
    }
}

/// Of the columns, within groups of the rows.
pub(super) fn grouped(member: &Member, groups: Groups, options: &StatsOptions<'_>) -> Result<GroupedStats> {
    let axis = Axis::major(member)?;
    let columns = axis.info.shape[1];
    if columns.saturating_mul(groups.len()) > MOST {
        let what = format!(
            "{} groups of {columns} columns take more memory than is meant for statistics, which is that for {MOST} columns in \
             all: ask for fewer columns at a time, of views, or group by something with fewer values",
            groups.len()
        );
        return Err(Error::Unsupported { at: axis.place(), what });
    }
    let stats = match axis.axis {
        1 => pass(axis, Asked::LinesBy(&groups), options)?.lines,
        _ => pass(axis, Asked::AcrossBy(&groups), options)?.across,
    };
    Ok(GroupedStats { groups: groups.into_names(), stats })
}
