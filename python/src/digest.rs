//! A hash of an array's bytes, by which the Python layer notices what was changed in place.

use anndata_shadow::fork;
use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use crate::from_py;

/// Hashed at once. Of a longer array, the hashes of its parts are hashed, whatever the number of cores.
const PART: usize = 1 << 22;

/// A hash of the bytes of an array of plain items.
///
/// Parameters
/// ----------
/// array
///     Of any dtype but ``object``. One that is neither in C nor in Fortran order is copied for it.
///
/// Returns
/// -------
/// int
///     The same for the same bytes; of others very probably another. Not for safekeeping.
#[pyfunction]
pub(crate) fn digest(py: Python<'_>, array: &Bound<'_, PyAny>) -> PyResult<u64> {
    let bytes = from_py::asarray(array)?.call_method1("ravel", ("K",))?.call_method1("view", ("u1",))?;
    let bytes = bytes.cast::<PyArray1<u8>>()?.try_readonly()?;
    let bytes = bytes.as_slice()?;
    Ok(py.detach(|| fork::during(|| hash(bytes))))
}

fn hash(bytes: &[u8]) -> u64 {
    if bytes.len() <= PART {
        return xxh3_64(bytes);
    }
    let parts: Vec<[u8; 8]> = bytes.par_chunks(PART).map(|part| xxh3_64(part).to_le_bytes()).collect();
    xxh3_64(parts.as_flattened())
}
