//! The encodings over a store in memory, and over stores that only pretend to be large.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::store::{IoStats, MemoryStore};
use crate::value::{Array, Awkward, ByteString, DType, Records, Sparse, SparseFormat, Table};

const PLAIN: Style<'static> = Style { like: None, resizable: false };

fn path(text: &str) -> ElemPath {
    ElemPath::parse(text).unwrap()
}

fn attrs(value: &Value) -> Attrs {
    value.as_object().unwrap().clone()
}

/// A store that holds `element` at `e`.
fn holding(element: &Element) -> MemoryStore {
    let store = MemoryStore::new("memory");
    encode(&store, &path("e"), element, &Dialect::default()).unwrap();
    store.publish().unwrap();
    store
}

/// A store that holds a group `e` of these arrays.
fn group(tagged: Value, arrays: Vec<(&str, Array)>) -> MemoryStore {
    let store = MemoryStore::new("memory");
    store.create_group(&path("e"), &attrs(&tagged)).unwrap();
    for (name, array) in arrays {
        store.create_array(&path("e").join(name).unwrap(), &array, PLAIN, &Attrs::new()).unwrap();
    }
    store.publish().unwrap();
    store
}

fn read(store: &dyn ReadStore, cut: Cut<'_>) -> Result<Element> {
    decode(store, &path("e"), cut)
}

fn is_malformed<T: std::fmt::Debug>(result: Result<T>) -> bool {
    match result {
        Err(Error::Malformed { at, .. }) => at.path.starts_with('e'),
        other => panic!("{other:?}"),
    }
}

fn texts(items: &[&str]) -> Array {
    Array::from_vec(items.iter().map(|&t| t.to_owned()).collect())
}

// ---- awkward arrays, structured arrays, bytes ----

#[test]
fn awkward_arrays_are_written_read_and_cut() {
    let whole = Awkward::from_lists([vec!["a", "bc"], vec![], vec!["d"]].map(|l| l.into_iter().map(str::to_owned)));
    let store = holding(&whole.clone().into());
    let info = describe(&store, &path("e")).unwrap().unwrap();
    assert_eq!((info.kind, &info.shape[..], info.dtype.as_deref()), (Kind::Awkward, &[3][..], Some("var * string")));
    assert_eq!(read(&store, &[]).unwrap(), whole.clone().into());
    let rows = Rows::picks([2, 0, 2]);
    assert_eq!(read(&store, &[Some(rows.clone())]).unwrap(), whole.take(&rows).into());
    assert!(matches!(read(&store, &[Some(Rows::picks([3]))]), Err(Error::Selection { .. })));
}

#[test]
fn awkward_arrays_that_contradict_themselves_are_errors() {
    let tagged = |form: Value, length: Value| json!({"encoding-type": "awkward-array", "encoding-version": "0.1.0", "form": form, "length": length});
    let form = |class: &str| {
        let content = json!({"class": "NumpyArray", "primitive": "int64", "form_key": "b"});
        json!(json!({"class": class, "offsets": "i64", "content": content, "form_key": "a"}).to_string())
    };
    let arrays =
        || vec![("a-offsets", Array::from_vec(vec![0_i64, 1, 9])), ("b-data", Array::from_vec(vec![0_i64; 3]))];
    assert!(read(&group(tagged(form("ListOffsetArray"), json!(1)), arrays()), &[]).is_ok());
    for (form, length) in [
        (form("ListOffsetArray"), json!(2)),
        (form("ListOffsetArray"), json!(-1)),
        (form("ListOffsetArray"), json!("1")),
        (form("ListOffsetArray"), json!(null)),
        (json!({"class": "EmptyArray"}), json!(0)),
        (json!("{"), json!(1)),
        (json!(null), json!(1)),
    ] {
        assert!(is_malformed(read(&group(tagged(form, length), arrays()), &[])));
    }
    let unknown = group(tagged(form("TomorrowArray"), json!(1)), arrays());
    assert!(matches!(read(&unknown, &[]), Err(Error::Unsupported { .. })));
    assert_eq!(describe(&unknown, &path("e")).unwrap().unwrap().kind, Kind::Opaque);
}

#[test]
fn structured_arrays_are_written_read_and_cut() {
    let fields = vec![
        ("a/b".to_owned(), Array::from_vec(vec![1_i32, 2, 3])),
        ("own axis".to_owned(), Array::from_shape_vec(&[3, 2], vec![0.5_f64; 6]).unwrap()),
        ("bytes".to_owned(), Array::from_vec(vec![ByteString(b"x".to_vec()); 3])),
    ];
    let records = Records::new(vec![3], fields).unwrap();
    let store = holding(&records.clone().into());
    let info = describe(&store, &path("e")).unwrap().unwrap();
    assert_eq!((info.kind, info.children), (Kind::Records, vec!["a/b".into(), "own axis".into(), "bytes".into()]));
    assert_eq!(info.encoding, Some(("rec-array".into(), "0.2.0".into())));
    let rows = [Rows::picks([2, 0])];
    assert_eq!(read(&store, &[Some(rows[0].clone())]).unwrap(), records.take(&rows).into());
    // An array without fields under that tag.
    let store = MemoryStore::new("memory");
    let tag = json!({"encoding-type": "rec-array", "encoding-version": "0.2.0"});
    store.create_array(&path("e"), &texts(&["x"]), PLAIN, &attrs(&tag)).unwrap();
    store.publish().unwrap();
    assert!(is_malformed(read(&store, &[])));
}

#[test]
fn lone_bytes_are_read() {
    let store = MemoryStore::new("memory");
    let tag = json!({"encoding-type": "bytes", "encoding-version": "0.2.0"});
    let bytes = Array::scalar(ByteString(b"a\0\xff".to_vec()));
    store.create_array(&path("e"), &bytes, PLAIN, &attrs(&tag)).unwrap();
    store.publish().unwrap();
    assert_eq!(read(&store, &[]).unwrap(), bytes.into());
}

// ---- sparse matrices ----

fn integers(dtype: DType, values: &[u64]) -> Array {
    macro_rules! cast {
        ($t:ty) => {
            Array::from_vec(values.iter().map(|&v| <$t>::try_from(v).unwrap()).collect())
        };
    }
    match dtype {
        DType::I8 => cast!(i8),
        DType::U8 => cast!(u8),
        DType::I16 => cast!(i16),
        DType::U16 => cast!(u16),
        DType::I32 => cast!(i32),
        DType::U32 => cast!(u32),
        DType::I64 => cast!(i64),
        _ => cast!(u64),
    }
}

fn tagged(format: SparseFormat, shape: [usize; 2]) -> Value {
    json!({"shape": shape, "encoding-type": format.name(), "encoding-version": "0.1.0"})
}

/// Matrices as other writers leave them: indices in any order, some twice, zeros among the values; and the integer types
/// of indices and indptr.
fn messy() -> impl Strategy<Value = (Sparse, DType, DType)> {
    let types = || proptest::sample::select(DType::ALL.iter().copied().filter(|d| d.is_integer()).collect::<Vec<_>>());
    let matrix = (1_usize..6, 1_usize..6, any::<bool>()).prop_flat_map(|(major, minor, csr)| {
        proptest::collection::vec(proptest::collection::vec((0..minor as u64, -2_i16..3), 0..6), major).prop_map(
            move |rows| {
                let mut indptr = vec![0];
                rows.iter().for_each(|row| indptr.push(indptr[indptr.len() - 1] + row.len() as u64));
                let (indices, data): (Vec<u64>, Vec<i16>) = rows.into_iter().flatten().unzip();
                let (format, shape) =
                    if csr { (SparseFormat::Csr, [major, minor]) } else { (SparseFormat::Csc, [minor, major]) };
                Sparse::new(format, shape, Array::from_vec(data), indices, indptr).unwrap()
            },
        )
    });
    (matrix, types(), types())
}

fn stored(matrix: &Sparse, indices: DType, indptr: DType) -> MemoryStore {
    let arrays = vec![
        ("data", matrix.data().clone()),
        ("indices", integers(indices, &matrix.indices().iter().map(|i| i as u64).collect::<Vec<_>>())),
        ("indptr", integers(indptr, matrix.indptr())),
    ];
    group(tagged(matrix.format(), matrix.shape()), arrays)
}

/// Any selection of an axis: everything, ranges either way, positions in any order with repeats.
fn selection(n: usize) -> impl Strategy<Value = Option<Rows>> {
    let range = (0..n, 0..=n, prop_oneof![-3_isize..=-1, 1_isize..=3]).prop_map(move |(start, want, step)| {
        let room = if step > 0 { (n - 1 - start) / step as usize } else { start / step.unsigned_abs() } + 1;
        Some(Rows::Range { start, step, len: want.min(room) })
    });
    prop_oneof![Just(None), range, proptest::collection::vec(0..n, 0..8).prop_map(|picks| Some(Rows::picks(picks)))]
}

fn messy_and_cut() -> impl Strategy<Value = ((Sparse, DType, DType), [Option<Rows>; 2])> {
    messy().prop_flat_map(|matrix| {
        let [rows, columns] = matrix.0.shape();
        (Just(matrix), [selection(rows).boxed(), selection(columns).boxed()])
    })
}

proptest! {
    #[test]
    fn parts_of_messy_matrices_are_parts_of_the_dense_ones(((matrix, indices, indptr), cut) in messy_and_cut()) {
        let store = stored(&matrix, indices, indptr);
        let dense = matrix.to_dense().unwrap();
        let whole = |axis: usize| Rows::All(matrix.shape()[axis]);
        let wanted = dense.take(&[cut[0].clone().unwrap_or_else(|| whole(0)), cut[1].clone().unwrap_or_else(|| whole(1))]);
        let Element::Sparse(found) = read(&store, &cut).unwrap() else { panic!("not sparse") };
        prop_assert_eq!(found.to_dense().unwrap(), wanted.clone());
        // In sprs indices are sorted and values added up, and the matrix is the same.
        let canonical = found.to_sprs::<i16>().unwrap();
        prop_assert_eq!(Array::from(canonical.to_dense()), wanted);
        prop_assert!(canonical.nnz() <= found.nnz());
        // In memory as in the file, and in small blocks as in one.
        prop_assert_eq!(&matrix.take(cut[0].as_ref(), cut[1].as_ref()), &found);
        for block in 1..4 {
            let (at, node, budget) = (path("e"), store.node(&path("e")).unwrap().unwrap(), Cell::new(MAX_NODES));
            let in_blocks = sparse::decode_in_blocks(&Ctx::new(&store, &at, &node, &budget), &cut, block);
            prop_assert_eq!(&in_blocks.unwrap(), &found);
        }
    }
}

#[test]
fn explicit_zeros_are_kept() {
    let data = Array::from_vec(vec![0.0_f32, 5.0, 0.0]);
    let matrix = Sparse::new(SparseFormat::Csr, [2, 3], data, vec![2, 0, 2], vec![0, 2, 3]).unwrap();
    let store = stored(&matrix, DType::I32, DType::I32);
    let nnz = |cut: Cut<'_>| match read(&store, cut).unwrap() {
        Element::Sparse(s) => (s.nnz(), s.to_sprs::<f32>().unwrap().nnz()),
        other => panic!("{other:?}"),
    };
    assert_eq!(nnz(&[]), (3, 3));
    assert_eq!(nnz(&[Some(Rows::picks([1, 1])), None]), (2, 2));
    assert_eq!(nnz(&[None, Some(Rows::picks([2]))]), (2, 2));
}

#[test]
fn sparse_parts_that_contradict_each_other_are_errors() {
    let store = |indices: Array, indptr: Array| {
        let arrays = vec![("data", Array::from_vec(vec![1_f32; 3])), ("indices", indices), ("indptr", indptr)];
        group(tagged(SparseFormat::Csr, [3, 4]), arrays)
    };
    let ints = |items: &[i64]| Array::from_vec(items.to_vec());
    let good = [ints(&[0, 3, 1]), ints(&[0, 1, 2, 3])];
    let [indices, indptr] = good.clone();
    assert!(read(&store(indices.clone(), indptr.clone()), &[]).is_ok());
    let selections = [
        [None, None],
        [Some(Rows::picks([2, 0, 1, 0])), None],
        [None, Some(Rows::picks([1, 3]))],
        [Some(Rows::Range { start: 2, step: -1, len: 3 }), Some(Rows::span(0, 2))],
    ];
    let bad = [
        [ints(&[0, 4, 1]), indptr.clone()],
        [ints(&[0, -1, 1]), indptr.clone()],
        [Array::from_vec(vec![0.0_f64; 3]), indptr],
        [indices.clone(), ints(&[1, 1, 2, 3])],
        [indices.clone(), ints(&[-1, 1, 2, 3])],
        [indices.clone(), ints(&[0, 2, 1, 3])],
        [indices.clone(), ints(&[0, 1, 2, 2])],
        [indices.clone(), ints(&[0, 1, 2, 4])],
        [indices.clone(), ints(&[0, 1, 3])],
        [indices, Array::from_vec(vec![0_u64, 1, u64::MAX, 3])],
    ];
    for [indices, indptr] in bad {
        for cut in &selections {
            assert!(is_malformed(read(&store(indices.clone(), indptr.clone()), cut)), "{indices:?} {indptr:?} {cut:?}");
        }
    }
    // What two rows far apart show is enough to see that indptr descends.
    let apart = store(ints(&[0, 3, 1]), ints(&[0, 2, 1, 3]));
    assert!(is_malformed(read(&apart, &[Some(Rows::picks([2, 0])), None])));
    // No rows, but values.
    let arrays = vec![("data", ints(&[1])), ("indices", ints(&[0])), ("indptr", ints(&[0]))];
    assert!(is_malformed(read(&group(tagged(SparseFormat::Csr, [0, 4]), arrays), &[])));
}

#[test]
fn matrices_without_rows_or_columns_are_read() {
    for format in [SparseFormat::Csr, SparseFormat::Csc] {
        for shape in [[0, 0], [0, 3], [3, 0]] {
            let indptr = vec![0; shape[format.major()] + 1];
            let matrix =
                Sparse::new(format, shape, Array::from_vec(Vec::<f32>::new()), Vec::<i32>::new(), indptr).unwrap();
            let store = stored(&matrix, DType::I32, DType::I64);
            assert_eq!(read(&store, &[]).unwrap(), matrix.clone().into());
            let none = [Some(Rows::span(0, 0)), Some(Rows::picks([]))];
            assert_eq!(read(&store, &none).unwrap().shape(), [0, 0]);
        }
    }
}

/// A matrix of 3·10⁹ stored values that exist only while they are read: 1000 in each row (or column).
struct Pretended {
    format: SparseFormat,
    /// Items read, and most of them at once.
    read: AtomicUsize,
    most: AtomicUsize,
}

impl Pretended {
    fn new(format: SparseFormat) -> Self {
        Self { format, read: AtomicUsize::new(0), most: AtomicUsize::new(0) }
    }
}

const WIDTH: usize = 1000;
const LONG: usize = 3_000_000;
const STORED: usize = WIDTH * LONG;

impl ReadStore for Pretended {
    fn location(&self) -> &str {
        "pretended"
    }

    fn node(&self, at: &ElemPath) -> Result<Option<Node>> {
        let array = |n: usize, dtype: DType| {
            let kind = NodeKind::Array(ArrayMeta {
                shape: vec![n],
                dtype: Some(dtype),
                stored: dtype.to_string(),
                fields: Vec::new(),
                chunks: None,
                null: false,
            });
            Node { kind, attrs: Attrs::new() }
        };
        let shape = if self.format == SparseFormat::Csr { [LONG, 2 * WIDTH] } else { [2 * WIDTH, LONG] };
        Ok(match at.name() {
            "data" => Some(array(STORED, DType::I64)),
            "indices" => Some(array(STORED, DType::I32)),
            "indptr" => Some(array(LONG + 1, DType::I64)),
            _ => Some(Node { kind: NodeKind::Group, attrs: attrs(&tagged(self.format, shape)) }),
        })
    }

    fn children(&self, _at: &ElemPath) -> Result<Vec<String>> {
        Ok(["data", "indices", "indptr"].map(str::to_owned).to_vec())
    }

    fn read(&self, at: &ElemPath, rows: &[Rows]) -> Result<Array> {
        self.read.fetch_add(rows[0].len(), Ordering::Relaxed);
        self.most.fetch_max(rows[0].len(), Ordering::Relaxed);
        let items = rows[0].iter();
        Ok(match at.name() {
            "data" => Array::from_vec(items.map(|e| e as i64).collect()),
            "indices" => Array::from_vec(items.map(|e| (2 * (e % WIDTH)) as i32).collect()),
            _ => Array::from_vec(items.map(|row| (row * WIDTH) as i64).collect()),
        })
    }

    fn read_fields(&self, _at: &ElemPath, _fields: &[&str], _rows: &[Rows]) -> Result<Vec<Array>> {
        Ok(Vec::new())
    }

    fn fingerprint(&self, _at: &ElemPath) -> Result<Option<u32>> {
        Ok(None)
    }

    fn stats(&self) -> IoStats {
        IoStats::default()
    }
}

#[test]
fn more_than_2_to_the_31_stored_values_are_addressed() {
    const { assert!(STORED > 1 << 31) };
    for format in [SparseFormat::Csr, SparseFormat::Csc] {
        let store = Pretended::new(format);
        assert_eq!(describe(&store, &path("e")).unwrap().unwrap().stored, Some(STORED));
        let minor = Rows::picks([1998, 1, 0]);
        for (major, minor, wanted) in [
            (Rows::span(LONG - 2, LONG), None, None),
            (Rows::picks([LONG - 1, LONG - 3, LONG - 1]), None, None),
            (Rows::picks([LONG - 1, LONG - 3]), Some(minor), Some([STORED - 1, STORED - WIDTH])),
            (Rows::picks([LONG - 1, LONG - 3]), Some(Rows::span(0, 1)), Some([STORED - WIDTH, STORED - 3 * WIDTH])),
        ] {
            store.read.store(0, Ordering::Relaxed);
            let mut cut = [Some(major.clone()), minor];
            if format == SparseFormat::Csc {
                cut.reverse();
            }
            let Element::Sparse(part) = read(&store, &cut).unwrap() else { panic!("not sparse") };
            let values = part.data().to_i64().unwrap();
            match wanted {
                // The values are the positions of the entries.
                None => assert_eq!(
                    values,
                    major.iter().flat_map(|m| m * WIDTH..(m + 1) * WIDTH).map(|e| e as i64).collect::<Vec<_>>()
                ),
                Some(wanted) => wanted.iter().for_each(|&e| assert!(values.contains(&(e as i64)), "{values:?}")),
            }
            assert!(store.read.load(Ordering::Relaxed) <= 2 * major.len() * (WIDTH + 2), "only the rows asked for");
        }
    }
}

#[test]
fn a_gene_of_many_rows_is_looked_for_in_blocks() {
    const ROWS: usize = 9000;
    let store = Pretended::new(SparseFormat::Csr);
    let cut = [Some(Rows::span(0, ROWS)), Some(Rows::span(8, 9))];
    let Element::Sparse(gene) = read(&store, &cut).unwrap() else { panic!("not sparse") };
    // The fifth value of each row.
    let values: Vec<i64> = (0..ROWS).map(|row| (row * WIDTH + 4) as i64).collect();
    assert_eq!((gene.data().to_i64().unwrap(), gene.nnz()), (values, ROWS));
    let (read, most) = (store.read.load(Ordering::Relaxed), store.most.load(Ordering::Relaxed));
    assert_eq!(read, (ROWS + 1) + ROWS * WIDTH + ROWS, "indptr, all indices, the values found");
    assert!(most <= ROWS * WIDTH / 2, "{most} at once");
}

/// As SnapATAC2 keeps its fragments: a position of the genome is a column.
#[test]
fn three_thousand_million_columns_are_no_burden() {
    const GENOME: usize = 3_088_286_401;
    let indices = vec![7_u64, 3_088_286_400, 2_500_000_000];
    let data = Array::from_vec(vec![1_i32, -2, 3]);
    let matrix = Sparse::new(SparseFormat::Csr, [2, GENOME], data, indices, vec![0, 2, 3]).unwrap();
    let store = stored(&matrix, DType::U32, DType::U64);
    assert_eq!(read(&store, &[]).unwrap(), matrix.clone().into());
    let range = |start, step, len| [None, Some(Rows::Range { start, step, len })];
    let found = |cut: Cut<'_>| match read(&store, cut).unwrap() {
        Element::Sparse(s) => (s.indices().iter().collect::<Vec<_>>(), s.data().to_i64().unwrap()),
        other => panic!("{other:?}"),
    };
    assert_eq!(found(&range(1, 1, GENOME - 1)), (vec![6, 3_088_286_399, 2_499_999_999], vec![1, -2, 3]));
    assert_eq!(found(&range(GENOME - 1, -1, GENOME - 8)), (vec![0, 588_286_400], vec![-2, 3]));
    assert_eq!(found(&range(7, 2, 5)), (vec![0], vec![1]));
}

// ---- frames ----

fn frame(attributes: Value, columns: Vec<(&str, Array)>) -> MemoryStore {
    let mut tagged = json!({"encoding-type": "dataframe", "encoding-version": "0.2.0"});
    tagged.as_object_mut().unwrap().extend(attrs(&attributes));
    group(tagged, columns)
}

fn column_names(store: &dyn ReadStore) -> Result<Vec<String>> {
    match read(store, &[])? {
        Element::Table(t) => Ok(t.columns().iter().map(|(name, _)| name.clone()).collect()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn odd_column_orders_are_read() {
    let columns = || vec![("i", texts(&["r", "r"])), ("c", Array::from_vec(vec![1_u8, 2]))];
    let order = |order: Value| column_names(&frame(json!({"_index": "i", "column-order": order}), columns()));
    assert_eq!(order(json!(["c"])).unwrap(), ["c"]);
    assert_eq!(order(json!("c")).unwrap(), ["c"], "one column as a lone text");
    assert!(order(json!([])).unwrap().is_empty());
    assert_eq!(order(json!(["i", "c"])).unwrap(), ["i", "c"], "a column of the index's name is the index");
    assert!(is_malformed(order(json!(["c", "c"]))), "which anndata gives as two columns of one name");
    assert!(is_malformed(order(json!(["c", ""]))));
    assert!(is_malformed(order(json!([1]))));
    assert!(is_malformed(order(json!(null))));
    assert!(matches!(order(json!(["ghost"])), Err(Error::NotFound { .. })));
}

#[test]
fn indexes_of_every_form_are_read() {
    let index = |element: Element| {
        let table = Table::new(Some("key".into()), element, vec![("c".into(), texts(&["x", "y"]).into())]).unwrap();
        let store = holding(&table.clone().into());
        assert_eq!(frame_meta(&store, &path("e")).unwrap().n_rows, 2);
        assert_eq!(read(&store, &[]).unwrap(), table.clone().into());
        let rows = Rows::picks([1, 1, 0]);
        assert_eq!(read(&store, &[Some(rows.clone())]).unwrap(), table.take(&rows).into());
    };
    index(Array::from_vec(vec![10_i64, 10]).into());
    index(texts(&["", ""]).into());
    let codes = Array::from_vec(vec![1_u16, 0]);
    index(crate::value::Categorical::new(codes, texts(&["b", "a"]), false).unwrap().into());
    let missing = crate::value::Nullable::new(texts(&["a", ""]), vec![false, true], Default::default()).unwrap();
    index(missing.into());
}

#[test]
fn frames_without_rows_or_columns_are_read() {
    let names = |n: usize| Element::from(Array::from_vec((0..n).map(|i| i.to_string()).collect::<Vec<_>>()));
    for (n, columns) in [(0, true), (3, false), (0, false)] {
        let columns =
            if columns { vec![("c".to_owned(), Array::from_vec(Vec::<f32>::new()).into())] } else { Vec::new() };
        let table = Table::new(None, names(n), columns).unwrap();
        let store = holding(&table.clone().into());
        assert_eq!(read(&store, &[]).unwrap(), table.clone().into());
        assert_eq!(describe(&store, &path("e")).unwrap().unwrap().shape, [n, table.columns().len()]);
        assert_eq!(read(&store, &[Some(Rows::span(0, 0))]).unwrap().shape()[0], 0);
    }
}

#[test]
fn broken_indexes_are_errors() {
    let columns = || vec![("i", texts(&["r", "s"])), ("c", Array::from_vec(vec![1_u8, 2]))];
    let index = |index: Value| frame(json!({"_index": index, "column-order": ["c"]}), columns());
    assert!(read(&index(json!("i")), &[]).is_ok());
    for bad in [json!("gone"), json!("_index")] {
        assert!(is_malformed(read(&index(bad.clone()), &[])), "{bad}");
        assert!(is_malformed(frame_meta(&index(bad.clone()), &path("e"))), "{bad}");
    }
    assert!(is_malformed(read(&index(json!(null)), &[])));
    // An index of two axes, and columns of another length.
    let matrix = Array::from_shape_vec(&[2, 1], vec![0_u8; 2]).unwrap();
    assert!(is_malformed(read(&frame(json!({"_index": "m", "column-order": []}), vec![("m", matrix)]), &[])));
    let longer = vec![("i", texts(&["r", "s"])), ("c", Array::from_vec(vec![1_u8]))];
    assert!(is_malformed(read(&frame(json!({"_index": "i", "column-order": ["c"]}), longer), &[])));
}

/// HDF5 files of anndata up to 0.12 keep a column `a/b` in a group `a`.
#[test]
fn column_names_with_slashes_are_paths() {
    let store = MemoryStore::new("memory");
    let tag = json!({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "x/i", "column-order": ["a/b", "c"]});
    store.create_group(&path("e"), &attrs(&tag)).unwrap();
    for name in ["e/a", "e/x"] {
        store.create_group(&path(name), &Attrs::new()).unwrap();
    }
    for (name, array) in [("e/a/b", texts(&["1", "2"])), ("e/c", texts(&["3", "4"])), ("e/x/i", texts(&["r", "r"]))] {
        store.create_array(&path(name), &array, PLAIN, &Attrs::new()).unwrap();
    }
    store.publish().unwrap();
    assert_eq!(column_names(&store).unwrap(), ["a/b", "c"]);
    assert_eq!(frame_meta(&store, &path("e")).unwrap().index, "x/i");
}
