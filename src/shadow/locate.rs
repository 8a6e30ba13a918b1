//! Where in a store an object begins, and what shape it has.

use super::mudata::SharedAxis;
use crate::codec::{self, FrameMeta};
use crate::error::{Error, Place, Result, nearest};
use crate::path::ElemPath;
use crate::store::ReadStore;

/// Where the AnnData begins: at `inner`, or at the modality of that name.
pub(super) fn find_anndata(store: &dyn ReadStore, inner: ElemPath) -> Result<ElemPath> {
    let not = |why: String| Error::NotAnnData { at: Place::new(store.location(), &inner), why };
    let Some(node) = store.node(&inner)? else {
        let modality = ElemPath::root().child("mod").append(&inner);
        if store.node(&modality)?.is_some() {
            return find_anndata(store, modality);
        }
        return Err(missing(store, &inner));
    };
    let below = |name: &str| -> Result<Vec<String>> {
        let group = inner.child(name);
        if store.node(&group)?.is_some_and(|n| n.is_group()) { store.children(&group) } else { Ok(Vec::new()) }
    };
    let inside = |group: &str, names: &[String]| {
        let shown: Vec<String> = names
            .iter()
            .filter_map(|n| {
                let above = if group.is_empty() { inner.clone() } else { inner.child(group) };
                Some(format!("`{}/{}`", store.location(), above.join(n).ok()?))
            })
            .collect();
        shown.join(", ")
    };
    if !node.is_group() {
        return Err(not("it is an array".into()));
    }
    let has_obs = store.node(&inner.child("obs"))?.is_some();
    let tag = node.text("encoding-type");
    if has_obs && tag.is_some_and(|tag| tag != "MuData") {
        return Ok(inner);
    }
    // The first MuData files have no tag; an AnnData has no `mod`.
    let modalities = below("mod")?;
    if has_obs && tag.is_none() && modalities.is_empty() {
        return Ok(inner);
    }
    if !modalities.is_empty() {
        return Err(not(format!(
            "it is a MuData; open it with MuDataShadow, or one of its modalities: {}",
            inside("mod", &modalities)
        )));
    }
    let tables = below("tables")?;
    if !tables.is_empty() {
        return Err(not(format!("it holds tables; open one of them: {}", inside("tables", &tables))));
    }
    let objects: Vec<String> = store.children(&inner)?.into_iter().filter(|n| is_object(store, &inner, n)).collect();
    if !objects.is_empty() {
        return Err(not(format!("it holds others; open one of them: {}", inside("", &objects))));
    }
    Err(not("there is no `obs` in it".into()))
}

/// A `NotFound` for `at` with the nearest names beside it.
fn missing(store: &dyn ReadStore, at: &ElemPath) -> Error {
    let beside = store.children(&at.parent().unwrap_or_default()).unwrap_or_default();
    let nearest = nearest(at.name(), beside.iter().map(String::as_str));
    Error::NotFound { at: Place::new(store.location(), at), nearest }
}

fn is_object(store: &dyn ReadStore, above: &ElemPath, name: &str) -> bool {
    let obs = above.join(name).map(|at| at.child("obs"));
    obs.is_ok_and(|obs| matches!(store.node(&obs), Ok(Some(_))))
}

/// The observations of the AnnData or MuData at `base`, and how many there are of them and of variables.
pub(super) fn measure(store: &dyn ReadStore, base: &ElemPath) -> Result<(FrameMeta, [usize; 2])> {
    let obs = codec::frame_meta(store, &base.child("obs"))?;
    let shape = [obs.n_rows, n_vars(store, base)?];
    Ok((obs, shape))
}

/// Length of `var`, or without one the width of X.
fn n_vars(store: &dyn ReadStore, base: &ElemPath) -> Result<usize> {
    if store.node(&base.child("var"))?.is_some() {
        return codec::frame_meta(store, &base.child("var")).map(|m| m.n_rows);
    }
    Ok(codec::describe(store, &base.child("X"))?.and_then(|x| x.shape.get(1).copied()).unwrap_or(0))
}

/// Where the MuData begins: at `inner`.
pub(super) fn find_mudata(store: &dyn ReadStore, inner: ElemPath) -> Result<ElemPath> {
    let not = |why: &str| Err(Error::NotMuData { at: Place::new(store.location(), &inner), why: why.to_owned() });
    let Some(node) = store.node(&inner)? else { return Err(missing(store, &inner)) };
    let has = |name: &str| Ok::<_, Error>(store.node(&inner.child(name))?.is_some_and(|n| n.is_group()));
    if node.is_group() && has("mod")? {
        return Ok(inner);
    }
    if node.is_group() && has("obs")? {
        return not("it is an AnnData; open it with AnnDataShadow");
    }
    not("there is no group `mod` in it")
}

/// The attribute `axis`: 0, 1 or -1; 0 where it is missing.
pub(super) fn shared_axis(store: &dyn ReadStore, base: &ElemPath) -> Result<SharedAxis> {
    let axis = store.node(base)?.and_then(|n| n.attrs.get("axis").cloned());
    // Some writers store scalars as lists of one.
    let number = axis.as_ref().and_then(|a| a.as_array().map_or(Some(a), |list| list.first()));
    match number.map(|n| n.as_f64()) {
        None | Some(Some(0.0)) => Ok(SharedAxis::Obs),
        Some(Some(1.0)) => Ok(SharedAxis::Var),
        Some(Some(-1.0)) => Ok(SharedAxis::Both),
        _ => Err(Error::Malformed {
            at: Place::new(store.location(), base),
            what: format!("its attribute `axis` is {}, not 0, 1 or -1", axis.unwrap_or_default()),
        }),
    }
}
