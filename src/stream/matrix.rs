//! The values of matrices, line by line and as `f64`, whatever their type and whether dense or sparse.

use std::ops::Range;

use half::f16;

/// What a matrix can hold and statistics understand.
pub(super) trait Number: Copy + Default + PartialEq + Send + Sync {
    fn to_f64(self) -> f64;
    /// The sum, as numpy adds the type: integers wrap, booleans are or-ed.
    fn plus(self, other: Self) -> Self;
}

macro_rules! numbers {
    ($($t:ty: $f:expr, $plus:expr;)*) => {
        $(impl Number for $t {
            #[inline]
            fn to_f64(self) -> f64 {
                let f: fn(Self) -> f64 = $f;
                f(self)
            }
            fn plus(self, other: Self) -> Self {
                let plus: fn(Self, Self) -> Self = $plus;
                plus(self, other)
            }
        })*
    };
}

numbers! {
    bool: |x| f64::from(u8::from(x)), |a, b| a || b;
    i8: f64::from, Self::wrapping_add;
    i16: f64::from, Self::wrapping_add;
    i32: f64::from, Self::wrapping_add;
    i64: |x| x as f64, Self::wrapping_add;
    u8: f64::from, Self::wrapping_add;
    u16: f64::from, Self::wrapping_add;
    u32: f64::from, Self::wrapping_add;
    u64: |x| x as f64, Self::wrapping_add;
    f16: Self::to_f64, |a, b| a + b;
    f32: f64::from, |a, b| a + b;
    f64: |x| x, |a, b| a + b;
}

/// Runs an expression with the items of an [`Array`] of numbers, a slice in C order; another one for arrays of anything else.
macro_rules! with_numbers {
    ($array:expr, $a:ident => $body:expr, else $other:expr) => {
        with_numbers!(@ $array, $a => $body, $other;
            Bool I8 I16 I32 I64 U8 U16 U32 U64 F16 F32 F64)
    };
    (@ $array:expr, $a:ident => $body:expr, $other:expr; $($variant:ident)*) => {
        match $array {
            $($crate::value::Array::$variant(array) => {
                let array = array.as_standard_layout();
                let $a = array.as_slice().unwrap_or_default();
                $body
            })*
            _ => $other,
        }
    };
}
pub(super) use with_numbers;

/// A position on the other axis.
pub(super) trait Position: Copy + Ord + Send + Sync {
    fn at(self) -> usize;
}

impl Position for i32 {
    #[inline]
    fn at(self) -> usize {
        self as usize
    }
}

impl Position for i64 {
    #[inline]
    fn at(self) -> usize {
        self as usize
    }
}

/// Lines (rows or columns) of numbers.
pub(super) trait Lines: Sync {
    /// How many.
    fn len(&self) -> usize;

    /// The values of a line that are not zero, each with its position, once.
    fn each(&self, line: usize, take: impl FnMut(usize, f64));

    /// As [`each`](Self::each), of several lines: line, position, value. Those of one position come by ascending line, but
    /// lines may take turns, so that whoever keeps something for each of the `width` positions finds it in the cache.
    fn sweep(&self, lines: Range<usize>, width: usize, mut take: impl FnMut(usize, usize, f64)) {
        let _ = width;
        lines.for_each(|line| self.each(line, |k, x| take(line, k, x)));
    }

    /// Line numbers that cut the lines into `parts` of about equal work.
    fn cut(&self, parts: usize) -> Vec<usize>;
}

/// The rows of a dense matrix.
pub(super) struct Dense<'a, T> {
    pub(super) items: &'a [T],
    pub(super) width: usize,
    pub(super) len: usize,
}

impl<T: Number> Lines for Dense<'_, T> {
    fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn each(&self, line: usize, mut take: impl FnMut(usize, f64)) {
        let row = self.items.get(line * self.width..(line + 1) * self.width).unwrap_or_default();
        for (k, x) in row.iter().enumerate() {
            let x = x.to_f64();
            if x != 0.0 {
                take(k, x);
            }
        }
    }

    fn cut(&self, parts: usize) -> Vec<usize> {
        (0..=parts).map(|i| self.len * i / parts).collect()
    }
}

/// The rows of a CSR matrix, or the columns of a CSC matrix.
pub(super) struct Compressed<'a, T, I> {
    pub(super) data: &'a [T],
    pub(super) indices: &'a [I],
    pub(super) indptr: &'a [u64],
}

/// Lines that take turns in a [sweep](Lines::sweep).
const TURNS: usize = 256;
/// Positions on which they do: what is kept for so many fits into the cache of a core.
const TILE: usize = 4096;

/// Entries of a line.
struct Entries<'a, T, I> {
    indices: &'a [I],
    data: &'a [T],
}

impl<'a, T: Number, I: Position> Entries<'a, T, I> {
    /// Whether they ascend, each position once.
    fn is_sorted(&self) -> bool {
        self.indices.is_sorted_by(|a, b| a < b)
    }

    /// Cuts those off, of sorted ones, that lie before a position.
    fn split_off(&mut self, end: usize) -> Entries<'a, T, I> {
        let count = self.indices.partition_point(|k| k.at() < end);
        let ((indices, later), (data, rest)) = (self.indices.split_at(count), self.data.split_at(count));
        (self.indices, self.data) = (later, rest);
        Self { indices, data }
    }

    /// Takes those that are not zero.
    #[inline]
    fn each(&self, mut take: impl FnMut(usize, f64)) {
        for (k, x) in self.indices.iter().zip(self.data) {
            let x = x.to_f64();
            if x != 0.0 {
                take(k.at(), x);
            }
        }
    }
}

impl<'a, T, I> Compressed<'a, T, I> {
    fn entries(&self, line: usize) -> Entries<'a, T, I> {
        let span = self.indptr[line] as usize..self.indptr[line + 1] as usize;
        Entries { indices: &self.indices[span.clone()], data: &self.data[span] }
    }
}

impl<T: Number, I: Position> Lines for Compressed<'_, T, I> {
    fn len(&self) -> usize {
        self.indptr.len().saturating_sub(1)
    }

    #[inline]
    fn each(&self, line: usize, take: impl FnMut(usize, f64)) {
        let entries = self.entries(line);
        if entries.is_sorted() {
            entries.each(take);
        } else {
            let (indices, data): (Vec<I>, Vec<T>) = added_up(entries.indices, entries.data).into_iter().unzip();
            Entries { indices: &indices, data: &data }.each(take);
        }
    }

    fn sweep(&self, lines: Range<usize>, width: usize, mut take: impl FnMut(usize, usize, f64)) {
        let mut rest: Vec<Entries<'_, T, I>> = Vec::with_capacity(TURNS);
        let (first, last) = (lines.start, lines.end);
        for start in (first..last).step_by(TURNS) {
            let batch = start..last.min(start + TURNS);
            rest.clear();
            rest.extend(batch.clone().map(|line| self.entries(line)).take_while(Entries::is_sorted));
            if rest.len() < batch.len() || width <= TILE {
                batch.for_each(|line| self.each(line, |k, x| take(line, k, x)));
                continue;
            }
            for tile in (0..width).step_by(TILE) {
                for (line, entries) in batch.clone().zip(&mut rest) {
                    entries.split_off(tile + TILE).each(|k, x| take(line, k, x));
                }
            }
        }
    }

    fn cut(&self, parts: usize) -> Vec<usize> {
        let total = self.indptr.last().copied().unwrap_or_default();
        let mut cuts: Vec<usize> = (0..parts)
            .map(|i| self.indptr.partition_point(|&n| n < total / parts as u64 * i as u64).min(self.len()))
            .collect();
        cuts.push(self.len());
        if let Some(first) = cuts.first_mut() {
            *first = 0;
        }
        cuts
    }
}

/// The entries of a line in order, those of one position added up: what the matrix says if it says it more than once.
fn added_up<T: Number, I: Position>(indices: &[I], data: &[T]) -> Vec<(I, T)> {
    let mut entries: Vec<(I, T)> = indices.iter().copied().zip(data.iter().copied()).collect();
    // Stable: floats are added in the order in which they are stored.
    entries.sort_by_key(|&(k, _)| k);
    entries.dedup_by(|next, sum| {
        let again = next.0 == sum.0;
        if again {
            sum.1 = sum.1.plus(next.1);
        }
        again
    });
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(lines: &impl Lines, line: usize) -> Vec<(usize, f64)> {
        let mut found = Vec::new();
        lines.each(line, |k, x| found.push((k, x)));
        found
    }

    #[test]
    fn a_line_gives_each_value_once_and_no_zeros() {
        let lines = Compressed {
            data: &[1_u8, 0, 3, 200, 100, 5, 7, 249],
            indices: &[0_i32, 2, 4, 3, 3, 1, 0, 1],
            indptr: &[0, 3, 3, 8],
        };
        assert_eq!(entries(&lines, 0), [(0, 1.0), (4, 3.0)]);
        assert_eq!(entries(&lines, 1), []);
        // Out of order, and twice: added as bytes are.
        assert_eq!(entries(&lines, 2), [(0, 7.0), (1, 254.0), (3, 44.0)]);
        let dense = Dense { items: &[0.0, -1.5, f32::NAN, 0.0], width: 2, len: 2 };
        assert_eq!(entries(&dense, 0), [(1, -1.5)]);
        assert!(entries(&dense, 1)[0].1.is_nan());
    }

    #[test]
    fn cuts_cover_all_lines_in_order() {
        let indptr: Vec<u64> = [0, 0, 50, 50, 51, 100, 100].to_vec();
        let lines = Compressed { data: &[0.0; 100], indices: &[0_i64; 100], indptr: &indptr };
        for parts in 1..10 {
            let cuts = lines.cut(parts);
            assert!(cuts.len() == parts + 1 && cuts.is_sorted() && cuts[0] == 0 && cuts[parts] == 6, "{cuts:?}");
        }
    }
}
