//! [`Dice`]: numbers and selections that depend on a seed alone.

use anndata_shadow::Rows;

/// SplitMix64: equal seeds, equal numbers, everywhere.
pub struct Dice(pub u64);

impl Dice {
    /// One of many sequences of numbers that a seed has.
    pub fn of(seed: u64, sequence: u64) -> Self {
        let mut mixed = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ sequence.wrapping_mul(0xD1B5_4A32_D192_ED03));
        mixed.next();
        mixed
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if there is none.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// From `-n - 2` to `n + 2`: bounds of slices are clamped.
    pub fn bound(&mut self, n: usize) -> Option<i64> {
        let within = self.below(2 * n + 5) as i64 - n as i64 - 2;
        (self.below(4) > 0).then_some(within)
    }

    /// A valid position, from the front or the end.
    pub fn position(&mut self, n: usize) -> i64 {
        let i = self.below(n) as i64;
        if self.below(3) == 0 { i - n as i64 } else { i }
    }

    /// A selection of an axis: all, a slice in either direction, positions in order, or in any order with repeats.
    pub fn rows(&mut self, n: usize) -> Rows {
        if n == 0 {
            return Rows::All(0);
        }
        let mut picks: Vec<usize> = (0..1 + self.below(40)).map(|_| self.below(n)).collect();
        match self.below(6) {
            0 => Rows::All(n),
            1 => {
                let start = self.below(n);
                Rows::span(start, start + 1 + self.below(n - start))
            }
            2 => {
                let (start, step) = (self.below(n), 1 + self.below(3));
                Rows::Range { start, step: -(step as isize), len: start / step + 1 }
            }
            3 => {
                picks.sort_unstable();
                picks.dedup();
                Rows::picks(picks)
            }
            _ => Rows::picks(picks),
        }
    }
}
