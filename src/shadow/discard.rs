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
        aligned.into_iter().try_for_each(|(axis, frame)| self.align(axis, &frame))
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
            let touched = [&frame, &slot_at].iter().any(|one| at.starts_with(one) || one.starts_with(at));
            if *at == self.root.base
                || !touched
                || !self.root.is_pending(&slot_at)
                || !self.names_are_pending(&frame)?
            {
                continue;
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
        let home = self.root.core.state().overlay.delta.home(at);
        let (Some(home), Some(store)) = (home, self.root.core.store()) else { return Ok(None) };
        if codec::describe(&*store, &home)?.is_none_or(|info| info.kind != codec::Kind::Table) {
            return Ok(None);
        }
        Ok(match codec::decode(&*store, &home, &[])? {
            Element::Table(table) => Some(table),
            _ => None,
        })
    }
}

fn has_names(table: &Table, names: &[String]) -> bool {
    let index = table.index().texts().unwrap_or_default();
    index.iter().map(|name| name.as_deref()).eq(names.iter().map(|name| Some(name.as_str())))
}
