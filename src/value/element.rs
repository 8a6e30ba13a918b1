//! [`Element`]: anything that can stand at one place of an AnnData object.

use std::collections::BTreeMap;

use super::{Array, Awkward, Categorical, Nested, Nullable, Records, Sparse, Table};
use crate::index::Rows;

/// The value of an element, in memory.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Element {
    /// Dense numbers, booleans or strings of any number of dimensions; with none, a scalar.
    Array(Array),
    /// A CSR or CSC matrix.
    Sparse(Sparse),
    /// Codes into a list of categories.
    Categorical(Categorical),
    /// Integers, booleans or strings with missing values.
    Nullable(Nullable),
    /// A data frame.
    Table(Table),
    /// A structured array.
    Records(Records),
    /// Nested lists, records and options of any lengths.
    Awkward(Awkward),
    /// Named elements.
    Mapping(BTreeMap<String, Element>),
    /// The `null` element.
    Null,
}

impl Element {
    /// Length along each axis; empty for scalars, `Null` and mappings.
    #[must_use]
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Array(a) => a.shape().to_vec(),
            Self::Sparse(s) => s.shape().to_vec(),
            Self::Categorical(c) => vec![c.len()],
            Self::Nullable(n) => vec![n.len()],
            Self::Table(t) => vec![t.n_rows(), t.columns().len()],
            Self::Records(r) => r.shape().to_vec(),
            Self::Awkward(a) => vec![a.len()],
            Self::Mapping(_) | Self::Null => Vec::new(),
        }
    }

    /// What it is, in the words of messages: `float32 array`, `csr_matrix of float64`, `dataframe`, …
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Array(a) if a.ndim() == 0 => format!("a {} scalar", a.dtype()),
            Self::Array(a) => format!("a {}-d {} array", a.ndim(), a.dtype()),
            Self::Sparse(s) => format!("a {} of {}", s.format(), s.data().dtype()),
            Self::Categorical(c) => format!("a categorical of {} categories", c.categories().len()),
            Self::Nullable(n) => format!("a nullable {} array", n.values().dtype()),
            Self::Table(t) => format!("a dataframe of {} columns", t.columns().len()),
            Self::Records(r) => format!("a structured array of {} fields", r.fields().len()),
            Self::Awkward(a) => format!("an awkward array of {}", a.type_text()),
            Self::Mapping(m) => format!("a dict of {} entries", m.len()),
            Self::Null => "null".to_owned(),
        }
    }

    /// Bytes in memory, roughly.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        match self {
            Self::Array(a) => a.nbytes(),
            Self::Sparse(s) => s.nbytes(),
            Self::Categorical(c) => c.codes().nbytes() + c.categories().nbytes(),
            Self::Nullable(n) => n.values().nbytes() + n.len(),
            Self::Table(t) => t.index().nbytes() + t.columns().iter().map(|(_, c)| c.nbytes()).sum::<usize>(),
            Self::Records(r) => r.nbytes(),
            Self::Awkward(a) => a.nbytes(),
            Self::Mapping(m) => m.values().map(Self::nbytes).sum(),
            Self::Null => 0,
        }
    }

    /// The part at these positions: one selection per leading axis, axes beyond the list whole. Mappings, scalars and `Null`
    /// are returned whole.
    ///
    /// # Panics
    /// If a selection leaves its axis.
    #[must_use]
    pub fn take(&self, rows: &[Rows]) -> Self {
        let first = rows.first();
        match self {
            Self::Array(a) => Self::Array(a.take(&rows[..rows.len().min(a.ndim())])),
            Self::Sparse(s) => Self::Sparse(s.take(rows.first(), rows.get(1))),
            Self::Categorical(c) => Self::Categorical(first.map_or_else(|| c.clone(), |r| c.take(r))),
            Self::Nullable(n) => Self::Nullable(first.map_or_else(|| n.clone(), |r| n.take(r))),
            Self::Table(t) => Self::Table(first.map_or_else(|| t.clone(), |r| t.take(r))),
            Self::Records(r) => Self::Records(r.take(rows)),
            Self::Awkward(a) => Self::Awkward(first.map_or_else(|| a.clone(), |r| a.take(r))),
            Self::Mapping(_) | Self::Null => self.clone(),
        }
    }

    /// The values of a one-dimensional element as text, `None` where one is missing: strings as they are, categoricals as
    /// their categories, numbers as Python's `str` writes them, nested values as JSON. `None` for what has no such values.
    #[must_use]
    pub fn texts(&self) -> Option<Vec<Option<String>>> {
        match self {
            Self::Array(a) if a.ndim() == 1 => Some(a.to_strings().into_iter().map(Some).collect()),
            Self::Nullable(n) => {
                Some(n.values().to_strings().into_iter().zip(n.missing()).map(|(s, &m)| (!m).then_some(s)).collect())
            }
            Self::Categorical(c) => {
                let names = c.categories().to_strings();
                Some(c.positions().into_iter().map(|p| p.and_then(|p| names.get(p).cloned())).collect())
            }
            Self::Awkward(a) => {
                let text = |row| match row {
                    Nested::Null => None,
                    Nested::Str(text) | Nested::Time(text) => Some(text),
                    other => Some(other.to_string()),
                };
                Some(a.iter().map(text).collect())
            }
            _ => None,
        }
    }

    /// The element below this one at `names`; `None` unless all on the way are mappings (or a frame, at the end) that
    /// have it.
    #[must_use]
    pub fn below<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Option<&Self> {
        names.into_iter().try_fold(self, |here, name| match here {
            Self::Mapping(m) => m.get(name),
            Self::Table(t) => t.column(name),
            _ => None,
        })
    }

    /// Puts `value` below this element at `names`, making mappings on the way; in a frame, as a column. Any other element
    /// becomes a mapping if `names` are not empty.
    pub(crate) fn put_below(&mut self, names: &[&str], value: Self) {
        let Some((first, rest)) = names.split_first() else {
            *self = value;
            return;
        };
        if let (Self::Table(table), []) = (&mut *self, rest) {
            table.put_column(first, value);
            return;
        }
        if !matches!(self, Self::Mapping(_)) {
            *self = Self::Mapping(BTreeMap::new());
        }
        if let Self::Mapping(entries) = self {
            entries.entry((*first).to_owned()).or_insert(Self::Null).put_below(rest, value);
        }
    }

    /// Removes the entry at `names` inside this mapping or frame. Whether there was one.
    pub(crate) fn remove_below(&mut self, names: &[&str]) -> bool {
        match (self, names) {
            (Self::Mapping(entries), [last]) => entries.remove(*last).is_some(),
            (Self::Table(table), [last]) => table.remove_column(last),
            (Self::Mapping(entries), [first, rest @ ..]) => {
                entries.get_mut(*first).is_some_and(|e| e.remove_below(rest))
            }
            _ => false,
        }
    }
}
