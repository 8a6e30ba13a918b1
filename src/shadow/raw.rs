//! [`RawShadow`]: the `raw` of an AnnData, with its own variable axis.

use std::collections::BTreeMap;
use std::fmt;

use super::anndata::AnnDataShadow;
use super::frame::Frame;
use super::member::{Member, Slot, check_index};
use super::repr;
use super::root::Root;
use super::slots::{self, Axis};
use crate::error::{Error, Result};
use crate::path::ElemPath;
use crate::value::Element;

/// The `raw` of an AnnData: X over the same observations and its own variables, their frame, and varm.
#[derive(Clone)]
pub struct RawShadow {
    pub(crate) shadow: AnnDataShadow,
}

impl RawShadow {
    /// Which of `X`, `var` and `varm` it has.
    ///
    /// # Errors
    /// Those of the store.
    pub fn keys(&self) -> Result<Vec<&'static str>> {
        let all = self.shadow.root.names(&self.shadow.root.at("raw")?)?;
        Ok(["X", "var", "varm"].into_iter().filter(|name| all.iter().any(|a| a == name)).collect())
    }

    /// `raw.X`, n_obs × n_raw_vars.
    ///
    /// # Errors
    /// Those of the store.
    pub fn x(&self) -> Result<Member> {
        let at = self.shadow.root.at(slots::RAW_X.name)?;
        Ok(Member { shadow: self.shadow.clone(), spec: &slots::RAW_X, at })
    }

    /// `raw.var`.
    #[must_use]
    pub fn var(&self) -> Frame {
        Frame { shadow: self.shadow.clone(), spec: &slots::RAW_VAR }
    }

    /// `raw.varm`.
    #[must_use]
    pub fn varm(&self) -> Slot {
        Slot { shadow: self.shadow.clone(), spec: &slots::RAW_VARM }
    }

    /// Number of observations.
    #[must_use]
    pub fn n_obs(&self) -> usize {
        self.shadow.n_obs()
    }

    /// Number of variables of `raw`.
    ///
    /// # Errors
    /// Those of the store.
    pub fn n_vars(&self) -> Result<usize> {
        self.shadow.root.length(Axis::RawVar)
    }

    /// Names of the variables of `raw`.
    ///
    /// # Errors
    /// Those of the store.
    pub fn var_names(&self) -> Result<Vec<String>> {
        self.var().names()
    }
}

/// Checks what is to become the `raw` at `at`, of so many observations.
pub(super) fn check_raw(root: &Root, at: &ElemPath, n_obs: usize, raw: &BTreeMap<String, Element>) -> Result<()> {
    let place = |below: &str| root.place(&at.join(below).unwrap_or_default());
    let bad = |below: &str, wanted: &str, found: Option<&Element>| {
        let found = found.map_or_else(|| "nothing".to_owned(), Element::describe);
        Err(Error::WrongType { at: place(below), wanted: wanted.to_owned(), found })
    };
    if let Some(other) = raw.keys().find(|name| !matches!(&***name, "X" | "var" | "varm")) {
        return Err(Error::BadName { name: other.clone(), why: "`raw` has X, var and varm".to_owned() });
    }
    let Some(Element::Table(var)) = raw.get("var") else { return bad("var", "a dataframe", raw.get("var")) };
    let n_vars = [var.n_rows()];
    for (name, column) in var.columns() {
        slots::RAW_VAR.check(&place(&format!("var/{name}")), column, &n_vars)?;
    }
    let names = root.names_to_be(&at.join("var")?, var)?;
    if let Some(x) = raw.get("X") {
        slots::RAW_X.check(&place("X"), x, &[n_obs, n_vars[0]])?;
    }
    let varm = match raw.get("varm") {
        None => return Ok(()),
        Some(Element::Mapping(varm)) => varm,
        other => return bad("varm", "a dict", other),
    };
    for (name, element) in varm {
        let place = place(&format!("varm/{name}"));
        slots::RAW_VARM.check(&place, element, &n_vars)?;
        if let Element::Table(table) = element {
            check_index(&place, table, &names)?;
        }
    }
    Ok(())
}

impl fmt::Display for RawShadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        repr::raw(f, &self.shadow, "")
    }
}

impl fmt::Debug for RawShadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
