//! [`Dice`]: random numbers that depend on the seed alone, the same on every machine and in every version.

/// SplitMix64 (Steele, Lea and Flood 2014): a counter, well mixed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n` (at least 1), all equally likely (Lemire 2019).
    fn below(&mut self, n: u64) -> u64 {
        loop {
            let wide = u128::from(self.next()) * u128::from(n);
            // The few products that would make some numbers likelier than others are drawn anew.
            if wide as u64 >= n.wrapping_neg() % n {
                return (wide >> 64) as u64;
            }
        }
    }

    /// Every order of the items equally likely (Fisher and Yates), from the last item on.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        // The first of seed 1234567, as in the reference implementation by Vigna.
        let mut dice = Dice::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| dice.next()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn every_order_is_as_likely() {
        let mut dice = Dice::new(7);
        let mut seen = std::collections::BTreeMap::new();
        for _ in 0..24_000 {
            let mut items = [0, 1, 2, 3];
            dice.shuffle(&mut items);
            *seen.entry(items).or_insert(0) += 1;
        }
        // 1000 each on average, with a standard deviation of 31.
        assert!(seen.len() == 24 && seen.values().all(|n| (850..1150).contains(n)), "{seen:?}");
    }
}
