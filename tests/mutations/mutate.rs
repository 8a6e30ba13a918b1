//! Damaged copies of stores, from a seed.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::common::{self, dice::Dice};
use crate::stores;

/// A sound store to damage: its files by their path inside it ("" for a single file).
pub struct Seed {
    pub name: String,
    files: Vec<(PathBuf, Vec<u8>)>,
}

const FIXTURES: &[&str] = &[
    "codecs_v2.zarr",
    "foreign.h5ad",
    "kitchen.h5ad",
    "kitchen_v2.zarr",
    "kitchen_v3.zarr",
    "kitchen_v3_sharded.zarr",
    "legacy_05.h5ad",
    "legacy_06.h5ad",
    "legacy_07.h5ad",
    "legacy_07_v2.zarr",
    "main.h5ad",
    "main_gzip.h5ad",
    "main_lzf.h5ad",
    "main_v2.zarr",
    "main_v3.zarr",
    "main_v3_sharded.zarr",
    "mu.h5mu",
    "mu_v3.zarr",
];

const DATA: &[&str] = &[
    "archives/anndata/v0.11.4/adata.h5ad",
    "archives/anndata/v0.11.4/adata.zarr.zip",
    "archives/mudata/v0.1.2/mdata_axis0.zarr.zip",
    "h5ad/bpcells_mini_uint16_v0.10.9.h5ad",
    "h5ad/kb_python_2019_29x17.h5ad",
    "h5ad/multiome_10x_100x100.h5ad",
    "h5ad/pbmc_small_csc.h5ad",
    "h5ad/pbmc_small_seuratdisk.h5ad",
    "h5ad/snapatac2_fragments_62x0.h5ad",
    "zarr/ehrdata_sparse_tem.zarr",
    "zarr/vitessce_fixtures/anndata-0.12-csr.zarr",
];

/// Small stores of every kind, always in the same order.
pub fn seeds() -> Vec<Seed> {
    let fixtures = FIXTURES.iter().map(|name| common::fixtures().join(name));
    let paths = fixtures.chain(DATA.iter().map(|name| stores::data(name)));
    let mut seeds = Vec::new();
    for path in paths {
        let mut files = Vec::new();
        collect(&path, Path::new(""), &mut files);
        files.sort();
        seeds.push(Seed { name: path.file_name().unwrap().to_str().unwrap().to_owned(), files });
    }
    seeds
}

fn collect(at: &Path, inner: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    if at.is_dir() {
        for entry in fs::read_dir(at).unwrap() {
            let entry = entry.unwrap();
            collect(&entry.path(), &inner.join(entry.file_name()), files);
        }
    } else {
        files.push((inner.to_owned(), fs::read(at).unwrap()));
    }
}

/// Where the AnnData objects are that are looked at in a store of this name.
pub fn inner_objects(name: &str) -> &'static [&'static str] {
    match name {
        _ if name.starts_with("mu") && !name.starts_with("multi") => &["mod/rna", "mod/adt"],
        _ if name.starts_with("mdata") => &["mod/mod1"],
        _ if name.starts_with("ehrdata") => &["anndata"],
        _ => &[""],
    }
}

/// Writes a damaged copy of a store into a folder.
pub fn damaged(seed: &Seed, others: &[Seed], random: &mut Dice, folder: &Path) -> PathBuf {
    let path = folder.join(&seed.name);
    let is_file = seed.files.len() == 1 && seed.files[0].0.as_os_str().is_empty();
    let mut files = seed.files.clone();
    for _ in 0..=random.below(3) {
        if is_file {
            let other = random.pick(others);
            let other = &random.pick(&other.files).1;
            damage_bytes(&mut files[0].1, other, random);
        } else {
            damage_directory(&mut files, random);
        }
    }
    for (inner, bytes) in &files {
        let at = if is_file { path.clone() } else { path.join(inner) };
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, bytes).unwrap();
    }
    path
}

pub fn remove(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

/// Numbers that lengths, counts, addresses and offsets are replaced by.
const HOSTILE: [u64; 16] = [
    0,
    1,
    2,
    0x7F,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFF_FFFF,
    0xFFFF_FFFF,
    1 << 32,
    1 << 40,
    1 << 60,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// Marks of HDF5's structures, near which metadata are.
const MARKS: [&[u8]; 10] =
    [b"\x89HDF", b"TREE", b"HEAP", b"SNOD", b"GCOL", b"OHDR", b"FRHP", b"BTHD", b"FHDB", b"encoding-type"];

fn damage_bytes(bytes: &mut Vec<u8>, other: &[u8], random: &mut Dice) {
    if bytes.is_empty() {
        return;
    }
    let place = somewhere(bytes, random);
    let run = 1 + random.below(64).min(bytes.len() - place - 1);
    match random.below(10) {
        0 => {
            for _ in 0..=random.below(8) {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
        }
        1 | 2 => bytes[place] ^= 1 << random.below(8),
        3 => bytes[place..place + run].iter_mut().for_each(|b| *b = random.next() as u8),
        4 => {
            let with = *random.pick(&[0, 0xFF]);
            bytes[place..place + run].fill(with);
        }
        5 => inflate(bytes, place, random),
        6 => {
            // An address or length by another that is in the file: structures that lead in circles or overlap.
            let (to, from) = (place & !7, somewhere(bytes, random) & !7);
            if to.max(from) + 8 <= bytes.len() {
                bytes.copy_within(from..from + 8, to);
            }
        }
        7 => bytes.truncate(random.below(bytes.len())),
        8 => {
            let from = random.below(bytes.len() - run + 1);
            bytes.copy_within(from..from + run, place);
        }
        _ => {
            let n = run.min(other.len());
            let from = random.below(other.len() - n + 1);
            bytes[place..place + n].copy_from_slice(&other[from..from + n]);
        }
    }
}

/// A place in a file, mostly near one of its structures.
fn somewhere(bytes: &[u8], random: &mut Dice) -> usize {
    let mark = random.pick(&MARKS);
    if random.below(3) > 0 {
        let found: Vec<usize> =
            bytes.windows(mark.len()).enumerate().filter(|(_, w)| w == mark).map(|(i, _)| i).collect();
        if !found.is_empty() {
            return (*random.pick(&found) + random.below(192)).min(bytes.len() - 1);
        }
    }
    random.below(bytes.len())
}

/// Replaces a number of 1, 2, 4 or 8 bytes.
fn inflate(bytes: &mut [u8], place: usize, random: &mut Dice) {
    let width = *random.pick(&[1, 2, 4, 8, 8]);
    let at = place / width * width;
    if at + width > bytes.len() {
        return;
    }
    let value = match random.below(3) {
        0 => bytes.len().saturating_sub(random.below(16)) as u64,
        _ => *random.pick(&HOSTILE),
    };
    bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
}

fn is_document(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(".z") || name == "zarr.json"
}

fn damage_directory(files: &mut Vec<(PathBuf, Vec<u8>)>, random: &mut Dice) {
    let (documents, chunks): (Vec<usize>, Vec<usize>) = (0..files.len()).partition(|&i| is_document(&files[i].0));
    let documents: Vec<usize> = documents.into_iter().filter(|&i| !files[i].1.is_empty()).collect();
    // The root's documents, of which one holds the map, more often than others.
    let roots: Vec<usize> = documents.iter().copied().filter(|&i| files[i].0.components().count() == 1).collect();
    let document =
        if random.below(3) == 0 && !roots.is_empty() { *random.pick(&roots) } else { *random.pick(&documents) };
    let chunk = if chunks.is_empty() { document } else { *random.pick(&chunks) };
    match random.below(12) {
        0..=5 => edit_document(&mut files[document].1, random),
        6 => {
            let other = files[*random.pick(&documents)].1.clone();
            damage_bytes(&mut files[document].1, &other, random);
        }
        7..=9 => {
            let other = files[*random.pick(&(0..files.len()).collect::<Vec<_>>())].1.clone();
            let bytes = &mut files[chunk].1;
            let last = bytes.len().saturating_sub(1);
            match random.below(4) {
                // Heads and tails of chunks hold lengths and offsets.
                0 => inflate(bytes, random.below(32).min(last), random),
                1 => inflate(bytes, last - random.below(64).min(last), random),
                2 => *bytes = other,
                _ => damage_bytes(bytes, &other, random),
            }
        }
        10 => drop(files.remove(if random.below(2) == 0 { document } else { chunk })),
        _ => files[chunk].1.clear(),
    }
}

/// Changes one value somewhere in a JSON document.
fn edit_document(bytes: &mut Vec<u8>, random: &mut Dice) {
    let Ok(mut whole) = serde_json::from_slice::<Value>(bytes) else { return };
    let mut places = Vec::new();
    pointers(&whole, &mut String::new(), &mut places);
    let place: String = random.pick(&places).clone();
    let other = random.pick(&places).clone();
    let other = whole.pointer(&other).cloned().unwrap_or_default();
    let new = hostile(whole.pointer(&place).unwrap_or(&Value::Null), other, random);
    match (new, place.rsplit_once('/')) {
        (Some(new), _) => *whole.pointer_mut(&place).unwrap() = new,
        (None, Some((parent, key))) => {
            let key = key.replace("~1", "/").replace("~0", "~");
            match whole.pointer_mut(parent).unwrap() {
                Value::Object(o) => drop(o.remove(&key)),
                Value::Array(a) => drop(a.pop()),
                _ => {}
            }
        }
        (None, None) => {}
    }
    *bytes = serde_json::to_vec(&whole).unwrap();
    if random.below(40) == 0 {
        // Deeper than a parser may follow: put into the text, for no value nests this deep here.
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let text = String::from_utf8_lossy(bytes).replacen("null", &deep, 1);
        *bytes = text.into_bytes();
    }
}

fn pointers(value: &Value, at: &mut String, found: &mut Vec<String>) {
    found.push(at.clone());
    let mut below = |key: &str, value: &Value| {
        let length = at.len();
        at.push('/');
        at.push_str(&key.replace('~', "~0").replace('/', "~1"));
        pointers(value, at, found);
        at.truncate(length);
    };
    match value {
        Value::Object(o) => o.iter().for_each(|(k, v)| below(k, v)),
        Value::Array(a) => a.iter().enumerate().for_each(|(i, v)| below(&i.to_string(), v)),
        _ => {}
    }
}

/// What a value is replaced by; `None` to take it away.
fn hostile(value: &Value, other: Value, random: &mut Dice) -> Option<Value> {
    const NUMBERS: [i64; 12] = [-1, 0, 1, 3, 1 << 20, 1 << 31, 1 << 32, 1 << 40, 1 << 60, i64::MAX, i64::MIN, -5];
    const TEXTS: [&str; 40] = [
        "",
        "..",
        "../../..",
        "/etc/passwd",
        "a/b",
        "NaN",
        "-Infinity",
        "0x7fc00000",
        "<f8",
        ">f4",
        "|O",
        "|S0",
        "<U0",
        "<U999999999",
        "|V8",
        "<M8[ns]",
        "|b1",
        "<c16",
        "float64",
        "string",
        "bool",
        "int8",
        "complex64",
        "float8",
        "bytes",
        "vlen-utf8",
        "blosc",
        "zstd",
        "gzip",
        "sharding_indexed",
        "transpose",
        "crc32c",
        "csr_matrix",
        "csc_matrix",
        "categorical",
        "dataframe",
        "nullable-integer",
        "anndata",
        "raw",
        "dict",
    ];
    match random.below(10) {
        0 => None,
        1 => Some(other),
        2 => Some(random.pick(&[json!(null), json!([]), json!({}), json!(true), json!(1e308), json!([[]])]).clone()),
        3 => Some(json!(vec![1; 1 + random.below(40)])),
        4 => Some(json!("x".repeat(1 << random.below(17)))),
        _ => match value {
            Value::Number(_) => Some(json!(random.pick(&NUMBERS))),
            Value::Array(list) if random.below(2) == 0 => Some(json!([list.clone(), list.clone()].concat())),
            Value::Array(list) => Some(json!(list.iter().map(|_| *random.pick(&NUMBERS)).collect::<Vec<_>>())),
            Value::String(_) => Some(json!(random.pick(&TEXTS))),
            _ => Some(json!(random.pick(&[u64::MAX, 1 << 60, 0]))),
        },
    }
}
