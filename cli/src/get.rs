//! `adshadow get`: an element, or part of it, to the terminal or to a file.

use anndata_shadow::{Element, OpenOptions, Rows};

use polars::prelude::{DataFrame, IntoColumn, NamedFrom, Series};

use crate::args::GetArgs;
use crate::failure::{Failure, Outcome};
use crate::files::{self, Kind, npy, npz, table};
use crate::open::Object;
use crate::preview;
use crate::select;
use crate::target::Target;

pub(crate) fn run(args: &GetArgs) -> Outcome<()> {
    let to = match &args.output {
        Some(path) => Some((path, files::kind(path)?)),
        None => None,
    };
    let (shadow, element) =
        Object::open(&args.path, &OpenOptions::default().gene_index(!args.no_index))?.holding(&args.element)?;
    let target = Target::find(&shadow, &element)?;
    let cut = cut(&target, args)?;
    match to {
        None => preview::show(&target, cut),
        Some((path, kind)) => {
            if target.is_slot() {
                let names: Vec<String> = target.entries()?.iter().map(|n| format!("`{}/{n}`", target.path)).collect();
                let why = format!("it is a group of elements; save one of them: {}", names.join(", "));
                return Err(Failure::element(shadow.path(), &target.path, why));
            }
            save(&target, cut, path, kind)
        }
    }
}

/// The positions that `--rows` and `--cols` take.
fn cut(target: &Target, args: &GetArgs) -> Outcome<[Option<Rows>; 2]> {
    let shape = target.shape()?;
    let one = |sel: &Option<String>, axis: usize, option: &str| -> Outcome<Option<Rows>> {
        let Some(sel) = sel else { return Ok(None) };
        let Some(&len) = shape.get(axis) else {
            let why = format!("{option} needs {} axes, it has {}", axis + 1, shape.len());
            return Err(Failure::element(target.shadow.path(), &target.path, why));
        };
        select::resolve(&target.shadow, target.axis(axis), len, sel).map(Some)
    };
    Ok([one(&args.rows, 0, "--rows")?, one(&args.cols, 1, "--cols")?])
}

fn save(target: &Target, cut: [Option<Rows>; 2], path: &std::path::Path, kind: Kind) -> Outcome<()> {
    let element = target.read(&cut)?;
    let name = target.path.rsplit('/').next().unwrap_or(&target.path);
    let refuse = |why: String| Failure::element(target.shadow.path(), &target.path, why);
    match (kind, &element) {
        (Kind::Npy, Element::Array(array)) | (Kind::Npz, Element::Array(array)) => {
            if array.dtype() == anndata_shadow::DType::Str {
                return Err(refuse("numpy files hold numbers, not text; write a .csv or .parquet file".into()));
            }
            files::write(path, |out| match kind {
                Kind::Npy => npy::write(out, array),
                _ => npz::write_dense(out, name, array),
            })
        }
        (Kind::Npy, Element::Sparse(s)) => {
            Err(refuse(format!("it is a {}, not a dense array; write a .npz (sparse) or .csv file", s.format())))
        }
        (Kind::Npz, Element::Sparse(s)) => files::write(path, |out| npz::write_sparse(out, s)),
        (Kind::Npy | Kind::Npz, other) => {
            Err(refuse(format!("it is {}, not a numeric array; write a .csv or .parquet file", other.describe())))
        }
        (Kind::Csv | Kind::Parquet, _) => {
            let mut frame = as_frame(target, &element, &cut, name, kind).map_err(|why| match why {
                Why::Text(why) => refuse(why),
                Why::Failure(failure) => failure,
            })?;
            files::write(path, |out| match kind {
                Kind::Csv => table::write_csv(out, &frame),
                _ => table::write_parquet(out, &mut frame),
            })
        }
    }
}

/// Tables of more columns are not written: positions of a genome, for one, make thousands of millions.
const MAX_COLUMNS: usize = 1_000_000;

enum Why {
    Text(String),
    Failure(Failure),
}

impl From<Failure> for Why {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

fn as_frame(
    target: &Target,
    element: &Element,
    cut: &[Option<Rows>; 2],
    name: &str,
    kind: Kind,
) -> Result<DataFrame, Why> {
    let shape = target.shape()?;
    let (Some(&n_rows), true) = (shape.first(), element.shape().len() <= 2) else {
        return Err(Why::Text(format!("{} is no table; write a .npy file", element.describe())));
    };
    if let Some(n) = element.shape().get(1).filter(|&&n| n > MAX_COLUMNS) {
        let why = format!("a table of {n} columns is of no use; choose some with --cols, or write a .npz or .npy file");
        return Err(Why::Text(why));
    }
    let names = |axis: usize, len: usize| {
        let rows = cut[axis].clone().unwrap_or(Rows::All(len));
        target.axis(axis).names_at(&target.shadow, &rows, len)
    };
    let (rows, index) = match element {
        Element::Table(t) => {
            let rows = t.index().texts().unwrap_or_default();
            let rows = rows.into_iter().map(|n| n.unwrap_or_else(|| "nan".to_owned())).collect();
            (rows, t.index_name().unwrap_or("_index").to_owned())
        }
        _ => (names(0, n_rows)?, target.axis(0).index_name(&target.shadow)?),
    };
    // The row names themselves.
    if name == index && element.shape().len() == 1 {
        let rows = Series::new(index.as_str().into(), rows);
        return DataFrame::new(rows.len(), vec![rows.into_column()]).map_err(|e| Why::Text(e.to_string()));
    }
    let columns = match shape.get(1) {
        Some(&n_cols) if !matches!(element, Element::Table(_)) => names(1, n_cols)?,
        _ => Vec::new(),
    };
    table::frame(element, name, &index, rows, &columns, kind).map_err(Why::Text)
}
