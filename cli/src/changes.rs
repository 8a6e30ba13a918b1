//! A file of changes (`changes.toml`) for `adshadow apply` and `adshadow diff`.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::delta::Edit;
use crate::failure::{Failure, Outcome};

/// Reads the changes in a file, in their order. Files that they name are found from where it lies.
///
/// # Errors
/// What is wrong with it, with the number of the change.
pub(crate) fn read(path: &Path) -> Outcome<Vec<Edit>> {
    let bad = |why: String| Failure::file(path, why);
    let text = std::fs::read_to_string(path).map_err(|e| Failure::file(path, e))?;
    let mut table: Table = text.parse().map_err(|e: toml::de::Error| bad(e.to_string().trim_end().to_owned()))?;
    let changes = match table.remove("change") {
        Some(Value::Array(changes)) if !changes.is_empty() => changes,
        _ => return Err(bad("there is no `[[change]]` in it".into())),
    };
    if let Some(key) = table.keys().next() {
        return Err(bad(format!("`{key}` is not known; changes stand in `[[change]]`")));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut edits = Vec::new();
    for (i, change) in changes.into_iter().enumerate() {
        let read = match change {
            Value::Table(change) => edits_of(change, folder),
            _ => Err("it is not a table".to_owned()),
        };
        edits.extend(read.map_err(|why| bad(format!("change number {}: {why}", i + 1)))?);
    }
    Ok(edits)
}

/// The edits that one change says: several where it removes a list.
fn edits_of(mut change: Table, folder: &Path) -> Result<Vec<Edit>, String> {
    const KNOWN: &str = "one of `add`, `set`, `rm`, `mv` is needed";
    let kinds: Vec<&str> = ["add", "set", "rm", "mv"].into_iter().filter(|kind| change.contains_key(*kind)).collect();
    let &[kind] = &kinds[..] else {
        let instead = match (&kinds[..], change.keys().next()) {
            ([], None) => String::new(),
            ([], Some(key)) => format!(", not `{key}`"),
            _ => format!(", not {}", kinds.join(" and ")),
        };
        return Err(format!("{KNOWN}{instead}"));
    };
    let edits = match kind {
        "rm" => paths(change.remove(kind))?.into_iter().map(|path| Edit::Remove { path }).collect(),
        "mv" => vec![Edit::Move { old: text(&mut change, kind)?, new: text(&mut change, "to")? }],
        _ => {
            let path = text(&mut change, kind)?;
            let from: PathBuf = folder.join(text(&mut change, "from")?);
            vec![if kind == "add" { Edit::Add { path, from } } else { Edit::Set { path, from } }]
        }
    };
    match change.keys().next() {
        Some(key) => Err(format!("`{kind}` has no `{key}`")),
        None => Ok(edits),
    }
}

fn text(change: &mut Table, key: &str) -> Result<String, String> {
    match change.remove(key) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("`{key}` is not a text")),
        None => Err(format!("`{key}` is missing")),
    }
}

/// One path, or a list of them.
fn paths(value: Option<Value>) -> Result<Vec<String>, String> {
    let one = |value| match value {
        Value::String(text) => Ok(text),
        _ => Err("`rm` is neither a path nor a list of paths".to_owned()),
    };
    match value {
        Some(Value::Array(list)) => list.into_iter().map(one).collect(),
        Some(value) => one(value).map(|path| vec![path]),
        None => Ok(Vec::new()),
    }
}
