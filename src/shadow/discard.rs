//! Taking back what is pending, so that frames in obsm and varm keep the names of their rows: with the old names of an axis
//! they get their old index again, and one that is as in the file again, while its axis has new names, gets these.

use std::sync::Arc;

use super::anndata::AnnDataShadow;
use super::frame::renamed;
use super::member::Member;
use super::root::Root;
use super::slots::{self, Axis, SlotSpec};
use crate::codec;
use crate::error::{Error, Result};
use crate::overlay::Lookup;
use crate::path::ElemPath;
use crate::store::ReadStore;
use crate::value::{Element, Table};

/// Frames whose rows are the axes, and the slots with frames over the same rows.
const FOLLOWED: [(Axis, &SlotSpec, &SlotSpec); 3] = [
    (Axis::Obs, &slots::OBS, &slots::OBSM),
    (Axis::Var, &slots::VAR, &slots::VARM),
    (Axis::RawVar, &slots::RAW_VAR, &slots::RAW_VARM),
];

impl AnnDataShadow {
    /// Takes back what is pending at `at` and below it.
    pub(super) fn take_back(&self, at: &ElemPath) -> Result<()> {
        if let Some(modality) = self.modality_around(at) {
            return modality.take_back(at);
        }
        let aligned = self.aligned_frames(at)?;
        self.root.discard(at)?;
        let back = self.back_from_file(at)?;
        aligned.into_iter().chain(back).try_for_each(|(axis, frame)| self.align(axis, &frame))
    }

    /// Of the global part of a MuData: the modality that `at` lies in.
    fn modality_around(&self, at: &ElemPath) -> Option<Self> {
        let below = at.strip_prefix(&self.root.at("mod").ok()?)?;
        let name = below.components().next().filter(|_| self.root.is_mudata && below.components().count() > 1)?;
        let base = self.root.at("mod").ok()?.child(name);
        Some(Self::whole(Arc::new(Root { core: self.root.core.clone(), base, is_mudata: false })))
    }

    /// Pending frames in obsm and varm that have the names of an axis which are pending, too, where taking back what is at `at`
    /// touches either.
    fn aligned_frames(&self, at: &ElemPath) -> Result<Vec<(Axis, Member)>> {
        let mut found = Vec::new();
        for (axis, frame, slot) in FOLLOWED {
            let (frame, slot_at) = (self.root.at(frame.name)?, self.root.at(slot.name)?);
            let in_slot = at.starts_with(&slot_at) || slot_at.starts_with(at);
            let touched = in_slot || frame.starts_with(at) || at.starts_with(&frame);
            if *at == self.root.base
                || !touched
                || !self.root.is_pending(&slot_at)
                || !self.names_are_pending(&frame)?
            {
                continue;
            }
            // A column takes no names along.
            if !in_slot && !frame.starts_with(at) && *at != frame.join(&self.root.frame(&frame)?.index)? {
                continue;
            }
            if in_slot && self.hides_stored(&slot_at, at) {
                // Which names that has is in the file.
                self.root.core.mode().ok_or_else(|| self.root.core.closed(at))?;
            }
            let names = self.root.axis_names(axis)?;
            for name in self.slot(slot).keys()? {
                let member = self.slot(slot).member(&name)?;
                if let Some(Element::Table(table)) = self.root.held(&member.at).as_deref()
                    && has_names(table, &names)
                {
                    // Its old names are in the file.
                    self.root.core.mode().ok_or_else(|| self.root.core.closed(&member.at))?;
                    found.push((axis, member));
                }
            }
        }
        Ok(found)
    }

    /// Whether what is pending at `at` and below it in a slot stands in place of something that the file may have.
    fn hides_stored(&self, slot: &ElemPath, at: &ElemPath) -> bool {
        let state = self.root.core.state();
        let mut entries = state.overlay.delta.entries().into_iter();
        entries.any(|(path, e)| path.starts_with(slot) && path.starts_with(at) && (e.old.is_some() || !e.sure))
    }

    /// Frames in obsm and varm at `at` and below it that are as in the file, with the names that an axis has there, while it
    /// has others that are pending.
    fn back_from_file(&self, at: &ElemPath) -> Result<Vec<(Axis, Member)>> {
        let mut found = Vec::new();
        for (axis, frame, slot) in FOLLOWED {
            let (frame, slot_at) = (self.root.at(frame.name)?, self.root.at(slot.name)?);
            if !(at.starts_with(&slot_at) || slot_at.starts_with(at)) || !self.names_are_pending(&frame)? {
                continue;
            }
            let Some(names) = self.stored_names(&frame)? else { continue };
            for name in self.slot(slot).keys()? {
                let member = self.slot(slot).member(&name)?;
                let is_back = member.at.starts_with(at) && !self.root.is_pending(&member.at);
                if is_back && self.stored_names(&member.at)?.as_ref() == Some(&names) {
                    found.push((axis, member));
                }
            }
        }
        Ok(found)
    }

    fn names_are_pending(&self, frame: &ElemPath) -> Result<bool> {
        if !self.root.is_pending(frame) {
            return Ok(false);
        }
        let whole = matches!(self.root.core.state().overlay.delta.lookup(frame), Lookup::Value(_));
        Ok(whole || self.root.is_pending(&frame.join(&self.root.frame(frame)?.index)?))
    }

    /// Gives a frame the names that its axis has now; one that is then as in the file is pending no more.
    fn align(&self, axis: Axis, frame: &Member) -> Result<()> {
        let names = self.root.axis_names(axis)?;
        let table = match frame.element() {
            Err(Error::NotFound { .. }) => return Ok(()),
            other => Arc::unwrap_or_clone(other?),
        };
        let Element::Table(table) = table else { return Ok(()) };
        if has_names(&table, &names) {
            return Ok(());
        }
        let stored = self.stored_table(&frame.at)?;
        if stored.as_ref().is_some_and(|stored| has_names(stored, &names) && stored.columns() == table.columns()) {
            return self.root.discard(&frame.at);
        }
        let index = stored.as_ref().map_or_else(|| table.index_name(), Table::index_name);
        let table =
            renamed(&table, index, &names).map_err(|what| Error::Malformed { at: self.root.place(&frame.at), what })?;
        self.root.set(&frame.at, Element::Table(table), false, self.root.shape())
    }

    /// The frame that the file has at `at`.
    fn stored_table(&self, at: &ElemPath) -> Result<Option<Table>> {
        let Some((store, home)) = self.stored_frame(at)? else { return Ok(None) };
        Ok(match codec::decode(&*store, &home, &[])? {
            Element::Table(table) => Some(table),
            _ => None,
        })
    }

    /// The names of the rows of the frame that the file has at `at`.
    fn stored_names(&self, at: &ElemPath) -> Result<Option<Vec<Option<String>>>> {
        let Some((store, home)) = self.stored_frame(at)? else { return Ok(None) };
        let index = codec::frame_meta(&*store, &home)?.index;
        Ok(codec::decode(&*store, &home.join(&index)?, &[])?.texts())
    }

    /// Where the file has the frame at `at`, if it has one.
    fn stored_frame(&self, at: &ElemPath) -> Result<Option<(Arc<dyn ReadStore>, ElemPath)>> {
        let home = self.root.core.state().overlay.delta.home(at);
        let (Some(home), Some(store)) = (home, self.root.core.store()) else { return Ok(None) };
        let is_frame = codec::describe(&*store, &home)?.is_some_and(|info| info.kind == codec::Kind::Table);
        Ok(is_frame.then_some((store, home)))
    }
}

fn has_names(table: &Table, names: &[String]) -> bool {
    let index = table.index().texts().unwrap_or_default();
    index.iter().map(|name| name.as_deref()).eq(names.iter().map(|name| Some(name.as_str())))
}
