//! Damaged stores: copies of the fixtures with flipped bits, inflated lengths, cut and spliced bytes, and edited metadata are
//! opened, read to the last element and now and then written to. Each must give typed errors that name the file, or values;
//! never a panic, an abort, a hang, or memory without bound.
//!
//! The work is done in a child process under limits, so that all of these are seen. Everything follows from a seed:
//! `MUTATIONS` is the number of inputs, `MUTATION_SEED` the seed; `MUTATION_ONLY=i` keeps the one input `i` below
//! `target/mutations`, and reads it here, without a child and without limits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "mutations/mutate.rs"]
mod mutate;
mod stores;

use std::io::{BufRead, BufReader, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anndata_shadow::ndarray::Array2;
use anndata_shadow::{
    AnnDataShadow, Error, Mode, MuDataShadow, OpenOptions, Result, VerifyOptions, WriteOptions, verify,
};
use common::dice::Dice;
use mutate::Seed;

/// Inputs of an ordinary run.
const ORDINARY: usize = 600;
/// What a child may take: address space, and time for one input. Both far above what an honest fixture needs.
const MEMORY_KB: u64 = 3 << 20;
const TIME: Duration = Duration::from_secs(60);
/// A child is replaced after so many inputs, that nothing builds up.
const BATCH: usize = 200;

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[derive(Default, Debug)]
struct Tally {
    inputs: usize,
    /// Inputs that did not open; that opened, but had elements that could not be read; that read to the end.
    refused: usize,
    partly: usize,
    whole: usize,
    /// Typed errors in all; inputs written to.
    errors: usize,
    written: usize,
    crashes: Vec<String>,
}

#[test]
fn damaged_stores_give_typed_errors_or_values() {
    if let Ok(only) = std::env::var("MUTATION_ONLY") {
        return look_at(only.parse().unwrap());
    }
    let wanted = number("MUTATIONS", ORDINARY);
    let mut tally = Tally::default();
    let mut next = 0;
    while next < wanted {
        let known = tally.crashes.len();
        next = run_child(next, wanted.min(next + BATCH), &mut tally);
        eprintln!("{next} of {wanted}");
        tally.crashes[known..].iter().for_each(|crash| eprintln!("{crash}"));
    }
    println!(
        "{} inputs: {} refused, {} with unreadable elements, {} read whole; {} typed errors; {} written to; {} crashes",
        tally.inputs,
        tally.refused,
        tally.partly,
        tally.whole,
        tally.errors,
        tally.written,
        tally.crashes.len()
    );
    assert!(tally.crashes.is_empty(), "MUTATION_ONLY=… repeats one of these:\n{}", tally.crashes.join("\n"));
}

/// Runs inputs `from..to` in a child; gives the first that is still to be done.
fn run_child(from: usize, to: usize, tally: &mut Tally) -> usize {
    // In memory, where the system has such a folder: thousands of small files come and go.
    let memory = Path::new("/dev/shm");
    let folder = tempfile::tempdir_in(if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }).unwrap();
    let limited = format!("ulimit -v {MEMORY_KB}; exec \"$0\" \"$@\"");
    let mut child = Command::new("sh")
        .args(["-c", &limited])
        .arg(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env("MUTATION_FROM", from.to_string())
        .env("MUTATION_TO", to.to_string())
        .env("RUST_BACKTRACE", "0")
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (send, lines) = mpsc::channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        stdout.lines().map_while(std::result::Result::ok).for_each(|line| drop(send.send(line)))
    });
    let mut begun = from;
    loop {
        match lines.recv_timeout(TIME) {
            Ok(line) => {
                let mut words = line.split(' ');
                let mut count = || words.next().and_then(|w| w.parse::<usize>().ok());
                if let Some(rest) = line.strip_prefix("begin ") {
                    begun = rest.parse().unwrap();
                } else if line.starts_with("done ") {
                    count();
                    let [opened, errors, written] = [count().unwrap(), count().unwrap(), count().unwrap()];
                    tally.inputs += 1;
                    tally.errors += errors;
                    tally.written += written;
                    *match (opened, errors) {
                        (0, _) => &mut tally.refused,
                        (_, 0) => &mut tally.whole,
                        _ => &mut tally.partly,
                    } += 1;
                } else if let Some(what) = line.strip_prefix("bad ") {
                    tally.inputs += 1;
                    tally.crashes.push(what.to_owned());
                }
                continue;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                child.kill().unwrap();
                tally.crashes.push(format!("{begun}: {} took more than {TIME:?}", name_of(begun)));
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = child.wait().unwrap();
                if status.success() {
                    return to;
                }
                tally.crashes.push(format!("{begun}: {} ended the process: {status}", name_of(begun)));
            }
        }
        let _ = child.wait();
        tally.inputs += 1;
        return begun + 1;
    }
}

#[test]
#[ignore = "the child of the run above"]
fn child() {
    let (from, to) = (number("MUTATION_FROM", 0), number("MUTATION_TO", 0));
    let seeds = mutate::seeds();
    let folder = tempfile::tempdir().unwrap();
    let mut out = std::io::stdout();
    for input in from..to {
        // A line of its own: the harness has written the test's name without ending the line.
        writeln!(out, "\nbegin {input}").unwrap();
        out.flush().unwrap();
        let path = make(&seeds, input, folder.path());
        let line = match catch_unwind(AssertUnwindSafe(|| exercise(&path, input))) {
            Ok(Ok(seen)) => format!("done {} {} {}", usize::from(seen.opened), seen.errors, usize::from(seen.written)),
            Ok(Err(what)) => format!("bad {input}: {}: {}", name_of(input), what.replace('\n', " ")),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?").replace('\n', " ");
                format!("bad {input}: {} panicked: {text}", name_of(input))
            }
        };
        writeln!(out, "{line}").unwrap();
        out.flush().unwrap();
        mutate::remove(&path);
    }
}

fn look_at(input: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/mutations").join(input.to_string());
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let path = make(&mutate::seeds(), input, &folder);
    println!("{input}: {}", path.display());
    let seen = exercise(&path, input).unwrap();
    println!("opened {}, {} errors, written {}", seen.opened, seen.errors, seen.written);
    seen.texts.iter().for_each(|text| println!("  {text}"));
}

fn random(input: usize) -> Dice {
    Dice::of(number("MUTATION_SEED", 1) as u64, input as u64)
}

fn name_of(input: usize) -> String {
    let seeds = mutate::seeds();
    seeds[input % seeds.len()].name.clone()
}

/// Writes the damaged copy number `input` into a folder.
fn make(seeds: &[Seed], input: usize, folder: &Path) -> PathBuf {
    let seed = &seeds[input % seeds.len()];
    mutate::damaged(seed, seeds, &mut random(input), folder)
}

#[derive(Default)]
struct Seen {
    opened: bool,
    errors: usize,
    written: bool,
    texts: Vec<String>,
}

impl Seen {
    /// Counts an error; one that does not name the file is a fault.
    fn note<T>(&mut self, name: &str, result: Result<T>) -> std::result::Result<Option<T>, String> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                let text = error.to_string();
                // A name that no element can have is the caller's, taken from the listing; nothing else may be nameless.
                if !text.contains(name) && !matches!(error, Error::BadName { .. }) {
                    return Err(format!("an error that does not name the file: {text}"));
                }
                self.errors += 1;
                self.texts.push(text);
                Ok(None)
            }
        }
    }
}

/// Reads all there is of a store, in the ways there are. `Err` is a fault of the library that is no crash.
fn exercise(path: &Path, input: usize) -> std::result::Result<Seen, String> {
    let mut seen = Seen::default();
    let mut random = random(input);
    let file = path.file_name().unwrap().to_str().unwrap();
    let report = verify(path, &VerifyOptions::default().deep(true));
    if let Err(error) = &report
        && matches!(error, Error::StoreChanged { .. } | Error::Busy { .. })
    {
        return Err(format!("looked at alone, {error}"));
    }
    let is_sound = report.as_ref().is_ok_and(|report| report.findings.is_empty());
    seen.note(file, report)?;
    for inner in mutate::inner_objects(file) {
        let at = if inner.is_empty() { path.to_owned() } else { path.join(inner) };
        let Some(shadow) = seen.note(file, AnnDataShadow::open(&at))? else { continue };
        seen.opened = true;
        let before = seen.errors;
        read_all(&mut seen, file, &shadow)?;
        if is_sound && seen.errors > before {
            return Err("the doctor finds nothing where reading fails".to_owned());
        }
        drop(shadow);
        if random.below(6) == 0 {
            write_to(&mut seen, file, &at)?;
        }
    }
    if file.starts_with("mu") && !file.starts_with("multi") || file.starts_with("mdata") {
        exercise_mudata(&mut seen, file, path)?;
    }
    Ok(seen)
}

fn exercise_mudata(seen: &mut Seen, file: &str, path: &Path) -> std::result::Result<(), String> {
    let Some(mdata) = seen.note(file, MuDataShadow::open(path))? else { return Ok(()) };
    let _ = mdata.to_string();
    for element in seen.note(file, mdata.elements())?.unwrap_or_default() {
        seen.note(file, mdata.member(&element.path).and_then(|m| m.element()))?;
    }
    let Some(view) = seen.note(file, mdata.select(1..4, ..))? else { return Ok(()) };
    for name in mdata.modalities() {
        seen.note(file, view.obs_rows(&name))?;
        seen.note(file, view.modality(&name).and_then(|part| part.elements()))?;
    }
    if let Some(first) = mdata.modalities().first()
        && let Some(data) = seen.note(file, view.modality(first).and_then(|part| part.to_memory()))?
    {
        seen.note(file, mdata.insert_modality("mutation", data))?;
    }
    Ok(())
}

fn read_all(seen: &mut Seen, file: &str, shadow: &AnnDataShadow) -> std::result::Result<(), String> {
    let _ = shadow.to_string();
    for element in seen.note(file, shadow.elements())?.unwrap_or_default() {
        seen.note(file, shadow.member(&element.path).and_then(|m| m.element()))?;
    }
    shadow.clear_cache();
    seen.note(file, shadow.obs_names())?;
    seen.note(file, shadow.var_names())?;
    for frame in [shadow.obs(), shadow.var()] {
        seen.note(file, frame.columns())?;
    }
    if let Some(view) = seen.note(file, shadow.select(1..4, ..2))? {
        let _ = view.to_string();
        for element in seen.note(file, view.elements())?.unwrap_or_default() {
            seen.note(file, view.member(&element.path).and_then(|m| m.element()))?;
        }
    }
    Ok(())
}

/// Adds an embedding and a column; what was written must be there again.
fn write_to(seen: &mut Seen, file: &str, at: &Path) -> std::result::Result<(), String> {
    let options = OpenOptions::default().mode(Mode::ReadWrite);
    let Some(shadow) = seen.note(file, AnnDataShadow::open_with(at, &options))? else { return Ok(()) };
    let n = shadow.n_obs();
    if n > 1 << 16 {
        return Ok(());
    }
    let added = Array2::from_shape_fn((n, 2), |(row, column)| (row * 2 + column) as f32);
    seen.note(file, shadow.obsm().insert("mutation_embedding", added.clone()))?;
    seen.note(file, shadow.obs().insert_element("mutation_column", anndata_shadow::Array::from_vec(vec![1_i32; n])))?;
    if seen.note(file, shadow.write(WriteOptions::default()))?.is_none() {
        return Ok(());
    }
    drop(shadow);
    seen.written = true;
    let Some(again) = seen.note(file, AnnDataShadow::open(at))? else { return Ok(()) };
    if let Some(read) = seen.note(file, again.obsm().read::<Array2<f32>>("mutation_embedding"))?
        && read != added
    {
        return Err("what was written is not what is read".to_owned());
    }
    Ok(())
}
