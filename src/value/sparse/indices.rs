//! [`Indices`]: positions on the uncompressed axis of a sparse matrix, in the width that they are stored in.

use rayon::prelude::*;

use crate::value::Array;

/// More indices than this are looked at on all cores.
const MANY: usize = 1 << 20;

/// Position of each stored value on the axis that is not compressed, as scipy keeps them: `int32` or `int64`.
///
/// Two are equal if they hold the same positions, whatever the width. Made by `into()` from lists of integers; those
/// that are neither `i32` nor `i64` get the narrower width if all fit. A position beyond `i64` becomes `i64::MAX`,
/// which is beyond every axis, too.
#[derive(Debug, Clone)]
pub enum Indices {
    /// 32 bits each.
    I32(Vec<i32>),
    /// 64 bits each.
    I64(Vec<i64>),
}

/// Runs an expression with the typed slice inside an [`Indices`] bound to a name; its items cast to `usize` with `as`,
/// or are a [`Position`] in generic code.
macro_rules! with_indices {
    ($indices:expr, $slice:ident => $body:expr) => {
        match $indices {
            $crate::value::Indices::I32(list) => {
                let $slice = &list[..];
                $body
            }
            $crate::value::Indices::I64(list) => {
                let $slice = &list[..];
                $body
            }
        }
    };
}
pub(crate) use with_indices;

/// An index of either width.
pub(crate) trait Position: Copy + Send + Sync {
    /// The position that it means; of a negative one a number beyond every axis.
    fn at(self) -> usize;

    /// Whether it lies in `window`; cheap enough to ask of many at once.
    fn is_in(self, window: (u64, u64)) -> bool;

    /// `start..start + len` in the form that [`is_in`](Self::is_in) takes.
    fn window(start: usize, len: usize) -> (u64, u64);
}

macro_rules! positions {
    ($($signed:ident $unsigned:ident),*) => {$(
        impl Position for $signed {
            fn at(self) -> usize {
                self as usize
            }

            // In the index's own width, so that the compiler makes vector instructions of it.
            fn is_in(self, (start, len): (u64, u64)) -> bool {
                (self as $unsigned).wrapping_sub(start as $unsigned) < len as $unsigned
            }

            fn window(start: usize, len: usize) -> (u64, u64) {
                let beyond = $signed::MAX as u64 + 1;
                let end = (start as u64).saturating_add(len as u64).min(beyond);
                let start = (start as u64).min(end);
                (start, end - start)
            }
        }
    )*};
}
positions!(i32 u32, i64 u64);

impl Indices {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        with_indices!(self, list => list.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Index number `i`; `None` past the end.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<usize> {
        with_indices!(self, list => list.get(i).map(|&index| index as usize))
    }

    /// The positions in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        (0..self.len()).map(|i| with_indices!(self, list => list[i] as usize))
    }

    /// Bytes in memory.
    pub(crate) fn nbytes(&self) -> usize {
        with_indices!(self, list => size_of_val(list))
    }

    /// None yet, of the width that an axis of `len` needs.
    pub(crate) fn on_axis(len: usize) -> Self {
        if i32::try_from(len).is_ok() { Self::I32(Vec::new()) } else { Self::I64(Vec::new()) }
    }

    /// Adds one, which must fit the width.
    pub(crate) fn push(&mut self, index: usize) {
        match self {
            Self::I32(list) => list.push(index as i32),
            Self::I64(list) => list.push(index as i64),
        }
    }

    /// Adds others, which must fit the width.
    pub(crate) fn extend(&mut self, more: &Self) {
        match (self, more) {
            (Self::I32(list), Self::I32(more)) => list.extend_from_slice(more),
            (Self::I64(list), Self::I64(more)) => list.extend_from_slice(more),
            (list, more) => more.iter().for_each(|index| list.push(index)),
        }
    }

    /// Those in these spans of entries, end to end.
    pub(crate) fn of_spans(&self, spans: impl Iterator<Item = std::ops::Range<usize>>) -> Self {
        fn cut<T: Copy>(list: &[T], spans: impl Iterator<Item = std::ops::Range<usize>>) -> Vec<T> {
            spans.fold(Vec::new(), |mut out, span| {
                out.extend_from_slice(&list[span]);
                out
            })
        }
        with_indices!(self, list => cut(list, spans).into())
    }

    /// Checks that all lie on an axis of `len`.
    ///
    /// # Errors
    /// Says which does not.
    pub(crate) fn check(&self, len: usize) -> Result<(), String> {
        fn outside<T: Position + Into<i64>>(list: &[T], len: usize) -> Option<i64> {
            let axis = T::window(0, len);
            // Without an early way out this runs over many at once.
            let is_sound = |list: &[T]| list.iter().fold(true, |sound, index| sound & index.is_in(axis));
            let sound = if list.len() > MANY { list.par_chunks(MANY).all(is_sound) } else { is_sound(list) };
            if sound { None } else { list.iter().find(|index| !index.is_in(axis)).map(|&index| index.into()) }
        }
        match with_indices!(self, list => outside(list, len)) {
            Some(bad) => Err(format!("index {bad} is out of range for an axis of {len}")),
            None => Ok(()),
        }
    }
}

impl PartialEq for Indices {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::I32(a), Self::I32(b)) => a == b,
            (Self::I64(a), Self::I64(b)) => a == b,
            (Self::I32(a), Self::I64(b)) | (Self::I64(b), Self::I32(a)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(&x, &y)| i64::from(x) == y)
            }
        }
    }
}

impl Eq for Indices {}

impl From<Vec<i32>> for Indices {
    fn from(list: Vec<i32>) -> Self {
        Self::I32(list)
    }
}

impl From<Vec<i64>> for Indices {
    fn from(list: Vec<i64>) -> Self {
        Self::I64(list)
    }
}

macro_rules! from_unsigned {
    ($($int:ty),*) => {$(
        impl From<Vec<$int>> for Indices {
            fn from(list: Vec<$int>) -> Self {
                narrowed(&list)
            }
        }
    )*};
}
from_unsigned!(u32, u64, usize);

fn narrowed<T: Copy + TryInto<i32> + TryInto<i64>>(list: &[T]) -> Indices {
    let narrow: Option<Vec<i32>> = list.iter().map(|&index| index.try_into().ok()).collect();
    narrow.map_or_else(
        || Indices::I64(list.iter().map(|&index| index.try_into().unwrap_or(i64::MAX)).collect()),
        Indices::I32,
    )
}

/// As they are stored: `int32` and `int64` without a copy, other integers as `into()` makes them.
impl TryFrom<Array> for Indices {
    type Error = String;

    fn try_from(array: Array) -> Result<Self, String> {
        macro_rules! taken {
            ($a:expr) => {
                // In memory alone an array may be a part of another, or lie in another order.
                match ($a.is_standard_layout(), $a.len(), $a) {
                    (true, len, a) => match a.into_raw_vec_and_offset() {
                        (list, None | Some(0)) if list.len() == len => list,
                        (list, offset) => list.into_iter().skip(offset.unwrap_or(0)).take(len).collect(),
                    },
                    (false, _, a) => a.iter().copied().collect(),
                }
            };
        }
        macro_rules! widened {
            ($a:expr) => {
                Self::I32($a.iter().map(|&index| i32::from(index)).collect())
            };
        }
        Ok(match array {
            Array::I32(a) => Self::I32(taken!(a)),
            Array::I64(a) => Self::I64(taken!(a)),
            Array::I8(a) => widened!(a),
            Array::U8(a) => widened!(a),
            Array::I16(a) => widened!(a),
            Array::U16(a) => widened!(a),
            Array::U32(a) => taken!(a).into(),
            Array::U64(a) => taken!(a).into(),
            other => return Err(format!("{} values are no positions", other.dtype())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_means_the_same_positions() {
        let narrow = Indices::from(vec![1, 7]);
        assert_eq!(narrow, Indices::from(vec![1_i64, 7]));
        assert_eq!(Indices::from(vec![1_u64, 7]), narrow);
        assert!(matches!(Indices::from(vec![1_u64, 7]), Indices::I32(_)));
        assert_ne!(narrow, Indices::from(vec![1_i64, 7, 7]));
        assert_ne!(narrow, Indices::from(vec![1_i64, 1 << 40]));
        assert_eq!(Indices::from(vec![0, 1_u64 << 40]), Indices::I64(vec![0, 1 << 40]));
        assert_eq!((narrow.get(1), narrow.get(2), narrow.iter().collect::<Vec<_>>()), (Some(7), None, vec![1, 7]));
    }

    #[test]
    fn what_is_not_on_the_axis_is_named() {
        let says = |indices: Indices, len: usize| indices.check(len).err().unwrap_or_default();
        assert_eq!(says(vec![0, 4, 2].into(), 5), "");
        assert_eq!(says(vec![0, 5, 2].into(), 5), "index 5 is out of range for an axis of 5");
        assert_eq!(says(vec![0_i64, -1].into(), 5), "index -1 is out of range for an axis of 5");
        assert_eq!(
            says(vec![i32::MIN].into(), usize::MAX),
            format!("index {} is out of range for an axis of {}", i32::MIN, usize::MAX)
        );
        assert_eq!(says(vec![i32::MAX].into(), 1 << 40), "");
        assert_ne!(says(vec![u64::MAX].into(), i64::MAX as usize), "");
        assert_ne!(says(vec![0].into(), 0), "");
        assert_eq!(says(Vec::<i32>::new().into(), 0), "");
    }

    #[test]
    fn integers_of_every_type_are_indices() {
        let wanted = Indices::from(vec![0, 100]);
        macro_rules! same {
            ($($t:ty),*) => {$(
                assert_eq!(Indices::try_from(Array::from_vec(vec![0 as $t, 100])).unwrap(), wanted);
            )*};
        }
        same!(i8, u8, i16, u16, i32, u32, i64, u64);
        assert!(Indices::try_from(Array::from_vec(vec![0.0_f32])).is_err());
    }
}
