//! The form of an awkward array: JSON text that says how buffers make a tree. Reading checks that they do.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::layout::{Layout, Node, is_item, packed, packed_union};
use super::{Array, DType};

/// Why a form and buffers give no array.
#[derive(Debug)]
pub(crate) enum Fault {
    /// They contradict each other, or the form is none.
    Malformed(String),
    /// A class or dtype that is not known here.
    Unsupported(String),
}

impl From<String> for Fault {
    fn from(what: String) -> Self {
        Self::Malformed(what)
    }
}

type Read<T> = Result<T, Fault>;

/// Items that indexes may make of fewer stored ones, and lengths that no buffer vouches for: beyond, an array is a bomb.
/// Arrays whose buffers are large may hold more, up to `EXPANSION` times their bytes.
const MAX_ITEMS: usize = 1 << 26;
const EXPANSION: usize = 64;

struct Reader {
    buffers: BTreeMap<String, Array>,
    /// Items that may still be made of the buffers, in all nodes together.
    left: Cell<usize>,
    budget: usize,
    /// Only the type is wanted: there are no buffers, and no rows.
    outline: bool,
}

/// The tree that `form` and `buffers` describe.
pub(super) fn read(form: &str, length: usize, buffers: BTreeMap<String, Array>) -> Read<Layout> {
    let stored: usize = buffers.values().map(Array::nbytes).sum();
    let budget = MAX_ITEMS.max(stored.saturating_mul(EXPANSION));
    Reader { buffers, left: Cell::new(budget), budget, outline: false }.node(&parse(form)?, length)
}

/// The tree without rows.
pub(super) fn outline(form: &str) -> Read<Layout> {
    Reader { buffers: BTreeMap::new(), left: Cell::new(0), budget: 0, outline: true }.node(&parse(form)?, 0)
}

/// The parser gives up on what is nested deeper than 128 levels, which bounds all recursion here.
fn parse(form: &str) -> Read<Value> {
    serde_json::from_str(form).map_err(|e| Fault::Malformed(format!("its form is no JSON: {e}")))
}

/// Checks that `form` promises `len` items of no buffer, such as records without fields.
fn vouch(len: usize) -> Read<()> {
    if len <= MAX_ITEMS { Ok(()) } else { Err(format!("{len} items of nothing").into()) }
}

fn missing(what: &str) -> Fault {
    format!("its form has a node without `{what}`").into()
}

impl Reader {
    fn node(&mut self, form: &Value, len: usize) -> Read<Layout> {
        self.any_node(form, len).and_then(checked_text)
    }

    fn any_node(&mut self, form: &Value, len: usize) -> Read<Layout> {
        if let Some(primitive) = form.as_str() {
            return self.any_node(&json!({"class": "NumpyArray", "primitive": primitive}), len);
        }
        let class = form.get("class").and_then(Value::as_str).ok_or_else(|| missing("class"))?;
        let parameters = form.get("parameters").and_then(Value::as_object).cloned().unwrap_or_default();
        // Before awkward 2 the widths were part of the name.
        let node = match class.trim_end_matches("64").trim_end_matches("32").trim_end_matches('U') {
            "EmptyArray" if len > 0 => return Err(format!("{len} items of an EmptyArray").into()),
            "EmptyArray" => Node::Empty,
            "NumpyArray" => return self.numbers(form, len, parameters),
            "RegularArray" => {
                let size = length(form, "size")?;
                let content = Box::new(self.content(form, self.regular(len, size)?)?);
                Node::Regular { size, content }
            }
            "ListOffsetArray" => self.list_offset(form, len)?,
            "ListArray" => self.list(form, len)?,
            "RecordArray" => self.record(form, len)?,
            "IndexedArray" => {
                let index = self.index(form, "index", len)?;
                if let Some(bad) = index.iter().find(|&&i| i < 0) {
                    return Err(format!("position {bad} in an IndexedArray").into());
                }
                let content = self.content(form, reach(&index))?;
                if parameters.get("__array__").and_then(Value::as_str) != Some("categorical") {
                    let rows: Vec<usize> = index.iter().map(|&i| i as usize).collect();
                    let mut content = self.pick(content, &rows)?;
                    content.parameters.extend(parameters);
                    return Ok(content);
                }
                self.afford(&content, index.iter().map(|&i| i as usize))?;
                Node::Indexed { index, content: Box::new(content) }
            }
            "IndexedOptionArray" => {
                let index = self.index(form, "index", len)?;
                let content = self.content(form, reach(&index))?;
                let is_categorical = parameters.get("__array__").and_then(Value::as_str) == Some("categorical");
                return self.option(index, content, parameters, is_categorical);
            }
            "ByteMaskedArray" => {
                let mask = self.buffer(form, "mask", DType::I8, len)?.to_i64().unwrap_or_default();
                let valid = flag(form, "valid_when")?;
                let index = (0..).zip(&mask).map(|(i, &m)| if (m != 0) == valid { i } else { -1 }).collect();
                let content = self.content(form, len)?;
                return self.option(index, content, parameters, false);
            }
            "BitMaskedArray" => {
                let mask = self.buffer(form, "mask", DType::U8, len.div_ceil(8))?.to_i64().unwrap_or_default();
                let (valid, lsb) = (flag(form, "valid_when")?, flag(form, "lsb_order")?);
                let bit = |i: usize| mask[i / 8] >> (if lsb { i % 8 } else { 7 - i % 8 }) & 1 == 1;
                let content = self.content(form, len)?;
                let index = (0..content.len).map(|i| if bit(i) == valid { i as i64 } else { -1 }).collect();
                return self.option(index, content, parameters, false);
            }
            "UnmaskedArray" => {
                let content = self.content(form, len)?;
                // No buffer vouches for so many positions.
                match self.left.get().checked_sub(len) {
                    Some(left) => self.left.set(left),
                    None => return Err(format!("{len} items of nothing").into()),
                }
                Node::Option { index: (0..content.len as i64).collect(), content: Box::new(content) }
            }
            "UnionArray" | "UnionArray8_" => self.union(form, len)?,
            other => return Err(Fault::Unsupported(format!("awkward arrays of class `{other}`"))),
        };
        Ok(Layout { len, parameters, node })
    }

    fn numbers(&mut self, form: &Value, len: usize, parameters: Map<String, Value>) -> Read<Layout> {
        let primitive = form.get("primitive").and_then(Value::as_str).ok_or_else(|| missing("primitive"))?;
        let dtype = DType::parse(primitive).filter(|d| is_item(*d));
        let dtype = dtype.ok_or_else(|| Fault::Unsupported(format!("awkward arrays of `{primitive}`")))?;
        let inner = form.get("inner_shape").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let inner = inner.iter().map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok()));
        let inner: Vec<usize> = inner.collect::<Option<_>>().ok_or_else(|| missing("inner_shape"))?;
        let mut lengths = vec![len];
        for &size in &inner {
            lengths.push(self.regular(lengths[lengths.len() - 1], size)?);
        }
        let total = lengths[inner.len()];
        let mut layout = Layout::new(total, Node::Items(self.buffer(form, "data", dtype, total)?));
        for (&size, &len) in inner.iter().zip(&lengths).rev() {
            layout = Layout::new(len, Node::Regular { size, content: Box::new(layout) });
        }
        layout.parameters = parameters;
        Ok(layout)
    }

    /// Number of items in `len` lists of this size.
    fn regular(&self, len: usize, size: usize) -> Read<usize> {
        if size == 0 {
            vouch(len)?;
        }
        len.checked_mul(size).ok_or_else(|| format!("{len} lists of {size} items").into())
    }

    fn list_offset(&mut self, form: &Value, len: usize) -> Read<Node> {
        if len == 0 {
            // Without rows there may be no offset at all.
            return Ok(Node::List { offsets: vec![0], content: Box::new(self.content(form, 0)?) });
        }
        let wanted = len.checked_add(1).ok_or_else(|| Fault::Malformed(format!("{len} lists")))?;
        let offsets = self.index(form, "offsets", wanted)?;
        if offsets[0] < 0 || offsets.windows(2).any(|w| w[0] > w[1]) {
            return Err(format!("the offsets of {} descend or are negative", key(form)?).into());
        }
        let (first, last) = (offsets[0] as usize, offsets[len] as usize);
        let mut content = self.content(form, last)?;
        if first > 0 {
            content = content.pick(&(first..last).collect::<Vec<_>>());
        }
        let offsets = offsets.iter().map(|&o| o as usize - first).collect();
        Ok(Node::List { offsets, content: Box::new(content) })
    }

    fn list(&mut self, form: &Value, len: usize) -> Read<Node> {
        let starts = self.index(form, "starts", len)?;
        let stops = self.index(form, "stops", len)?;
        // Of empty lists it does not matter where they are.
        let spans = starts.iter().zip(&stops).map(|(&a, &b)| if a == b { (0, 0) } else { (a, b) });
        let spans: Vec<(i64, i64)> = spans.collect();
        if spans.iter().any(|(a, b)| *a < 0 || a > b) {
            return Err(format!("starts and stops of {} are negative or cross", key(form)?).into());
        }
        let content = self.content(form, spans.iter().map(|s| s.1).max().unwrap_or(0) as usize)?;
        let rows = || spans.iter().flat_map(|&(a, b)| a as usize..b as usize);
        self.afford(&content, rows())?;
        let mut offsets = vec![0];
        for (a, b) in &spans {
            offsets.push(offsets[offsets.len() - 1] + (b - a) as usize);
        }
        Ok(Node::List { offsets, content: Box::new(content.pick(&rows().collect::<Vec<_>>())) })
    }

    fn record(&mut self, form: &Value, len: usize) -> Read<Node> {
        let contents = form.get("contents").ok_or_else(|| missing("contents"))?;
        let (names, forms): (Option<Vec<String>>, Vec<&Value>) = match (contents, form.get("fields")) {
            // Before awkward 2 the fields were a mapping.
            (Value::Object(fields), _) => (Some(fields.keys().cloned().collect()), fields.values().collect()),
            (Value::Array(forms), None | Some(Value::Null)) => (None, forms.iter().collect()),
            (Value::Array(forms), Some(Value::Array(names))) if names.len() == forms.len() => {
                let names = names.iter().map(|n| n.as_str().map(str::to_owned)).collect::<Option<_>>();
                (Some(names.ok_or_else(|| missing("fields"))?), forms.iter().collect())
            }
            _ => return Err(missing("fields")),
        };
        if forms.is_empty() {
            vouch(len)?;
        }
        let contents = forms.into_iter().map(|f| self.node(f, len)).collect::<Read<_>>()?;
        Ok(Node::Record { names, contents })
    }

    fn union(&mut self, form: &Value, len: usize) -> Read<Node> {
        let tags = self.buffer(form, "tags", DType::I8, len)?.to_i64().unwrap_or_default();
        let index = self.index(form, "index", len)?;
        let forms = form.get("contents").and_then(Value::as_array).ok_or_else(|| missing("contents"))?;
        if let Some(bad) = tags.iter().find(|&&t| t < 0 || t >= forms.len() as i64) {
            return Err(format!("tag {bad} in a union of {} contents", forms.len()).into());
        }
        if let Some(bad) = index.iter().find(|&&i| i < 0) {
            return Err(format!("position {bad} in a union").into());
        }
        let tags: Vec<i8> = tags.into_iter().map(|t| t as i8).collect();
        let (packed, below) = packed_union(&tags, &index, forms.len());
        let mut contents = Vec::new();
        for (form, rows) in forms.iter().zip(&below) {
            let content = self.node(form, rows.iter().max().map_or(0, |m| m + 1))?;
            contents.push(self.pick(content, rows)?);
        }
        Ok(Node::Union { tags, index: packed, contents })
    }

    fn option(
        &self,
        index: Vec<i64>,
        content: Layout,
        parameters: Map<String, Value>,
        is_categorical: bool,
    ) -> Read<Layout> {
        let len = index.len();
        let (packed, below) = packed(index.clone());
        let node = if is_categorical {
            self.afford(&content, below.iter().copied())?;
            Node::Option { index, content: Box::new(content) }
        } else {
            Node::Option { index: packed, content: Box::new(self.pick(content, &below)?) }
        };
        Ok(Layout { len, parameters, node })
    }

    /// The rows of a content; positions may repeat, and what that makes of it must be affordable.
    fn pick(&self, content: Layout, rows: &[usize]) -> Read<Layout> {
        if rows.len() == content.len && rows.iter().enumerate().all(|(i, &row)| i == row) {
            return Ok(content);
        }
        self.afford(&content, rows.iter().copied())?;
        Ok(content.pick(rows))
    }

    /// Pays for these rows of a content.
    fn afford(&self, content: &Layout, mut rows: impl Iterator<Item = usize>) -> Read<()> {
        let mut left = self.left.get();
        let enough = rows.all(|row| content.weigh(row, &mut left));
        self.left.set(left);
        if enough { Ok(()) } else { Err(format!("its indexes repeat items more than {} times", self.budget).into()) }
    }

    fn content(&mut self, form: &Value, len: usize) -> Read<Layout> {
        self.node(form.get("content").ok_or_else(|| missing("content"))?, len)
    }

    /// The first `len` integers of an index buffer.
    fn index(&mut self, form: &Value, role: &str, len: usize) -> Read<Vec<i64>> {
        let dtype = match form.get(role).and_then(Value::as_str) {
            Some("i8") => DType::I8,
            Some("u8") => DType::U8,
            Some("i32") => DType::I32,
            Some("u32") => DType::U32,
            Some("i64") => DType::I64,
            _ => return Err(missing(role)),
        };
        Ok(self.buffer(form, role, dtype, len)?.to_i64().unwrap_or_default())
    }

    /// The first `len` items of a buffer. A buffer belongs to one node.
    fn buffer(&mut self, form: &Value, role: &str, dtype: DType, len: usize) -> Read<Array> {
        if self.outline {
            return Ok(Array::zeros(dtype, &[0]));
        }
        let name = format!("{}-{role}", key(form)?);
        let array =
            self.buffers.remove(&name).ok_or_else(|| Fault::Malformed(format!("there is no buffer `{name}`")))?;
        if array.dtype() != dtype {
            return Err(format!("buffer `{name}` holds {}, its form says {dtype}", array.dtype()).into());
        }
        let items = array.len();
        let array = array.reshape(&[items]).unwrap_or_else(|| Array::zeros(dtype, &[0]));
        match items.cmp(&len) {
            std::cmp::Ordering::Less => Err(format!("buffer `{name}` holds {items} items, {len} are needed").into()),
            std::cmp::Ordering::Equal => Ok(array),
            std::cmp::Ordering::Greater => Ok(array.take(&[crate::index::Rows::span(0, len)])),
        }
    }
}

/// Checks that what calls itself text is lists of bytes, and UTF-8.
fn checked_text(layout: Layout) -> Read<Layout> {
    let Some(kind) = layout.kind().filter(|k| matches!(*k, "string" | "bytestring")) else { return Ok(layout) };
    match &layout.node {
        Node::List { content, .. } | Node::Regular { content, .. }
            if matches!(content.node, Node::Items(Array::U8(_))) => {}
        _ => return Err(format!("a {kind} that is no list of uint8").into()),
    }
    let is_text = |i: usize| std::str::from_utf8(layout.bytes(i).unwrap_or_default()).is_ok();
    if kind == "string" && !(0..layout.len).all(is_text) {
        return Err("its text is no UTF-8".to_owned().into());
    }
    Ok(layout)
}

fn key(form: &Value) -> Read<&str> {
    form.get("form_key").and_then(Value::as_str).ok_or_else(|| missing("form_key"))
}

fn flag(form: &Value, name: &str) -> Read<bool> {
    form.get(name).and_then(Value::as_bool).ok_or_else(|| missing(name))
}

fn length(form: &Value, name: &str) -> Read<usize> {
    form.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()).ok_or_else(|| missing(name))
}

/// How long a content must be for all these positions to lie in it.
fn reach(index: &[i64]) -> usize {
    usize::try_from(index.iter().max().copied().unwrap_or(-1).saturating_add(1)).unwrap_or(0)
}

/// The form of a tree, its nodes numbered from `next` as awkward does, and its buffers.
pub(super) fn write(layout: &Layout, next: &mut usize, buffers: &mut BTreeMap<String, Array>) -> Value {
    let key = format!("node{next}");
    *next += 1;
    let mut put = |role: &str, array: Array| buffers.insert(format!("{key}-{role}"), array);
    let mut form = match &layout.node {
        Node::Empty => json!({"class": "EmptyArray"}),
        Node::Items(array) => {
            put("data", array.clone());
            json!({"class": "NumpyArray", "primitive": array.dtype().name(), "inner_shape": []})
        }
        Node::List { offsets, .. } => {
            put("offsets", Array::from_vec(offsets.iter().map(|&o| o as i64).collect()));
            json!({"class": "ListOffsetArray", "offsets": "i64"})
        }
        Node::Regular { size, .. } => json!({"class": "RegularArray", "size": size}),
        Node::Record { names, .. } => json!({"class": "RecordArray", "fields": names}),
        Node::Option { index, .. } => {
            put("index", Array::from_vec(index.clone()));
            json!({"class": "IndexedOptionArray", "index": "i64"})
        }
        Node::Indexed { index, .. } => {
            put("index", Array::from_vec(index.clone()));
            json!({"class": "IndexedArray", "index": "i64"})
        }
        Node::Union { tags, index, .. } => {
            put("tags", Array::from_vec(tags.clone()));
            put("index", Array::from_vec(index.clone()));
            json!({"class": "UnionArray", "tags": "i8", "index": "i64"})
        }
    };
    let mut below: Vec<Value> = layout.contents().iter().map(|c| write(c, next, buffers)).collect();
    match layout.node {
        Node::Record { .. } | Node::Union { .. } => form["contents"] = Value::Array(below),
        _ => {
            if let Some(content) = below.pop() {
                form["content"] = content;
            }
        }
    }
    form["parameters"] = Value::Object(layout.parameters.clone());
    form["form_key"] = Value::String(key);
    form
}
