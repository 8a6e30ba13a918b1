use std::collections::BTreeMap;

use polars::prelude::{DataType, NamedFrom, PlSmallStr, Series};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

type Buffers<'a> = &'a [(&'a str, Array)];

fn make(form: &Value, length: usize, buffers: Buffers<'_>) -> Result<Awkward, String> {
    let buffers = buffers.iter().map(|(name, array)| ((*name).to_owned(), array.clone())).collect();
    Awkward::from_buffers(&form.to_string(), length, buffers)
}

fn numbers(key: &str) -> Value {
    json!({"class": "NumpyArray", "primitive": "int64", "form_key": key})
}

fn i64s(items: &[i64]) -> Array {
    Array::from_vec(items.to_vec())
}

/// The rows as one JSON text.
fn shown(array: &Awkward) -> String {
    Nested::List(array.iter().collect()).to_string()
}

/// Reads, and checks that what is written reads the same.
fn check(form: Value, length: usize, buffers: Buffers<'_>, rows: &str, type_text: &str) {
    let array = make(&form, length, buffers).unwrap();
    assert_eq!((shown(&array).as_str(), array.type_text().as_str()), (rows, type_text), "{form}");
    assert_eq!(Awkward::type_of(&form.to_string()).unwrap(), type_text);
    let (text, buffers) = array.to_buffers();
    assert_eq!(Awkward::from_buffers(&text, length, buffers).unwrap(), array, "{text}");
    let backwards: Vec<usize> = (0..length).rev().chain((0..length).rev()).collect();
    let cut = array.take(&Rows::picks(backwards.clone()));
    assert_eq!(cut.iter().collect::<Vec<_>>(), backwards.iter().map(|&i| array.get(i).unwrap()).collect::<Vec<_>>());
    let (text, buffers) = cut.to_buffers();
    assert_eq!(Awkward::from_buffers(&text, 2 * length, buffers).unwrap(), cut, "{text}");
    assert!(array.take(&Rows::span(0, 0)).is_empty());
}

/// The classes and spellings that `ak.to_packed` leaves no trace of; those that it does are in the fixtures.
#[test]
fn every_class_of_form_is_read() {
    let data = ("d-data", i64s(&[0, 10, 20, 30, 40]));
    let list = |class: &str| json!({"class": class, "offsets": "i64", "content": numbers("d"), "form_key": "l"});
    // Offsets that do not begin with 0, and a content that is longer than they say.
    let offsets = ("l-offsets", i64s(&[1, 1, 3, 4]));
    check(list("ListOffsetArray"), 3, &[data.clone(), offsets.clone()], "[[], [10, 20], [30]]", "var * int64");
    check(list("ListOffsetArray64"), 2, &[data.clone(), offsets], "[[], [10, 20]]", "var * int64");
    let narrow = json!({"class": "ListOffsetArray32", "offsets": "i32", "content": numbers("d"), "form_key": "l"});
    check(narrow, 1, &[data.clone(), ("l-offsets", Array::from_vec(vec![0_i32, 2]))], "[[0, 10]]", "var * int64");

    let list = json!({"class": "ListArray", "starts": "u32", "stops": "u32", "content": numbers("d"), "form_key": "l"});
    let spans = [("l-starts", vec![3_u32, 99, 0, 1]), ("l-stops", vec![5, 99, 2, 3])];
    let [starts, stops] = spans.map(|(name, items)| (name, Array::from_vec(items)));
    check(list, 4, &[data.clone(), starts, stops], "[[30, 40], [], [0, 10], [10, 20]]", "var * int64");

    let regular = json!({"class": "RegularArray", "size": 2, "content": numbers("d"), "form_key": "r"});
    check(regular, 2, std::slice::from_ref(&data), "[[0, 10], [20, 30]]", "2 * int64");
    let nothing = json!({"class": "RegularArray", "size": 0, "content": {"class": "EmptyArray"}, "form_key": "r"});
    check(nothing, 3, &[], "[[], [], []]", "0 * unknown");
    let inner = json!({"class": "NumpyArray", "primitive": "int64", "inner_shape": [2, 1], "form_key": "d"});
    let matrix = Array::from_shape_vec(&[2, 2, 1], vec![1_i64, 2, 3, 4]).unwrap();
    check(inner, 2, &[("d-data", matrix)], "[[[1], [2]], [[3], [4]]]", "2 * 1 * int64");

    let indexed = json!({"class": "IndexedArray", "index": "i64", "content": numbers("d"), "form_key": "x"});
    check(indexed, 3, &[data.clone(), ("x-index", i64s(&[4, 0, 4]))], "[40, 0, 40]", "int64");
    let option = json!({"class": "IndexedOptionArray", "index": "i64", "content": numbers("d"), "form_key": "x"});
    check(option, 3, &[data.clone(), ("x-index", i64s(&[4, -1, 4]))], "[40, null, 40]", "?int64");
    for valid in [true, false] {
        let bytes = json!({"class": "ByteMaskedArray", "mask": "i8", "valid_when": valid, "content": numbers("d"), "form_key": "x"});
        let mask = Array::from_vec(vec![i8::from(valid), i8::from(!valid), i8::from(valid)]);
        check(bytes, 3, &[data.clone(), ("x-mask", mask)], "[0, null, 20]", "?int64");
    }
    for (lsb, bits) in [(true, 0b0_0101), (false, 0b1010_0000)] {
        let bits_of = json!({"class": "BitMaskedArray", "mask": "u8", "valid_when": true, "lsb_order": lsb,
            "content": numbers("d"), "form_key": "x"});
        check(bits_of, 3, &[data.clone(), ("x-mask", Array::from_vec(vec![bits as u8]))], "[0, null, 20]", "?int64");
    }
    check(
        json!({"class": "UnmaskedArray", "content": numbers("d"), "form_key": "x"}),
        2,
        std::slice::from_ref(&data),
        "[0, 10]",
        "?int64",
    );

    // Fields as awkward 1 spelled them; a tuple; a record with a name and without fields.
    let record = json!({"class": "RecordArray", "contents": {"a": numbers("d"), "b c": "int64"}});
    assert!(make(&record, 1, std::slice::from_ref(&data)).unwrap_err().contains("form_key"));
    let record = json!({"class": "RecordArray", "contents": {"a": numbers("d"), "b c": numbers("e")}});
    let two = [data.clone(), ("e-data", i64s(&[7, 8]))];
    check(record, 2, &two, r#"[{"a": 0, "b c": 7}, {"a": 10, "b c": 8}]"#, r#"{a: int64, "b c": int64}"#);
    let tuple = json!({"class": "RecordArray", "fields": null, "contents": [numbers("d"), numbers("e")]});
    check(tuple, 1, &two, "[[0, 7]]", "(int64, int64)");
    let named = json!({"class": "RecordArray", "fields": [], "contents": [], "parameters": {"__record__": "Point"}});
    check(named, 2, &[], "[{}, {}]", "Point[]");

    let union = json!({"class": "UnionArray8_64", "tags": "i8", "index": "i64", "form_key": "u",
        "contents": [numbers("d"), {"class": "NumpyArray", "primitive": "bool", "form_key": "e"}]});
    let parts = [
        data,
        ("e-data", Array::from_vec(vec![true, false])),
        ("u-tags", Array::from_vec(vec![1_i8, 0, 0, 1])),
        ("u-index", i64s(&[1, 3, 0, 1])),
    ];
    check(union, 4, &parts, "[false, 30, 0, false]", "union[int64, bool]");
    check(json!({"class": "EmptyArray"}), 0, &[], "[]", "unknown");
}

#[test]
fn items_of_every_dtype_are_taken_out() {
    for &dtype in DType::ALL.iter().filter(|d| layout::is_item(**d)) {
        let form = json!({"class": "NumpyArray", "primitive": dtype.name(), "form_key": "d"});
        let array = make(&form, 2, &[("d-data", Array::zeros(dtype, &[2]))]).unwrap();
        assert_eq!(array.type_text(), dtype.name());
        assert!(array.get(1).is_some() && array.get(2).is_none());
    }
    let bytes = Awkward::from_lists([vec![crate::value::ByteString(b"a\xff".to_vec())]]);
    assert_eq!(bytes.type_text(), "var * bytes");
    assert_eq!(bytes.get(0), Some(Nested::List(vec![Nested::Bytes(b"a\xff".to_vec())])));
}

fn categories() -> Awkward {
    let form = json!({"class": "IndexedOptionArray", "index": "i64", "parameters": {"__array__": "categorical"},
        "content": {"class": "ListOffsetArray", "offsets": "i64", "parameters": {"__array__": "string"}, "form_key": "s",
            "content": {"class": "NumpyArray", "primitive": "uint8", "parameters": {"__array__": "char"}, "form_key": "c"}},
        "form_key": "x"});
    let parts = [
        ("x-index", i64s(&[2, -1, 0])),
        ("s-offsets", i64s(&[0, 1, 2, 4])),
        ("c-data", Array::from_vec("abü".as_bytes().to_vec())),
    ];
    make(&form, 3, &parts).unwrap()
}

#[test]
fn categories_stay_when_rows_are_cut() {
    let cut = categories().take(&Rows::picks([0, 1]));
    assert_eq!((shown(&cut).as_str(), cut.type_text().as_str()), (r#"["ü", null]"#, "?categorical[type=string]"));
    let (_, buffers) = cut.to_buffers();
    assert_eq!(buffers["node1-offsets"].to_i64().unwrap(), [0, 1, 2, 4]);
}

/// What is inconsistent is refused; nothing panics and nothing is guessed.
#[test]
fn contradictions_are_refused() {
    let data = ("d-data", i64s(&[1, 2, 3]));
    let list = json!({"class": "ListOffsetArray", "offsets": "i64", "content": numbers("d"), "form_key": "l"});
    let offsets = |items: &[i64]| ("l-offsets", i64s(items));
    let no = |form: &Value, length: usize, buffers: Buffers<'_>, why: &str| {
        let error = make(form, length, buffers).unwrap_err();
        assert!(error.contains(why), "{form}: {error}");
    };
    no(&list, 2, std::slice::from_ref(&data), "no buffer `l-offsets`");
    no(&list, 2, &[offsets(&[0, 1, 3])], "no buffer `d-data`");
    no(&list, 2, &[data.clone(), offsets(&[0, 2, 1])], "descend");
    no(&list, 2, &[data.clone(), offsets(&[-1, 1, 2])], "negative");
    no(&list, 2, &[data.clone(), offsets(&[0, 1, 4])], "4 are needed");
    no(&list, 3, &[data.clone(), offsets(&[0, 1, 3])], "4 are needed");
    no(&list, usize::MAX, &[data.clone(), offsets(&[0, 1, 3])], "lists");
    no(&list, 2, &[data.clone(), ("l-offsets", Array::from_vec(vec![0_i32, 1, 3]))], "int32");
    no(&list, 2, &[("d-data", Array::from_vec(vec![0.5_f64; 3])), offsets(&[0, 1, 3])], "float64");
    no(&numbers("d"), 4, std::slice::from_ref(&data), "4 are needed");

    let index = |class: &str| json!({"class": class, "index": "i64", "content": numbers("d"), "form_key": "x"});
    no(&index("IndexedArray"), 2, &[data.clone(), ("x-index", i64s(&[0, -1]))], "-1");
    no(&index("IndexedOptionArray"), 2, &[data.clone(), ("x-index", i64s(&[0, 3]))], "4 are needed");
    no(&index("IndexedOptionArray"), 2, &[data.clone(), ("x-index", i64s(&[0, i64::MAX]))], "are needed");
    let spans =
        json!({"class": "ListArray", "starts": "i64", "stops": "i64", "content": numbers("d"), "form_key": "l"});
    no(&spans, 1, &[data.clone(), ("l-starts", i64s(&[2])), ("l-stops", i64s(&[1]))], "cross");
    no(&spans, 1, &[data.clone(), ("l-starts", i64s(&[-2])), ("l-stops", i64s(&[1]))], "negative");

    let union =
        json!({"class": "UnionArray", "tags": "i8", "index": "i64", "form_key": "u", "contents": [numbers("d")]});
    let union_of = |tag: i8, at: i64| [data.clone(), ("u-tags", Array::from_vec(vec![tag])), ("u-index", i64s(&[at]))];
    no(&union, 1, &union_of(1, 0), "tag 1");
    no(&union, 1, &union_of(-1, 0), "tag -1");
    no(&union, 1, &union_of(0, -1), "-1");
    no(&union, 1, &union_of(0, 3), "4 are needed");

    let pair = json!({"class": "RecordArray", "fields": ["a", "b"], "contents": [numbers("d"), numbers("d")]});
    no(&pair, 1, std::slice::from_ref(&data), "no buffer `d-data`");
    no(&json!({"class": "RecordArray", "fields": ["a"], "contents": [numbers("d"), numbers("e")]}), 1, &[], "fields");
    no(&json!({"class": "EmptyArray"}), 1, &[], "EmptyArray");
    no(&json!({"class": "VirtualArray"}), 1, &[], "VirtualArray");
    no(
        &json!({"class": "NumpyArray", "primitive": "float128", "form_key": "d"}),
        1,
        std::slice::from_ref(&data),
        "float128",
    );
    no(
        &json!({"class": "NumpyArray", "primitive": "string", "form_key": "d"}),
        1,
        std::slice::from_ref(&data),
        "string",
    );
    no(&json!([]), 1, &[], "class");
    assert!(Awkward::from_buffers("{", 0, BTreeMap::new()).unwrap_err().contains("JSON"));

    let text = json!({"class": "ListOffsetArray", "offsets": "i64", "content": numbers("d"), "form_key": "l",
        "parameters": {"__array__": "string"}});
    no(&text, 1, &[data.clone(), offsets(&[0, 1])], "uint8");
    let mut flat = numbers("d");
    flat["parameters"] = json!({"__array__": "string"});
    no(&flat, 1, &[data], "uint8");
    let text = json!({"class": "RegularArray", "size": 1, "parameters": {"__array__": "string"},
        "content": {"class": "NumpyArray", "primitive": "uint8", "form_key": "c"}});
    no(&text, 1, &[("c-data", Array::from_vec(vec![0xff_u8]))], "UTF-8");
}

/// Small files that would make huge arrays.
#[test]
fn bombs_are_refused() {
    let deep =
        format!("{}\"int64\"{}", r#"{"class": "RegularArray", "size": 1, "content": "#.repeat(5000), "}".repeat(5000));
    assert!(Awkward::from_buffers(&deep, 1, BTreeMap::new()).unwrap_err().contains("JSON"));
    let nothing = json!({"class": "RecordArray", "fields": [], "contents": []});
    assert!(make(&nothing, 1 << 60, &[]).is_err());
    let regular = |size: u64, content: Value| json!({"class": "RegularArray", "size": size, "content": content});
    assert!(make(&regular(0, json!({"class": "EmptyArray"})), 1 << 60, &[]).is_err());
    assert!(make(&regular(1 << 40, nothing.clone()), 1 << 20, &[]).is_err());
    assert!(make(&regular(u64::MAX, nothing.clone()), 3, &[]).is_err());
    assert!(make(&json!({"class": "UnmaskedArray", "content": nothing}), 1 << 50, &[]).is_err());
    let inner = json!({"class": "NumpyArray", "primitive": "int64", "inner_shape": [1_u64 << 40, 1_u64 << 40], "form_key": "d"});
    assert!(make(&inner, 1, &[("d-data", i64s(&[1]))]).is_err());
    // Lists of lists that all show the same ten: 10 to the 30th values.
    let (mut form, mut buffers) = (numbers("d"), vec![("d-data".to_owned(), i64s(&[0; 10]))]);
    for level in 0..30 {
        form = json!({"class": "ListArray", "starts": "i64", "stops": "i64", "content": form, "form_key": format!("l{level}")});
        buffers.push((format!("l{level}-starts"), i64s(&[0; 10])));
        buffers.push((format!("l{level}-stops"), i64s(&[10; 10])));
    }
    let error = Awkward::from_buffers(&form.to_string(), 10, buffers.into_iter().collect()).unwrap_err();
    assert!(error.contains("repeat"), "{error}");
}

#[test]
fn polars_has_lists_of_it() {
    let lists = Awkward::from_lists([vec![1_i16, 2], vec![], vec![3]]).to_series("x").unwrap();
    assert_eq!(lists.dtype(), &DataType::List(Box::new(DataType::Int16)));
    let row = |i: usize| lists.list().unwrap().get_as_series(i).unwrap();
    assert_eq!(row(0), Series::new(PlSmallStr::EMPTY, [1_i16, 2]));
    assert_eq!((row(1).len(), row(2).len(), lists.len()), (0, 1, 3));
    // Types hold where there are no values.
    let none = Awkward::from_lists(Vec::<Vec<f64>>::new()).to_series("x").unwrap();
    assert_eq!((none.len(), none.dtype()), (0, &DataType::List(Box::new(DataType::Float64))));
    let empty = Awkward::from_lists([Vec::<String>::new(), Vec::new()]).to_series("x").unwrap();
    assert_eq!((empty.len(), empty.null_count(), empty.dtype()), (2, 0, &DataType::List(Box::new(DataType::String))));

    let text = categories().to_series("x").unwrap();
    let text: Vec<_> = text.str().unwrap().iter().collect();
    assert_eq!(text, [Some("ü"), None, Some("a")]);
    let option = json!({"class": "IndexedOptionArray", "index": "i64", "form_key": "x",
        "content": {"class": "ListOffsetArray", "offsets": "i64", "content": numbers("d"), "form_key": "l"}});
    let parts = [("x-index", i64s(&[0, -1, 1])), ("l-offsets", i64s(&[0, 0, 2])), ("d-data", i64s(&[5, 6]))];
    let missing = make(&option, 3, &parts).unwrap().to_series("x").unwrap();
    assert_eq!((missing.null_count(), missing.dtype()), (1, &DataType::List(Box::new(DataType::Int64))));

    let tuple = json!({"class": "RecordArray", "fields": null, "contents": [numbers("d")]});
    let error = make(&tuple, 1, &[("d-data", i64s(&[1]))]).unwrap().to_series("x").unwrap_err();
    assert!(error.contains("(int64)"), "{error}");
}

fn nested_lists() -> impl Strategy<Value = Vec<Vec<String>>> {
    proptest::collection::vec(proptest::collection::vec("[a-zäß]{0,3}", 0..4), 1..6)
}

proptest! {
    #[test]
    fn cutting_is_taking_rows(lists in nested_lists(), picks in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8)) {
        let whole = Awkward::from_lists(lists.clone());
        let picks: Vec<usize> = picks.iter().map(|i| i.index(lists.len())).collect();
        let cut = whole.take(&Rows::picks(picks.clone()));
        let again = Awkward::from_lists(picks.iter().map(|&i| lists[i].clone()));
        prop_assert_eq!(&cut, &again);
        let (form, buffers) = cut.to_buffers();
        prop_assert_eq!(Awkward::from_buffers(&form, picks.len(), buffers).unwrap(), again);
    }
}
