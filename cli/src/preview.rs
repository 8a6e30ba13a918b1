//! A corner of an element, for the terminal.

use std::fmt::Write as _;
use std::io::{self, Write};

use anndata_shadow::{AnnDataShadow, Array, Element, Info, Kind, Records, Rows};

use crate::failure::{Failure, Outcome};
use crate::target::Target;
use crate::text;

const ROWS: usize = 10;
const COLUMNS: usize = 8;
/// Items of one-dimensional arrays inside a dict that are shown.
const ITEMS: usize = 5;
/// Arrays inside a dict that are no longer than this are read for it.
const SMALL: usize = 1000;

/// Shows what `cut` takes of the element, reading no more than is shown where the file allows it.
pub(crate) fn show(target: &Target, cut: [Option<Rows>; 2]) -> Outcome<()> {
    let shown = if target.is_slot() { slot(target)? } else { element(target, cut)? };
    let mut out = io::stdout().lock();
    out.write_all(shown.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// What is in a slot; of `uns`, to its leaves.
fn slot(target: &Target) -> Outcome<String> {
    let mut shown = format!("{}\n", target.path);
    for name in target.entries()? {
        tree(&target.shadow, &format!("{}/{name}", target.path), &name, 1, &mut shown)?;
    }
    Ok(shown)
}

fn tree(shadow: &AnnDataShadow, path: &str, name: &str, depth: usize, shown: &mut String) -> Outcome<()> {
    let indent = "  ".repeat(depth);
    if path == "raw/var" {
        let columns = shadow.raw()?.map(|raw| raw.var().columns()).transpose()?.unwrap_or_default();
        let _ = writeln!(shown, "{indent}{name}: dataframe of {} columns {}", columns.len(), columns.join(", "));
        return Ok(());
    }
    let group = path == "raw/varm";
    // Links in HDF5 can lead in circles; no honest dict is this deep.
    if depth > 64 {
        let _ = writeln!(shown, "{indent}{name}: … (too deep)");
        return Ok(());
    }
    let info = match if group { Ok(None) } else { shadow.member(path).and_then(|m| m.info()) } {
        Ok(info) => info,
        Err(error) => {
            let _ = writeln!(shown, "{indent}{name}: (cannot be read: {error})");
            return Ok(());
        }
    };
    let Some(info) = info else {
        let _ = writeln!(shown, "{indent}{name}");
        return Ok(());
    };
    if matches!(info.kind, Kind::Mapping | Kind::AnnData) {
        let _ = writeln!(shown, "{indent}{name}");
        for child in &info.children {
            tree(shadow, &format!("{path}/{child}"), child, depth + 1, shown)?;
        }
        return Ok(());
    }
    let few = info.kind == Kind::Scalar
        || (info.kind == Kind::Array && info.shape.len() == 1 && info.shape[0] <= SMALL && path.starts_with("uns/"));
    let value = if few { shadow.member(path)?.read::<Element>().ok() } else { None };
    let described = match value {
        Some(Element::Array(a)) if a.ndim() == 0 => text::cells(&a).join(""),
        Some(Element::Array(a)) => format!("{} ({})", list(&a), describe(&info)),
        _ => describe(&info),
    };
    let _ = writeln!(shown, "{indent}{name}: {described}");
    Ok(())
}

fn list(array: &Array) -> String {
    let mut items: Vec<String> = text::cells(&array.take(&[Rows::span(0, array.len().min(ITEMS))]));
    if array.len() > ITEMS {
        items.push("…".to_owned());
    }
    format!("[{}]", items.join(", "))
}

/// `700 × 50 float32`, `700 csr_matrix of float32`, …
fn describe(info: &Info) -> String {
    let dtype = info.dtype.as_deref().unwrap_or_default();
    let what = match info.kind {
        Kind::Array | Kind::Scalar => dtype.to_owned(),
        Kind::Sparse => {
            let name = info.encoding.as_ref().map_or("sparse matrix", |(name, _)| name.as_str());
            format!("{dtype} {name}")
        }
        Kind::Categorical => format!("categorical of {dtype}"),
        Kind::Nullable => format!("nullable {dtype}"),
        Kind::Awkward => format!("awkward {dtype}"),
        Kind::Records => format!("records of {}", info.children.join(", ")),
        Kind::Opaque => format!("{} (cannot be read)", text::clip(dtype.to_owned())).trim_start().to_owned(),
        other => text::kind(other).to_owned(),
    };
    let shape = text::shape(&info.shape);
    if shape.is_empty() { what } else { format!("{shape} {}", what.trim_start()) }
}

fn element(target: &Target, cut: [Option<Rows>; 2]) -> Outcome<String> {
    let mut info = target.info.clone();
    let mut shape = target.shape()?;
    let whole = shape.clone();
    for (length, rows) in shape.iter_mut().zip(&cut) {
        if let Some(rows) = rows {
            *length = rows.len();
        }
    }
    let head = match &mut info {
        Some(info) => {
            if matches!(info.kind, Kind::Mapping | Kind::AnnData) {
                let mut shown = format!("{}: {}\n", target.path, text::kind(info.kind));
                for child in &info.children {
                    tree(&target.shadow, &format!("{}/{child}", target.path), child, 1, &mut shown)?;
                }
                return Ok(shown);
            }
            info.shape.clone_from(&shape);
            describe(info)
        }
        None => format!("{} dataframe", text::shape(&shape)),
    };
    let mut shown = format!("{}: {head}", target.path);
    if info.as_ref().is_some_and(|i| i.kind == Kind::Sparse)
        && cut.iter().all(Option::is_none)
        && let Some(n) = target.info.as_ref().and_then(|i| i.stored)
    {
        let _ = write!(shown, ", {n} stored values");
    }
    let limits = [ROWS, COLUMNS];
    // Only what is shown is asked for.
    let mut corner: [Option<Rows>; 2] = [None, None];
    for (axis, &len) in whole.iter().enumerate().take(2) {
        let taken = cut[axis].clone().unwrap_or(Rows::All(len));
        let few = taken.len().min(limits[axis]);
        corner[axis] = Some(taken.compose(&Rows::span(0, few)));
    }
    let value = target.read(&corner)?;
    match &value {
        Element::Null => {}
        Element::Array(a) if a.ndim() == 0 => {
            // A lone text is shown as it is, in all its lines.
            let _ = write!(shown, "\n{}", a.to_strings().join(""));
        }
        Element::Records(r) if r.to_rows().is_none() => {
            let _ = write!(shown, "\n(more than one axis)");
        }
        Element::Array(a) if a.ndim() > 2 => {
            let _ = write!(shown, "\n(more than two axes; save it with -o to a .npy file)");
        }
        _ => {
            shown.push('\n');
            let grid = grid(target, &value, &corner, &whole)?;
            shown.push_str(&layout(grid, shape[0] > ROWS, shape.get(1).is_some_and(|&n| n > COLUMNS)));
        }
    }
    let shown = shown.trim_end();
    Ok(format!("{shown}\n"))
}

/// The corner as rows of cells, the header first; the first cell of each is the name of the row.
fn grid(target: &Target, value: &Element, corner: &[Option<Rows>; 2], whole: &[usize]) -> Outcome<Vec<Vec<String>>> {
    let refuse = |why: String| Failure::element(target.shadow.path(), &target.path, why);
    let rows = corner[0].clone().unwrap_or(Rows::All(0));
    let names = match value {
        Element::Table(t) => {
            let names = t.index().texts().unwrap_or_default();
            names.into_iter().map(Option::unwrap_or_default).collect()
        }
        _ if target.has_names() => target.axis(0).names_at(&target.shadow, &rows, whole[0])?,
        _ => rows.iter().map(|i| i.to_string()).collect(),
    };
    let mut header: Vec<String> = vec![String::new()];
    let mut columns: Vec<Vec<String>> = Vec::new();
    match value {
        Element::Table(t) => {
            for (name, column) in t.columns() {
                header.push(text::clip(name.clone()));
                columns.push(column_cells(column));
            }
        }
        Element::Records(r) => {
            for (name, field) in r.to_rows().iter().flat_map(Records::fields) {
                header.push(text::clip(name.clone()));
                columns.push(field_cells(field, rows.len()));
            }
        }
        Element::Sparse(s) => matrix_cells(&s.to_dense().map_err(refuse)?, &mut columns),
        Element::Array(a) if a.ndim() == 2 => matrix_cells(a, &mut columns),
        other => columns.push(column_cells(other)),
    }
    if let (Some(cols), Some(&len), false) =
        (&corner[1], whole.get(1), matches!(value, Element::Table(_) | Element::Records(_)))
    {
        header.extend(target.axis(1).names_at(&target.shadow, cols, len)?.into_iter().map(text::clip));
    }
    let mut grid = if header.len() > 1 { vec![header] } else { Vec::new() };
    for (i, name) in names.into_iter().enumerate() {
        let cells = columns.iter().map(|c| c.get(i).cloned().unwrap_or_default());
        grid.push(std::iter::once(text::clip(name)).chain(cells).collect());
    }
    Ok(grid)
}

fn column_cells(column: &Element) -> Vec<String> {
    match column {
        Element::Array(a) => text::cells(a),
        other => {
            let values = other.texts().unwrap_or_default();
            values.into_iter().map(|v| v.map_or_else(|| "NA".to_owned(), text::clip)).collect()
        }
    }
}

/// The cells of a field; what has axes of its own is a list in each.
fn field_cells(field: &Array, n_rows: usize) -> Vec<String> {
    if field.ndim() == 1 {
        return text::cells(field);
    }
    let row = |i| text::cells(&field.take(&[Rows::span(i, i + 1)])).join(", ");
    (0..n_rows).map(|i| text::clip(format!("[{}]", row(i)))).collect()
}

fn matrix_cells(dense: &Array, columns: &mut Vec<Vec<String>>) {
    if let [_, n_cols] = dense.shape()[..] {
        let cells = text::cells(dense);
        for i in 0..n_cols {
            columns.push(cells.iter().skip(i).step_by(n_cols).cloned().collect());
        }
    }
}

/// Cells in columns, with marks for what is left out.
fn layout(mut grid: Vec<Vec<String>>, more_rows: bool, more_columns: bool) -> String {
    if more_columns {
        grid.iter_mut().for_each(|row| row.push("…".to_owned()));
    }
    if more_rows {
        let width = grid.last().map_or(1, Vec::len);
        grid.push(vec!["…".to_owned(); width]);
    }
    let columns = grid.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| grid.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut shown = String::new();
    for row in &grid {
        let mut line = String::new();
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width - cell.chars().count());
            // Names to the left, values to the right.
            let _ = if i == 0 { write!(line, "{cell}{pad}") } else { write!(line, "  {pad}{cell}") };
        }
        shown.push_str(line.trim_end());
        shown.push('\n');
    }
    shown
}
