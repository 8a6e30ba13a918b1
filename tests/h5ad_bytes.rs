//! Opening and showing an h5ad reads none of its data: counted by the system, alone in its process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod stores;

use anndata_shadow::ndarray::Array2;
use anndata_shadow::{AnnDataShadow, Mode, OpenOptions, WriteOptions};

/// Bytes that this process has asked the system for.
fn bytes_read() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|l| l.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

#[test]
fn showing_an_h5ad_reads_no_array_data() {
    let copy = stores::Copy::of("pbmc68k_reduced.h5ad");
    // Make the data outweigh the metadata by far.
    let shadow = AnnDataShadow::open_with(&copy.path, &OpenOptions::default().mode(Mode::ReadWrite)).unwrap();
    let noise = Array2::from_shape_fn((700, 5000), |(r, c)| ((r * 5000 + c) as u32).wrapping_mul(2_654_435_761));
    shadow.obsm().insert("big", noise).unwrap();
    shadow.write(WriteOptions::default().clear_cache(true)).unwrap();
    shadow.close().unwrap();
    drop(shadow);

    let size = copy.size();
    let before = bytes_read();
    let shadow = AnnDataShadow::open(&copy.path).unwrap();
    assert!(shadow.to_string().contains("big"));
    let shown = bytes_read() - before;
    assert_eq!(shadow.io_stats().chunks, 0);
    assert!(size > 10_000_000 && shown < 400_000, "{shown} of {size} bytes read");
    println!("opening and showing read {shown} of {size} bytes");
}
