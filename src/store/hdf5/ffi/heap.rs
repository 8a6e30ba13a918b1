//! Global heaps, in which variable-length texts lie. From a file that nobody here writes, texts are taken out of them without the
//! library, which looks each one up on its own. In other files they are checked before the library parses them: over a damaged
//! heap it runs in circles for ever, and for a text that claims four gigabytes it clears as much memory before it looks.
//!
//! The places of the texts are had through the library: a conversion of its own, from a variable-length type to opaque bytes,
//! leaves an item as it is stored, which is a length, the address of a heap, and a number in it. Heaps are as in section III.E of
//! the HDF5 file format specification.

use std::collections::BTreeMap;
use std::ffi::{c_ulong, c_void};
use std::io;
use std::sync::{Arc, Once};

use hdf5_metno_sys::h5f::H5Fget_fileno;
use hdf5_metno_sys::h5i::{H5Iget_file_id, hid_t};
use hdf5_metno_sys::h5t::*;
use parking_lot::Mutex;

use super::super::image::Image;
use super::data::Items;
use super::driver::image_of;
use super::objects::{base_of, is_writable};
use super::types::{Class, Type};
use super::{Failure, Id, Outcome, buffer, check, locked, plain};

/// A stored variable-length item: length (4 bytes), address of the heap (8), number in the heap (4).
const REFERENCE: usize = 16;
/// The head of a heap, and of an object in it.
const HEAD: u64 = 16;
/// Heaps are at least this long.
const LEAST: u64 = 4096;
/// Heaps up to this length are read in one go, of longer ones the heads of objects only.
const WHOLE: u64 = 1 << 20;

/// Lengths of the heaps found sound, by the library's number of the open file and the address. Cleared when it grows.
static SOUND: Mutex<BTreeMap<(c_ulong, u64), u64>> = Mutex::new(BTreeMap::new());
const MAX_KNOWN: usize = 1 << 18;

/// Heaps that texts were taken out of last, by the library's number of the open file and the address: attributes of one object
/// and neighbouring texts share them. Cleared when it grows.
static READ: Mutex<Read> = Mutex::new(Read { heaps: BTreeMap::new(), bytes: 0 });
const MAX_READ: usize = 4 << 20;

/// Most objects of a heap that are looked at one by one: their numbers have 16 bits.
const MAX_OBJECTS: usize = 1 << 16;

struct Read {
    heaps: BTreeMap<(c_ulong, u64), Arc<Heap>>,
    bytes: usize,
}

/// The texts that these items are, variable-length texts all of them; those never written are empty. `None` where the library is
/// to read them: from a file that is open for writing, in which what the heaps hold may not be yet, and from heaps as nobody
/// writes them, of too many objects, or so mixed up that they would have to be read again and again.
pub(super) fn texts(items: &Items<'_>, dtype: &Type) -> Outcome<Option<Vec<String>>> {
    let Some(stored) = as_stored(dtype)? else { return Ok(None) };
    let file = HeapFile::of(items.object())?;
    if file.writable {
        return Ok(None);
    }
    let references = references(items, &stored)?;
    let mut out = Vec::new();
    out.try_reserve_exact(references.len() / REFERENCE).map_err(|_| Failure::new("no memory for the texts"))?;
    let mut last: Option<(u64, Arc<Heap>)> = None;
    let mut patience = (16 << 20) + references.len() * 64;
    for reference in references.chunks_exact(REFERENCE) {
        let (len, address, index) = (number(&reference[..4]), number(&reference[4..12]), number(&reference[12..]));
        if address == 0 || len == 0 {
            out.push(String::new());
            continue;
        }
        let heap = match last.take() {
            Some((at, heap)) if at == address => heap,
            _ => match file.read(address, &mut patience)? {
                Some(heap) => heap,
                None => return Ok(None),
            },
        };
        out.push(file.text(address, &heap, index, len)?);
        last = Some((address, heap));
    }
    Ok(Some(out))
}

/// Checks the heaps that the variable-length texts among these items lie in; `dtype` is what they are to be read as.
pub(super) fn check_heaps(items: &Items<'_>, dtype: &Type) -> Outcome<()> {
    let Some(stored) = as_stored(dtype)? else { return Ok(()) };
    let references = references(items, &stored)?;
    let (mut file, mut last) = (None, (0, 0));
    for reference in references.chunks_exact(REFERENCE) {
        let (len, address) = (number(&reference[..4]), number(&reference[4..12]));
        // No heap, or (neighbours share one) that of the item before.
        if address == 0 || (address == last.0 && len <= last.1) {
            continue;
        }
        let file = match &file {
            Some(file) => file,
            None => file.insert(HeapFile::of(items.object())?),
        };
        if let Some(size) = file.heap(address)? {
            if len > size {
                return Err(Failure::new(format!("a text of {len} bytes is longer than the heap that it is in")));
            }
            last = (address, size);
        }
    }
    Ok(())
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b))
}

/// The type with every text as it is stored and nothing else; `None` if there are no texts in it.
fn as_stored(dtype: &Type) -> Outcome<Option<Type>> {
    match dtype.class() {
        Class::Text if dtype.is_vlen_text() => {
            plain!(H5Tcreate(H5T_OPAQUE, REFERENCE)).map(|raw| Some(Type(Id::from_raw(raw))))
        }
        Class::Array => {
            let (axes, base) = dtype.array_of()?;
            as_stored(&base)?.map(|stored| stored.with_axes(&axes)).transpose()
        }
        Class::Compound => {
            let mut texts = Vec::new();
            for i in 0..dtype.member_count() {
                if let Some(member) = dtype.member(i)
                    && let Some(stored) = as_stored(&member)?
                {
                    texts.push((i, stored));
                }
            }
            if texts.is_empty() { Ok(None) } else { dtype.part(texts).map(Some) }
        }
        _ => Ok(None),
    }
}

/// The texts among the items as stored.
fn references(items: &Items<'_>, stored: &Type) -> Outcome<Vec<u8>> {
    extern "C" fn leave(
        from: hid_t,
        to: hid_t,
        data: *mut H5T_cdata_t,
        _: usize,
        _: usize,
        _: usize,
        _: *mut c_void,
        _: *mut c_void,
        _: hid_t,
    ) -> i32 {
        // SAFETY: HDF5 passes valid data, of which the command is the first field, and ids that are valid for the call.
        unsafe {
            if (*data).command == H5T_CONV_INIT && (H5Tget_size(from) != REFERENCE || H5Tget_size(to) != REFERENCE) {
                return -1;
            }
        }
        0
    }
    static REGISTERED: Once = Once::new();
    let opaque = Type(Id::from_raw(plain!(H5Tcreate(H5T_OPAQUE, REFERENCE))?));
    let text = Type::vlen_text(true)?;
    locked(|| {
        REGISTERED.call_once(|| {
            let name = c"heap reference";
            // SAFETY: the name outlives the call; `leave` matches the declared signature, does not unwind, and touches no
            // buffer: source and destination are of the same size, as it checks when asked whether it applies.
            unsafe { H5Tregister(H5T_PERS_SOFT, name.as_ptr(), text.0.raw(), opaque.0.raw(), Some(leave)) };
        });
    });
    let bytes = items.len()?.checked_mul(stored.size()).ok_or_else(|| Failure::new("too many items"))?;
    let mut out = buffer(bytes, 0_u8)?;
    if bytes > 0 {
        // SAFETY: the buffer was made as long as all items together.
        unsafe { items.read(stored, out.as_mut_ptr().cast()) }?;
    }
    Ok(out)
}

/// The bytes of the file that an object is in.
struct HeapFile {
    number: c_ulong,
    /// Addresses count from here: what precedes belongs to others.
    base: u64,
    /// What was just made or changed is not in the bytes yet.
    writable: bool,
    bytes: Image,
}

impl HeapFile {
    fn of(object: &Id) -> Outcome<Self> {
        let file = Id::from_raw(plain!(H5Iget_file_id(object.raw()))?);
        let base = base_of(&file)?.ok_or_else(|| Failure::new("texts in a file whose addresses are not of 8 bytes"))?;
        let mut number: c_ulong = 0;
        // SAFETY: the pointer is to a local that outlives the call.
        check(|| unsafe { H5Fget_fileno(file.raw(), &raw mut number) })?;
        Ok(Self { number, base, writable: is_writable(&file)?, bytes: image_of(object)? })
    }

    /// The length of a sound heap; `None` where it may change: in a file open for writing, in which there may be none yet.
    fn heap(&self, address: u64) -> Outcome<Option<u64>> {
        let key = (self.number, address);
        // One that is open for writing may have grown since; by this process, which leaves it sound.
        let known = |size: u64| if self.writable { None } else { Some(size) };
        if let Some(&size) = SOUND.lock().get(&key) {
            return Ok(known(size));
        }
        let size = match self.walk(address) {
            Err(_) if self.writable => return Ok(None),
            walked => sound(address, walked)?.size,
        };
        let mut sound = SOUND.lock();
        if sound.len() >= MAX_KNOWN {
            sound.clear();
        }
        sound.insert(key, size);
        Ok(known(size))
    }

    /// A heap of a file that is not written; `None` if it has too many objects, or the bytes that are to be read are used up.
    fn read(&self, address: u64, patience: &mut usize) -> Outcome<Option<Arc<Heap>>> {
        let key = (self.number, address);
        if let Some(known) = READ.lock().heaps.get(&key) {
            return Ok(Some(known.clone()));
        }
        let heap = sound(address, self.walk(address))?;
        let left = patience.checked_sub(heap.cost());
        let (Some(left), false) = (left, heap.objects.len() > MAX_OBJECTS) else { return Ok(None) };
        *patience = left;
        let heap = Arc::new(heap);
        let mut read = READ.lock();
        if read.bytes > MAX_READ {
            *read = Read { heaps: BTreeMap::new(), bytes: 0 };
        }
        read.bytes += heap.cost();
        read.heaps.insert(key, heap.clone());
        Ok(Some(heap))
    }

    /// Reads a heap and goes through its objects as the library does. The outer error: there is no heap; the inner: it is damaged.
    fn walk(&self, address: u64) -> io::Result<Result<Heap, &'static str>> {
        let start = self.base.checked_add(address).ok_or(io::ErrorKind::UnexpectedEof)?;
        let end = self.bytes.end();
        let read = |at: u64, out: &mut [u8]| self.bytes.read(at, out);
        let mut bytes = vec![0; LEAST as usize];
        read(start, &mut bytes)?;
        if !bytes.starts_with(b"GCOL") {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "there is none"));
        }
        let size = number(&bytes[8..16]);
        if size < LEAST || start.checked_add(size).is_none_or(|last| last > end) {
            return Ok(Err("is not of a length that it can have"));
        }
        if (LEAST + 1..=WHOLE).contains(&size) {
            bytes.resize(size as usize, 0);
            read(start + LEAST, &mut bytes[LEAST as usize..])?;
        }
        let (mut at, mut objects) = (HEAD, Vec::new());
        while at + HEAD <= size {
            let mut head = [0; HEAD as usize];
            match bytes.get(at as usize..(at + HEAD) as usize) {
                Some(there) => head.copy_from_slice(there),
                None => read(start + at, &mut head)?,
            }
            let (index, len) = (number(&head[..2]), number(&head[8..]));
            // Object 0 is the free space, whose length includes its head.
            let step = if index == 0 {
                Some(len).filter(|&len| len >= HEAD)
            } else {
                len.checked_next_multiple_of(8).and_then(|n| n.checked_add(HEAD))
            };
            match step.and_then(|step| at.checked_add(step)) {
                Some(next) if next > at && next <= size => {
                    if objects.len() <= MAX_OBJECTS {
                        objects.push(Object { index, start: at + HEAD, len });
                    }
                    at = next;
                }
                _ => return Ok(Err("holds an object of a length that it cannot have")),
            }
        }
        // Most are in order already. Of two with one number the later counts, as it does for the library.
        objects.sort_by_key(|object| object.index);
        Ok(Ok(Heap { size, bytes, objects }))
    }

    /// The text in the object of a heap that has this number and, as the library wants it, just this length.
    fn text(&self, address: u64, heap: &Heap, index: u64, len: u64) -> Outcome<String> {
        let behind = heap.objects.partition_point(|object| object.index <= index);
        let found = heap.objects[..behind].last().filter(|object| object.index == index && index != 0);
        let object = found.filter(|object| object.len == len).ok_or_else(|| {
            Failure::new(format!("the heap of texts at {address} has no text of {len} bytes as number {index}"))
        })?;
        let range = object.start as usize..(object.start + len) as usize;
        match heap.bytes.get(range) {
            Some(bytes) => own_text(bytes),
            None => {
                let mut bytes = buffer(len as usize, 0_u8)?;
                let read = self.bytes.read(self.base + address + object.start, &mut bytes);
                read.map_err(|e| Failure::new(format!("the heap of texts at {address} cannot be read: {e}")))?;
                own_text(&bytes)
            }
        }
    }
}

/// A text ends where HDF5 would end it, with its first NUL.
fn own_text(bytes: &[u8]) -> Outcome<String> {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    str::from_utf8(text).map(str::to_owned).map_err(|_| Failure::not_utf8(text))
}

/// A heap whose objects are all of lengths that they can have.
struct Heap {
    size: u64,
    /// All of it, or of one that is longer than [`WHOLE`] the beginning.
    bytes: Vec<u8>,
    /// By their numbers; not all, if they are more than [`MAX_OBJECTS`].
    objects: Vec<Object>,
}

struct Object {
    index: u64,
    /// Where it begins in the heap, and its length.
    start: u64,
    len: u64,
}

impl Heap {
    /// Bytes in memory.
    fn cost(&self) -> usize {
        self.bytes.len() + self.objects.len() * size_of::<Object>()
    }
}

/// What came of a [walk](HeapFile::walk), errors as they are told.
fn sound(address: u64, walked: io::Result<Result<Heap, &'static str>>) -> Outcome<Heap> {
    let heap = walked.map_err(|e| Failure::new(format!("the heap of texts at {address} cannot be read: {e}")))?;
    heap.map_err(|why| Failure::new(format!("the heap of texts at {address} {why}")))
}
