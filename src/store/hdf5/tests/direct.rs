//! Which datasets are read without the library, and for how long what is kept of them holds.

use super::super::bytes::read_at;
use super::super::journal::Changes;
use super::super::opened::MAX_SOURCES;
use super::super::pages::Pages;
use super::super::places::MAX_PLACES;
use super::*;

/// Whether the dataset is kept after it has been read, as those are that are read without the library.
fn is_direct(store: &Hdf5Store, name: &str) -> bool {
    read_all(store, &path(name)).unwrap();
    store.file.read().as_ref().unwrap().source(&path(name)).is_some()
}

#[test]
fn plain_numbers_are_read_without_the_library() {
    let temp = temp();
    let file = hdf5_metno::File::create(&temp.path).unwrap();
    let numbers = ndarray::Array2::<i32>::from_shape_fn((40, 50), |(r, c)| (r * c) as i32);
    let build = || file.new_dataset_builder();
    build().with_data(&numbers).create("block").unwrap();
    build().with_data(&numbers).chunk((7, 9)).create("chunks").unwrap();
    build().with_data(&numbers).chunk((7, 9)).shuffle().deflate(3).fletcher32().create("gzip").unwrap();
    build().with_data(&numbers).chunk((7, 9)).lzf().create("lzf").unwrap();
    file.new_dataset::<f32>().shape(30).chunk(10).create("unwritten chunks").unwrap();
    build()
        .with_data(&numbers)
        .chunk((7, 9))
        .scale_offset(hdf5_metno::filters::ScaleOffset::Integer(0))
        .create("scaled")
        .unwrap();
    build().with_data(&numbers.mapv(|n| n > 5)).create("bools").unwrap();
    file.new_dataset::<f32>().create("scalar").unwrap();
    file.new_dataset::<f32>().shape(30).create("unwritten").unwrap();
    // More places than are kept in memory.
    file.new_dataset::<u8>().shape(MAX_PLACES + 1).chunk(1).create("crumbs").unwrap();
    drop(file);
    let store = Hdf5Store::open_read(&temp.path).unwrap();
    for name in ["block", "chunks", "gzip", "lzf", "unwritten chunks"] {
        assert!(is_direct(&store, name), "{name}");
    }
    for name in ["scaled", "bools", "scalar", "unwritten"] {
        assert!(!is_direct(&store, name), "{name}");
    }
    let crumbs = store.read(&path("crumbs"), &[Rows::picks([MAX_PLACES, 0])]).unwrap();
    assert_eq!(crumbs, Array::from_vec(vec![0_u8, 0]));
    assert!(store.file.read().as_ref().unwrap().source(&path("crumbs")).is_none());
}

#[test]
fn the_index_in_the_file_says_what_the_library_says() {
    // Datasets of which the index was understood, those chunks, and datasets that were left to the library.
    fn compare(store: &Hdf5Store, at: &ElemPath, seen: &mut [usize; 3]) {
        let file = store.file.read();
        let object = tree::find(file.as_ref().unwrap(), at).unwrap().unwrap();
        if object.kind() == Kind::Group {
            drop(file);
            return store.children(at).unwrap().iter().for_each(|name| compare(store, &at.join(name).unwrap(), seen));
        }
        let (layout, shape) = (ffi::layout(&object).unwrap(), ffi::stored_shape(&object).unwrap());
        let (Some(lens), Some(shape)) = (layout.chunks, shape.filter(|shape| !shape.contains(&0))) else { return };
        let counts: Vec<usize> = shape.iter().zip(&lens).map(|(n, len)| n.div_ceil(*len)).collect();
        let (header, base) = ffi::header_of(&object).unwrap().unwrap();
        let dtype = Type::of_dataset(&object).unwrap();
        // In memory, texts and what holds them are of other sizes than in the file; they are left to the library.
        if !matches!(dtype.class(), ffi::Class::Integer | ffi::Class::Float) {
            return;
        }
        let item = dtype.size();
        let described = chunk_tree::Described { header, base, lens: &lens, counts: &counts, item };
        let found = chunk_tree::chunks(&ffi::image_of(&object).unwrap(), &described);
        let said = ffi::stored_chunks(&object, &lens, &counts).unwrap().unwrap();
        match found {
            Some(found) => assert_eq!(found, said, "{}: {at}", store.name),
            None => seen[2] += 1,
        }
        *seen = [seen[0] + 1, seen[1] + said.len(), seen[2]];
    }
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let mut seen = [0; 3];
    let compare_file = |name: &str, seen: &mut [usize; 3]| {
        let store = Hdf5Store::open_read(&data.join(name)).unwrap();
        compare(&store, &ElemPath::root(), seen);
    };
    for name in ["pbmc68k_reduced.h5ad", "archive_v0.13.h5ad", "h5ad/10x_pbmc68k_reduced.h5ad"] {
        compare_file(name, &mut seen);
    }
    assert_eq!(seen[2], 0, "what anndata writes is understood");
    for entry in std::fs::read_dir(data.join("h5ad")).unwrap() {
        let name = format!("h5ad/{}", entry.unwrap().file_name().to_str().unwrap());
        if !name.contains("truncated") {
            compare_file(&name, &mut seen);
        }
    }
    // Of two levels, on two axes, with a chunk that is missing, and behind a block of another's; in the headers that the library makes
    // now.
    let temp = temp();
    let file = hdf5_metno::File::create(&temp.path).unwrap();
    let plane = file.new_dataset::<u8>().shape((300, 400)).chunk((3, 4)).create("plane").unwrap();
    plane.write_slice(&ndarray::Array2::<u8>::ones((297, 400)), (3.., ..)).unwrap();
    drop((plane, file));
    compare(&Hdf5Store::open_read(&temp.path).unwrap(), &ElemPath::root(), &mut seen);
    assert!(seen[0] > 100 && seen[1] > 9_900 && seen[2] * 2 < seen[0], "{seen:?}");
}

#[test]
fn chunks_are_remembered_where_a_part_of_them_was_wanted() {
    let temp = temp();
    let file = hdf5_metno::File::create(&temp.path).unwrap();
    let numbers = ndarray::Array2::<i32>::from_shape_fn((40, 50), |(r, c)| (r * c) as i32);
    let build = || file.new_dataset_builder().with_data(&numbers);
    build().chunk((7, 9)).deflate(3).create("plane").unwrap();
    build().chunk((7, 50)).deflate(3).create("rows").unwrap();
    drop(file);
    let store = Hdf5Store::open_read(&temp.path).unwrap();
    let whole = Array::from(numbers);
    let cost = |name: &str, rows: Rows| {
        let (before, rows) = (store.stats(), [rows, Rows::All(50)]);
        assert_eq!(store.read(&path(name), &rows).unwrap(), whole.take(&rows), "{name}");
        (store.stats() - before).chunks
    };
    // Six rows of chunks; the last of them reach beyond the array.
    for (name, across) in [("plane", 6), ("rows", 1)] {
        assert_eq!(cost(name, Rows::All(40)), 6 * across, "{name}");
        assert_eq!(cost(name, Rows::Range { start: 39, step: -1, len: 40 }), 6 * across, "{name}: nothing was kept");
        assert_eq!(cost(name, Rows::picks([38, 8])), 2 * across, "{name}");
        assert_eq!(cost(name, Rows::span(35, 40)), 0, "{name}");
        assert_eq!(cost(name, Rows::All(40)), 4 * across, "{name}");
    }
}

#[test]
fn of_many_datasets_those_used_last_stay_open() {
    let temp = temp();
    let store = Hdf5Store::create(&temp.path).unwrap();
    let name = |i: usize| path(&format!("a{i}"));
    for i in 0..MAX_SOURCES + 3 {
        store.create_array(&name(i), &ints(5), PLAIN, &Attrs::new()).unwrap();
    }
    store.publish().unwrap();
    let is_kept = |i: usize| store.file.read().as_ref().unwrap().source(&name(i)).is_some();
    for i in 0..MAX_SOURCES + 3 {
        read_all(&store, &name(i)).unwrap();
        // Used again and again, the first stays.
        assert!(is_kept(0) && is_kept(i), "{i}");
    }
    let kept: Vec<usize> = (0..MAX_SOURCES + 3).filter(|&i| is_kept(i)).collect();
    assert_eq!(kept, std::iter::once(0).chain(4..MAX_SOURCES + 3).collect::<Vec<_>>());
}

/// Whoever appends or syncs holds the volume meanwhile; nobody who reads waits for that, also not in the library.
#[test]
fn readers_do_not_wait_for_the_disk_of_a_writer() {
    let temp = temp();
    let store = Arc::new(Hdf5Store::create(&temp.path).unwrap());
    let texts = Array::from_vec((0..500).map(|i| format!("text {i}")).collect::<Vec<_>>());
    store.create_array(&path("numbers"), &ints(500), PLAIN, &Attrs::new()).unwrap();
    store.create_array(&path("texts"), &texts, PLAIN, &Attrs::new()).unwrap();
    store.publish().unwrap();
    assert!(is_direct(&store, "numbers") && !is_direct(&store, "texts"));
    store.create_array(&path("more"), &ints(1000), PLAIN, &Attrs::new()).unwrap();
    let at_its_disk = store.volume.lock();
    let (done, results) = std::sync::mpsc::channel();
    for name in ["numbers", "texts"] {
        let (store, done) = (Arc::clone(&store), done.clone());
        std::thread::spawn(move || drop(done.send((name, read_all(&*store, &path(name)).unwrap()))));
    }
    for _ in 0..2 {
        // Who waits would wait for ever.
        let (name, read) = results.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
        assert_eq!(read, if name == "texts" { texts.clone() } else { ints(500) });
    }
    drop(at_its_disk);
}

/// Many small arrays, so that data and what changes share pages.
fn fill(store: &Hdf5Store, prefix: &str, many: i32) {
    for i in 0..many {
        store.create_array(&path(&format!("{prefix}{i}")), &ints(10 + i), PLAIN, &attrs(json!({"i": i}))).unwrap();
    }
}

#[test]
fn a_writer_reads_what_is_published_also_after_it_has_published_more() {
    let temp = temp();
    let store = Hdf5Store::create(&temp.path).unwrap();
    let check = |prefix: &str| {
        for i in 0..20 {
            assert_eq!(read_all(&store, &path(&format!("{prefix}{i}"))).unwrap(), ints(10 + i), "{prefix}{i}");
        }
    };
    fill(&store, "a", 20);
    store.publish().unwrap();
    check("a");
    // Staged, so that pages in memory lie over the file.
    fill(&store, "b", 20);
    store.set_attrs(&path("a3"), &attrs(json!({"more": "x".repeat(3000)}))).unwrap();
    check("a");
    store.publish().unwrap();
    check("a");
    check("b");
    // Another array in the place of one that was read.
    store.remove(&path("a7")).unwrap();
    store.create_array(&path("a7"), &Array::from_vec(vec![2.5_f64; 9]), PLAIN, &Attrs::new()).unwrap();
    assert_eq!(read_all(&store, &path("a7")).unwrap(), ints(17));
    store.publish().unwrap();
    assert_eq!(read_all(&store, &path("a7")).unwrap(), Array::from_vec(vec![2.5_f64; 9]));
    store.rename(&path("a7"), &path("c")).unwrap();
    store.rename(&path("b7"), &path("a7")).unwrap();
    store.publish().unwrap();
    check("a");
    assert_eq!(read_all(&store, &path("c")).unwrap(), Array::from_vec(vec![2.5_f64; 9]));
    store.remove(&path("a7")).unwrap();
    store.abandon().unwrap();
    check("a");
}

/// Numbers in the file that a journal changes are read as changed.
#[test]
fn what_lies_in_a_journal_is_read_over_the_file() {
    let temp = temp();
    let store = Hdf5Store::create(&temp.path).unwrap();
    let numbers = Array::from_vec((0..4000_i32).collect::<Vec<_>>());
    store.create_array(&path("x"), &numbers, PLAIN, &Attrs::new()).unwrap();
    store.publish().unwrap();
    drop(store);
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&temp.path).unwrap();
    let bytes = std::fs::read(&temp.path).unwrap();
    let start = bytes.windows(12).position(|w| w == [0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]).unwrap() as u64;
    let mut pages = Pages::new(bytes.len() as u64);
    let read = |at: u64, out: &mut [u8]| read_at(&file, at, out);
    pages.write(start + 4 * 1000, &(-1_i32).to_le_bytes(), read).unwrap();
    let changes = Changes {
        base: bytes.len() as u64,
        length: bytes.len() as u64,
        runs: pages.runs(bytes.len() as u64, read).unwrap(),
    };
    let volume = Volume::reading(temp.path.clone(), file, Some(&changes)).unwrap().shared();
    let claim = Claim::new(&temp.path, false).unwrap();
    let store = Hdf5Store::new(&temp.path, volume, claim).unwrap();
    let mut wanted: Vec<i32> = (0..4000).collect();
    wanted[1000] = -1;
    assert_eq!(read_all(&store, &path("x")).unwrap(), Array::from_vec(wanted));
    let picks = store.read(&path("x"), &[Rows::picks([1001, 1000, 3999])]).unwrap();
    assert_eq!(picks, Array::from_vec(vec![1001, -1, 3999]));
    assert!(is_direct(&store, "x"));
}
