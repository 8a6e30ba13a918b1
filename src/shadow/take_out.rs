//! What removing or renaming a modality changes in the global part of a MuData: its masks and maps, and where rows are then no
//! modality's any more, everything along that axis.

use std::sync::Arc;

use super::anndata::AnnDataShadow;
use super::insert::Put;
use super::modality::Modality;
use super::root::Keep;
use super::slots::Axis;
use crate::codec::Kind;
use crate::error::{Error, Result};
use crate::index::Rows;
use crate::path::ElemPath;
use crate::value::Element;

/// The modality itself, and its masks and maps as far as there are any.
pub(super) fn parts(whole: &AnnDataShadow, name: &str) -> Result<Vec<ElemPath>> {
    let mut found = vec![whole.root.at("mod")?.join(name)?];
    for slot in ["obsm", "varm", "obsmap", "varmap"] {
        let at = whole.root.at(slot)?.join(name)?;
        if whole.root.info(&at)?.is_some() {
            found.push(at);
        }
    }
    Ok(found)
}

/// What it takes to remove the modality `name`, and the shape of the MuData without it.
pub(super) fn plan(whole: &AnnDataShadow, modalities: &[Arc<Modality>], name: &str) -> Result<(Vec<Put>, [usize; 2])> {
    let others: Vec<&Arc<Modality>> = modalities.iter().filter(|m| m.name != name).collect();
    if others.is_empty() {
        let what = "it is the only modality, and a MuData has at least one".to_owned();
        return Err(Error::Unsupported { at: whole.root.place(&whole.root.at("mod")?.join(name)?), what });
    }
    let gone = parts(whole, name)?;
    let mut shape = whole.root.shape();
    let mut puts = Vec::new();
    for (n, axis) in shape.iter_mut().zip([Axis::Obs, Axis::Var]) {
        let maps = others.iter().map(|m| m.map(whole, axis)).collect::<Result<Vec<_>>>()?;
        let kept: Vec<usize> = (0..*n).filter(|&i| maps.iter().any(|map| map[i].is_some())).collect();
        if kept.len() < *n {
            *n = kept.len();
            puts.extend(shorter(whole, axis, &Rows::picks(kept), &gone)?);
        }
    }
    for at in gone {
        let old = whole.root.stored(&at)?;
        puts.push(Put::remove(at, old));
    }
    Ok((puts, shape))
}

/// Everything along `axis` but what goes, cut to `rows`.
fn shorter(whole: &AnnDataShadow, axis: Axis, rows: &Rows, gone: &[ElemPath]) -> Result<Vec<Put>> {
    let root = &whole.root;
    let cut = |at: ElemPath, old: &Element, axes: usize| Put::replace(at, old, old.take(&vec![rows.clone(); axes]));
    let (frame, aligned, pairs) = match axis {
        Axis::Obs => (whole.obs(), whole.obsm(), whole.obsp()),
        _ => (whole.var(), whole.varm(), whole.varp()),
    };
    let mut puts = vec![cut(frame.at()?, &Element::Table(frame.table()?), 1)];
    let maps = root.at(&format!("{}map", axis.name()))?;
    for name in root.names(&maps)? {
        let at = maps.join(&name)?;
        if !gone.contains(&at) {
            puts.push(cut(at.clone(), &*root.read(&at, &[axis], &[], Keep::All)?, 1));
        }
    }
    for (slot, axes) in [(aligned, 1), (pairs, 2)] {
        for name in slot.keys()? {
            let member = slot.member(&name)?;
            let there = member.info()?.is_some_and(|info| info.kind != Kind::Null);
            if there && !gone.contains(&member.at) {
                puts.push(cut(member.at.clone(), &*member.element()?, axes));
            }
        }
    }
    Ok(puts)
}
