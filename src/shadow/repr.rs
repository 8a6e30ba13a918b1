//! How shadows and their slots are shown: names with marks, empty slots left out.

use std::fmt::{self, Formatter};

use super::anndata::AnnDataShadow;
use super::raw::RawShadow;
use super::slots::{self, Admits, SlotSpec};
use crate::codec::Kind;
use crate::error::{Error, Result};
use crate::overlay::Mark;

/// The object: a headline, then a line per slot.
pub(crate) fn anndata(f: &mut Formatter<'_>, shadow: &AnnDataShadow) -> fmt::Result {
    headline(f, shadow, "AnnData")?;
    body(f, shadow, "  ")
}

/// A MuData: a headline, a line per global slot, then the modalities, each as an AnnData with a line per slot.
pub(crate) fn mudata(
    f: &mut Formatter<'_>,
    whole: &AnnDataShadow,
    shown: &[&SlotSpec],
    modalities: &[(Result<AnnDataShadow>, String)],
) -> fmt::Result {
    headline(f, whole, "MuData")?;
    shown.iter().try_for_each(|spec| line(f, &slot_text(whole, spec, "  ")))?;
    let plural = if modalities.len() == 1 { "y" } else { "ies" };
    write!(f, "\n  mod:\t{} modalit{plural}", modalities.len())?;
    for (modality, name) in modalities {
        match modality {
            Ok(shadow) => {
                write!(f, "\n    {name}: {} x {}", shadow.n_obs(), shadow.n_vars())?;
                body(f, shadow, "      ")?;
            }
            // One that cannot be opened does not hide the others.
            Err(error) => write!(f, "\n    {name}: ({error})")?,
        }
    }
    let removed = whole.root.at("mod").map(|at| whole.root.removed_names(&at)).unwrap_or_default();
    removed.iter().try_for_each(|name| write!(f, "\n    {}{}", plain(name), Mark::Removed))
}

fn headline(f: &mut Formatter<'_>, shadow: &AnnDataShadow, what: &str) -> fmt::Result {
    let (n_obs, n_vars) = shadow.shape();
    if shadow.is_view() {
        let (all_obs, all_vars) = shadow.original_shape();
        write!(
            f,
            "View of {what} Shadow object with n_obs × n_vars = {n_obs} × {n_vars} (original {all_obs} × {all_vars})"
        )?;
    } else {
        write!(f, "{what} Shadow object with n_obs × n_vars = {n_obs} × {n_vars}")?;
    }
    if shadow.mode().is_none() { write!(f, " (closed)") } else { Ok(()) }
}

fn body(f: &mut Formatter<'_>, shadow: &AnnDataShadow, indent: &str) -> fmt::Result {
    let x_goes = shadow.root.at(slots::X.name).is_ok_and(|at| shadow.mark(&at) == Some(Mark::Removed));
    if has_value(shadow, slots::X.name) || x_goes {
        write!(f, "\n{indent}X{}", mark(shadow, slots::X.name))?;
    }
    line(f, &raw_text(shadow, indent))?;
    slots::SHOWN.iter().try_for_each(|spec| line(f, &slot_text(shadow, spec, indent)))
}

/// One slot: `obsm:\tX_pcaᐁ, X_umap`.
pub(crate) fn slot(f: &mut Formatter<'_>, shadow: &AnnDataShadow, spec: &SlotSpec, indent: &str) -> fmt::Result {
    let text = slot_text(shadow, spec, indent);
    if text.is_empty() { write!(f, "{indent}{}:", spec.name) } else { f.write_str(&text) }
}

/// `raw:\tX, var, varm`.
pub(crate) fn raw(f: &mut Formatter<'_>, shadow: &AnnDataShadow, indent: &str) -> fmt::Result {
    f.write_str(&raw_text(shadow, indent))
}

fn line(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    if text.is_empty() { Ok(()) } else { write!(f, "\n{text}") }
}

fn slot_text(shadow: &AnnDataShadow, spec: &SlotSpec, indent: &str) -> String {
    match names(shadow, spec) {
        Ok(names) => joined(shadow, spec.name, indent, &names),
        // A slot that cannot be listed does not hide the others.
        Err(error) => format!("{indent}{}:\t({error})", spec.name),
    }
}

/// The names in a slot, those of removed elements last.
fn names(shadow: &AnnDataShadow, spec: &SlotSpec) -> Result<Vec<String>> {
    let at = shadow.root.at(spec.name)?;
    let mut names = if spec.admits == Admits::Column && shadow.mode().is_some() {
        let meta = shadow.root.frame(&at)?;
        let index = std::iter::once(meta.index.clone()).filter(|i| !meta.columns.contains(i));
        index.chain(meta.columns.iter().cloned()).collect()
    } else {
        shadow.root.names(&at)?
    };
    names.extend(shadow.root.removed_names(&at));
    Ok(names)
}

fn raw_text(shadow: &AnnDataShadow, indent: &str) -> String {
    let Ok(at) = shadow.root.at("raw") else { return String::new() };
    if shadow.mark(&at) == Some(Mark::Removed) {
        return format!("{indent}raw{}", Mark::Removed);
    }
    let shown = RawShadow { shadow: shadow.clone() }.keys().unwrap_or_default();
    let shown: Vec<String> = shown.into_iter().map(str::to_owned).collect();
    joined(shadow, "raw", indent, &shown)
}

fn joined(shadow: &AnnDataShadow, slot: &str, indent: &str, names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let marked: Vec<String> =
        names.iter().map(|name| format!("{}{}", plain(name), mark(shadow, &format!("{slot}/{name}")))).collect();
    format!("{indent}{slot}:\t{}", marked.join(", "))
}

/// A name without what would move the cursor or colour the terminal: names come from the file.
fn plain(name: &str) -> std::borrow::Cow<'_, str> {
    if name.contains(char::is_control) { name.escape_debug().to_string().into() } else { name.into() }
}

/// The mark of an element as text.
fn mark(shadow: &AnnDataShadow, below: &str) -> String {
    shadow.mark_at(below).ok().flatten().map(|m| m.to_string()).unwrap_or_default()
}

fn has_value(shadow: &AnnDataShadow, below: &str) -> bool {
    match shadow.root.at(below).and_then(|at| shadow.root.info(&at)) {
        Ok(info) => info.is_some_and(|i| i.kind != Kind::Null),
        Err(Error::Closed { .. }) => false,
        // What is damaged is there.
        Err(_) => true,
    }
}
