//! Opening a file: an AnnData, or a MuData of which an element path names a part.

use std::path::Path;

use anndata_shadow::{AnnDataShadow, Error, MuDataShadow, OpenOptions};

use crate::failure::Outcome;

/// What a file holds.
pub(crate) enum Object {
    AnnData(AnnDataShadow),
    MuData(MuDataShadow),
}

impl Object {
    pub(crate) fn open(path: &Path, options: &OpenOptions) -> Outcome<Self> {
        match AnnDataShadow::open_with(path, options) {
            Ok(shadow) => Ok(Self::AnnData(shadow)),
            Err(error @ Error::NotAnnData { .. }) => match MuDataShadow::open_with(path, options) {
                Ok(mdata) => Ok(Self::MuData(mdata)),
                // Neither: what it was taken for first says more.
                Err(Error::NotMuData { .. }) => Err(error.into()),
                Err(other) => Err(other.into()),
            },
            Err(other) => Err(other.into()),
        }
    }

    /// The object that an element path leads into, and the rest of the path: in a MuData, `mod/rna/X` is X of a modality,
    /// everything else global.
    pub(crate) fn holding(self, element: &str) -> Outcome<(AnnDataShadow, String)> {
        let element = element.trim_matches('/');
        match self {
            Self::AnnData(shadow) => Ok((shadow, element.to_owned())),
            Self::MuData(mdata) => match element.strip_prefix("mod/") {
                Some(inside) => {
                    let (name, rest) = inside.split_once('/').unwrap_or((inside, ""));
                    Ok((mdata.modality(name)?, rest.to_owned()))
                }
                None => Ok((mdata.global().clone(), element.to_owned())),
            },
        }
    }
}
