//! Where in a store an object begins, and what shape it has.

use crate::codec::{self, FrameMeta};
use crate::error::{Error, Place, Result, nearest};
use crate::path::ElemPath;
use crate::store::ReadStore;

/// Where the AnnData begins: at `inner`, or at the modality of that name.
pub(super) fn find_anndata(store: &dyn ReadStore, inner: ElemPath) -> Result<ElemPath> {
    let at = || Place::new(store.location(), &inner);
    let not = |why: String| Error::NotAnnData { at: at(), why };
    let Some(node) = store.node(&inner)? else {
        let modality = ElemPath::root().child("mod").append(&inner);
        if store.node(&modality)?.is_some() {
            return find_anndata(store, modality);
        }
        let beside = store.children(&inner.parent().unwrap_or_default()).unwrap_or_default();
        return Err(Error::NotFound { at: at(), nearest: nearest(inner.name(), beside.iter().map(String::as_str)) });
    };
    let below = |name: &str| -> Result<Vec<String>> {
        let group = inner.child(name);
        if store.node(&group)?.is_some_and(|n| n.is_group()) { store.children(&group) } else { Ok(Vec::new()) }
    };
    let inside = |group: &str, names: &[String]| {
        let shown: Vec<String> = names
            .iter()
            .map(|n| format!("`{}/{}`", store.location(), inner.child(group).append(&ElemPath::root().child(n))))
            .collect();
        shown.join(", ")
    };
    if !node.is_group() {
        return Err(not("it is an array".into()));
    }
    if store.node(&inner.child("obs"))?.is_some() && node.text("encoding-type") != Some("MuData") {
        return Ok(inner);
    }
    let modalities = below("mod")?;
    if !modalities.is_empty() {
        return Err(not(format!("it is a MuData; open one of its modalities: {}", inside("mod", &modalities))));
    }
    let tables = below("tables")?;
    if !tables.is_empty() {
        return Err(not(format!("it holds tables; open one of them: {}", inside("tables", &tables))));
    }
    Err(not("there is no `obs` in it".into()))
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
