//! [`Tally`], which takes in the values of a line one by one, and [`Moments`], what they come to.

/// What is kept of the values of a line that are not zero, while they come.
///
/// Sums are of distances from the first value: as that is one of them, the squares lose no more than the spread of the values
/// makes them lose, however far from zero all of them are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally {
    shift: f64,
    sum: f64,
    squares: f64,
    min: f64,
    max: f64,
    n: u64,
}

impl Tally {
    pub(super) const EMPTY: Self =
        Self { shift: 0.0, sum: 0.0, squares: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY, n: 0 };

    /// Takes in a value that is not zero.
    #[inline]
    pub(super) fn add(&mut self, x: f64) {
        if self.n == 0 && x.is_finite() {
            self.shift = x;
        }
        let d = x - self.shift;
        self.n += 1;
        self.sum += d;
        self.squares += d * d;
        // A NaN is in neither, but the squares keep it.
        if x < self.min {
            self.min = x;
        }
        if x > self.max {
            self.max = x;
        }
    }

    /// What the values come to that were taken in.
    pub(super) fn moments(&self) -> Moments {
        if self.n == 0 {
            return Moments::EMPTY;
        }
        let n = self.n as f64;
        let spread = self.squares - self.sum * self.sum / n;
        // As the shift is finite, no sum of squares but that of a NaN is one.
        let nan = self.squares.is_nan();
        Moments {
            n: self.n,
            nonzero: self.n,
            sum: n * self.shift + self.sum,
            mean: self.shift + self.sum / n,
            spread: if spread < 0.0 { 0.0 } else { spread },
            min: if nan { f64::NAN } else { self.min },
            max: if nan { f64::NAN } else { self.max },
        }
    }
}

/// What is known of some values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    n: u64,
    pub(super) nonzero: u64,
    pub(super) sum: f64,
    mean: f64,
    /// Sum of squared distances from the mean.
    spread: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Moments {
    pub(super) const EMPTY: Self =
        Self { n: 0, nonzero: 0, sum: 0.0, mean: 0.0, spread: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY };

    /// Of so many zeros.
    fn zeros(n: u64) -> Self {
        if n == 0 { Self::EMPTY } else { Self { n, min: 0.0, max: 0.0, ..Self::EMPTY } }
    }

    /// Of these values and others (Chan, Golub and LeVeque 1979).
    pub(super) fn and(self, other: Self) -> Self {
        if self.n == 0 || other.n == 0 {
            return if self.n == 0 { other } else { self };
        }
        let (a, b) = (self.n as f64, other.n as f64);
        let apart = other.mean - self.mean;
        // Comparisons with NaN are false; one of either side stays.
        let least = |x: f64, y: f64| if x.is_nan() || x < y { x } else { y };
        Self {
            n: self.n + other.n,
            nonzero: self.nonzero + other.nonzero,
            sum: self.sum + other.sum,
            mean: self.mean + apart * (b / (a + b)),
            spread: self.spread + other.spread + apart * apart * (a * b / (a + b)),
            min: least(self.min, other.min),
            max: -least(-self.max, -other.max),
        }
    }

    /// With the zeros that make them `count` in all. Without any value there is no least and no greatest one.
    pub(super) fn among(self, count: u64) -> Self {
        let all = self.and(Self::zeros(count.saturating_sub(self.n)));
        if all.n > 0 { all } else { Self { min: f64::NAN, max: f64::NAN, ..all } }
    }

    /// The mean; as numpy divides, so that whole numbers come out as there.
    pub(super) fn mean(&self) -> f64 {
        self.sum / self.n as f64
    }

    /// The variance; NaN or infinite where there are no more than `ddof` values, as in numpy.
    pub(super) fn variance(&self, ddof: u64) -> f64 {
        self.spread / self.n.saturating_sub(ddof) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Moments {
        let mut tally = Tally::EMPTY;
        values.iter().filter(|x| **x != 0.0).for_each(|&x| tally.add(x));
        tally.moments().among(values.len() as u64)
    }

    #[test]
    fn far_from_zero_the_variance_is_still_that_of_the_values() {
        // Two plain sums in f64 would say 0 or less than nothing.
        let values: Vec<f64> = (0..1000).map(|i| 1e9 + f64::from(i % 10)).collect();
        let m = of(&values);
        assert!((m.variance(0) - 8.25).abs() < 1e-9, "{}", m.variance(0));
        let halves = of(&values[..137]).and(of(&values[137..]));
        assert!((halves.variance(0) - 8.25).abs() < 1e-6 && halves.mean() == m.mean());
    }

    #[test]
    fn zeros_count_wherever_they_are() {
        let m = of(&[0.0, 2.0, -4.0, 0.0]);
        assert_eq!((m.sum, m.mean(), m.min, m.max, m.nonzero), (-2.0, -0.5, -4.0, 2.0, 2));
        assert_eq!((m.variance(0), m.variance(1)), (4.75, 19.0 / 3.0));
        let none = of(&[0.0, 0.0]);
        assert_eq!((none.sum, none.mean(), none.variance(1), none.min, none.max), (0.0, 0.0, 0.0, 0.0, 0.0));
    }

    #[test]
    fn not_a_number_and_infinity_come_out_as_in_numpy() {
        for values in [&[f64::NAN, 1.0][..], &[1.0, f64::NAN], &[0.0, f64::NAN, 0.0]] {
            let m = of(values);
            let all = [m.sum, m.mean(), m.variance(1), m.min, m.max];
            assert!(all.iter().all(|x| x.is_nan()), "{values:?}: {all:?}");
        }
        for values in [&[f64::INFINITY, 1.0, 0.0][..], &[1.0, 5.0, f64::INFINITY]] {
            let m = of(values);
            assert_eq!((m.sum, m.max, m.min), (f64::INFINITY, f64::INFINITY, if values[2] == 0.0 { 0.0 } else { 1.0 }));
            assert!(m.variance(1).is_nan());
        }
        let none = of(&[]);
        assert!(none.sum == 0.0 && [none.mean(), none.variance(1), none.min, none.max].iter().all(|x| x.is_nan()));
        assert!(of(&[3.0]).variance(1).is_nan() && of(&[3.0]).variance(0) == 0.0);
    }
}
