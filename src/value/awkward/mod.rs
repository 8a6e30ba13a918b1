//! [`Awkward`]: nested lists, records, options and unions of any lengths, as the Python package `awkward` has them.
//!
//! On disk an awkward array is a form (a tree of node classes) and flat buffers. In memory it is one tree, [`Layout`],
//! that is always packed: every stored item belongs to exactly one place, in order. So two arrays of the same type and
//! values are equal, whatever their buffers looked like, and every array is written in one way.

mod form;
mod layout;
mod nested;
mod series;

use std::collections::BTreeMap;

use super::{Array, DType, Item};
use crate::index::Rows;

pub use nested::Nested;

pub(crate) use form::Fault;
use layout::Layout;

/// An awkward array: a first axis of known length, and anything nested below it.
///
/// ```
/// # use anndata_shadow::{Awkward, Nested};
/// let clones = Awkward::from_lists([vec![1_i64, 2], vec![], vec![3]]);
/// assert_eq!(clones.type_text(), "var * int64");
/// assert_eq!(clones.get(0), Some(Nested::List(vec![Nested::Int(1), Nested::Int(2)])));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Awkward {
    layout: Layout,
}

impl Awkward {
    /// An array of lists, one for each row.
    #[must_use]
    pub fn from_lists<T: Item>(rows: impl IntoIterator<Item = impl IntoIterator<Item = T>>) -> Self {
        let (mut items, mut offsets) = (Vec::new(), vec![0]);
        for row in rows {
            items.extend(row);
            offsets.push(items.len());
        }
        Self { layout: Layout::list(offsets, Layout::items(&Array::from_vec(items))) }
    }

    /// An array from what `ak.to_buffers` gives: the form as JSON text, the length of the first axis, and the buffers by
    /// their names (`<form_key>-<role>`). Buffers that the form does not name are ignored.
    ///
    /// # Errors
    /// What is inconsistent: a missing buffer, or one of another dtype than the form says; offsets that descend or leave
    /// their content; a form of an unknown class, or nested too deep.
    pub fn from_buffers(form: &str, length: usize, buffers: BTreeMap<String, Array>) -> Result<Self, String> {
        Self::read(form, length, buffers).map_err(|fault| match fault {
            Fault::Malformed(what) | Fault::Unsupported(what) => what,
        })
    }

    pub(crate) fn read(form: &str, length: usize, buffers: BTreeMap<String, Array>) -> Result<Self, Fault> {
        form::read(form, length, buffers).map(|layout| Self { layout })
    }

    /// The type that a form describes, as [`type_text`](Self::type_text).
    pub(crate) fn type_of(form: &str) -> Result<String, Fault> {
        form::outline(form).map(|layout| layout.type_text())
    }

    /// What `ak.from_buffers` takes: the form as JSON text, and the buffers by their names.
    #[must_use]
    pub fn to_buffers(&self) -> (String, BTreeMap<String, Array>) {
        let mut buffers = BTreeMap::new();
        let form = form::write(&self.layout, &mut 0, &mut buffers);
        (form.to_string(), buffers)
    }

    /// The type of a row, as awkward writes it: `var * int64`, `?string`, `{x: int64, y: float64}`, …
    #[must_use]
    pub fn type_text(&self) -> String {
        self.layout.type_text()
    }

    /// Length of the first axis.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.layout.len
    }

    /// Whether there are no rows.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Row number `i`; `None` past the end.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<Nested> {
        (i < self.len()).then(|| self.layout.get(i))
    }

    /// The rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Nested> + '_ {
        (0..self.len()).map(|i| self.layout.get(i))
    }

    /// Bytes of the buffers in memory.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.layout.nbytes()
    }

    /// The rows at these positions, with nothing else kept in memory.
    ///
    /// # Panics
    /// If a position lies outside the array.
    #[must_use]
    pub fn take(&self, rows: &Rows) -> Self {
        if rows.is_all_of(self.len()) {
            return self.clone();
        }
        Self { layout: self.layout.pick(&rows.iter().collect::<Vec<_>>()) }
    }

    /// The array as a polars series: lists as `List`, strings as `String`, byte strings as `Binary`, options as nulls.
    ///
    /// # Errors
    /// What has no form there: records, tuples, unions, complex numbers, points in time.
    pub fn to_series(&self, name: &str) -> Result<polars::prelude::Series, String> {
        series::of(&self.layout).map(|s| s.with_name(name.into()))
    }
}

#[cfg(test)]
mod tests;
