//! `adshadow show`: what is in a file, from its metadata alone.

use std::io::{self, Write};

use anndata_shadow::{ElementInfo, Kind, OpenOptions};
use serde_json::{Value, json};

use crate::args::ShowArgs;
use crate::failure::Outcome;
use crate::open::Object;
use crate::text;

pub(crate) fn run(args: &ShowArgs) -> Outcome<()> {
    let object = Object::open(&args.path, &OpenOptions::default())?;
    let shown = match (args.json, &object) {
        (true, object) => as_json(object)?.to_string(),
        (false, Object::AnnData(shadow)) => shadow.to_string(),
        (false, Object::MuData(mdata)) => mdata.to_string(),
    };
    writeln!(io::stdout().lock(), "{shown}")?;
    Ok(())
}

fn as_json(object: &Object) -> Outcome<Value> {
    let (shadow, elements) = match object {
        Object::AnnData(shadow) => (shadow, shadow.elements()?),
        Object::MuData(mdata) => (mdata.global(), mdata.elements()?),
    };
    let mut shown = json!({
        "path": shadow.path().display().to_string(),
        "format": shadow.format().to_string().to_lowercase(),
        "shape": {"n_obs": shadow.n_obs(), "n_vars": shadow.n_vars()},
        "elements": elements.iter().map(element).collect::<Vec<_>>(),
    });
    if let Object::MuData(mdata) = object {
        shown["modalities"] = json!(mdata.modalities());
    }
    Ok(shown)
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
