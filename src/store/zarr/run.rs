//! [`Run`]: the steps of an intent, carried out one after the other, by the writer or by whoever finds the record later, and taken
//! back if one of them fails.
//!
//! The name of the record says how many units (single steps, or several that do not depend on each other) are done. Of the next
//! one alone it is open how far it got, and each step tells that by itself.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::files;
use super::intent::{Intent, Spot, Step};
use super::source::{OURS, Source};
use crate::error::{Error, Place, Result};
use crate::path::ElemPath;

/// The record once all is done and only the staging directory is to be removed.
pub(super) const DONE: &str = "done.json";

/// The name of the record when so many units are done.
pub(super) fn record_name(done: usize) -> String {
    format!("intent-{done}.json")
}

pub(super) struct Run<'a> {
    source: &'a Source,
    /// The staging directory.
    dir: PathBuf,
    intent: Intent,
    units: Vec<Range<usize>>,
    done: usize,
}

impl<'a> Run<'a> {
    /// A run of which so many units are done.
    pub(super) fn new(source: &'a Source, dir: &Path, intent: Intent, done: usize) -> Self {
        let mut units: Vec<Range<usize>> = Vec::new();
        for (i, step) in intent.steps.iter().enumerate() {
            match units.last_mut() {
                Some(unit) if intent.steps[unit.start].is_like(step) => unit.end = i + 1,
                _ => units.push(i..i + 1),
            }
        }
        Self { source, dir: dir.to_owned(), intent, units, done }
    }

    /// Puts the record on disk: from now on the write happens, unless it is taken back.
    pub(super) fn commit(&self) -> io::Result<()> {
        let temp = self.dir.join("intent.tmp");
        files::write_file(self.source, &temp, self.intent.to_json().to_string().as_bytes())?;
        files::rename(&temp, &self.dir.join(record_name(0)))?;
        files::sync_dir(&self.dir)
    }

    /// Carries out what is left to do.
    pub(super) fn forward(&mut self) -> Result<()> {
        loop {
            // Not before the record says that it is done, and not later: what lies elsewhere by now has lost its marker before.
            for number in self.last_unit().unwrap_or_default() {
                match &self.intent.steps[number] {
                    Step::Swap { b, .. } if self.path(b).is_ok() => self.unmark(number, b)?,
                    _ => {}
                }
            }
            let Some(unit) = self.units.get(self.done).cloned() else { break };
            for number in unit.clone() {
                if !self.is_done(number)? {
                    self.carry_out(number)?;
                }
            }
            self.sync(unit)?;
            self.record(self.done + 1)?;
        }
        // Not synced: a record of which everything is done asks for nothing else.
        files::rename(&self.record_path(), &self.dir.join(DONE)).map_err(self.source.io(&ElemPath::root()))
    }

    /// The last unit that is known to be done.
    fn last_unit(&self) -> Option<Range<usize>> {
        self.units.get(self.done.checked_sub(1)?).cloned()
    }

    /// Takes back what is done, from the last step to the first, and then the record.
    pub(super) fn back(&mut self) -> Result<()> {
        let root_io = self.source.io(&ElemPath::root());
        let all_done = self.dir.join(DONE);
        if files::exists(&all_done) {
            files::rename(&all_done, &self.dir.join(record_name(self.done))).map_err(&root_io)?;
        }
        if let Some(unit) = self.units.get(self.done).cloned() {
            for number in unit.clone().rev() {
                self.take_back(number)?;
            }
            self.sync(unit)?;
        }
        while let Some(unit) = self.last_unit() {
            for number in unit.clone() {
                if let Step::Swap { b, .. } = &self.intent.steps[number] {
                    self.mark(number, b)?;
                }
            }
            self.record(self.done - 1)?;
            for number in unit.clone().rev() {
                self.take_back(number)?;
            }
            self.sync(unit)?;
        }
        let record = self.dir.join(record_name(0));
        if files::exists(&record) {
            files::remove_file(&record).and_then(|()| files::sync_dir(&self.dir)).map_err(root_io)?;
        }
        Ok(())
    }

    /// Where the record is, while there is one.
    pub(super) fn record_path(&self) -> PathBuf {
        self.dir.join(record_name(self.done))
    }

    fn record(&mut self, done: usize) -> Result<()> {
        let io = self.source.io(&ElemPath::root());
        files::rename(&self.record_path(), &self.dir.join(record_name(done))).map_err(&io)?;
        self.done = done;
        files::sync_dir(&self.dir).map_err(io)
    }

    /// Where that is; everything on the way there is a real directory.
    fn path(&self, spot: &Spot) -> Result<PathBuf> {
        match spot {
            Spot::Staged(number) => Ok(self.dir.join(number.to_string())),
            Spot::Stored(at) => {
                let above = self.source.real_dir(&at.parent().unwrap_or_default());
                let above = above.ok_or_else(|| self.unexpected(at, "the directory it lies in is not there"))?;
                Ok(above.join(at.name()))
            }
        }
    }

    fn unexpected(&self, at: &ElemPath, what: &str) -> Error {
        let what = format!("it does not fit the record of the write that is to be finished: {what}");
        Error::Malformed { at: self.source.place(at), what }
    }

    fn io(&self, spot: &Spot) -> impl Fn(io::Error) -> Error {
        let at = self.place(spot);
        move |source| Error::Io { at: at.clone(), source }
    }

    fn place(&self, spot: &Spot) -> Place {
        match spot {
            Spot::Staged(_) => self.source.place(&ElemPath::root()),
            Spot::Stored(at) => self.source.place(at),
        }
    }

    /// Whether a step is done. It is known that all before it are and that none behind it is, but for those it does not depend on.
    fn is_done(&self, number: usize) -> Result<bool> {
        let aside = files::exists(&self.aside(number));
        match &self.intent.steps[number] {
            Step::Move { from, to } => {
                let there = [files::exists(&self.path(from)?), files::exists(&self.path(to)?)];
                match (there, to) {
                    ([true, false], _) => Ok(false),
                    ([false, true], _) => Ok(true),
                    ([true, true], Spot::Stored(at)) => Err(Error::Exists { at: self.source.place(at) }),
                    _ => {
                        let at = match (from, to) {
                            (Spot::Stored(at), _) | (_, Spot::Stored(at)) => at.clone(),
                            _ => ElemPath::root(),
                        };
                        Err(self.unexpected(&at, "what is to be moved is not where it should be"))
                    }
                }
            }
            Step::Swap { b, .. } => Ok(!aside && files::exists(&self.path(b)?.join(marker(number)))),
            Step::Document { at, len, crc, .. } => {
                let path = self.path(&Spot::Stored(at.clone()))?;
                let is_file = |m: fs::Metadata| m.is_file() && m.len() == *len;
                let same_size = fs::symlink_metadata(&path).is_ok_and(is_file);
                let new = same_size && crc32c::crc32c(&fs::read(&path).map_err(self.source.io(at))?) == *crc;
                Ok(new && !aside)
            }
            Step::Touch { .. } => Ok(false),
        }
    }

    /// Does a step, or the rest of it.
    fn carry_out(&self, number: usize) -> Result<()> {
        let step = &self.intent.steps[number];
        let [a, b] = step.spots();
        let (here, there) = (self.path(&a)?, self.path(&b)?);
        match step {
            Step::Move { .. } => return files::move_to_free(&here, &there).map_err(self.io(&b)),
            Step::Swap { .. } => {
                // Once something is aside, the marker is on its way.
                if !files::exists(&self.aside(number)) {
                    self.mark(number, &a)?;
                }
            }
            Step::Document { .. } | Step::Touch { .. } => {}
        }
        self.exchange(number, &here, &there).map_err(self.io(&b))
    }

    /// Undoes a step, however far it got.
    fn take_back(&self, number: usize) -> Result<()> {
        let step = &self.intent.steps[number];
        let [a, b] = step.spots();
        let (here, there) = (self.path(&a)?, self.path(&b)?);
        let aside = self.aside(number);
        match step {
            Step::Move { .. } if files::exists(&there) && !files::exists(&here) => {
                files::move_to_free(&there, &here).map_err(self.io(&a))
            }
            // Never carried out: somebody else was faster.
            Step::Move { .. } => Ok(()),
            Step::Swap { .. } => {
                if files::exists(&aside) {
                    // Two of the three renames at most: back by the same way.
                    let new_is_there = files::exists(&there);
                    let back = if new_is_there { files::rename(&there, &here) } else { Ok(()) };
                    back.and_then(|()| files::rename(&aside, &there)).map_err(self.io(&b))?;
                } else if self.is_done(number)? {
                    self.exchange(number, &there, &here).map_err(self.io(&b))?;
                }
                self.unmark(number, &a)
            }
            Step::Document { .. } | Step::Touch { .. } => {
                let begun = files::exists(&aside);
                if begun || self.is_done(number)? {
                    self.put_back(number, &here, &there).map_err(self.io(&b))
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Undoes the exchange of a document, or what there is of it: through the same states as [`exchange`](Self::exchange), so
    /// that from each of them it can be done again, and the place is never empty.
    fn put_back(&self, number: usize, here: &Path, there: &Path) -> io::Result<()> {
        let aside = self.aside(number);
        if !files::exists(&aside) {
            if files::exchange(here, there)? {
                return Ok(());
            }
            files::rename(here, &aside)?;
        }
        if !files::exists(here) {
            files::link(self.source, there, here)?;
        }
        files::rename(&aside, there)
    }

    /// Exchanges what is at two places, or does the rest of that. Where the system cannot in one step, the second is put aside for
    /// a moment: a document by another name, so that the place is never empty; a directory can only be moved.
    fn exchange(&self, number: usize, here: &Path, there: &Path) -> io::Result<()> {
        let aside = self.aside(number);
        let is_document = !matches!(self.intent.steps[number], Step::Swap { .. });
        if !files::exists(&aside) {
            if files::exchange(here, there)? {
                return Ok(());
            }
            if is_document { files::link(self.source, there, &aside)? } else { files::rename(there, &aside)? }
        }
        if files::exists(here) {
            files::rename(here, there)?;
        }
        files::rename(&aside, here)
    }

    /// Where a step keeps what is in the way.
    fn aside(&self, number: usize) -> PathBuf {
        self.dir.join(format!("aside-{number}"))
    }

    /// Puts the marker of a step into a directory, on disk.
    fn mark(&self, number: usize, spot: &Spot) -> Result<()> {
        let dir = self.path(spot)?;
        let marker = dir.join(marker(number));
        if files::exists(&marker) {
            return Ok(());
        }
        files::write_file(self.source, &marker, b"").and_then(|()| files::sync_dir(&dir)).map_err(self.io(spot))
    }

    fn unmark(&self, number: usize, spot: &Spot) -> Result<()> {
        let dir = self.path(spot)?;
        let marker = dir.join(marker(number));
        if !files::exists(&marker) {
            return Ok(());
        }
        // On disk before the record goes, which alone knows of it.
        files::remove_file(&marker).and_then(|()| files::sync_dir(&dir)).map_err(self.io(spot))
    }

    /// Takes to the disk which entries the directories have that the steps have changed.
    fn sync(&self, unit: Range<usize>) -> Result<()> {
        let spots = self.intent.steps[unit].iter().flat_map(Step::spots);
        let dirs = spots.map(|spot| Ok(self.path(&spot)?.parent().map(Path::to_owned)));
        let dirs = dirs.collect::<Result<BTreeSet<Option<PathBuf>>>>()?;
        dirs.iter().flatten().try_for_each(|dir| files::sync_dir(dir)).map_err(self.source.io(&ElemPath::root()))
    }
}

/// The file that goes with what a step puts in place of something else.
fn marker(number: usize) -> String {
    format!("{OURS}new-{number}")
}
