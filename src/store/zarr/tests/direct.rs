//! Selections of numbers in every way that chunks of them are stored, against the same selections in memory.

use super::*;
use crate::store::zarr::codec::Encoder;
use crate::store::zarr::item::{Flat, Form, Items};
use crate::value::DType;

const SHAPE: [usize; 2] = [23, 7];
const FILL: i32 = 9;

/// Values in which rows 10 to 14 are all fill value: a row of chunks that does not exist where chunks have 5 rows.
fn values() -> Array {
    let value = |(r, c): (usize, usize)| if (10..15).contains(&r) { FILL } else { (r * 100 + c) as i32 };
    Array::from(ndarray::Array2::from_shape_fn((SHAPE[0], SHAPE[1]), value))
}

/// Writes the array `x` with these chunks (of the grid) and codecs.
fn write(dir: &Path, chunk: [usize; 2], codecs: &Value, data: &Array) {
    let codecs = codecs.as_array().unwrap();
    fs::create_dir(dir.join("x")).unwrap();
    let doc = json!({"zarr_format": 3, "node_type": "array", "shape": SHAPE, "data_type": "int32", "fill_value": FILL,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}}, "codecs": codecs});
    fs::write(dir.join("x/zarr.json"), doc.to_string()).unwrap();
    let fill = Flat::Fixed(FILL.to_le_bytes().to_vec());
    let encoder =
        Encoder::new(codecs, &Items::of(Form::Plain { dtype: DType::I32, big: false }), &fill, &chunk).unwrap();
    let data = data.view::<i32>().unwrap();
    for (i, j) in (0..SHAPE[0].div_ceil(chunk[0])).flat_map(|i| (0..SHAPE[1].div_ceil(chunk[1])).map(move |j| (i, j))) {
        let value = |(r, c)| *data.get([i * chunk[0] + r, j * chunk[1] + c]).unwrap_or(&FILL);
        let part = Array::from(ndarray::Array2::from_shape_fn((chunk[0], chunk[1]), value));
        if let Some(bytes) = encoder.encode(&[part]).unwrap() {
            fs::write(dir.join(format!("x/c.{i}.{j}")), bytes).unwrap();
        }
    }
}

/// The store in a zip archive beside it.
fn archive(dir: &Path, method: CompressionMethod) -> ZarrStore {
    let path = dir.with_extension(format!("{method}.zip"));
    fs::write(&path, zipped(dir, "", method)).unwrap();
    ZarrStore::open_zip(&path).unwrap()
}

fn selections() -> Vec<[Rows; 2]> {
    let rows = [
        Rows::All(23),
        Rows::span(0, 5),
        Rows::span(3, 17),
        Rows::Range { start: 22, step: -1, len: 23 },
        Rows::Range { start: 1, step: 4, len: 6 },
        Rows::picks([2, 3, 4, 9, 9, 11, 22]),
        Rows::picks([20, 1, 20, 12, 0]),
        Rows::picks([]),
    ];
    let columns = [Rows::All(7), Rows::span(3, 6), Rows::picks([6, 0, 0])];
    rows.iter().flat_map(|r| columns.clone().map(|c| [r.clone(), c])).collect()
}

fn codecs() -> Vec<(&'static str, Value)> {
    let bytes = json!({"name": "bytes", "configuration": {"endian": "little"}});
    let zstd = json!({"name": "zstd", "configuration": {"level": 1, "checksum": false}});
    let gzip = json!({"name": "gzip", "configuration": {"level": 1}});
    let blosc = json!({"name": "blosc", "configuration":
        {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 4, "blocksize": 0}});
    let shards = |inner: Value| {
        json!([{"name": "sharding_indexed", "configuration": {"chunk_shape": [5, 1], "codecs": inner,
            "index_codecs": [bytes, {"name": "crc32c"}]}}])
    };
    vec![
        ("raw", json!([bytes])),
        ("zstd", json!([bytes, zstd])),
        ("gzip", json!([bytes, gzip])),
        ("blosc", json!([bytes, blosc])),
        ("two filters", json!([bytes, zstd, {"name": "crc32c"}])),
        ("transposed", json!([{"name": "transpose", "configuration": {"order": [1, 0]}}, bytes, zstd])),
        ("raw shards", shards(json!([bytes]))),
        ("zstd shards", shards(json!([bytes, zstd]))),
    ]
}

#[test]
fn numbers_come_to_their_places_however_they_are_stored() {
    let data = values();
    for (name, codecs) in codecs() {
        for chunk in [[5, 7], [5, 3], [23, 7], [25, 10], [10, 2]] {
            if name.ends_with("shards") && chunk[0] % 5 != 0 {
                continue;
            }
            let temp = tempfile::tempdir().unwrap();
            let dir = temp.path().join("s.zarr");
            drop(ZarrStore::create(&dir, Flavour::V3).unwrap());
            write(&dir, chunk, &codecs, &data);
            let (kept, writer) = (ZarrStore::open_read(&dir).unwrap(), ZarrStore::open_write(&dir).unwrap());
            let zips = [CompressionMethod::Stored, CompressionMethod::Deflated].map(|method| archive(&dir, method));
            for rows in selections() {
                let fresh = ZarrStore::open_read(&dir).unwrap();
                let own = [("fresh", &fresh), ("with chunks remembered", &kept), ("writing", &writer)];
                for (who, store) in own.into_iter().chain(["archive", "deflated archive"].into_iter().zip(&zips)) {
                    let read = store.read(&at("x"), &rows).unwrap();
                    assert_eq!(read, data.take(&rows), "{name} {chunk:?} {rows:?} {who}");
                }
            }
        }
    }
}

#[test]
fn of_chunks_stored_as_they_are_only_what_is_wanted_is_read() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("s.zarr");
    drop(ZarrStore::create(&dir, Flavour::V3).unwrap());
    let data = values();
    write(&dir, [10, 7], &codecs()[0].1, &data);
    let read = |rows: Rows| {
        let store = ZarrStore::open_read(&dir).unwrap();
        let before = store.stats();
        let rows = [rows, Rows::All(7)];
        assert_eq!(store.read(&at("x"), &rows).unwrap(), data.take(&rows));
        // The node's document, which is read first, is not of interest.
        let document = fs::metadata(dir.join("x/zarr.json")).unwrap().len();
        let stats = store.stats() - before;
        (stats.chunks, stats.bytes_read - document)
    };
    assert_eq!(read(Rows::span(3, 5)), (1, 2 * 28));
    assert_eq!(read(Rows::span(8, 12)), (2, 4 * 28));
    assert_eq!(read(Rows::All(23)), (3, 2 * 280 + 3 * 28));
    // One of another size than its items have is damaged, whatever is wanted of it.
    fs::write(dir.join("x/c.0.0"), [0; 279]).unwrap();
    for rows in [Rows::span(0, 1), Rows::All(23)] {
        let store = ZarrStore::open_read(&dir).unwrap();
        let refused = store.read(&at("x"), &[rows, Rows::All(7)]);
        assert!(matches!(refused, Err(Error::Malformed { .. })), "{refused:?}");
    }
}

#[test]
fn a_chunk_that_an_archive_has_compressed_is_inflated_once() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("s.zarr");
    drop(ZarrStore::create(&dir, Flavour::V3).unwrap());
    let data = values();
    write(&dir, [10, 7], &codecs()[0].1, &data);
    // Rows of two chunks, some columns of others of these, and all of one chunk.
    let (rows, part) = ([Rows::span(8, 12), Rows::All(7)], [Rows::span(0, 20), Rows::span(2, 4)]);
    let whole = [Rows::span(0, 10), Rows::All(7)];
    let costs = |method| {
        let store = archive(&dir, method);
        store.node(&at("x")).unwrap();
        [&rows, &part, &whole].map(|rows| {
            let before = store.stats();
            assert_eq!(store.read(&at("x"), rows).unwrap(), data.take(rows));
            let stats = store.stats() - before;
            (stats.chunks, stats.bytes_read)
        })
    };
    assert_eq!(costs(CompressionMethod::Stored)[0], (2, 4 * 28));
    // Then they are remembered.
    assert_eq!(costs(CompressionMethod::Deflated), [(2, 2 * 280), (0, 0), (0, 0)]);
}

#[test]
fn a_chunk_is_decoded_as_far_as_it_is_wanted_and_then_whole() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("s.zarr");
    drop(ZarrStore::create(&dir, Flavour::V3).unwrap());
    let data = values();
    write(&dir, [23, 7], &codecs()[1].1, &data);
    let store = ZarrStore::open_read(&dir).unwrap();
    // Its beginning, something within that, more than that, and all that was not wanted before.
    for (rows, fetched) in [(0..4, 1), (1..3, 0), (4..5, 1), (17..20, 0), (22..23, 0)] {
        let rows = [Rows::span(rows.start, rows.end), Rows::All(7)];
        let before = store.stats();
        assert_eq!(store.read(&at("x"), &rows).unwrap(), data.take(&rows));
        assert_eq!((store.stats() - before).chunks, fetched, "{rows:?}");
    }
}

/// What takes the place of a chunk file: in place or by a rename, and with a time as far from that of the old one.
#[derive(Debug, Clone, Copy)]
struct Replacing {
    in_place: bool,
    days: i64,
}

impl Replacing {
    fn all() -> impl Iterator<Item = Self> {
        [true, false].into_iter().flat_map(|in_place| [-30, 0, 30].map(|days| Self { in_place, days }))
    }

    /// Gives `chunk` the content of `other`; its directory looks as if nothing had happened.
    fn carry_out(self, chunk: &Path, other: &Path) {
        let time = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        let day = std::time::Duration::from_secs(86_400) * self.days.unsigned_abs() as u32;
        let old = time(chunk);
        let new = if self.days < 0 { old - day } else { old + day };
        let above = chunk.parent().unwrap();
        let before = time(above);
        let target = if self.in_place { chunk.to_owned() } else { above.join("new") };
        fs::copy(other, &target).unwrap();
        fs::File::options().write(true).open(&target).unwrap().set_modified(new).unwrap();
        fs::rename(&target, chunk).unwrap();
        fs::File::open(above).unwrap().set_modified(before).unwrap();
    }
}

#[test]
fn what_is_remembered_of_a_chunk_does_not_hide_that_it_was_changed() {
    let codec = |wanted: &str| codecs().into_iter().find(|(name, _)| *name == wanted).unwrap().1;
    // The codec, lengths of chunks, rows that are read before, the chunk that is replaced, and rows that are read then.
    let cases = [
        ("zstd", [5, 7], 1..3, "c.0.0", 1..3),
        ("zstd", [5, 7], 1..3, "c.0.0", 1..5),
        ("zstd shards", [10, 7], 1..3, "c.0.0", 1..3),
        // Of the shard, the index alone is known; and that there is no such chunk in it.
        ("zstd shards", [10, 7], 1..3, "c.0.0", 7..8),
        ("raw shards", [10, 7], 1..3, "c.0.0", 1..3),
        ("zstd shards", [10, 7], 11..13, "c.1.0", 11..13),
    ];
    for (name, chunk, first, replaced, then) in cases {
        for (how, clock_is_ahead) in Replacing::all().flat_map(|how| [(how, false), (how, true)]) {
            let what = format!("{name} {first:?} {then:?} {how:?} {clock_is_ahead}");
            let temp = tempfile::tempdir().unwrap();
            let dir = temp.path().join("s.zarr");
            drop(ZarrStore::create(&dir, Flavour::V3).unwrap());
            write(&dir, chunk, &codec(name), &values());
            if clock_is_ahead {
                // Of what this clock says, nothing is later.
                let year = std::time::Duration::from_secs(86_400 * 365);
                fs::File::open(&dir).unwrap().set_modified(std::time::SystemTime::now() + year).unwrap();
            }
            let store = ZarrStore::open_read(&dir).unwrap();
            let rows = |rows: &std::ops::Range<usize>| [Rows::span(rows.start, rows.end), Rows::All(7)];
            assert_eq!(store.read(&at("x"), &rows(&first)).unwrap(), values().take(&rows(&first)), "{what}");
            std::thread::sleep(std::time::Duration::from_millis(20));
            let other = if replaced == "c.0.0" { "c.1.0" } else { "c.0.0" };
            how.carry_out(&dir.join("x").join(replaced), &dir.join("x").join(other));
            for again in [&then, &first, &(20..22)] {
                let read = store.read(&at("x"), &rows(again));
                assert!(matches!(read, Err(Error::StoreChanged { .. })), "{what}: {read:?}");
            }
            let anew = ZarrStore::open_read(&dir).unwrap().read(&at("x"), &rows(&then)).unwrap();
            assert_ne!(anew, values().take(&rows(&then)), "{what}");
        }
    }
}

#[test]
fn what_comes_from_memory_is_not_read_again() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("s.zarr");
    drop(ZarrStore::create(&dir, Flavour::V3).unwrap());
    write(&dir, [5, 7], &codecs()[1].1, &values());
    let store = ZarrStore::open_read(&dir).unwrap();
    let rows = [Rows::span(1, 3), Rows::All(7)];
    store.read(&at("x"), &rows).unwrap();
    let before = store.stats();
    store.read(&at("x"), &rows).unwrap();
    assert_eq!(store.stats(), before);
}
