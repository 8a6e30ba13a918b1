//! What a new modality changes in the global part of a MuData: its masks and maps, and where it brings rows that the MuData
//! did not have, everything along that axis.

use std::sync::Arc;

use super::anndata::AnnDataShadow;
use super::grow;
use super::member::{check_index, check_keys};
use super::modality::{Modality, rows_by_name};
use super::raw::check_raw;
use super::root::Keep;
use super::slots::{self, Admits, Axis, SlotSpec};
use crate::codec::Kind;
use crate::error::{Error, Result};
use crate::overlay::Was;
use crate::path::{ElemPath, check_new_name};
use crate::value::{Array, Element, Table};

/// A change that hangs together with others.
pub(super) struct Put {
    pub(super) at: ElemPath,
    pub(super) edit: PutEdit,
}

pub(super) enum PutEdit {
    /// In place of what the file has there, `old`.
    Set {
        value: Arc<Element>,
        old: Option<Was>,
    },
    Remove {
        old: Option<Was>,
    },
    /// To another place, where nothing is.
    Rename {
        to: ElemPath,
        what: Option<Was>,
    },
}

impl Put {
    pub(super) fn new(at: ElemPath, value: Element) -> Self {
        Self { at, edit: PutEdit::Set { value: Arc::new(value), old: None } }
    }

    pub(super) fn replace(at: ElemPath, old: &Element, value: Element) -> Self {
        Self { at, edit: PutEdit::Set { value: Arc::new(value), old: Some(Was::of(old)) } }
    }

    pub(super) fn remove(at: ElemPath, old: Option<Was>) -> Self {
        Self { at, edit: PutEdit::Remove { old } }
    }
}

/// A new modality and all that it changes.
pub(super) struct Insertion {
    pub(super) puts: Vec<Put>,
    /// Observations and variables of the modality, and of the MuData with it.
    pub(super) shape: [usize; 2],
    pub(super) global: [usize; 2],
}

/// Checks that `data` is an AnnData in memory. Gives its names, obs and var.
pub(super) fn check_anndata(whole: &AnnDataShadow, name: &str, data: &Element) -> Result<[Vec<String>; 2]> {
    check_new_name(name)?;
    check_keys(data)?;
    let at = whole.root.at("mod")?.join(name)?;
    let place = |below: &str| whole.root.place(&at.join(below).unwrap_or_default());
    let bad = |below: &str, wanted: &str, found: String| Error::WrongType {
        at: place(below),
        wanted: wanted.to_owned(),
        found,
    };
    let Element::Mapping(parts) = data else {
        return Err(bad("obs", "an AnnData: a dict of its slots", data.describe()));
    };
    let known = [&slots::X, &slots::OBS, &slots::VAR].into_iter().chain(named_slots()).map(|s| s.name);
    let known: Vec<&str> = known.chain(["raw"]).collect();
    if let Some(other) = parts.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(Error::BadName { name: other.clone(), why: format!("an AnnData has {}", known.join(", ")) });
    }
    let frame = |name: &str| -> Result<(&Table, Vec<String>)> {
        let found = match parts.get(name) {
            Some(Element::Table(table)) => match names_of(table) {
                Some(names) => return Ok((table, names)),
                None => format!("a dataframe whose index is {}", table.index().describe()),
            },
            Some(other) => other.describe(),
            None => "nothing".to_owned(),
        };
        Err(bad(name, "a dataframe", found))
    };
    let ((obs, obs_names), (var, var_names)) = (frame("obs")?, frame("var")?);
    let length = |axis: &Axis| if *axis == Axis::Obs { obs.n_rows() } else { var.n_rows() };
    let check = |spec: &SlotSpec, below: &str, element: &Element| {
        let lengths: Vec<usize> = spec.axes.iter().map(length).collect();
        spec.check(&place(below), element, &lengths)
    };
    for (spec, table) in [(&slots::OBS, obs), (&slots::VAR, var)] {
        table.columns().iter().try_for_each(|(c, e)| check(spec, &format!("{}/{c}", spec.name), e))?;
    }
    if let Some(x) = parts.get("X").filter(|x| !matches!(x, Element::Null)) {
        check(&slots::X, "X", x)?;
    }
    for spec in named_slots() {
        match parts.get(spec.name) {
            None => {}
            Some(Element::Mapping(entries)) => {
                for (n, e) in entries {
                    let below = format!("{}/{n}", spec.name);
                    check(spec, &below, e)?;
                    if let (Admits::Aligned, Element::Table(table), Some(axis)) = (spec.admits, e, spec.axes.first()) {
                        let names = if *axis == Axis::Obs { &obs_names } else { &var_names };
                        check_index(&place(&below), table, names)?;
                    }
                }
            }
            Some(other) => return Err(bad(spec.name, "a dict", other.describe())),
        }
    }
    match parts.get("raw") {
        None => {}
        Some(Element::Mapping(raw)) => check_raw(&whole.root, &at.child("raw"), obs.n_rows(), raw)?,
        Some(other) => return Err(bad("raw", "a dict of X, var and varm", other.describe())),
    }
    Ok([obs_names, var_names])
}

fn named_slots() -> impl Iterator<Item = &'static SlotSpec> {
    slots::SHOWN.iter().copied().filter(|spec| spec.admits != Admits::Column)
}

fn names_of(table: &Table) -> Option<Vec<String>> {
    let texts = table.index().texts()?;
    Some(texts.into_iter().map(|name| name.unwrap_or_else(|| "nan".to_owned())).collect())
}

/// What it takes to add the modality `name`, whose rows have these names. `shared` says of each axis whether the modalities
/// share it.
pub(super) fn plan(
    whole: &AnnDataShadow,
    modalities: &[Arc<Modality>],
    shared: [bool; 2],
    name: &str,
    data: &Arc<Element>,
    names: &[Vec<String>; 2],
) -> Result<Insertion> {
    let root = &whole.root;
    let edit = PutEdit::Set { value: data.clone(), old: None };
    let mut puts = vec![Put { at: root.at("mod")?.join(name)?, edit }];
    let mut global = root.shape();
    for (i, axis) in [Axis::Obs, Axis::Var].into_iter().enumerate() {
        let (map, new) = place_rows(&root.axis_names(axis)?, &names[i], shared[i]);
        global[i] = map.len();
        if !new.is_empty() {
            puts.extend(longer(whole, modalities, axis, &new)?);
        }
        let mask: Vec<bool> = map.iter().map(|&p| p > 0).collect();
        let mask = Array::from_shape_vec(&[map.len(), 1], mask);
        for (slot, value) in [("m", mask), ("map", Some(Array::from_vec(map)))] {
            let at = root.at(&format!("{}{slot}", axis.name()))?.child(name);
            if root.info(&at)?.is_some() {
                return Err(Error::Exists { at: root.place(&at) });
            }
            puts.extend(value.map(|v| Put::new(at, Element::Array(v))));
        }
    }
    Ok(Insertion { puts, shape: [names[0].len(), names[1].len()], global })
}

/// The map of a new modality (1-based, 0 where it lacks a row), and the names of the rows that come behind the known ones.
/// On a shared axis the k-th row of a name is the k-th global row of this name.
fn place_rows(known: &[String], names: &[String], shared: bool) -> (Vec<u32>, Vec<String>) {
    let rows = rows_by_name(known, names, |_| shared);
    let mut met = vec![false; names.len()];
    rows.iter().flatten().for_each(|&i| met[i] = true);
    let mut map: Vec<u32> = rows.iter().map(|row| row.map_or(0, |i| i as u32 + 1)).collect();
    let new: Vec<usize> = (0..names.len()).filter(|&i| !met[i]).collect();
    map.extend(new.iter().map(|&i| i as u32 + 1));
    (map, new.into_iter().map(|i| names[i].clone()).collect())
}

/// Everything along `axis`, with rows of these names behind it.
fn longer(whole: &AnnDataShadow, modalities: &[Arc<Modality>], axis: Axis, new: &[String]) -> Result<Vec<Put>> {
    let root = &whole.root;
    let (frame, pairs) = if axis == Axis::Obs { (whole.obs(), whole.obsp()) } else { (whole.var(), whole.varp()) };
    let aligned = if axis == Axis::Obs { whole.obsm() } else { whole.varm() };
    let refuse = |at: &ElemPath, found: String| Error::Unsupported {
        at: root.place(at),
        what: format!(
            "the modality brings {} new {} names, and {found} has no form for rows that are not known",
            new.len(),
            axis.name()
        ),
    };
    let at = root.at(axis.name())?;
    if root.is_pending(&at) && !root.mark(&at).is_some_and(crate::overlay::Mark::is_pending) {
        return Err(Error::Unsupported {
            at: root.place(&at),
            what: "it has pending columns, and the modality brings new rows: write() first".to_owned(),
        });
    }
    let old = Element::Table(frame.table()?);
    let table = grow::grown(&old, 1, new).map_err(|found| refuse(&at, found))?;
    let mut puts = vec![Put::replace(at, &old, table)];
    let is_modality = |name: &str| modalities.iter().any(|m| m.name == name);
    for (slot, axes) in [(&aligned, 1), (&pairs, 2)] {
        for name in slot.keys()? {
            let member = slot.member(&name)?;
            if member.info()?.is_none_or(|info| info.kind == Kind::Null) {
                continue;
            }
            let element = member.element()?;
            let value = match &*element {
                Element::Array(mask) if axes == 1 && is_modality(&name) => {
                    grow::with_none(mask, new.len()).map(Element::Array)
                }
                other => grow::grown(other, axes, new),
            };
            let value = value.map_err(|found| refuse(&member.at, found))?;
            puts.push(Put::replace(member.at.clone(), &element, value));
        }
    }
    for modality in modalities {
        let map = modality.map(whole, axis)?.iter().map(|row| row.map_or(0, |i| i as u32 + 1)).collect::<Vec<_>>();
        let at = root.at(&format!("{}map", axis.name()))?.child(&modality.name);
        puts.push(match root.info(&at)? {
            // Of the type that it has.
            Some(_) => {
                let old = root.read(&at, &[axis], &[], Keep::All)?;
                let Element::Array(stored) = &*old else { return Err(refuse(&at, old.describe())) };
                let value = grow::with_none(stored, new.len()).map_err(|found| refuse(&at, found))?;
                Put::replace(at, &old, Element::Array(value))
            }
            None => {
                let longer = map.into_iter().chain(std::iter::repeat_n(0, new.len()));
                Put::new(at, Element::Array(Array::from_vec(longer.collect())))
            }
        });
    }
    Ok(puts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_find_their_names_in_order() {
        let names = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let (map, new) = place_rows(&names("a b b c"), &names("b d b b"), true);
        assert_eq!((map, new), (vec![0, 1, 3, 0, 2, 4], names("d b")));
        let (map, new) = place_rows(&names("a b"), &names("b c"), false);
        assert_eq!((map, new), (vec![0, 0, 1, 2], names("b c")));
    }
}
