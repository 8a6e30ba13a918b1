//! Where the chunks of a dataset are, from its index in the file itself: the library, which goes through the index as well, takes
//! half a microsecond for each chunk, and most reads of a few rows would be nothing but that.
//!
//! Only what h5py writes unless told otherwise is understood (section numbers are those of the HDF5 file format specification, version
//! 3): object headers (IV.A.1), data layout messages of version 3 (IV.A.2.i) and B-trees of version 1 (III.A.1). Whatever else there
//! is, or does not add up, is left to the library.

use super::ffi::Stored;
use super::image::Image;

/// Most messages and blocks of an object header that are looked at.
const MAX_MESSAGES: usize = 4096;
const MAX_BLOCKS: usize = 64;
/// The longest block of an object header that is looked at.
const MAX_BLOCK: u64 = 1 << 20;
/// Entries of a node, unless the file says otherwise.
const ENTRIES: usize = 64;
/// The highest level of a node: there are no more chunks than that.
const MAX_LEVEL: u8 = 5;

/// A dataset as the library describes it.
pub(super) struct Described<'a> {
    /// The address of its object header, and where addresses in the file count from.
    pub(super) header: u64,
    pub(super) base: u64,
    /// Lengths of a chunk, number of chunks along each axis, bytes of an item.
    pub(super) lens: &'a [usize],
    pub(super) counts: &'a [usize],
    pub(super) item: usize,
}

/// The chunks that are stored, each with its number in the grid in C order, ascending; `None` if the library is to be asked.
pub(super) fn chunks(image: &Image, dataset: &Described<'_>) -> Option<Vec<(usize, Stored)>> {
    let root = root(image, dataset)?;
    let most = dataset.counts.iter().try_fold(1_usize, |n, &count| n.checked_mul(count))?;
    let mut walk = Walk { image, dataset, most, found: Vec::new() };
    match root {
        // No chunk was ever written.
        u64::MAX => {}
        root => walk.node(root, None)?,
    }
    walk.found.sort_unstable_by_key(|&(number, _)| number);
    let twice = walk.found.windows(2).any(|two| two[0].0 == two[1].0);
    (!twice).then_some(walk.found)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b))
}

/// The bytes of the file from here on, counted from the base.
fn read(image: &Image, base: u64, at: u64, len: u64) -> Option<Vec<u8>> {
    let start = base.checked_add(at)?;
    let inside = start.checked_add(len).is_some_and(|end| end <= image.end());
    let mut bytes = vec![0; usize::try_from(len).ok().filter(|_| inside)?];
    image.read(start, &mut bytes).ok()?;
    Some(bytes)
}

/// The address of the root of the index: from the layout message, which must say of the chunks what the library says.
fn root(image: &Image, dataset: &Described<'_>) -> Option<u64> {
    const LAYOUT: u64 = 0x08;
    const CONTINUATION: u64 = 0x10;
    let (form, first) = Form::of(image, dataset)?;
    let mut blocks = vec![first];
    let (mut messages, mut next) = (0, 0);
    while let Some(&(at, len)) = blocks.get(next) {
        let bytes = read(image, dataset.base, at, Some(len).filter(|&len| len <= MAX_BLOCK)?)?;
        let mut rest = if next > 0 { form.inside(&bytes)? } else { &bytes };
        next += 1;
        // At the end there may be less than a message.
        while let Some((kind, data, after)) = form.message(rest) {
            (rest, messages) = (after, messages + 1);
            match kind {
                LAYOUT => return layout(data, dataset),
                CONTINUATION => blocks.push((number(data.get(..8)?), number(data.get(8..16)?))),
                _ => {}
            }
            if messages > MAX_MESSAGES || blocks.len() > MAX_BLOCKS {
                return None;
            }
        }
    }
    None
}

/// How an object header is laid out.
enum Form {
    V1,
    /// Of version 2; whether messages say when they were made.
    V2 {
        ordered: bool,
    },
}

impl Form {
    /// With the address and length of the first messages.
    fn of(image: &Image, dataset: &Described<'_>) -> Option<(Self, (u64, u64))> {
        let at = dataset.header;
        let head = read(image, dataset.base, at, 16)?;
        if head[..2] == [1, 0] {
            return Some((Self::V1, (at.checked_add(16)?, number(&head[8..12]))));
        }
        if head[..5] != *b"OHDR\x02" {
            return None;
        }
        let flags = head[5];
        let times = if flags & 0x20 == 0 { 0 } else { 16 };
        let phases = if flags & 0x10 == 0 { 0 } else { 4 };
        let (from, width) = (at.checked_add(6 + times + phases)?, 1 << (flags & 3));
        let len = number(&read(image, dataset.base, from, width)?);
        Some((Self::V2 { ordered: flags & 4 != 0 }, (from.checked_add(width)?, len)))
    }

    /// The messages in a further block.
    fn inside<'b>(&self, block: &'b [u8]) -> Option<&'b [u8]> {
        match self {
            Self::V1 => Some(block),
            // And a checksum behind them.
            Self::V2 { .. } => block.strip_prefix(b"OCHK")?.split_last_chunk::<4>().map(|(messages, _)| messages),
        }
    }

    /// The first of these messages: its type, what it says, and the messages behind it.
    fn message<'b>(&self, block: &'b [u8]) -> Option<(u64, &'b [u8], &'b [u8])> {
        let (head, kind, size) = match self {
            Self::V1 => (8, 0..2, 2..4),
            Self::V2 { ordered } => (if *ordered { 6 } else { 4 }, 0..1, 1..3),
        };
        let (head, rest) = block.split_at_checked(head)?;
        let (data, after) = rest.split_at_checked(number(&head[size]) as usize)?;
        Some((number(&head[kind]), data, after))
    }
}

/// The address in a layout message of version 3, class 2 (chunked).
fn layout(data: &[u8], dataset: &Described<'_>) -> Option<u64> {
    let axes = dataset.lens.len();
    let (head, rest) = data.split_at_checked(3)?;
    if head != [3, 2, u8::try_from(axes + 1).ok()?] {
        return None;
    }
    let (root, lens) = rest.split_at_checked(8)?;
    let mut said = lens.chunks_exact(4).map(number);
    let same = dataset.lens.iter().chain([&dataset.item]).all(|&len| said.next() == Some(len as u64));
    same.then(|| number(root))
}

struct Walk<'a> {
    image: &'a Image,
    dataset: &'a Described<'a>,
    most: usize,
    found: Vec<(usize, Stored)>,
}

impl Walk<'_> {
    /// Takes in the chunks below a node; `level` is what its parent says. Nodes are as many as chunks at most, for none is empty.
    fn node(&mut self, at: u64, level: Option<u8>) -> Option<()> {
        const HEAD: usize = 24;
        let &Described { lens, counts, base, .. } = self.dataset;
        let key = 8 + 8 * (lens.len() + 1);
        let long = |entries: usize| (HEAD + entries * (key + 8)) as u64;
        let to_end = self.image.end().checked_sub(base.checked_add(at)?)?;
        let mut bytes = read(self.image, base, at, long(ENTRIES).min(to_end))?;
        let (is_node, own, entries) =
            (bytes.get(..5)? == b"TREE\x01", *bytes.get(5)?, number(bytes.get(6..8)?) as usize);
        if !is_node || entries == 0 || own > MAX_LEVEL || level.is_some_and(|level| own != level) {
            return None;
        }
        if entries > ENTRIES {
            bytes = read(self.image, base, at, long(entries))?;
        }
        for entry in bytes.get(HEAD..long(entries) as usize)?.chunks_exact(key + 8) {
            let (child, corner) = (number(&entry[key..]), &entry[8..key]);
            if own > 0 {
                self.node(child, Some(own - 1))?;
                continue;
            }
            let mut corner = corner.chunks_exact(8).map(number);
            let place = lens.iter().zip(counts).try_fold(0, |number, (&len, &count)| {
                let from = usize::try_from(corner.next()?).ok()?;
                (from % len == 0 && from / len < count).then(|| number * count + from / len)
            })?;
            let stored =
                Stored { at: base.checked_add(child)?, bytes: number(&entry[..4]), mask: number(&entry[4..8]) as u32 };
            if self.found.len() >= self.most {
                return None;
            }
            self.found.push((place, stored));
        }
        Some(())
    }
}
