//! [`Places`]: where the chunks of a dataset are in the file, and getting at their bytes without the library and its lock.

use super::chunk_tree::{self, Described};
use super::ffi::{self, Failure, Id, Layout, Outcome, Stored};
use super::image::Image;
use super::pipeline::{Pipeline, room};

/// Datasets of more chunks are left to the library: the places of all are kept in memory.
pub(super) const MAX_PLACES: usize = 1 << 20;
/// A dataset without chunks is cut into blocks of about this many bytes, which are read as if they were chunks.
const BLOCK_BYTES: usize = 4 << 20;

/// Where the items of a dataset are.
#[derive(Debug)]
pub(super) struct Places {
    image: Image,
    /// Lengths of a chunk, one for each axis; there is one at least.
    lens: Vec<usize>,
    /// Number of chunks along each axis.
    counts: Vec<usize>,
    /// Bytes of an item.
    item: usize,
    stored: Layed,
}

#[derive(Debug)]
enum Layed {
    /// Without chunks, all items end to end, from here on.
    Block(u64),
    /// The chunks that are stored, by number in the grid, ascending.
    Chunks(Pipeline, Vec<(usize, Stored)>),
}

/// What a thread needs.
#[derive(Default)]
pub(super) struct Desk {
    /// Bytes as they are stored.
    pub stored: Vec<u8>,
    /// Bytes between two filters.
    between: Vec<u8>,
    /// A decoded chunk.
    pub chunk: Vec<u8>,
}

impl Places {
    /// For a dataset of items of this many bytes; `None` if it has to be read through the library.
    pub(super) fn new(dataset: &Id, layout: &Layout, shape: &[usize], item: usize) -> Outcome<Option<Self>> {
        let bytes = shape.iter().try_fold(item, |n, &k| n.checked_mul(k)).unwrap_or(0);
        if shape.is_empty() || bytes == 0 {
            return Ok(None);
        }
        let image = ffi::image_of(dataset)?;
        let found = match &layout.chunks {
            None => block(dataset, shape, bytes)?,
            Some(lens) => chunks(dataset, &image, layout, lens, shape, item)?,
        };
        let end = image.end();
        let inside = |s: &Stored| s.at.checked_add(s.bytes).is_some_and(|last| last <= end);
        let new =
            |(lens, stored): (Vec<usize>, Layed)| Self { image, counts: counts(shape, &lens), lens, item, stored };
        Ok(found.map(new).filter(|new| match &new.stored {
            Layed::Block(at) => inside(&Stored { at: *at, bytes: bytes as u64, mask: 0 }),
            Layed::Chunks(_, chunks) => chunks.iter().all(|(_, stored)| inside(stored)),
        }))
    }

    /// How many places are kept in memory.
    pub(super) fn len(&self) -> usize {
        match &self.stored {
            Layed::Block(_) => 1,
            Layed::Chunks(_, chunks) => chunks.len().max(1),
        }
    }

    /// Whether there are chunks, which are counted when they are touched; else each stretch that is read is.
    pub(super) fn are_chunks(&self) -> bool {
        matches!(self.stored, Layed::Chunks(..))
    }

    /// Lengths of a chunk, one for each axis.
    pub(super) fn lens(&self) -> &[usize] {
        &self.lens
    }

    /// Bytes of an item.
    pub(super) fn item(&self) -> usize {
        self.item
    }

    /// Bytes of all items of a chunk below one position of this axis.
    pub(super) fn row_bytes(&self, axis: usize) -> usize {
        self.lens.iter().skip(axis + 1).product::<usize>() * self.item
    }

    /// Bytes of a chunk before filters.
    pub(super) fn chunk_bytes(&self) -> usize {
        self.lens.iter().product::<usize>() * self.item
    }

    /// The number of the chunk at this position of the grid; axes without one: at its start.
    pub(super) fn number(&self, chunk: impl IntoIterator<Item = usize>) -> usize {
        let mut chunk = chunk.into_iter();
        self.counts.iter().fold(0, |number, count| number * count + chunk.next().unwrap_or(0))
    }

    /// The chunk of this number; `None` if it was never written.
    pub(super) fn find(&self, number: usize) -> Option<Stored> {
        match &self.stored {
            Layed::Block(at) => {
                // Blocks are cut along the first axis only.
                let bytes = self.chunk_bytes() as u64;
                Some(Stored { at: at + number as u64 * bytes, bytes, mask: 0 })
            }
            Layed::Chunks(_, chunks) => {
                chunks.binary_search_by_key(&number, |&(n, _)| n).ok().map(|found| chunks[found].1)
            }
        }
    }

    /// All that is stored, with its number, ascending: the chunks, or the one block of `bytes`.
    pub(super) fn stored(&self, bytes: u64) -> Vec<(usize, Stored)> {
        match &self.stored {
            Layed::Block(at) => vec![(0, Stored { at: *at, bytes, mask: 0 })],
            Layed::Chunks(_, chunks) => chunks.clone(),
        }
    }

    /// Whether a chunk is stored as it is, so that parts of it can be read.
    pub(super) fn is_raw(&self, stored: &Stored) -> bool {
        match &self.stored {
            Layed::Block(_) => true,
            Layed::Chunks(pipeline, _) => pipeline.is_raw(stored.mask),
        }
    }

    /// Fills `out`, as long as a chunk, with a stored one.
    pub(super) fn decode(&self, stored: &Stored, desk: &mut Desk, out: &mut [u8]) -> Outcome<()> {
        let Layed::Chunks(pipeline, _) = &self.stored else { return self.fetch(stored.at, out) };
        let bytes = room(&mut desk.stored, stored.bytes as usize).ok_or_else(no_memory)?;
        self.fetch(stored.at, bytes)?;
        let decoded = pipeline.decode(bytes, stored.mask, &mut desk.between, out);
        decoded.map_err(|why| Failure::new(format!("at {} in the file: {why}", stored.at)))
    }

    /// Fills `out` from the file. Nobody waits for that.
    pub(super) fn fetch(&self, at: u64, out: &mut [u8]) -> Outcome<()> {
        self.image.read(at, out).map_err(|error| Failure::of_system(&error))
    }
}

pub(super) fn no_memory() -> Failure {
    Failure::new("no memory for a chunk")
}

fn counts(shape: &[usize], lens: &[usize]) -> Vec<usize> {
    shape.iter().zip(lens).map(|(&n, &len)| n.div_ceil(len)).collect()
}

fn block(dataset: &Id, shape: &[usize], bytes: usize) -> Outcome<Option<(Vec<usize>, Layed)>> {
    let stored = ffi::stored_block(dataset)?.filter(|stored| stored.bytes >= bytes as u64);
    Ok(stored.map(|stored| {
        let mut lens = shape.to_vec();
        lens[0] = (BLOCK_BYTES / (bytes / shape[0])).clamp(1, shape[0]);
        (lens, Layed::Block(stored.at))
    }))
}

fn chunks(
    dataset: &Id,
    image: &Image,
    layout: &Layout,
    lens: &[usize],
    shape: &[usize],
    item: usize,
) -> Outcome<Option<(Vec<usize>, Layed)>> {
    let bytes = lens.iter().try_fold(item, |n, &k| n.checked_mul(k)).unwrap_or(0);
    let counts = counts(shape, lens);
    let number = counts.iter().try_fold(1_usize, |n, &k| n.checked_mul(k));
    let few = lens.len() == shape.len() && number.is_some_and(|n| n <= MAX_PLACES);
    let Some(pipeline) = Pipeline::new(&layout.filters, bytes).filter(|_| few) else { return Ok(None) };
    let described = |(header, base)| Described { header, base, lens, counts: &counts, item };
    let chunks = match ffi::header_of(dataset)?.and_then(|at| chunk_tree::chunks(image, &described(at))) {
        Some(chunks) => chunks,
        None => match ffi::stored_chunks(dataset, lens, &counts)? {
            Some(chunks) => chunks,
            None => return Ok(None),
        },
    };
    let honest = |stored: &Stored| match pipeline.is_raw(stored.mask) {
        true => stored.bytes == bytes as u64,
        // No filter makes more than this of a chunk.
        false => stored.bytes <= 2 * bytes as u64 + 4096,
    };
    let all_honest = chunks.iter().all(|(_, stored)| honest(stored));
    Ok(all_honest.then(|| (lens.to_vec(), Layed::Chunks(pipeline, chunks))))
}
