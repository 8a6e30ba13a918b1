//! `adshadow stats`: what each gene or each cell of a matrix comes to, in one pass over the file.

use std::io::{self, Write};

use anndata_shadow::{AnnDataShadow, Array, Member, OpenOptions, Stats, StatsOptions};
use polars::prelude::{DataFrame, IntoColumn, NamedFrom, Series};
use serde_json::{Value, json};

use crate::args::{Per, StatsArgs};
use crate::failure::{Failure, Outcome};
use crate::files::{self, Kind, table};
use crate::open::Object;
use crate::progress::{Bar, Watch};
use crate::target::Target;
use crate::text;

pub(crate) fn run(args: &StatsArgs) -> Outcome<()> {
    let to = match &args.output {
        Some(path) => Some((path, save_as(path)?)),
        None => None,
    };
    let (shadow, element) = Object::open(&args.path, &OpenOptions::default())?.holding(&args.element)?;
    let target = Target::find(&shadow, &element)?;
    let found = take(&shadow.member(&target.path)?, args)?;
    let axis = target.axis(if args.axis == Per::Cells { 0 } else { 1 });
    let names = axis.names(&shadow, found.first().map_or(0, |found| found.stats.len()))?;
    if args.json {
        return Ok(writeln!(io::stdout().lock(), "{}", as_json(args, &target, &names, &found))?);
    }
    let index = axis.index_name(&shadow)?;
    let mut frame = as_frame(&shadow, &target, args.by.as_deref(), &index, &names, found)?;
    match to {
        Some((path, Kind::Parquet)) => files::write(path, |out| table::write_parquet(out, &mut frame)),
        Some((path, _)) => files::write(path, |out| table::write_csv(out, &frame)),
        None => show(&frame),
    }
}

fn save_as(path: &std::path::Path) -> Outcome<Kind> {
    match files::kind(path)? {
        kind @ (Kind::Csv | Kind::Parquet) => Ok(kind),
        Kind::Npy | Kind::Npz => Err(Failure::file(path, "statistics are a table: write a .csv or .parquet file")),
    }
}

/// Statistics of all cells, or of those of a group.
struct Found {
    group: Option<String>,
    stats: Stats,
}

/// One pass, with a bar where somebody may see it.
fn take(member: &Member, args: &StatsArgs) -> Outcome<Vec<Found>> {
    let watch = Watch::new(Bar::rows());
    let tell = |done: u64, total: u64| watch.tell(done, total);
    let options = &StatsOptions::default().ddof(args.ddof).progress(&tell);
    let all = |stats| vec![Found { group: None, stats }];
    Ok(match (&args.by, args.axis) {
        (Some(by), _) => {
            let found = member.stats_by(by, options)?;
            let groups = found.groups.into_iter().zip(found.stats);
            groups.map(|(group, stats)| Found { group: Some(group), stats }).collect()
        }
        (None, Per::Genes) => all(member.column_stats(options)?),
        (None, Per::Cells) => all(member.row_stats(options)?),
    })
}

/// All of it as one frame; of groups, one below the other, the group and the number of its cells first.
fn as_frame(
    shadow: &AnnDataShadow,
    target: &Target,
    by: Option<&str>,
    index: &str,
    names: &[String],
    found: Vec<Found>,
) -> Outcome<DataFrame> {
    let refuse = |why: String| Failure::element(shadow.path(), &target.path, why);
    let mut whole: Option<DataFrame> = None;
    for Found { group, stats } in found {
        // The index may be named like a statistic or like the column of groups.
        let with = |index: &str| {
            let frame = stats.to_frame(index, names.to_vec())?;
            let (Some(by), Some(group)) = (by, &group) else { return Ok(frame) };
            let mut columns = vec![
                Series::new(group_column(by).into(), vec![group.as_str(); stats.len()]).into_column(),
                Series::new("n".into(), vec![stats.count; stats.len()]).into_column(),
            ];
            columns.extend_from_slice(frame.columns());
            DataFrame::new(stats.len(), columns).map_err(|e| e.to_string())
        };
        let part = with(index).or_else(|_| with("_index")).map_err(refuse)?;
        match &mut whole {
            None => whole = Some(part),
            Some(whole) => {
                whole.vstack_mut(&part).map_err(|e| refuse(e.to_string()))?;
            }
        }
    }
    whole.ok_or_else(|| refuse("no cell is in any group".to_owned()))
}

/// What the column of groups is called: as in obs, but not as one of the other columns.
fn group_column(by: &str) -> &str {
    if ["n", "sum", "mean", "variance", "min", "max", "nonzero"].contains(&by) { "group" } else { by }
}

/// As a table of aligned columns, all of it.
fn show(frame: &DataFrame) -> Outcome<()> {
    let columns: Vec<Vec<String>> = frame
        .columns()
        .iter()
        .map(|column| {
            let series = column.as_materialized_series();
            let cells = match series.f64() {
                Ok(floats) => text::cells(&Array::from_vec(floats.iter().map(|x| x.unwrap_or(f64::NAN)).collect())),
                Err(_) => series.iter().map(|value| text::clip(value.str_value().into_owned())).collect(),
            };
            std::iter::once(column.name().to_string()).chain(cells).collect()
        })
        .collect();
    let wide = |column: &Vec<String>| column.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = columns.iter().map(wide).collect();
    let mut out = io::BufWriter::new(io::stdout().lock());
    for i in 0..=frame.height() {
        let cells = columns.iter().zip(&widths).map(|(column, &width)| format!("{:<width$}", column[i]));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(out.flush()?)
}

fn as_json(args: &StatsArgs, target: &Target, names: &[String], found: &[Found]) -> Value {
    let stats = |Found { group, stats }: &Found| {
        json!({
            "group": group,
            "count": stats.count,
            "sum": stats.sum,
            "mean": stats.mean,
            "variance": stats.variance,
            "min": stats.min,
            "max": stats.max,
            "nonzero": stats.nonzero,
        })
    };
    json!({
        "path": args.path.display().to_string(),
        "element": target.path,
        "per": if args.axis == Per::Cells { "cells" } else { "genes" },
        "by": args.by,
        "ddof": args.ddof,
        "names": names,
        "stats": found.iter().map(stats).collect::<Vec<_>>(),
    })
}
