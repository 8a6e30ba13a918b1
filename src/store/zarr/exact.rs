//! Filters undone straight into a place, where it is known how much comes out: nothing is copied, and compressors that know the
//! whole of both ends are up to twice as fast as streams.

use std::cell::RefCell;

use zstd::stream::raw::{InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::get_frame_content_size;

use super::filter::Filter;
use super::source::Fault;
use crate::store::hdf5::unblosc;

/// What decoding needs besides its two buffers: made once per thread, for it is larger than many a chunk.
struct Contexts {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    zstd_stream: Option<zstd::stream::raw::Decoder<'static>>,
    deflate: libdeflater::Decompressor,
}

thread_local! {
    static CONTEXTS: RefCell<Contexts> = RefCell::new(Contexts {
        zstd: zstd::bulk::Decompressor::new().ok(),
        zstd_stream: zstd::stream::raw::Decoder::new().ok(),
        deflate: libdeflater::Decompressor::new(),
    });
}

impl Filter {
    /// Undoes the filter into `out`, which it must fill exactly.
    pub(super) fn undo_into(&self, bytes: Vec<u8>, out: &mut [u8]) -> Result<(), Fault> {
        if self.decode(&bytes, out) == Some(out.len()) {
            return Ok(());
        }
        // What is unusual (gzip in several members), damaged, or of a filter that has no such way.
        fill(&self.undo(bytes, out.len())?, out)
    }

    /// Undoes the filter and puts what it gives, which must be `size` bytes, in place of what is in `out`. No memory is cleared
    /// only to be written over, where the filter allows it.
    pub(super) fn undo_to(&self, bytes: Vec<u8>, size: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        if *self == Self::Zstd {
            out.clear();
            out.reserve_exact(size);
            if unzstd(&bytes, out).is_some() && out.len() == size {
                return Ok(());
            }
        }
        if out.len() < size {
            // Fresh memory is clear, or becomes so more cheaply than what was in use.
            *out = vec![0; size];
        }
        out.truncate(size);
        self.undo_into(bytes, out)
    }

    /// Undoes the filter for the first `wanted` of `whole` bytes, which are put in place of what is in `out`. `None` where only the
    /// whole can be decoded, or the bytes do not say that they are the whole.
    pub(super) fn undo_start(&self, bytes: &[u8], whole: usize, wanted: usize, out: &mut Vec<u8>) -> Option<()> {
        let is_whole = matches!(self, Self::Zstd) && get_frame_content_size(bytes).ok()?? == whole as u64;
        if !is_whole {
            return None;
        }
        CONTEXTS.with_borrow_mut(|contexts| {
            let decoder = contexts.zstd_stream.as_mut()?;
            decoder.reinit().ok()?;
            // As large as that and no larger: all of it is filled.
            *out = Vec::with_capacity(wanted);
            let (mut from, mut to) = (InBuffer::around(bytes), OutBuffer::around(out));
            while to.pos() < wanted {
                let before = (from.pos(), to.pos());
                decoder.run(&mut from, &mut to).ok()?;
                if (from.pos(), to.pos()) == before {
                    return None;
                }
            }
            out.truncate(wanted);
            Some(())
        })
    }

    /// Decodes into `out` and gives the bytes written; `None` where that does not work.
    fn decode(&self, bytes: &[u8], out: &mut [u8]) -> Option<usize> {
        CONTEXTS.with_borrow_mut(|contexts| match self {
            Self::Zstd => contexts.zstd.as_mut()?.decompress_to_buffer(bytes, out).ok(),
            Self::Gzip => contexts.deflate.gzip_decompress(bytes, out).ok(),
            Self::Zlib => contexts.deflate.zlib_decompress(bytes, out).ok(),
            Self::Blosc => unblosc(bytes, out).map(|()| out.len()),
            Self::Lz4 => {
                let (head, block) = bytes.split_first_chunk::<4>()?;
                let fits = u32::from_le_bytes(*head) as usize == out.len();
                fits.then(|| lz4_flex::block::decompress_into(block, out).ok())?
            }
            _ => None,
        })
    }
}

/// Decodes a frame into the room that a vector has, be it cleared or not.
fn unzstd(bytes: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    CONTEXTS.with_borrow_mut(|contexts| contexts.zstd.as_mut()?.decompress_to_buffer(bytes, out).ok())
}

/// Copies the bytes of a chunk into a place that must be as long.
pub(super) fn fill(bytes: &[u8], out: &mut [u8]) -> Result<(), Fault> {
    if bytes.len() != out.len() {
        return Err(wrong_count());
    }
    out.copy_from_slice(bytes);
    Ok(())
}

/// What is said of a chunk that is too short or too long.
pub(super) fn wrong_count() -> Fault {
    Fault::Malformed("a chunk decodes to another number of items than its shape".into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn lz4(bytes: &[u8]) -> Vec<u8> {
        [(bytes.len() as u32).to_le_bytes().to_vec(), lz4_flex::block::compress(bytes)].concat()
    }

    #[test]
    fn what_comes_out_fills_its_place_or_is_refused() {
        let plain: Vec<u8> = (0..10_000_u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        let zstd = zstd::bulk::compress(&plain, 3).unwrap();
        for (filter, packed) in [
            (Filter::Zstd, zstd),
            (Filter::Gzip, gzip(&plain)),
            (Filter::Zlib, zlib(&plain)),
            (Filter::Lz4, lz4(&plain)),
            (Filter::Nothing, plain.clone()),
        ] {
            let undo = |packed: &[u8], len: usize| {
                let mut out = vec![0; len];
                filter.undo_into(packed.to_vec(), &mut out).map(|()| out)
            };
            assert_eq!(undo(&packed, plain.len()).unwrap(), plain, "{filter:?}");
            // To a place that is made, whatever was there before.
            for before in [0, plain.len() - 1, plain.len() + 10] {
                let mut out = vec![7; before];
                filter.undo_to(packed.clone(), plain.len(), &mut out).unwrap();
                assert_eq!(out, plain, "{filter:?} {before}");
                for len in [0, plain.len() - 1, plain.len() + 1] {
                    let refused = filter.undo_to(packed.clone(), len, &mut out);
                    assert!(matches!(refused, Err(Fault::Malformed(_))), "{filter:?} {before} {len}");
                }
            }
            if filter != Filter::Nothing {
                let mut out = vec![0; plain.len()];
                assert_eq!(filter.decode(&packed, &mut out), Some(plain.len()), "{filter:?} goes the short way");
            }
            for len in [0, plain.len() - 1, plain.len() + 1] {
                assert!(matches!(undo(&packed, len), Err(Fault::Malformed(_))), "{filter:?} {len}");
            }
            assert!(undo(&packed[..packed.len() / 2], plain.len()).is_err(), "{filter:?} cut off");
            assert!(undo(&[], plain.len()).is_err(), "{filter:?} of nothing");
        }
    }

    #[test]
    fn the_beginning_of_a_frame_is_decoded_alone() {
        let plain: Vec<u8> = (0..300_000_u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        let packed = zstd::bulk::compress(&plain, 3).unwrap();
        let start = |packed: &[u8], whole: usize, len: usize| {
            let mut out = vec![1; 17];
            Filter::Zstd.undo_start(packed, whole, len, &mut out).map(|()| out)
        };
        for len in [0, 1, 100_000, 200_001, plain.len()] {
            assert_eq!(start(&packed, plain.len(), len).unwrap(), plain[..len]);
        }
        // What lies behind need not even be there; what is wanted must.
        let cut = &packed[..packed.len() / 2];
        assert_eq!(start(cut, plain.len(), 1000).unwrap(), plain[..1000]);
        assert!(start(cut, plain.len(), plain.len() - 1).is_none());
        assert!(start(&packed, plain.len() + 1, 10).is_none(), "of another length");
        assert!(
            start(b"no frame", 8, 1).is_none()
                && Filter::Lz4.undo_start(&lz4(&plain), plain.len(), 1, &mut Vec::new()).is_none()
        );
    }

    #[test]
    fn several_members_and_frames_are_one_chunk() {
        let (a, b) = (vec![1; 300], vec![2; 200]);
        let whole = [a.clone(), b.clone()].concat();
        let frames = [&a, &b].map(|part| zstd::bulk::compress(part, 1).unwrap()).concat();
        for (filter, packed) in [(Filter::Gzip, [gzip(&a), gzip(&b)].concat()), (Filter::Zstd, frames)] {
            let mut out = vec![0; 500];
            filter.undo_into(packed, &mut out).unwrap();
            assert_eq!(out, whole, "{filter:?}");
        }
    }
}
