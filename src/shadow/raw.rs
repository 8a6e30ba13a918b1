//! [`RawShadow`]: the `raw` of an AnnData, with its own variable axis.

use std::fmt;

use super::anndata::AnnDataShadow;
use super::frame::Frame;
use super::member::{Member, Slot};
use super::repr;
use super::slots::{self, Axis};
use crate::error::Result;

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
