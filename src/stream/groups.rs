//! [`Groups`]: the rows of an object by what a column says of them.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::shadow::Frame;
use crate::value::{Array, Element};

/// Which group each row is in.
pub(super) struct Groups {
    names: Vec<String>,
    of: Vec<Option<u32>>,
    sizes: Vec<u64>,
}

impl Groups {
    /// By a column of `frame`. Rows whose value is missing are in no group.
    ///
    /// # Errors
    /// [`Error::NotFound`] with the nearest names; [`Error::WrongType`] for what has no values to compare.
    pub(super) fn new(frame: &Frame, column: &str) -> Result<Self> {
        let element = frame.element(column)?;
        let mut texts = element.texts().ok_or_else(|| Error::WrongType {
            at: frame.place(column),
            wanted: "a column of values to group by".into(),
            found: element.describe(),
        })?;
        if let Element::Array(Array::F16(_) | Array::F32(_) | Array::F64(_)) = &*element {
            texts.iter_mut().filter(|text| text.as_deref() == Some("NaN")).for_each(|text| *text = None);
        }
        let mut names: Vec<String> = match &*element {
            Element::Categorical(c) => c.categories().to_strings(),
            _ => texts.iter().flatten().cloned().collect(),
        };
        if !matches!(&*element, Element::Categorical(_)) {
            sort(&mut names);
            names.dedup();
        }
        let numbers: HashMap<&str, usize> = names.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
        let found: Vec<Option<usize>> =
            texts.iter().map(|text| text.as_deref().and_then(|t| numbers.get(t).copied())).collect();
        let mut sizes = vec![0_u64; names.len()];
        found.iter().flatten().for_each(|&group| sizes[group] += 1);
        // Only groups that have rows.
        let mut next = 0..;
        let new: Vec<Option<u32>> = sizes.iter().map(|&n| if n > 0 { next.next() } else { None }).collect();
        let of = found.into_iter().map(|group| group.and_then(|g| new[g])).collect();
        let mut kept = sizes.iter().map(|&n| n > 0);
        names.retain(|_| kept.next().unwrap_or_default());
        sizes.retain(|&n| n > 0);
        Ok(Self { names, of, sizes })
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The group of a row.
    #[inline]
    pub(super) fn of(&self, row: usize) -> Option<usize> {
        self.of.get(row).copied().flatten().map(|group| group as usize)
    }

    /// How many rows are in a group.
    pub(super) fn size(&self, group: usize) -> u64 {
        self.sizes[group]
    }

    pub(super) fn into_names(self) -> Vec<String> {
        self.names
    }
}

/// Numbers by their size, all else as text.
fn sort(names: &mut [String]) {
    let numbers = names.iter().all(|name| name.parse::<f64>().is_ok());
    if numbers {
        let number = |name: &str| name.parse::<f64>().unwrap_or_default();
        names.sort_by(|a, b| number(a).total_cmp(&number(b)));
    } else {
        names.sort();
    }
}
