//! [`Layout`]: a packed tree of flat buffers. Cutting it, and taking rows out of it.

use std::ops::Range;

use serde_json::{Map, Value};

use super::{Array, DType, Nested};
use crate::index::Rows;
use crate::value::with_array;

/// A node of the tree: `len` items of one type.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    pub(super) len: usize,
    /// What awkward knows beyond the type: that a list is a string, the name of a record, …
    pub(super) parameters: Map<String, Value>,
    pub(super) node: Node,
}

/// The classes of nodes, of which there are fewer than on disk: all options are indexes, and arrays of several axes are
/// regular lists.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// No items, of unknown type.
    Empty,
    /// Items of a dtype, one axis.
    Items(Array),
    /// Lists; the content's items from `offsets[i]` to `offsets[i + 1]`. Begins with 0 and ends with the content's length.
    List { offsets: Vec<usize>, content: Box<Layout> },
    /// Lists of one size.
    Regular { size: usize, content: Box<Layout> },
    /// Fields; without names a tuple.
    Record { names: Option<Vec<String>>, contents: Vec<Layout> },
    /// Values of which some are missing: -1, else the position in the content.
    Option { index: Vec<i64>, content: Box<Layout> },
    /// Categories: positions in the content. (Indexes that are no categories are resolved on reading.)
    Indexed { index: Vec<i64>, content: Box<Layout> },
    /// Values of one of several types: which, and the position in that content.
    Union { tags: Vec<i8>, index: Vec<i64>, contents: Vec<Layout> },
}

impl Layout {
    pub(super) fn new(len: usize, node: Node) -> Self {
        Self { len, parameters: Map::new(), node }
    }

    pub(super) fn list(offsets: Vec<usize>, content: Self) -> Self {
        Self::new(offsets.len().saturating_sub(1), Node::List { offsets, content: Box::new(content) })
    }

    /// The items of an array of one axis; text and byte strings are lists of bytes.
    pub(super) fn items(array: &Array) -> Self {
        fn bytes<'a>(items: impl Iterator<Item = &'a [u8]>, of: &str, kind: &str) -> Layout {
            let (mut all, mut offsets) = (Vec::new(), vec![0]);
            for item in items {
                all.extend_from_slice(item);
                offsets.push(all.len());
            }
            let content = Layout::new(all.len(), Node::Items(Array::from_vec(all))).tagged(of);
            Layout::list(offsets, content).tagged(kind)
        }
        match array {
            Array::Str(a) => bytes(a.iter().map(String::as_bytes), "char", "string"),
            Array::Bytes(a) => bytes(a.iter().map(|b| &*b.0), "byte", "bytestring"),
            other => Self::new(other.len(), Node::Items(other.clone())),
        }
    }

    fn tagged(mut self, kind: &str) -> Self {
        self.parameters.insert("__array__".into(), kind.into());
        self
    }

    /// The meaning that awkward gives to a node beyond its class: `string`, `categorical`, …
    pub(super) fn kind(&self) -> Option<&str> {
        self.parameters.get("__array__")?.as_str()
    }

    /// Whether the content is a list of categories, which stays as it is when rows are cut.
    pub(super) fn is_categorical(&self) -> bool {
        self.kind() == Some("categorical")
    }

    pub(super) fn contents(&self) -> &[Self] {
        match &self.node {
            Node::Empty | Node::Items(_) => &[],
            Node::List { content, .. }
            | Node::Regular { content, .. }
            | Node::Option { content, .. }
            | Node::Indexed { content, .. } => std::slice::from_ref(content),
            Node::Record { contents, .. } | Node::Union { contents, .. } => contents,
        }
    }

    pub(super) fn nbytes(&self) -> usize {
        let own = match &self.node {
            Node::Empty | Node::Regular { .. } | Node::Record { .. } => 0,
            Node::Items(array) => array.nbytes(),
            Node::List { offsets, .. } => 8 * offsets.len(),
            Node::Option { index, .. } | Node::Indexed { index, .. } => 8 * index.len(),
            Node::Union { index, .. } => 9 * index.len(),
        };
        own + self.contents().iter().map(Self::nbytes).sum::<usize>()
    }

    /// Where the items of list `i` lie; nowhere in what is no list.
    pub(super) fn span(&self, i: usize) -> Range<usize> {
        match &self.node {
            Node::List { offsets, .. } => offsets[i]..offsets[i + 1],
            Node::Regular { size, .. } => i * size..(i + 1) * size,
            _ => 0..0,
        }
    }

    /// The bytes of item `i` of a string or byte string.
    pub(super) fn bytes(&self, i: usize) -> Option<&[u8]> {
        let Node::Items(Array::U8(all)) = &self.contents().first()?.node else { return None };
        all.as_slice()?.get(self.span(i))
    }

    /// The items at these positions, packed.
    pub(super) fn pick(&self, rows: &[usize]) -> Self {
        let node = match &self.node {
            Node::Empty => Node::Empty,
            Node::Items(array) => Node::Items(array.take(&[Rows::picks(rows)])),
            Node::List { content, .. } => {
                let mut offsets = vec![0];
                let mut below = Vec::new();
                for &row in rows {
                    below.extend(self.span(row));
                    offsets.push(below.len());
                }
                Node::List { offsets, content: Box::new(content.pick(&below)) }
            }
            Node::Regular { size, content } => {
                let below: Vec<usize> = rows.iter().flat_map(|&row| self.span(row)).collect();
                Node::Regular { size: *size, content: Box::new(content.pick(&below)) }
            }
            Node::Record { names, contents } => {
                Node::Record { names: names.clone(), contents: contents.iter().map(|c| c.pick(rows)).collect() }
            }
            Node::Option { index, content } => {
                let index = rows.iter().map(|&row| index[row]).collect();
                if self.is_categorical() {
                    Node::Option { index, content: content.clone() }
                } else {
                    let (index, below) = packed(index);
                    Node::Option { index, content: Box::new(content.pick(&below)) }
                }
            }
            Node::Indexed { index, content } => {
                Node::Indexed { index: rows.iter().map(|&row| index[row]).collect(), content: content.clone() }
            }
            Node::Union { tags, index, contents } => {
                let tags: Vec<i8> = rows.iter().map(|&row| tags[row]).collect();
                let index: Vec<i64> = rows.iter().map(|&row| index[row]).collect();
                let (index, below) = packed_union(&tags, &index, contents.len());
                let contents = contents.iter().zip(&below).map(|(c, rows)| c.pick(rows)).collect();
                Node::Union { tags, index, contents }
            }
        };
        Self { len: rows.len(), parameters: self.parameters.clone(), node }
    }

    pub(super) fn get(&self, i: usize) -> Nested {
        match (&self.node, self.kind()) {
            (_, Some("string")) => Nested::Str(String::from_utf8_lossy(self.bytes(i).unwrap_or_default()).into_owned()),
            (_, Some("bytestring")) => Nested::Bytes(self.bytes(i).unwrap_or_default().to_vec()),
            (Node::Empty, _) => Nested::Null,
            (Node::Items(array), _) => item(array, i),
            (Node::List { content, .. } | Node::Regular { content, .. }, _) => {
                Nested::List(self.span(i).map(|k| content.get(k)).collect())
            }
            (Node::Record { names, contents }, _) => {
                let values = contents.iter().map(|c| c.get(i));
                match names {
                    Some(names) => Nested::Record(names.iter().cloned().zip(values).collect()),
                    None => Nested::Tuple(values.collect()),
                }
            }
            (Node::Option { index, content } | Node::Indexed { index, content }, _) => {
                usize::try_from(index[i]).map_or(Nested::Null, |k| content.get(k))
            }
            (Node::Union { tags, index, contents }, _) => contents[tags[i] as usize].get(index[i] as usize),
        }
    }

    /// Takes from `left` what listing item `i` costs; false when that is more than there is.
    pub(super) fn weigh(&self, i: usize, left: &mut usize) -> bool {
        let is_text = matches!(self.kind(), Some("string" | "bytestring"));
        let mut pay = |cost: usize| {
            let after = left.checked_sub(cost);
            *left = after.unwrap_or(0);
            after.is_some()
        };
        let span = self.span(i);
        match &self.node {
            Node::Empty | Node::Items(_) => pay(1),
            Node::List { content, .. } | Node::Regular { content, .. } => match &content.node {
                Node::Items(_) => pay(1 + if is_text { span.len() / 32 } else { span.len() }),
                _ => pay(1) && span.into_iter().all(|k| content.weigh(k, left)),
            },
            Node::Record { contents, .. } => pay(1) && contents.iter().all(|c| c.weigh(i, left)),
            Node::Option { index, content } | Node::Indexed { index, content } => {
                pay(1) && usize::try_from(index[i]).map_or(true, |k| content.weigh(k, left))
            }
            Node::Union { tags, index, contents } => {
                pay(1) && contents[tags[i] as usize].weigh(index[i] as usize, left)
            }
        }
    }

    /// The type, as awkward writes it.
    pub(super) fn type_text(&self) -> String {
        let of = |content: &Self| content.type_text();
        match (&self.node, self.kind()) {
            (Node::Regular { size, .. }, Some("string")) => format!("string[{size}]"),
            (Node::Regular { size, .. }, Some("bytestring")) => format!("bytes[{size}]"),
            (_, Some("string")) => "string".to_owned(),
            (_, Some("bytestring")) => "bytes".to_owned(),
            (Node::Items(_), Some(kind @ ("char" | "byte"))) => kind.to_owned(),
            (Node::Empty, _) => "unknown".to_owned(),
            (Node::Items(array), _) => array.dtype().to_string(),
            (Node::List { content, .. }, _) => format!("var * {}", of(content)),
            (Node::Regular { size, content }, _) => format!("{size} * {}", of(content)),
            (Node::Record { names, contents }, _) => {
                let types = contents.iter().map(of);
                let all: Vec<String> = match names {
                    Some(names) => names.iter().zip(types).map(|(n, t)| format!("{}: {t}", quoted(n))).collect(),
                    None => types.collect(),
                };
                let all = all.join(", ");
                match (self.parameters.get("__record__").and_then(Value::as_str), names) {
                    (Some(name), _) => format!("{name}[{all}]"),
                    (None, Some(_)) => format!("{{{all}}}"),
                    (None, None) => format!("({all})"),
                }
            }
            (Node::Option { content, .. }, Some("categorical")) => format!("?categorical[type={}]", of(content)),
            (Node::Option { content, .. }, _) => {
                let is_list = matches!(content.node, Node::List { .. } | Node::Regular { .. });
                if is_list && content.kind().is_none() {
                    format!("option[{}]", of(content))
                } else {
                    format!("?{}", of(content))
                }
            }
            (Node::Indexed { content, .. }, _) => format!("categorical[type={}]", of(content)),
            (Node::Union { contents, .. }, _) => {
                format!("union[{}]", contents.iter().map(of).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// A field's name, quoted if it is no identifier.
fn quoted(name: &str) -> String {
    let is_word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if is_word && starts { name.to_owned() } else { Value::from(name).to_string() }
}

/// An index in which the values follow one another, and where they were.
pub(super) fn packed(index: Vec<i64>) -> (Vec<i64>, Vec<usize>) {
    let mut below = Vec::new();
    let mut place = |at: i64| match usize::try_from(at) {
        Ok(at) => {
            below.push(at);
            below.len() as i64 - 1
        }
        Err(_) => -1,
    };
    let index = index.into_iter().map(&mut place).collect();
    (index, below)
}

/// As [`packed`], of a union of `n` contents.
pub(super) fn packed_union(tags: &[i8], index: &[i64], n: usize) -> (Vec<i64>, Vec<Vec<usize>>) {
    let mut below = vec![Vec::new(); n];
    let place = |(&tag, &at): (&i8, &i64)| {
        let rows = &mut below[tag as usize];
        rows.push(at as usize);
        rows.len() as i64 - 1
    };
    let index = tags.iter().zip(index).map(place).collect();
    (index, below)
}

fn item(array: &Array, i: usize) -> Nested {
    match array {
        Array::Bool(a) => Nested::Bool(a[[i]]),
        Array::U8(a) => Nested::Uint(a[[i]].into()),
        Array::U16(a) => Nested::Uint(a[[i]].into()),
        Array::U32(a) => Nested::Uint(a[[i]].into()),
        Array::U64(a) => Nested::Uint(a[[i]]),
        Array::I8(a) => Nested::Int(a[[i]].into()),
        Array::I16(a) => Nested::Int(a[[i]].into()),
        Array::I32(a) => Nested::Int(a[[i]].into()),
        Array::I64(a) => Nested::Int(a[[i]]),
        Array::F16(a) => Nested::Float(a[[i]].into()),
        Array::F32(a) => Nested::Float(a[[i]].into()),
        Array::F64(a) => Nested::Float(a[[i]]),
        Array::C64(a) => Nested::Complex(num_complex::Complex64::new(a[[i]].re.into(), a[[i]].im.into())),
        Array::C128(a) => Nested::Complex(a[[i]]),
        Array::Str(a) => Nested::Str(a[[i]].clone()),
        Array::Bytes(a) => Nested::Bytes(a[[i]].0.clone()),
        times => with_array!(times, a => Nested::Time(a[[i]].to_string())),
    }
}

/// Whether an awkward array may have items of this dtype; text is lists of bytes there.
pub(super) const fn is_item(dtype: DType) -> bool {
    !matches!(dtype, DType::Str | DType::Bytes)
}
