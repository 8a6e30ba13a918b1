//! [`Select`]: what a user writes to select on an axis, and its resolution to [`Rows`].

use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use super::Rows;
use crate::error::{Error, Place};

/// A selection on one axis, as a user writes it. Made by `into()` from ranges (`0..100`, `-5..`, `..`), integers, lists of
/// integers (negative counts from the end, any order, repeats), boolean masks and names.
#[derive(Debug, Clone, PartialEq)]
pub enum Select {
    /// The whole axis.
    All,
    /// As a Python slice: bounds may be negative or missing and are clamped to the axis; `step` may be negative.
    Slice {
        /// First position; `None` for the end where the walk begins.
        start: Option<i64>,
        /// Position to stop before; `None` for the end where the walk ends.
        stop: Option<i64>,
        /// Step, not 0.
        step: i64,
    },
    /// One position; the axis is kept with length 1.
    One(i64),
    /// These positions.
    List(Vec<i64>),
    /// Positions where the mask, as long as the axis, is true.
    Mask(Vec<bool>),
    /// The positions of these names, in this order.
    Names(Vec<String>),
}

/// Why a selection does not fit its axis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// A position outside the axis.
    #[error("position {at} is out of bounds for an axis of {len}")]
    OutOfBounds {
        /// The position asked for.
        at: i64,
        /// Length of the axis.
        len: usize,
    },
    /// A mask of another length than the axis.
    #[error("the mask has {got} entries, the axis {len}")]
    MaskLength {
        /// Entries in the mask.
        got: usize,
        /// Length of the axis.
        len: usize,
    },
    /// A slice that cannot advance.
    #[error("the step of a slice cannot be 0")]
    ZeroStep,
    /// A name that is not on the axis.
    #[error("there is no `{name}`{}", if .nearest.is_empty() { String::new() } else { format!("; nearest: {}", .nearest.join(", ")) })]
    UnknownName {
        /// The name.
        name: String,
        /// Similar names.
        nearest: Vec<String>,
    },
    /// A name that stands on the axis more than once.
    #[error("`{name}` stands {count} times on the axis; select by position instead")]
    AmbiguousName {
        /// The name.
        name: String,
        /// How often.
        count: usize,
    },
}

impl SelectError {
    /// As the error of a selection on this axis of what is at `at`.
    pub(crate) fn on(&self, axis: &str, at: Place) -> Error {
        let (axis, why) = (axis.to_owned(), self.to_string());
        match self {
            Self::UnknownName { .. } | Self::AmbiguousName { .. } => Error::UnknownName { at, axis, why },
            Self::OutOfBounds { .. } | Self::MaskLength { .. } | Self::ZeroStep => Error::Selection { at, axis, why },
        }
    }
}

impl Select {
    /// Parses the text form of a slice: `0:100`, `-5:`, `::2`, `5:1:-1`. `None` if it is not of that form.
    #[must_use]
    pub fn parse_slice(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').map(str::trim).collect();
        if !(2..=3).contains(&parts.len()) {
            return None;
        }
        let number = |i: usize| match parts.get(i).copied().unwrap_or("") {
            "" => Some(None),
            t => t.parse::<i64>().ok().map(Some),
        };
        Some(Self::Slice { start: number(0)?, stop: number(1)?, step: number(2)?.unwrap_or(1) })
    }

    /// Whether resolving needs the names of the axis.
    #[must_use]
    pub fn needs_names(&self) -> bool {
        matches!(self, Self::Names(n) if !n.is_empty())
    }

    /// The positions on an axis of length `len` whose names are `names` (empty unless
    /// [`needs_names`](Self::needs_names)).
    ///
    /// # Errors
    /// [`SelectError`] if the selection does not fit.
    pub fn resolve(&self, len: usize, names: &[String]) -> Result<Rows, SelectError> {
        match self {
            Self::All => Ok(Rows::All(len)),
            Self::Slice { start, stop, step } => slice(*start, *stop, *step, len),
            Self::One(i) => position(*i, len).map(|p| Rows::span(p, p + 1)),
            Self::List(list) => list.iter().map(|&i| position(i, len)).collect::<Result<Vec<_>, _>>().map(Rows::picks),
            Self::Mask(mask) if mask.len() != len => Err(SelectError::MaskLength { got: mask.len(), len }),
            Self::Mask(mask) => {
                Ok(Rows::picks(mask.iter().enumerate().filter_map(|(i, &keep)| keep.then_some(i)).collect::<Vec<_>>()))
            }
            Self::Names(wanted) => named(wanted, names).map(Rows::picks),
        }
    }
}

fn position(i: i64, len: usize) -> Result<usize, SelectError> {
    let from_start = if i < 0 { i.checked_add_unsigned(len as u64) } else { Some(i) };
    from_start.and_then(|p| usize::try_from(p).ok()).filter(|&p| p < len).ok_or(SelectError::OutOfBounds { at: i, len })
}

/// Python's slice semantics (`slice.indices`).
fn slice(start: Option<i64>, stop: Option<i64>, step: i64, len: usize) -> Result<Rows, SelectError> {
    if step == 0 {
        return Err(SelectError::ZeroStep);
    }
    let n = len as i64;
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let clamp = |bound: Option<i64>, default: i64| {
        bound.map_or(default, |b| if b < 0 { b.saturating_add(n) } else { b }.clamp(low, high))
    };
    let (first, last) = if step > 0 { (low, high) } else { (high, low) };
    let (start, stop) = (clamp(start, first), clamp(stop, last));
    let distance = if step > 0 { stop - start } else { start - stop };
    if distance <= 0 {
        return Ok(Rows::span(0, 0));
    }
    let count = (distance as u64).div_ceil(step.unsigned_abs()) as usize;
    if start == 0 && step == 1 && count == len {
        return Ok(Rows::All(len));
    }
    // With one position the step never matters; 1 keeps later products small.
    let step = if count == 1 { 1 } else { step as isize };
    Ok(Rows::Range { start: start as usize, step, len: count })
}

fn named(wanted: &[String], names: &[String]) -> Result<Vec<usize>, SelectError> {
    let mut places: std::collections::HashMap<&str, (usize, usize)> = std::collections::HashMap::new();
    let asked: std::collections::HashSet<&str> = wanted.iter().map(String::as_str).collect();
    for (i, name) in names.iter().enumerate() {
        if asked.contains(name.as_str()) {
            places.entry(name).or_insert((i, 0)).1 += 1;
        }
    }
    wanted
        .iter()
        .map(|name| match places.get(name.as_str()) {
            Some((i, 1)) => Ok(*i),
            Some((_, count)) => Err(SelectError::AmbiguousName { name: name.clone(), count: *count }),
            None => Err(SelectError::UnknownName {
                name: name.clone(),
                nearest: crate::error::nearest(name, names.iter().map(String::as_str)),
            }),
        })
        .collect()
}

impl From<RangeFull> for Select {
    fn from(_: RangeFull) -> Self {
        Self::All
    }
}

/// Bounds as written; a bound too large for `i64` is past the end of any axis.
fn bound<T: TryInto<i64>>(b: T) -> i64 {
    b.try_into().unwrap_or(i64::MAX)
}

macro_rules! from_integers {
    ($($int:ty),*) => {$(
        impl From<$int> for Select {
            fn from(i: $int) -> Self {
                Self::One(bound(i))
            }
        }
        impl From<Range<$int>> for Select {
            fn from(r: Range<$int>) -> Self {
                Self::Slice { start: Some(bound(r.start)), stop: Some(bound(r.end)), step: 1 }
            }
        }
        impl From<RangeFrom<$int>> for Select {
            fn from(r: RangeFrom<$int>) -> Self {
                Self::Slice { start: Some(bound(r.start)), stop: None, step: 1 }
            }
        }
        impl From<RangeTo<$int>> for Select {
            fn from(r: RangeTo<$int>) -> Self {
                Self::Slice { start: None, stop: Some(bound(r.end)), step: 1 }
            }
        }
        impl From<RangeInclusive<$int>> for Select {
            fn from(r: RangeInclusive<$int>) -> Self {
                Self::Slice { start: Some(bound(*r.start())), stop: after(bound(*r.end())), step: 1 }
            }
        }
        impl From<RangeToInclusive<$int>> for Select {
            fn from(r: RangeToInclusive<$int>) -> Self {
                Self::Slice { start: None, stop: after(bound(r.end)), step: 1 }
            }
        }
        impl From<Vec<$int>> for Select {
            fn from(list: Vec<$int>) -> Self {
                Self::List(list.into_iter().map(bound).collect())
            }
        }
        impl From<&[$int]> for Select {
            fn from(list: &[$int]) -> Self {
                Self::List(list.iter().copied().map(bound).collect())
            }
        }
        impl<const N: usize> From<[$int; N]> for Select {
            fn from(list: [$int; N]) -> Self {
                Self::List(list.into_iter().map(bound).collect())
            }
        }
    )*};
}
from_integers!(i32, i64, u32, u64, usize, isize);

/// The exclusive bound just past an inclusive one; `..=-1` means to the end.
fn after(last: i64) -> Option<i64> {
    if last == -1 { None } else { last.checked_add(1) }
}

impl From<Vec<bool>> for Select {
    fn from(mask: Vec<bool>) -> Self {
        Self::Mask(mask)
    }
}

impl From<&[bool]> for Select {
    fn from(mask: &[bool]) -> Self {
        Self::Mask(mask.to_vec())
    }
}

impl From<&str> for Select {
    fn from(name: &str) -> Self {
        Self::Names(vec![name.to_owned()])
    }
}

impl From<Vec<String>> for Select {
    fn from(names: Vec<String>) -> Self {
        Self::Names(names)
    }
}

impl From<&[String]> for Select {
    fn from(names: &[String]) -> Self {
        Self::Names(names.to_vec())
    }
}

impl From<Vec<&str>> for Select {
    fn from(names: Vec<&str>) -> Self {
        Self::Names(names.into_iter().map(str::to_owned).collect())
    }
}

impl From<&[&str]> for Select {
    fn from(names: &[&str]) -> Self {
        Self::Names(names.iter().map(|&n| n.to_owned()).collect())
    }
}

impl<const N: usize> From<[&str; N]> for Select {
    fn from(names: [&str; N]) -> Self {
        Self::Names(names.into_iter().map(str::to_owned).collect())
    }
}

impl From<Rows> for Select {
    fn from(rows: Rows) -> Self {
        match rows {
            Rows::All(len) => Self::Slice { start: Some(0), stop: Some(bound(len)), step: 1 },
            rows => Self::List(rows.iter().map(bound).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(s: impl Into<Select>, len: usize) -> Vec<usize> {
        s.into().resolve(len, &[]).unwrap().iter().collect()
    }

    #[test]
    fn slices_are_pythons() {
        assert_eq!(positions(-3.., 5), [2, 3, 4]);
        assert_eq!(positions(..-3, 5), [0, 1]);
        assert_eq!(positions(2..100, 5), [2, 3, 4]);
        assert_eq!(positions(Select::Slice { start: Some(4), stop: Some(2), step: 1 }, 5), [] as [usize; 0]);
        assert_eq!(positions(1..=3, 5), [1, 2, 3]);
        assert_eq!(positions(-2..=-1, 5), [3, 4]);
        let s = |t: &str| positions(Select::parse_slice(t).unwrap(), 5);
        assert_eq!(s("::-1"), [4, 3, 2, 1, 0]);
        assert_eq!(s("-1:0:-2"), [4, 2]);
        assert_eq!(s("::2"), [0, 2, 4]);
        assert_eq!(s("10::-3"), [4, 1]);
        assert_eq!(Select::parse_slice("1:2:3:4"), None);
        assert_eq!(Select::parse_slice("a:b"), None);
    }

    #[test]
    fn lists_masks_and_names() {
        assert_eq!(positions([3, 1, -1, 3], 5), [3, 1, 4, 3]);
        assert_eq!(positions(-1, 5), [4]);
        assert_eq!(positions(vec![true, false, true], 3), [0, 2]);
        let names: Vec<String> = ["a", "b", "a", "cd4"].map(str::to_owned).into();
        assert_eq!(Select::from(["cd4", "b"]).resolve(4, &names).unwrap().iter().collect::<Vec<_>>(), [3, 1]);
        assert_eq!(
            Select::from("a").resolve(4, &names),
            Err(SelectError::AmbiguousName { name: "a".into(), count: 2 })
        );
        assert_eq!(
            Select::from("CD4").resolve(4, &names),
            Err(SelectError::UnknownName { name: "CD4".into(), nearest: vec!["cd4".into()] })
        );
    }

    #[test]
    fn refuses_what_does_not_fit() {
        assert_eq!(Select::from(5).resolve(5, &[]), Err(SelectError::OutOfBounds { at: 5, len: 5 }));
        assert_eq!(Select::from([-6]).resolve(5, &[]), Err(SelectError::OutOfBounds { at: -6, len: 5 }));
        assert_eq!(Select::from(i64::MIN).resolve(5, &[]), Err(SelectError::OutOfBounds { at: i64::MIN, len: 5 }));
        assert!(Select::from(vec![true]).resolve(5, &[]).is_err());
        assert_eq!(Select::parse_slice("::0").unwrap().resolve(5, &[]), Err(SelectError::ZeroStep));
        assert_eq!(positions(Select::Slice { start: Some(i64::MIN), stop: Some(i64::MAX), step: i64::MAX }, 5), [0]);
        assert_eq!(positions(Select::Slice { start: None, stop: None, step: i64::MIN }, 5), [4]);
    }
}
