//! `adshadow show`: what is in a file, from its metadata alone.

use std::io::{self, Write};

use anndata_shadow::{AnnDataShadow, ElementInfo, Kind};
use serde_json::{Value, json};

use crate::args::ShowArgs;
use crate::failure::Outcome;
use crate::text;

pub(crate) fn run(args: &ShowArgs) -> Outcome<()> {
    let shadow = AnnDataShadow::open(&args.path)?;
    let shown = if args.json { as_json(&shadow)?.to_string() } else { shadow.to_string() };
    writeln!(io::stdout().lock(), "{shown}")?;
    Ok(())
}

fn as_json(shadow: &AnnDataShadow) -> Outcome<Value> {
    let elements: Vec<Value> = shadow.elements()?.iter().map(element).collect();
    Ok(json!({
        "path": shadow.path().display().to_string(),
        "format": shadow.format().to_string().to_lowercase(),
        "shape": {"n_obs": shadow.n_obs(), "n_vars": shadow.n_vars()},
        "elements": elements,
    }))
}

fn element(found: &ElementInfo) -> Value {
    let info = &found.info;
    let mut shown = json!({
        "path": found.path,
        "kind": text::kind(info.kind),
        "shape": info.shape,
        "dtype": info.dtype,
        "encoding": info.encoding.as_ref().map(|(name, version)| json!({"type": name, "version": version})),
        "chunks": info.chunks,
    });
    if matches!(info.kind, Kind::Records | Kind::Table) {
        shown["fields"] = json!(info.children);
    }
    shown
}
