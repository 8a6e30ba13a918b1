//! [`Codec`]: one chunk between its bytes in a file and its items. What was done to it is undone here step by step, from
//! the last codec to the first, with the filters of [`filter`](super::filter).

use ndarray::{ArrayD, ArrayView, IxDyn};
use serde_json::{Value, json};

use super::dtype::{is_big, name_of};
use super::exact::{fill, wrong_count};
use super::filter::Filter;
use super::item::{Flat, Form, Items};
use super::library::Chain;
use super::meta::Sharding;
use super::shard::Shard;
use super::source::Fault;
use crate::value::{Array, DType};

/// A chain of codecs for chunks of one shape, for reading.
#[derive(Debug)]
pub(super) struct Codec {
    pub(super) items: Items,
    /// One item.
    fill: Flat,
    shape: Vec<usize>,
    /// What is done to the items, in the order of writing.
    before: Vec<Step>,
    to_bytes: ToBytes,
    after: Vec<Filter>,
}

#[derive(Debug)]
enum Step {
    /// Axes in another order: of a chunk of this shape, whose items then have this many bytes.
    Transpose {
        order: Vec<usize>,
        shape: Vec<usize>,
        size: usize,
    },
    Filter(Filter),
}

/// How items become bytes.
#[derive(Debug)]
enum ToBytes {
    /// They are.
    Plain,
    /// A count, and each with its length.
    Lengths,
    /// A JSON list with dtype and shape at its end.
    Json,
    /// Numbers of labels.
    Labels(Vec<Vec<u8>>),
    /// Shards inside other codecs.
    Shards(Box<Shard>),
}

/// Most bytes of a chunk whose items are of any length, and of one such item on average.
const MAX_LOOSE: usize = 1 << 34;
const MAX_TEXT: usize = 1 << 16;

/// Memory for a chunk of this many bytes is taken before it is decoded; beyond, as it turns out to be needed.
const MAX_BELIEVED: usize = 1 << 26;

impl Codec {
    pub(super) fn new(codecs: &[Value], items: &Items, fill: &Flat, shape: &[usize]) -> Result<Self, Fault> {
        if shape.contains(&0) {
            return Err(Fault::Malformed("a chunk length is 0".into()));
        }
        let names: Vec<&str> = codecs.iter().map(|c| name_of(c).unwrap_or("without a name")).collect();
        let loose = items.size == 0;
        let is_turn = |name: &&str| match *name {
            "bytes" | "vlen-utf8" | "vlen-bytes" | "vlen-array" | "numcodecs.json2" | "sharding_indexed" => true,
            "numcodecs.categorize" => loose,
            _ => false,
        };
        let turn = names.iter().position(is_turn);
        let turn = turn.ok_or_else(|| Fault::Unsupported(format!("codecs {}", names.join(", "))))?;
        // The numbers of filters before the turn are turned around with the items.
        let big = is_big(&codecs[turn..=turn]) && !items.structured;
        let (mut shape_now, mut size) = (shape.to_vec(), items.size);
        let mut before = Vec::new();
        for (codec, name) in codecs[..turn].iter().zip(&names) {
            if *name == "transpose" {
                let order = order(&codec["configuration"]["order"], shape.len())
                    .ok_or_else(|| Fault::Malformed(format!("codec {codec}")))?;
                let turned = order.iter().map(|&axis| shape_now[axis]).collect();
                before.push(Step::Transpose { order, shape: std::mem::replace(&mut shape_now, turned), size });
                continue;
            }
            if loose {
                return Err(Fault::Unsupported(format!("codec `{name}` on items of any length")));
            }
            let filter = filter(codec, name, big, size)?;
            size = filter.size_behind(size);
            before.push(Step::Filter(filter));
        }
        let to_bytes = match (names[turn], loose) {
            ("bytes", false) => ToBytes::Plain,
            ("vlen-utf8" | "vlen-bytes", true) => ToBytes::Lengths,
            ("numcodecs.json2", true) => ToBytes::Json,
            ("numcodecs.categorize", true) => ToBytes::Labels(labels(&codecs[turn]["configuration"])?),
            ("sharding_indexed", _) => {
                if size != items.size {
                    let why = "shards of items that a filter has made longer or shorter";
                    return Err(Fault::Unsupported(why.into()));
                }
                ToBytes::Shards(Box::new(Shard::new(
                    &Sharding::new(&codecs[turn], &shape_now)?,
                    items,
                    fill,
                    &shape_now,
                )?))
            }
            (name, _) => return Err(Fault::Unsupported(format!("codec `{name}` for this data type"))),
        };
        let after: Result<Vec<Filter>, Fault> =
            codecs[turn + 1..].iter().zip(&names[turn + 1..]).map(|(c, n)| filter(c, n, false, items.size)).collect();
        Ok(Self { items: items.clone(), fill: fill.clone(), shape: shape.to_vec(), before, to_bytes, after: after? })
    }

    /// The fill value of field number `part`, with the field's own axes.
    pub(super) fn fill(&self, part: usize) -> Result<Array, Fault> {
        self.items.unpack(part, &mut self.fill.clone(), &[])
    }

    /// Most bytes that a chunk can have at any step of decoding, so much that no honest one has more.
    pub(super) fn limit(&self) -> usize {
        match self.items.size {
            0 => self.count().saturating_mul(MAX_TEXT).saturating_add(1 << 28).min(MAX_LOOSE),
            size => self.count().saturating_mul(size).saturating_mul(16).saturating_add(1 << 16),
        }
    }

    /// Whether the bytes of a decoded chunk are its items as memory has them: of a fixed size, in this machine's byte order, in C
    /// order, and filtered only as bytes. Where they are plain numbers, too
    /// ([`takes_bytes`](crate::value::Scatter::takes_bytes)), chunks are decoded to where they belong.
    pub(super) fn is_direct(&self) -> bool {
        let native = |form| match form {
            Form::Plain { dtype, big } => dtype.size() == Some(1) || big == cfg!(target_endian = "big"),
            _ => false,
        };
        self.before.is_empty() && matches!(self.to_bytes, ToBytes::Plain) && self.items.form().is_some_and(native)
    }

    /// Whether chunks are stored as they are: parts of them can be read.
    pub(super) fn is_raw(&self) -> bool {
        self.is_direct() && self.after.is_empty()
    }

    /// Bytes of a chunk whose items are of a fixed size. (The document has been asked whether it can be so large.)
    pub(super) fn chunk_bytes(&self) -> usize {
        self.count() * self.items.size
    }

    /// The item that stands for what is missing, as it lies in a chunk.
    pub(super) fn fill_bytes(&self) -> &[u8] {
        match &self.fill {
            Flat::Fixed(item) => item,
            Flat::Loose(_) => &[],
        }
    }

    /// Decodes a chunk of a [direct](Self::is_direct) codec into `out`, which it must fill exactly.
    pub(super) fn decode_into(&self, bytes: Vec<u8>, out: &mut [u8]) -> Result<(), Fault> {
        match self.up_to_first(bytes)? {
            (Some(first), bytes) => first.undo_into(bytes, out),
            (None, bytes) => fill(&bytes, out),
        }
    }

    /// The filter that was the first when writing, and the bytes that it gave: all later ones are undone.
    fn up_to_first(&self, bytes: Vec<u8>) -> Result<(Option<&Filter>, Vec<u8>), Fault> {
        let Some((first, later)) = self.after.split_first() else { return Ok((None, bytes)) };
        let bytes = later.iter().rev().try_fold(bytes, |bytes, filter| filter.undo(bytes, self.limit()))?;
        Ok((Some(first), bytes))
    }

    /// Decodes a chunk of a [direct](Self::is_direct) codec into `out`, whatever is there: its beginning, of at least `wanted`
    /// bytes.
    pub(super) fn decode_to(&self, bytes: Vec<u8>, wanted: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        self.items.typed(0, &self.shape)?;
        let size = self.chunk_bytes();
        if let [filter] = &self.after[..]
            && wanted <= size / 4 * 3
            && wanted <= MAX_BELIEVED
            && filter.undo_start(&bytes, size, wanted, out).is_some()
        {
            return Ok(());
        }
        *out = match self.up_to_first(bytes)? {
            (Some(first), bytes) if size <= MAX_BELIEVED => return first.undo_to(bytes, size, out),
            (Some(first), bytes) => first.undo(bytes, self.limit())?,
            (None, bytes) => bytes,
        };
        if out.len() == size { Ok(()) } else { Err(wrong_count()) }
    }

    /// These fields of a chunk.
    pub(super) fn decode(&self, bytes: Vec<u8>, parts: &[usize]) -> Result<Vec<Array>, Fault> {
        // A few bytes may claim to be a chunk of any size.
        parts.iter().try_for_each(|&part| self.items.typed(part, &self.shape).map(drop))?;
        let mut flat = self.flat(bytes)?;
        parts.iter().map(|&part| self.items.unpack(part, &mut flat, &self.shape)).collect()
    }

    /// The items of a chunk as they are packed.
    pub(super) fn flat(&self, bytes: Vec<u8>) -> Result<Flat, Fault> {
        let bytes = self.after.iter().rev().try_fold(bytes, |bytes, filter| filter.undo(bytes, self.limit()))?;
        let flat = match &self.to_bytes {
            ToBytes::Plain => Flat::Fixed(bytes),
            ToBytes::Lengths => Flat::Loose(split(&bytes, self.count())?),
            ToBytes::Json => Flat::Loose(from_json(&bytes)?),
            ToBytes::Labels(labels) => Flat::Loose(labelled(&bytes, labels, self.count(), self.limit())?),
            ToBytes::Shards(shard) => shard.decode(&bytes)?,
        };
        self.before.iter().rev().try_fold(flat, |flat, step| match (step, flat) {
            (Step::Filter(filter), Flat::Fixed(bytes)) => filter.undo(bytes, self.limit()).map(Flat::Fixed),
            (Step::Filter(_), loose) => Ok(loose),
            (Step::Transpose { order, shape, size }, flat) => turned_back(flat, order, shape, *size),
        })
    }

    fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The codecs of a shard's index: a chain over pairs of offset and length.
pub(super) fn index_codec(codecs: &[Value], counts: &[usize]) -> Result<Codec, Fault> {
    let big = is_big(codecs);
    let items = Items::of(Form::Plain { dtype: DType::U64, big });
    Codec::new(codecs, &items, &Flat::Fixed(vec![0xff; 8]), &[counts, &[2]].concat())
}

/// A chain of codecs for writing.
#[derive(Debug)]
pub(super) struct Encoder {
    items: Items,
    fill: Flat,
    chain: Chain,
}

impl Encoder {
    pub(super) fn new(codecs: &[Value], items: &Items, fill: &Flat, shape: &[usize]) -> Result<Self, Fault> {
        let chain = Chain::new(codecs, fill, shape)?;
        let encoder = Self { items: items.clone(), fill: fill.clone(), chain };
        // A codec may know how to decode only: better found out now than in the middle of the data.
        if !codecs.iter().any(|c| name_of(c) == Some("sharding_indexed")) {
            let one: Vec<usize> = shape.iter().map(|_| 1).collect();
            Chain::new(codecs, fill, &one)?.encode(fill.clone())?;
        }
        Ok(encoder)
    }

    /// The bytes of a chunk from its fields; `None` if it is all fill value and need not be stored.
    pub(super) fn encode(&self, fields: &[Array]) -> Result<Option<Vec<u8>>, Fault> {
        let flat = self.items.pack(fields)?;
        if flat.is_all(&self.fill) { Ok(None) } else { self.chain.encode(flat).map(Some) }
    }
}

fn filter(codec: &Value, name: &str, big: bool, size: usize) -> Result<Filter, Fault> {
    let config = codec.get("configuration").cloned().unwrap_or_else(|| json!({}));
    Filter::new(name, &config, big, size).map_err(Fault::Unsupported)
}

fn order(value: &Value, ndim: usize) -> Option<Vec<usize>> {
    let order: Vec<usize> = match value.as_str() {
        Some("C") => (0..ndim).collect(),
        Some("F") => (0..ndim).rev().collect(),
        Some(_) => return None,
        None => value.as_array()?.iter().map(|n| n.as_u64()?.try_into().ok()).collect::<Option<_>>()?,
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    sorted.into_iter().eq(0..ndim).then_some(order)
}

/// The items in the order that they had before their axes were put into `order`.
fn turned_back(flat: Flat, order: &[usize], shape: &[usize], size: usize) -> Result<Flat, Fault> {
    let mut turned: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
    let mut back = vec![0; order.len()];
    order.iter().enumerate().for_each(|(now, &before)| back[before] = now);
    match flat {
        Flat::Fixed(bytes) => {
            // The bytes of an item are one more axis.
            turned.push(size);
            back.push(order.len());
            let view = ArrayView::from_shape(IxDyn(&turned), &bytes).map_err(|_| wrong_count())?;
            Ok(Flat::Fixed(view.permuted_axes(IxDyn(&back)).iter().copied().collect()))
        }
        Flat::Loose(items) => {
            let array = ArrayD::from_shape_vec(IxDyn(&turned), items).map_err(|_| wrong_count())?;
            Ok(Flat::Loose(array.permuted_axes(IxDyn(&back)).iter().cloned().collect()))
        }
    }
}

fn split(bytes: &[u8], count: usize) -> Result<Vec<Vec<u8>>, Fault> {
    fn length<'a>(rest: &mut &'a [u8]) -> Option<usize> {
        let (head, tail): (&'a [u8; 4], &'a [u8]) = rest.split_first_chunk()?;
        *rest = tail;
        Some(u32::from_le_bytes(*head) as usize)
    }
    let mut rest = bytes;
    let mut items = || {
        let count = length(&mut rest).filter(|&n| n == count && n <= bytes.len() / 4)?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            let (item, tail) = length(&mut rest).and_then(|len| rest.split_at_checked(len))?;
            rest = tail;
            items.push(item.to_vec());
        }
        Some(items)
    };
    items().ok_or_else(|| Fault::Malformed("a chunk of texts is cut off, or of another number of them".into()))
}

fn from_json(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
    fn flatten(value: Value, out: &mut Vec<Vec<u8>>) -> Option<()> {
        match value {
            Value::String(s) => out.push(s.into_bytes()),
            Value::Array(list) => list.into_iter().try_for_each(|v| flatten(v, out))?,
            _ => return None,
        }
        Some(())
    }
    let list: Result<Vec<Value>, _> = serde_json::from_slice(bytes);
    let mut list = list.map_err(|e| Fault::Malformed(format!("a chunk is not a JSON list ({e})")))?;
    // Behind the items stand their dtype and shape.
    list.truncate(list.len().saturating_sub(2));
    let mut items = Vec::new();
    let texts = list.into_iter().try_for_each(|v| flatten(v, &mut items));
    texts.map(|()| items).ok_or_else(|| Fault::Unsupported("codec `json2` with other items than text".into()))
}

fn labels(config: &Value) -> Result<Vec<Vec<u8>>, Fault> {
    let narrow = config["astype"].as_str().is_none_or(|t| t.ends_with("u1"));
    let labels = config["labels"].as_array().and_then(|l| l.iter().map(|v| Some(v.as_str()?.into())).collect());
    labels.filter(|_| narrow).ok_or_else(|| Fault::Unsupported(format!("codec `categorize` with {config}")))
}

fn labelled(codes: &[u8], labels: &[Vec<u8>], count: usize, limit: usize) -> Result<Vec<Vec<u8>>, Fault> {
    let length = |&code: &u8| usize::from(code).checked_sub(1).and_then(|i| labels.get(i)).map_or(0, Vec::len);
    if codes.len() != count || codes.iter().map(length).try_fold(0, usize::checked_add).is_none_or(|n| n > limit) {
        return Err(Fault::Malformed(
            "a chunk of labels is of another length, or of more text than is believed".into(),
        ));
    }
    let label = |&code: &u8| match usize::from(code).checked_sub(1) {
        None => Some(Vec::new()),
        Some(i) => labels.get(i).cloned(),
    };
    let items: Option<_> = codes.iter().map(label).collect();
    items.ok_or_else(|| Fault::Malformed("a code without a label".into()))
}
