//! What a Zarr store says itself, as findings: consolidated metadata, documents, files that belong to nothing, chunks.

use super::{Audit, Examiner, Finding, Severity};
use crate::path::ElemPath;
use crate::store::FlawKind;

/// What renewing does about consolidated metadata.
const RENEW: &str = "renew the consolidated metadata from what is there";

impl Examiner {
    pub(super) fn report(&mut self, audit: &Audit, is_zip: bool) {
        for flaw in &audit.flaws {
            let (severity, repair) = match flaw.kind {
                FlawKind::StaleMap => (Severity::Stale, Some(RENEW)),
                FlawKind::BrokenMap => (Severity::Damage, Some(RENEW)),
                FlawKind::BrokenDocument | FlawKind::Unreachable => (Severity::Damage, None),
                FlawKind::Stray => (Severity::Note, None),
            };
            // Archives are only read.
            let repair = repair.filter(|_| !is_zip).map(str::to_owned);
            let finding = Finding { severity, path: flaw.at.to_string(), what: flaw.what.clone(), repair };
            self.findings.push(finding);
        }
    }

    /// Absent chunks of an array where fill values cannot be what was written, and `why` they cannot.
    pub(super) fn absent(&mut self, at: &ElemPath, why: &str) {
        if let Some(chunks) = self.chunks.remove(at).filter(|chunks| chunks.present < chunks.whole) {
            let (absent, whole) = (chunks.whole - chunks.present, chunks.whole);
            self.damage(at, format!("{absent} of {whole} chunks missing, {why}"));
        }
    }

    /// Absent chunks of an array of which nothing else is known: they may be as they should be.
    pub(super) fn note_absent(&mut self, at: &ElemPath, is_often_empty: bool) {
        let Some(chunks) = self.chunks.remove(at).filter(|chunks| chunks.present < chunks.whole) else { return };
        let (absent, whole) = (chunks.whole - chunks.present, chunks.whole);
        if chunks.emptied {
            let what = "all its chunks are missing, and the directories that held them are still there: it reads as fill values";
            self.damage(at, what);
        } else if self.deep && !(is_often_empty && chunks.present == 0) {
            let what = format!("{absent} of {whole} chunks not stored: fill values there, or lost");
            self.note(at, what);
        }
    }
}
