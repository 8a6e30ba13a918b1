//! What `--rows` and `--cols` say, as the library's [`Select`].

use std::collections::BTreeSet;
use std::path::Path;

use anndata_shadow::{AnnDataShadow, Rows, Select};

use crate::failure::{Failure, Outcome};
use crate::target::Axis;

/// How many of the values of a column a message lists.
const LISTED: usize = 10;

/// The positions along `axis`, of `len`, that `sel` takes.
///
/// # Errors
/// A selection that does not fit the axis, naming the file and the axis.
pub(crate) fn resolve(shadow: &AnnDataShadow, axis: Axis<'_>, len: usize, sel: &str) -> Outcome<Rows> {
    let select = parse(shadow, axis, sel)?;
    let names = if select.needs_names() { axis.names(shadow, len)? } else { Vec::new() };
    select.resolve(len, &names).map_err(|why| bad(shadow, axis, sel, why))
}

fn bad(shadow: &AnnDataShadow, axis: Axis<'_>, sel: &str, why: impl std::fmt::Display) -> Failure {
    Failure::file(shadow.path(), format!("selection `{sel}` on the {axis} axis: {why}"))
}

fn parse(shadow: &AnnDataShadow, axis: Axis<'_>, sel: &str) -> Outcome<Select> {
    if let Some(file) = sel.strip_prefix('@') {
        return names_in(Path::new(file));
    }
    if let Some(slice) = Select::parse_slice(sel) {
        return Ok(slice);
    }
    if sel.trim().is_empty() {
        return Err(bad(shadow, axis, sel, "it is empty; use `:` for all"));
    }
    if let Some((column, values)) = sel.split_once('=') {
        return matching(shadow, axis, sel, column.trim(), values);
    }
    let tokens: Vec<&str> = sel.split(',').map(str::trim).collect();
    let positions: Option<Vec<i64>> = tokens.iter().map(|t| t.parse().ok()).collect();
    Ok(positions.map_or_else(|| Select::from(tokens), Select::List))
}

fn names_in(file: &Path) -> Outcome<Select> {
    let text = std::fs::read_to_string(file).map_err(|e| Failure::file(file, e))?;
    Ok(Select::Names(text.lines().map(str::trim_end).filter(|l| !l.is_empty()).map(str::to_owned).collect()))
}

/// The positions where `column` has one of `values` as text.
fn matching(shadow: &AnnDataShadow, axis: Axis<'_>, sel: &str, column: &str, values: &str) -> Outcome<Select> {
    let Some(frame) = axis.frame(shadow)? else {
        return Err(bad(shadow, axis, sel, "this axis has no columns to compare with; use positions or a slice"));
    };
    let element = frame.element(column)?;
    let Some(found) = element.texts() else {
        return Err(bad(
            shadow,
            axis,
            sel,
            format!("`{column}` is {}, which has no values as text", element.describe()),
        ));
    };
    let wanted: Vec<&str> = values.split(',').map(str::trim).collect();
    for value in &wanted {
        if !found.iter().flatten().any(|v| v == value) {
            let there: BTreeSet<&String> = found.iter().flatten().collect();
            let mut listed: Vec<String> = there.iter().take(LISTED).map(|v| format!("`{v}`")).collect();
            if there.len() > LISTED {
                listed.push(format!("… ({} in all)", there.len()));
            }
            let why = format!("`{column}` is never `{value}`; it is one of {}", listed.join(", "));
            return Err(bad(shadow, axis, sel, why));
        }
    }
    Ok(Select::Mask(found.iter().map(|v| v.as_deref().is_some_and(|v| wanted.contains(&v))).collect()))
}
