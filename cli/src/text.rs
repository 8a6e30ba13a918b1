//! Values as text, for the terminal and for comparisons.

use anndata_shadow::{Array, Kind};

/// The kind of an element in one lower-case word.
pub(crate) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Array => "array",
        Kind::Scalar => "scalar",
        Kind::Sparse => "sparse",
        Kind::Categorical => "categorical",
        Kind::Nullable => "nullable",
        Kind::Table => "dataframe",
        Kind::Records => "records",
        Kind::Awkward => "awkward",
        Kind::Mapping => "dict",
        Kind::AnnData => "anndata",
        Kind::Null => "null",
        _ => "opaque",
    }
}

/// A shape as `700 × 50`.
pub(crate) fn shape(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ")
}

/// The items of an array for reading by eye: six digits of floats, the beginning of long text.
pub(crate) fn cells(array: &Array) -> Vec<String> {
    match array {
        Array::F16(a) => a.iter().map(|x| float(x.to_f64())).collect(),
        Array::F32(a) => a.iter().map(|&x| float(f64::from(x))).collect(),
        Array::F64(a) => a.iter().map(|&x| float(x)).collect(),
        other => other.to_strings().into_iter().map(clip).collect(),
    }
}

/// At most this many characters of a text are shown in a table.
const WIDTH: usize = 32;

pub(crate) fn clip(text: String) -> String {
    let text = text.replace(['\n', '\t', '\r'], " ");
    if text.chars().count() <= WIDTH {
        return text;
    }
    text.chars().take(WIDTH - 1).chain(std::iter::once('…')).collect()
}

fn float(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return format!("{x}");
    }
    let digits = x.abs().log10().floor();
    if !(-5.0..6.0).contains(&digits) {
        return format!("{x:.5e}");
    }
    let decimals = (5.0 - digits).clamp(0.0, 10.0) as usize;
    let shown = format!("{x:.decimals$}");
    if shown.contains('.') { shown.trim_end_matches('0').trim_end_matches('.').to_owned() } else { shown }
}
