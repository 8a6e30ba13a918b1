//! [`Records`]: a structured array, kept by field.

use super::Array;
use crate::index::Rows;

/// A numpy structured array (`rec-array`): items of the same named fields. Kept by field; a field may have axes of its own
/// behind those of the array.
#[derive(Debug, Clone, PartialEq)]
pub struct Records {
    shape: Vec<usize>,
    fields: Vec<(String, Array)>,
}

impl Records {
    /// Checks and wraps the fields of an array of this shape.
    ///
    /// # Errors
    /// What is inconsistent: no fields, names that repeat, a field whose leading axes are not `shape`.
    pub fn new(shape: Vec<usize>, fields: Vec<(String, Array)>) -> Result<Self, String> {
        if fields.is_empty() {
            return Err("a structured array needs at least one field".into());
        }
        let mut seen = std::collections::HashSet::new();
        for (name, field) in &fields {
            if !field.shape().starts_with(&shape) {
                return Err(format!("field `{name}` has shape {:?}, the array {shape:?}", field.shape()));
            }
            if !seen.insert(name) {
                return Err(format!("there are two fields `{name}`"));
            }
        }
        Ok(Self { shape, fields })
    }

    /// The shape, without the axes that single fields have.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The fields, in order.
    #[must_use]
    pub fn fields(&self) -> &[(String, Array)] {
        &self.fields
    }

    /// The array taken apart: its shape, and its fields.
    #[must_use]
    pub fn into_parts(self) -> (Vec<usize>, Vec<(String, Array)>) {
        (self.shape, self.fields)
    }

    /// The field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Array> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, f)| f)
    }

    /// The array with one axis: itself, or an (n, 1) one, as anndata makes them in obsm and varm, without the second.
    /// `None` for any other shape.
    #[must_use]
    pub fn to_rows(&self) -> Option<Self> {
        let n = match self.shape[..] {
            [_] => return Some(self.clone()),
            [n, 1] => n,
            _ => return None,
        };
        let field = |(name, field): &(String, Array)| {
            let shape: Vec<usize> = std::iter::once(n).chain(field.shape()[2..].iter().copied()).collect();
            Some((name.clone(), field.clone().reshape(&shape)?))
        };
        Some(Self { shape: vec![n], fields: self.fields.iter().map(field).collect::<Option<_>>()? })
    }

    /// Bytes of the items in memory.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.fields.iter().map(|(_, f)| f.nbytes()).sum()
    }

    /// The items at these positions: one selection per leading axis, axes beyond the list whole.
    ///
    /// # Panics
    /// If a selection leaves its axis.
    #[must_use]
    pub fn take(&self, rows: &[Rows]) -> Self {
        let rows = &rows[..rows.len().min(self.shape.len())];
        let shape = self.shape.iter().enumerate().map(|(axis, &n)| rows.get(axis).map_or(n, Rows::len)).collect();
        Self { shape, fields: self.fields.iter().map(|(n, f)| (n.clone(), f.take(rows))).collect() }
    }
}
