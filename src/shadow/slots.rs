//! The slots of an AnnData as a table: name, axes, what may stand there. Shape checks, view slicing and the repr read it.

use crate::error::{Error, Place, Result};
use crate::value::Element;

/// An axis that elements are aligned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Axis {
    Obs,
    Var,
    /// The variables of `raw`.
    RawVar,
}

impl Axis {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Obs => "obs",
            Self::Var => "var",
            Self::RawVar => "raw var",
        }
    }
}

/// What may stand in a slot (format, section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admits {
    /// Dense or sparse matrices of exactly the slot's axes.
    Matrix,
    /// As `Matrix`, with more axes allowed.
    Pairwise,
    /// Arrays, structured or not, sparse matrices, frames and awkward arrays with a free second axis.
    Aligned,
    /// One-dimensional columns.
    Column,
    /// Positions of rows in a modality, counted from 1; views count anew.
    Positions,
    /// Anything.
    Any,
}

/// Where elements live.
#[derive(Debug)]
pub(crate) struct SlotSpec {
    /// Group below the AnnData root.
    pub(crate) name: &'static str,
    /// The leading axes of its elements.
    pub(crate) axes: &'static [Axis],
    pub(crate) admits: Admits,
}

macro_rules! slots {
    ($($constant:ident: $name:literal, [$($axis:ident),*], $admits:ident;)*) => {
        $(pub(crate) static $constant: SlotSpec =
            SlotSpec { name: $name, axes: &[$(Axis::$axis),*], admits: Admits::$admits };)*
    };
}

slots! {
    X: "X", [Obs, Var], Matrix;
    LAYERS: "layers", [Obs, Var], Matrix;
    OBS: "obs", [Obs], Column;
    VAR: "var", [Var], Column;
    OBSM: "obsm", [Obs], Aligned;
    VARM: "varm", [Var], Aligned;
    OBSP: "obsp", [Obs, Obs], Pairwise;
    VARP: "varp", [Var, Var], Pairwise;
    UNS: "uns", [], Any;
    OBSMAP: "obsmap", [Obs], Positions;
    VARMAP: "varmap", [Var], Positions;
    RAW_X: "raw/X", [Obs, RawVar], Matrix;
    RAW_VAR: "raw/var", [RawVar], Column;
    RAW_VARM: "raw/varm", [RawVar], Aligned;
}

/// The slots that hold named elements, in the order shown. `obs` and `var` are frames: their elements are columns.
pub(crate) static SHOWN: &[&SlotSpec] = &[&LAYERS, &OBS, &VAR, &OBSM, &VARM, &OBSP, &VARP, &UNS];

/// The global slots of a MuData, in the order shown.
pub(crate) static OF_MUDATA: [&SlotSpec; 9] = [&OBS, &VAR, &OBSM, &VARM, &OBSP, &VARP, &UNS, &OBSMAP, &VARMAP];

impl SlotSpec {
    /// Checks that `element` may stand here; `lengths` are those of the slot's axes.
    ///
    /// # Errors
    /// [`Error::WrongType`], [`Error::Shape`].
    pub(crate) fn check(&self, at: &Place, element: &Element, lengths: &[usize]) -> Result<()> {
        let shape = element.shape();
        let kind_fits = match self.admits {
            Admits::Any => return Ok(()),
            Admits::Matrix | Admits::Pairwise => matches!(element, Element::Array(_) | Element::Sparse(_)),
            Admits::Aligned => matches!(
                element,
                Element::Array(_) | Element::Sparse(_) | Element::Table(_) | Element::Records(_) | Element::Awkward(_)
            ),
            Admits::Positions => matches!(element, Element::Array(a) if a.dtype().is_integer()),
            Admits::Column => {
                matches!(element, Element::Array(_) | Element::Categorical(_) | Element::Nullable(_))
            }
        };
        if !kind_fits || shape.is_empty() {
            return Err(Error::WrongType {
                at: at.clone(),
                wanted: format!("what can stand in `{}`: {}", self.name, self.admitted()),
                found: element.describe(),
            });
        }
        let exact = matches!(self.admits, Admits::Matrix | Admits::Column | Admits::Positions);
        if !shape.starts_with(lengths) || (exact && shape.len() != lengths.len()) {
            let free = if exact { "" } else { ", …" };
            let expected = lengths.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
            return Err(Error::Shape {
                at: at.clone(),
                expected: format!("[{expected}{free}]"),
                got: format!("{shape:?}"),
            });
        }
        Ok(())
    }

    const fn admitted(&self) -> &'static str {
        match self.admits {
            Admits::Matrix | Admits::Pairwise => "a dense or sparse matrix",
            Admits::Aligned => "an array, structured or not, a sparse matrix, a dataframe or an awkward array",
            Admits::Column => "an array, a categorical or a nullable array of one axis",
            Admits::Positions => "an array of integers",
            Admits::Any => "anything",
        }
    }
}
