//! Elements for an AnnData from a file of values: what its columns and rows are, by name or in order.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anndata_shadow::{AnnDataShadow, Array, Element, Rows, Table};
use polars::prelude::{Column, DataFrame, DataType, Series};

use crate::failure::{Failure, Outcome};
use crate::files::{self, Content, Kind, table};
use crate::target::Axis;

/// The elements that the file `from` holds for `path`, by their paths inside the AnnData: one, or (`obs` and `var` alone)
/// one for every column.
///
/// # Errors
/// What is wrong with the file or the path, naming it.
pub(crate) fn read(shadow: &AnnDataShadow, path: &str, from: &Path) -> Outcome<Vec<(String, Element)>> {
    files::kind(from)?;
    let (slot, name) = path.split_once('/').unwrap_or((path, ""));
    if slot == "raw" {
        return Err(Failure::element(shadow.path(), path, "elements of raw cannot be taken from a file"));
    }
    if matches!(path, "layers" | "obsm" | "varm" | "obsp" | "varp" | "uns") {
        return Err(Failure::element(shadow.path(), path, format!("say which element: `{slot}/NAME`")));
    }
    let (axis, _) = axes(slot);
    let index_names = index_names(shadow, axis)?;
    let last = path.rsplit('/').next().unwrap_or(path);
    let content = files::read(from, last, &index_names)?;
    let plan = Plan { shadow, from, slot, name, axis, index_names };
    let below = |(name, element): (String, Element)| {
        (if name.is_empty() { slot.to_owned() } else { format!("{slot}/{name}") }, element)
    };
    Ok(plan.elements(content)?.into_iter().map(below).collect())
}

/// What the rows and the columns of the elements of a slot are aligned to.
fn axes(slot: &str) -> (Axis<'static>, Axis<'static>) {
    let free = Axis::Free(&[]);
    match slot {
        "X" | "layers" => (Axis::Obs, Axis::Var),
        "obs" | "obsm" => (Axis::Obs, free),
        "var" | "varm" => (Axis::Var, free),
        "obsp" => (Axis::Obs, Axis::Obs),
        "varp" => (Axis::Var, Axis::Var),
        _ => (free, free),
    }
}

/// Columns of these names hold row names, the surest first.
fn index_names(shadow: &AnnDataShadow, axis: Axis<'_>) -> Outcome<Vec<String>> {
    let mut names = vec!["_index".to_owned()];
    match axis {
        Axis::Obs | Axis::Var => {
            names.insert(0, axis.index_name(shadow)?);
            names.push(format!("{axis}_names"));
        }
        _ => {}
    }
    names.extend(["index", "__index_level_0__"].map(str::to_owned));
    Ok(names)
}

struct Plan<'a> {
    shadow: &'a AnnDataShadow,
    from: &'a Path,
    slot: &'a str,
    name: &'a str,
    axis: Axis<'static>,
    index_names: Vec<String>,
}

impl Plan<'_> {
    /// The elements, by name below the slot.
    fn elements(&self, content: Content) -> Outcome<Vec<(String, Element)>> {
        let whole_frame = matches!(self.slot, "obs" | "var") && self.name.is_empty();
        let one = |element: Element| Ok(vec![(self.name.to_owned(), element)]);
        let (frame, kind) = match content {
            Content::Array(_) | Content::Sparse(_) if whole_frame => {
                let why = format!("it has no named columns; say which: `{}/NAME`", self.slot);
                return Err(self.bad(why));
            }
            Content::Array(array) => return one(Element::Array(array)),
            Content::Sparse(sparse) => return one(Element::Sparse(sparse)),
            Content::Frame(frame, kind) => (frame, kind),
        };
        let (names, columns) = self.split(&frame, kind)?;
        let rows = self.order(names.as_deref(), frame.height())?;
        let columns: Vec<(String, Series)> =
            columns.into_iter().map(|c| (c.name().to_string(), c.as_materialized_series().clone())).collect();
        match self.slot {
            "obs" | "var" => {
                let wanted: Vec<&(String, Series)> =
                    if whole_frame { columns.iter().collect() } else { vec![self.pick(&columns)?] };
                if wanted.is_empty() {
                    return Err(self.bad("it has no columns besides the row names".into()));
                }
                wanted
                    .into_iter()
                    .map(|(name, series)| {
                        let name = if whole_frame { name } else { self.name };
                        Ok((name.to_owned(), self.column(series, kind, rows.as_ref())?))
                    })
                    .collect()
            }
            "X" | "layers" | "obsp" | "varp" => {
                let columns = self.by_header(columns)?;
                one(self.matrix(&columns, rows.as_ref(), frame.height())?)
            }
            "obsm" | "varm" if !columns.is_empty() && columns.iter().all(|(_, s)| is_number(s.dtype())) => {
                one(self.matrix(&columns, rows.as_ref(), frame.height())?)
            }
            _ => one(self.table(&columns, kind, rows.as_ref(), names)?),
        }
    }

    fn bad(&self, why: String) -> Failure {
        Failure::file(self.from, why)
    }

    /// The row names, if a column holds them, and the other columns.
    fn split<'f>(&self, frame: &'f DataFrame, kind: Kind) -> Outcome<(Option<Vec<String>>, Vec<&'f Column>)> {
        let columns = frame.columns();
        let wanted =
            |c: &Column| matches!(self.slot, "obs" | "var") && !self.name.is_empty() && c.name().as_str() == self.name;
        let unnamed = (kind == Kind::Csv).then_some("");
        let index = self
            .index_names
            .iter()
            .map(String::as_str)
            .chain(unnamed)
            .find_map(|name| columns.iter().position(|c| c.name().as_str() == name && !wanted(c)));
        let rest = columns.iter().enumerate().filter(|(i, _)| Some(*i) != index).map(|(_, c)| c).collect();
        let Some(found) = index.and_then(|i| columns.get(i)) else { return Ok((None, rest)) };
        let texts = found.as_materialized_series().cast(&DataType::String).map_err(|e| self.bad(e.to_string()))?;
        let texts = texts.str().map_err(|e| self.bad(e.to_string()))?;
        let names: Option<Vec<String>> = texts.iter().map(|t| t.map(str::to_owned)).collect();
        match names {
            Some(names) => Ok((Some(names), rest)),
            None => Err(self.bad(format!("a row name is missing in its column `{}`", found.name()))),
        }
    }

    /// Where in the file the row of each name of the axis stands; `None` to take rows in order.
    fn order(&self, names: Option<&[String]>, height: usize) -> Outcome<Option<Rows>> {
        let (Some(names), false) = (names, matches!(self.axis, Axis::Free(_))) else { return Ok(None) };
        let expected = self.axis.names(self.shadow, height)?;
        matched(&expected, names, "row", &format!("{} names", self.axis)).map(Some).map_err(|why| self.bad(why))
    }

    fn pick<'c>(&self, columns: &'c [(String, Series)]) -> Outcome<&'c (String, Series)> {
        if let Some(found) = columns.iter().find(|(n, _)| n == self.name) {
            return Ok(found);
        }
        match columns {
            [only] => Ok(only),
            _ => {
                let names: Vec<String> = columns.iter().take(10).map(|(n, _)| format!("`{n}`")).collect();
                let why = format!("it has no column `{}`, and not just one: {}", self.name, names.join(", "));
                Err(self.bad(why))
            }
        }
    }

    fn column(&self, series: &Series, kind: Kind, rows: Option<&Rows>) -> Outcome<Element> {
        let element = table::column(series, kind).map_err(|why| self.bad(why))?;
        Ok(rows.map_or_else(|| element.clone(), |r| element.take(std::slice::from_ref(r))))
    }

    /// The columns in the order of the second axis, if the header has its names; as they are, if it has none of them.
    fn by_header(&self, columns: Vec<(String, Series)>) -> Outcome<Vec<(String, Series)>> {
        let (_, across) = axes(self.slot);
        let expected = across.names(self.shadow, columns.len())?;
        let known: HashSet<&str> = expected.iter().map(String::as_str).collect();
        if !columns.iter().any(|(n, _)| known.contains(n.as_str())) {
            return Ok(columns);
        }
        let header: Vec<String> = columns.iter().map(|(n, _)| n.clone()).collect();
        // Some names and not others: in order of the file, values could end up under the wrong name.
        let order = matched(&expected, &header, "column", &format!("{across} names")).map_err(|why| self.bad(why))?;
        Ok(order.iter().filter_map(|i| columns.get(i).cloned()).collect())
    }

    fn matrix(&self, columns: &[(String, Series)], rows: Option<&Rows>, height: usize) -> Outcome<Element> {
        if let Some((name, series)) = columns.iter().find(|(_, s)| !is_number(s.dtype())) {
            return Err(self.bad(format!("column `{name}` holds {}, not numbers", series.dtype())));
        }
        let narrow = !columns.is_empty() && columns.iter().all(|(_, s)| *s.dtype() == DataType::Float32);
        let mut wide = Vec::with_capacity(columns.len());
        for (_, series) in columns {
            let series = series.cast(&DataType::Float64).map_err(|e| self.bad(e.to_string()))?;
            let numbers = series.f64().map_err(|e| self.bad(e.to_string()))?;
            wide.push(numbers.iter().map(|x| x.unwrap_or(f64::NAN)).collect::<Vec<f64>>());
        }
        let order: Vec<usize> = rows.map_or_else(|| (0..height).collect(), |r| r.iter().collect());
        let items = order.iter().flat_map(|&i| wide.iter().map(move |c| c.get(i).copied().unwrap_or(f64::NAN)));
        let shape = [order.len(), columns.len()];
        let array = if narrow {
            Array::from_shape_vec(&shape, items.map(|x| x as f32).collect())
        } else {
            Array::from_shape_vec(&shape, items.collect())
        };
        array.map(Element::Array).ok_or_else(|| self.bad("its columns differ in length".into()))
    }

    /// A dataframe whose index is that of the axis or, in `uns`, of the file.
    fn table(
        &self,
        columns: &[(String, Series)],
        kind: Kind,
        rows: Option<&Rows>,
        names: Option<Vec<String>>,
    ) -> Outcome<Element> {
        let columns = columns
            .iter()
            .map(|(name, series)| Ok((name.clone(), self.column(series, kind, rows)?)))
            .collect::<Outcome<Vec<_>>>()?;
        let height = columns.first().map_or(0, |(_, c)| c.shape().first().copied().unwrap_or(0));
        let index = match (self.axis, names) {
            (Axis::Free(_), Some(names)) => names,
            (axis, _) => axis.names(self.shadow, height)?,
        };
        if index.len() != height && !columns.is_empty() {
            return Err(self.bad(format!("it has {height} rows, the {} axis {}", self.axis, index.len())));
        }
        let index = Element::Array(Array::from_vec(index));
        Table::new(None, index, columns).map(Element::Table).map_err(|why| self.bad(why))
    }
}

const fn is_number(dtype: &DataType) -> bool {
    matches!(
        dtype,
        DataType::Float16
            | DataType::Float32
            | DataType::Float64
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64
    )
}

/// For each of `expected`, its place in `found`, which must hold each once and nothing else.
fn matched(expected: &[String], found: &[String], noun: &str, what: &str) -> Result<Rows, String> {
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(found.len());
    for (i, name) in found.iter().enumerate() {
        if places.insert(name, i).is_some() {
            return Err(format!("{noun} `{name}` stands there twice"));
        }
    }
    let mut order = Vec::with_capacity(expected.len());
    for name in expected {
        match places.remove(name.as_str()) {
            Some(i) => order.push(i),
            // Taken already: the axis has this name twice.
            None if found.contains(name) => return Err(format!("`{name}` stands twice among the {what}")),
            None => return Err(format!("there is no {noun} `{name}`; {noun}s are matched by the {what}")),
        }
    }
    match places.keys().min() {
        None => Ok(Rows::picks(order)),
        Some(extra) => Err(format!("{noun} `{extra}` is not among the {what} ({} such {noun}s)", places.len())),
    }
}
