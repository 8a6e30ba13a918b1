//! One task of this library, in a process of its own: `bench-tasks TASK FACTS STORE`
//!
//! Does as `benches/peers.py` does, which says what is printed: one JSON line with time, memory, bytes read, and numbers that every
//! reader must agree on. `FACTS` is the JSON that `benches/data.py` wrote beside the store. Several tasks may be asked for with commas
//! between them: for tests of the checks, not for figures.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark stops at the first surprise")]

mod check;
mod process;

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anndata_shadow::ndarray::Array2;
use anndata_shadow::polars::prelude::{NamedFrom, Series};
use anndata_shadow::{AnnDataShadow, Element, IoStats, Mode, Receipt, Sparse, WriteOptions};
use serde_json::{Map, Value, json};

use check::{Checks, Totals};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const T14_SECONDS: f64 = 12.0;
const T14_BATCHES: usize = 200;
const CHECKED_BATCHES: usize = 5;
const BLOCK: usize = 2000;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [tasks, facts, store] = &args[..] else { return Err("bench-tasks TASK[,TASK…] FACTS STORE".into()) };
    for task in tasks.split(',') {
        println!("{}", Value::Object(measure(task, &Picks::of(task, Path::new(facts))?, store)?));
    }
    Ok(())
}

/// What is asked for, as this library takes it: made before the clock starts.
struct Picks {
    shape: (usize, usize),
    sparse: bool,
    column: String,
    embedding: String,
    gene: i64,
    rows: Vec<i64>,
    part: Vec<i64>,
    genes: Vec<i64>,
    view: Vec<i64>,
    view_rows: Vec<i64>,
    batch: usize,
    drawn: Vec<i64>,
    new: Array2<f32>,
}

impl Picks {
    fn of(task: &str, facts: &Path) -> Result<Self> {
        let read = |path: &Path| -> Result<Value> { Ok(serde_json::from_slice(&fs::read(path)?)?) };
        // The others shall not hold these lists in memory.
        let picking = !matches!(task, "T1" | "T2" | "T3" | "T8" | "T9" | "T10" | "T11" | "T13");
        let picks = if picking { read(&facts.with_extension("picks.json"))? } else { Value::Null };
        let facts = read(facts)?;
        let list = |key: &str| picks[key].as_array().into_iter().flatten().map(|v| v.as_i64().unwrap()).collect();
        let size = |v: &Value| v.as_u64().unwrap() as usize;
        let text = |key: &str| facts[key].as_str().unwrap().to_owned();
        let shape = (size(&facts["shape"][0]), size(&facts["shape"][1]));
        // What T10 and T11 add: numbers that no codec makes small, the same in every language.
        let new = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32;
        let added = if matches!(task, "T10" | "T11") { shape.0 } else { 0 };
        Ok(Self {
            shape,
            sparse: facts["sparse"].as_bool().unwrap(),
            column: text("column"),
            embedding: text("embedding"),
            gene: picks["gene"].as_i64().unwrap_or_default(),
            rows: list("rows"),
            part: list("part"),
            genes: list("genes"),
            view: list("view"),
            view_rows: list("view_rows"),
            batch: picks["batch"].as_u64().unwrap_or_default() as usize,
            drawn: list("drawn"),
            new: Array2::from_shape_fn((added, 50), |(r, c)| new(r * 50 + c)),
        })
    }
}

/// What a task gave, as far as the check needs it.
enum Outcome {
    Shape(usize, usize),
    Column(Series),
    Frame(Box<anndata_shadow::polars::prelude::DataFrame>),
    Sparse(Sparse),
    Dense(Array2<f32>),
    Totals(Totals),
    Parts(Vec<Element>),
    Batches { count: usize, seconds: f64, sums: Vec<f64> },
    Written(Receipt),
}

/// Runs a task under the clock, then checks what came of it.
fn measure(task: &str, picks: &Picks, store: &str) -> Result<Map<String, Value>> {
    process::forget_peak();
    let (rss, read, cpu) = (process::rss_mb(), process::bytes_read(), process::cpu_seconds());
    let start = Instant::now();
    let shadow = AnnDataShadow::open(store)?;
    let outcome = run(task, picks, &shadow)?;
    let wall = start.elapsed().as_secs_f64();
    let IoStats { documents, chunks, bytes_read, .. } = shadow.io_stats();
    let Value::Object(mut record) = json!({
        "task": task, "peer": "shadow", "wall_s": wall, "rss_start_mb": rss, "peak_rss_mb": process::peak_mb(),
        "read_mb": (process::bytes_read() - read) as f64 / 1e6, "cpu_s": process::cpu_seconds() - cpu,
        "documents": documents, "chunks": chunks, "counted_read_mb": bytes_read as f64 / 1e6,
    }) else {
        unreachable!()
    };
    if let Outcome::Batches { count, seconds, .. } = outcome {
        record.insert("batches".into(), json!(count));
        record.insert("wall_s".into(), json!(seconds / count as f64));
    }
    if let Outcome::Written(receipt) = &outcome {
        record.insert("receipt_mb".into(), json!(receipt.bytes_written as f64 / 1e6));
    }
    record.insert("check".into(), json!(outcome.check()?));
    Ok(record)
}

fn run(task: &str, picks: &Picks, shadow: &AnnDataShadow) -> Result<Outcome> {
    let x = |shadow: &AnnDataShadow| -> Result<Outcome> {
        Ok(if picks.sparse { Outcome::Sparse(shadow.x().read()?) } else { Outcome::Dense(shadow.x().read()?) })
    };
    Ok(match task {
        "T1" => {
            black_box(shadow.to_string());
            Outcome::Shape(shadow.n_obs(), shadow.n_vars())
        }
        "T2" => Outcome::Column(shadow.obs().column(&picks.column)?),
        "T3" => Outcome::Frame(Box::new(shadow.obs().read()?)),
        "T4" => x(&shadow.select(0..100, ..)?)?,
        "T5" => x(&shadow.select(picks.rows.as_slice(), ..)?)?,
        "T6" => x(&shadow.select(.., picks.gene)?)?,
        "T7" => x(&shadow.select(picks.part.as_slice(), picks.genes.as_slice())?)?,
        "T8" => Outcome::Dense(shadow.obsm().read(&picks.embedding)?),
        "T9" => x(shadow)?,
        "T10" => {
            shadow.obsm().insert("X_new", picks.new.clone())?;
            write(shadow)?
        }
        "T11" => {
            let column: Vec<f32> = picks.new.column(0).to_vec();
            shadow.obs().insert(Series::new("new".into(), column))?;
            write(shadow)?
        }
        "T12" => {
            let half = shadow.select(picks.view[0]..picks.view[1], ..)?;
            x(&half.select(picks.view_rows.as_slice(), ..)?)?
        }
        "T13" => {
            let mut totals = Totals::new(picks.shape);
            for start in (0..picks.shape.0).step_by(BLOCK) {
                match x(&shadow.select(start as i64..(start + BLOCK) as i64, ..)?)? {
                    Outcome::Sparse(block) => totals.add_sparse(&block),
                    Outcome::Dense(block) => totals.add_dense(&block),
                    _ => unreachable!(),
                }
            }
            Outcome::Totals(totals)
        }
        "T14" => batches(picks.drawn.chunks_exact(picks.batch).map(|rows| {
            let mut rows = rows.to_vec();
            rows.sort_unstable();
            Ok(shadow.select(rows, ..)?.x().read()?)
        }))?,
        "T15x1" => threads(1, picks, shadow)?,
        "T15x2" => threads(2, picks, shadow)?,
        "T15x4" => threads(4, picks, shadow)?,
        other => return Err(format!("there is no task {other}").into()),
    })
}

fn write(shadow: &AnnDataShadow) -> Result<Outcome> {
    Ok(Outcome::Written(shadow.reopen(Mode::ReadWrite)?.write(WriteOptions::default())?))
}

/// Reads the picked rows in eight parts, each in the thread that comes to it first.
fn threads(threads: usize, picks: &Picks, shadow: &AnnDataShadow) -> Result<Outcome> {
    let parts: Vec<&[i64]> = picks.rows.chunks(picks.rows.len().div_ceil(8)).collect();
    let next = AtomicUsize::new(0);
    let work = || -> anndata_shadow::Result<Vec<Element>> {
        let mine = std::iter::from_fn(|| parts.get(next.fetch_add(1, Ordering::Relaxed)).copied());
        mine.map(|rows| shadow.select(rows, ..)?.x().read()).collect()
    };
    let read: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let read: Vec<Vec<Element>> = read.into_iter().collect::<anndata_shadow::Result<_>>()?;
    Ok(Outcome::Parts(read.into_iter().flatten().collect()))
}

/// Takes batches until time or batches are over.
fn batches(batches: impl Iterator<Item = Result<Element>>) -> Result<Outcome> {
    let start = Instant::now();
    let (mut count, mut seconds, mut sums) = (0, 0.0, Vec::new());
    for batch in batches {
        let batch = batch?;
        count += 1;
        if count <= CHECKED_BATCHES {
            sums.push(check::sum(&batch));
        }
        seconds = start.elapsed().as_secs_f64();
        if count == T14_BATCHES || (seconds > T14_SECONDS && count >= CHECKED_BATCHES) {
            break;
        }
    }
    Ok(Outcome::Batches { count, seconds, sums })
}

impl Outcome {
    /// Numbers as `check` in `benches/peers.py` works them out.
    fn check(&self) -> Result<Checks> {
        Ok(match self {
            Self::Shape(rows, cols) => check::counts(&[("rows", *rows), ("cols", *cols)]),
            Self::Column(column) => check::column(column)?,
            Self::Frame(frame) => check::frame(frame)?,
            Self::Sparse(x) => check::sparse(x),
            Self::Dense(x) => check::dense(x),
            Self::Totals(totals) => totals.check(),
            Self::Parts(parts) => [("sum".to_owned(), parts.iter().map(check::sum).sum())].into(),
            Self::Batches { sums, .. } => sums.iter().enumerate().map(|(i, &s)| (format!("batch {i}"), s)).collect(),
            Self::Written(_) => Checks::new(), // benches/run.py looks at the store
        })
    }
}
