//! The main job on real data, told step by step: open, look, cut, add an embedding, write, and have everyone else read it.
//! `make demo` runs it on the 700 cells of `data/` in Zarr v2, Zarr v3 and h5ad form, and as anndata 0.5 laid them out.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use anndata_shadow::ndarray::{Array2, Axis, s};
use anndata_shadow::polars::prelude::{ChunkCompareEq, NamedFrom, Series};
use anndata_shadow::sprs::CsMat;
use anndata_shadow::{AnnDataShadow, Format, IoStats, Mode, WriteOptions};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    // Paths as a user at the top of the checkout would write them.
    std::env::set_current_dir(env!("CARGO_MANIFEST_DIR"))?;
    let scratch = Path::new("target/demo");
    let modern = ["pbmc68k_reduced_v2.zarr", "pbmc68k_reduced_v3.zarr", "pbmc68k_reduced.h5ad"];
    for name in modern.into_iter().chain(["h5ad/10x_pbmc68k_reduced.h5ad"]) {
        let path = scratch.join(name);
        fresh_copy(&Path::new("data").join(name), &path)?;
        println!("\n════════ {name} ════════");
        session(&path)?;
    }
    println!("\nDone. The files are in {}.", scratch.display());
    Ok(())
}

fn session(path: &Path) -> Outcome {
    let shadow = AnnDataShadow::open(path)?;
    let mut meter = Meter::new(&shadow);
    println!("{shadow}");
    meter.tell("open and show");

    let louvain: Series = shadow.obs().column("louvain")?;
    println!("obs/louvain: {} values, {} clusters", louvain.len(), louvain.n_unique()?);
    meter.tell("one obs column");

    let pca: Array2<f32> = shadow.obsm().read("X_pca")?;
    println!("obsm/X_pca: {:?}, first {:.3}", pca.dim(), pca[[0, 0]]);
    meter.tell("one embedding");

    let x: CsMat<f32> = shadow.select(0..100, ..)?.x().read()?;
    println!("X[:100]: {} × {}, {} values not 0", x.rows(), x.cols(), x.nnz());
    meter.tell("100 rows of X");

    let lyz = shadow.obs_vector("LYZ", None)?;
    println!("LYZ: mean {:.4} over {} cells", lyz.mean().unwrap_or(f64::NAN), lyz.len());
    meter.tell("one gene");

    let mono = shadow.select(louvain.equal("1")?, ["CST3", "LYZ"])?;
    println!("{}", mono.to_string().lines().next().unwrap_or_default());
    let inner = mono.select([3, 1, -1], ..)?;
    let corner: Array2<f32> = inner.x().read()?;
    println!("{}\n{corner:.3}", inner.to_string().lines().next().unwrap_or_default());
    meter.tell("a view by label and names, and a view of it");

    let scaled = &pca / &pca.std_axis(Axis(0), 0.0);
    shadow.obsm().insert("X_scaled", scaled)?;
    let score: Vec<f64> = pca.column(0).iter().map(|&v| f64::from(v)).collect();
    shadow.obs().insert(Series::new("score".into(), score))?;
    println!("{}\n{}", shadow.obsm(), shadow.obs());
    meter.tell("an embedding and a column set, in memory");

    if let Err(refused) = shadow.write(WriteOptions::default()) {
        println!("write: {refused}");
    }
    let receipt = shadow.reopen(Mode::ReadWrite)?.write(WriteOptions::default().clear_cache(true))?;
    shadow.reopen(Mode::Read)?;
    println!("{receipt}\n{}", shadow.obsm());
    meter.tell("reopen(r+), write, reopen(r)");

    let scaled: Array2<f32> = shadow.obsm().read("X_scaled")?;
    shadow.obsm().insert("X_scaled", scaled.slice(s![.., ..2]).to_owned())?;
    shadow.obs().remove("n_counts")?;
    shadow.obs().rename("bulk_labels", "labels")?;
    println!("{}\n{}", shadow.obsm(), shadow.obs());
    let receipt = shadow.reopen(Mode::ReadWrite)?.write(WriteOptions::default().clear_cache(true))?;
    shadow.reopen(Mode::Read)?;
    println!("{receipt}");
    meter.tell("an embedding replaced, a column removed, one renamed: one transaction");

    let out = Command::new(adshadow()?).arg("get").arg(path).args(["obsm/X_scaled", "--rows", "0:2"]).output()?;
    println!("another process, `adshadow get … obsm/X_scaled --rows 0:2`:\n{}", told(&out)?);
    let out = Command::new(".venv/bin/python").arg("examples/demo_reader.py").arg(path).output()?;
    println!("Python, `anndata.read_*`:\n{}", told(&out)?);
    Ok(())
}

/// Prints what each step has read and written.
struct Meter<'a> {
    shadow: &'a AnnDataShadow,
    before: IoStats,
}

impl<'a> Meter<'a> {
    fn new(shadow: &'a AnnDataShadow) -> Self {
        Self { shadow, before: IoStats::default() }
    }

    fn tell(&mut self, step: &str) {
        let now = self.shadow.io_stats();
        let IoStats { documents, chunks, bytes_read, bytes_written, .. } = now - self.before;
        self.before = now;
        let metadata = match self.shadow.format() {
            Format::Hdf5 => "HDF5's own metadata not counted".to_owned(),
            _ => format!("{documents} metadata documents"),
        };
        println!("    └─ {step}: {bytes_read} bytes read ({metadata}, {chunks} chunks), {bytes_written} written");
    }
}

/// What a process printed; its complaint, if it failed.
fn told(output: &std::process::Output) -> Outcome<String> {
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout.clone())?.trim_end().to_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
}

/// The command line, built beside this example.
fn adshadow() -> Outcome<PathBuf> {
    let here = std::env::current_exe()?;
    let profile = here.parent().and_then(Path::parent).ok_or("no build directory")?;
    Ok(profile.join(format!("adshadow{}", std::env::consts::EXE_SUFFIX)))
}

fn fresh_copy(from: &Path, to: &Path) -> Outcome {
    match std::fs::metadata(to) {
        Ok(old) if old.is_dir() => std::fs::remove_dir_all(to)?,
        Ok(_) => std::fs::remove_file(to)?,
        Err(_) => {}
    }
    copy(from, to)
}

fn copy(from: &Path, to: &Path) -> Outcome {
    if from.is_dir() {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else {
        std::fs::create_dir_all(to.parent().ok_or("no parent")?)?;
        std::fs::copy(from, to)?;
    }
    Ok(())
}
