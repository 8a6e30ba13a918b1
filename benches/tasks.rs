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
use anndata_shadow::{
    AnnDataShadow, Batch, Element, GeneIndexOptions, IoStats, Minibatches, Mode, Receipt, Shuffle, Sparse, Stats,
    StatsOptions, WriteOptions,
};
use serde_json::{Map, Value, json};

use check::Checks;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const T14_SECONDS: f64 = 12.0;
const T14_BATCHES: usize = 200;
const CHECKED_BATCHES: usize = 5;
const SEED: u64 = 1;

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
        let text = |key: &str| facts[key].as_str().unwrap().to_owned();
        // What T10 and T11 add: numbers that no codec makes small, the same in every language.
        let new = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32;
        let added = if matches!(task, "T10" | "T11") { facts["shape"][0].as_u64().unwrap() as usize } else { 0 };
        Ok(Self {
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
    Totals(Stats),
    Parts(Vec<Element>),
    Batches { count: usize, seconds: f64, first: Vec<Batch> },
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
    record.insert("check".into(), json!(outcome.check(&shadow, picks)?));
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
        "T13" => Outcome::Totals(shadow.x().column_stats(&StatsOptions::default())?),
        "T14" => batches(shadow.x().minibatches(picks.batch, SEED, Shuffle::Rows)?)?,
        "T14b" => batches(shadow.x().minibatches(picks.batch, SEED, Shuffle::Blocks(picks.batch))?)?,
        "T16" => Outcome::Written(shadow.reopen(Mode::ReadWrite)?.add_gene_index(&GeneIndexOptions::default())?),
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
fn batches(batches: Minibatches) -> Result<Outcome> {
    let start = Instant::now();
    let (mut count, mut seconds, mut first) = (0, 0.0, Vec::new());
    for batch in batches.drop_last(true) {
        let batch = batch?;
        count += 1;
        seconds = start.elapsed().as_secs_f64();
        if count <= CHECKED_BATCHES {
            first.push(batch);
        }
        if count == T14_BATCHES || (seconds > T14_SECONDS && count >= CHECKED_BATCHES) {
            break;
        }
    }
    Ok(Outcome::Batches { count, seconds, first })
}

/// Our batches are drawn otherwise than those by hand. So they are held against what their rows hold, and what the others are
/// compared with are the rows that they drew, read in the same way.
fn check_batches(shadow: &AnnDataShadow, picks: &Picks, first: &[Batch]) -> Result<Checks> {
    let sum = |rows: &[i64]| -> Result<f64> { Ok(check::sum(&*shadow.select(rows, ..)?.x().element()?)) };
    for batch in first {
        let rows: Vec<i64> = batch.rows.iter().map(|&row| row as i64).collect();
        let (got, stored) = (check::sum(&batch.element), sum(&rows)?);
        if (got - stored).abs() > 1e-6 * stored.abs().max(1.0) {
            return Err(format!("a batch sums up to {got}, its rows to {stored}").into());
        }
    }
    let drawn = picks.drawn.chunks_exact(picks.batch).take(CHECKED_BATCHES).enumerate();
    drawn.map(|(i, rows)| Ok((format!("batch {i}"), sum(rows)?))).collect()
}

impl Outcome {
    /// Numbers as `check` in `benches/peers.py` works them out.
    fn check(&self, shadow: &AnnDataShadow, picks: &Picks) -> Result<Checks> {
        Ok(match self {
            Self::Shape(rows, cols) => check::counts(&[("rows", *rows), ("cols", *cols)]),
            Self::Column(column) => check::column(column)?,
            Self::Frame(frame) => check::frame(frame)?,
            Self::Sparse(x) => check::sparse(x),
            Self::Dense(x) => check::dense(x),
            Self::Totals(stats) => check::totals(stats),
            Self::Parts(parts) => [("sum".to_owned(), parts.iter().map(check::sum).sum())].into(),
            Self::Batches { first, .. } => check_batches(shadow, picks, first)?,
            Self::Written(_) => Checks::new(), // benches/run.py looks at the store
        })
    }
}
