//! [`Rows`]: positions along one axis, already checked against its length.

use std::ops::Range;
use std::sync::Arc;

use super::Run;

/// Positions along one axis, in the order wanted, repeats allowed. Always within the axis that it was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// The whole axis of this length.
    All(usize),
    /// `start`, `start + step`, … (`len` of them; `step` may be negative, not 0).
    Range {
        /// First position.
        start: usize,
        /// Distance between positions.
        step: isize,
        /// Number of positions.
        len: usize,
    },
    /// These positions.
    Picks(Arc<[usize]>),
    /// Runs of consecutive positions, one after the other.
    Spans(Spans),
}

/// Runs of consecutive positions; [`Rows::spans`] makes them. They cost what there are runs, not positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spans(Arc<[Run]>);

impl Spans {
    fn len(&self) -> usize {
        self.0.last().map_or(0, |run| run.dst + run.len)
    }

    fn get(&self, i: usize) -> Option<usize> {
        let run = self.0.get(self.0.partition_point(|run| run.dst + run.len <= i))?;
        Some(run.src + (i - run.dst))
    }
}

impl Rows {
    /// `start..stop` with step 1.
    #[must_use]
    pub fn span(start: usize, stop: usize) -> Self {
        Self::Range { start, step: 1, len: stop.saturating_sub(start) }
    }

    /// Exactly these positions; the caller vouches that they lie on the axis.
    #[must_use]
    pub fn picks(positions: impl Into<Arc<[usize]>>) -> Self {
        Self::Picks(positions.into())
    }

    /// The positions of these ranges, end to end; the caller vouches that they lie on the axis.
    #[must_use]
    pub fn spans(ranges: impl IntoIterator<Item = Range<usize>>) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for range in ranges.into_iter().filter(|range| !range.is_empty()) {
            match runs.last_mut() {
                Some(last) if last.src + last.len == range.start => last.len += range.len(),
                last => {
                    let dst = last.map_or(0, |last| last.dst + last.len);
                    runs.push(Run { src: range.start, dst, len: range.len() });
                }
            }
        }
        match runs[..] {
            [] => Self::span(0, 0),
            [one] => Self::span(one.src, one.src + one.len),
            _ => Self::Spans(Spans(runs.into())),
        }
    }

    /// A selection for every axis of `shape`: that of `cut`, and the whole axis where it has none.
    pub(crate) fn of_cut(shape: &[usize], cut: &[Option<Self>]) -> Vec<Self> {
        let on = |(axis, &len): (usize, &usize)| cut.get(axis).cloned().flatten().unwrap_or(Self::All(len));
        shape.iter().enumerate().map(on).collect()
    }

    /// How many positions.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::All(len) | Self::Range { len, .. } => *len,
            Self::Picks(p) => p.len(),
            Self::Spans(s) => s.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Position number `i`; `None` past the end.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<usize> {
        match self {
            Self::All(len) => (i < *len).then_some(i),
            Self::Range { start, step, len } => (i < *len).then(|| at(*start, *step, i)),
            Self::Picks(p) => p.get(i).copied(),
            Self::Spans(s) => s.get(i),
        }
    }

    /// The positions in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        let mut run = 0;
        (0..self.len()).map(move |i| match self {
            Self::All(_) => i,
            Self::Range { start, step, .. } => at(*start, *step, i),
            Self::Picks(p) => p[i],
            Self::Spans(Spans(runs)) => {
                run += usize::from(i == runs[run].dst + runs[run].len);
                runs[run].src + (i - runs[run].dst)
            }
        })
    }

    /// The positions in order, consecutive ones as one range; no range is empty.
    pub fn runs(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        // Of spans the number of the next one, of all others that of the next position.
        let mut next = 0;
        std::iter::from_fn(move || {
            let run = match self {
                Self::Spans(Spans(runs)) => {
                    let run = runs.get(next)?;
                    next += 1;
                    return Some(run.src..run.src + run.len);
                }
                _ if next >= self.len() => return None,
                Self::All(len) => 0..*len,
                Self::Range { start, step: 1, len } => *start..start + len,
                Self::Range { start, step, .. } => {
                    let first = at(*start, *step, next);
                    first..first + 1
                }
                Self::Picks(picks) => {
                    let first = picks[next];
                    let more = picks[next + 1..].iter().zip(first + 1..).take_while(|&(&pick, after)| pick == after);
                    first..first + 1 + more.count()
                }
            };
            next += run.len();
            Some(run)
        })
    }

    /// The largest position; `None` if there are none.
    #[must_use]
    pub fn max(&self) -> Option<usize> {
        match self {
            Self::Picks(p) => p.iter().copied().max(),
            Self::Spans(Spans(runs)) => runs.iter().map(|run| run.src + run.len - 1).max(),
            _ => self.get(0).max(self.len().checked_sub(1).and_then(|last| self.get(last))),
        }
    }

    /// Whether this is every position of an axis of length `n`, in order.
    #[must_use]
    pub fn is_all_of(&self, n: usize) -> bool {
        match self {
            Self::All(len) => *len == n,
            Self::Range { start: 0, step: 1, len } => *len == n,
            Self::Range { .. } => n == 0 && self.is_empty(),
            Self::Picks(p) => p.len() == n && p.iter().enumerate().all(|(i, &x)| i == x),
            // All of an axis would have been one run.
            Self::Spans(_) => false,
        }
    }

    /// The selection `inner` of this selection as one selection of the underlying axis:
    /// `take(take(x, a), b) == take(x, a.compose(b))`. `inner` must lie within `0..self.len()`.
    #[must_use]
    pub fn compose(&self, inner: &Self) -> Self {
        match (self, inner) {
            (_, Self::All(_)) => self.clone(),
            (Self::All(_), _) => inner.clone(),
            (Self::Range { .. }, Self::Range { len: 0, .. }) => Self::span(0, 0),
            (Self::Range { start, step, .. }, Self::Range { start: s, step: t, len }) => {
                Self::Range { start: at(*start, *step, *s), step: step * t, len: *len }
            }
            _ => Self::Picks(inner.iter().filter_map(|i| self.get(i)).collect()),
        }
    }
}

fn at(start: usize, step: isize, i: usize) -> usize {
    start.wrapping_add_signed(step.wrapping_mul(i as isize))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(n: usize) -> BoxedStrategy<Rows> {
        if n == 0 {
            return Just(Rows::All(0)).boxed();
        }
        let range = (0..n, prop_oneof![-3_isize..=-1, 1_isize..=3], 0..=n).prop_map(move |(start, step, want)| {
            let room = if step > 0 { (n - 1 - start) / step as usize } else { start / step.unsigned_abs() } + 1;
            Rows::Range { start, step, len: want.min(room) }
        });
        let picks = proptest::collection::vec(0..n, 0..12).prop_map(Rows::picks);
        let spans = proptest::collection::vec((0..n, 0..=n), 0..6)
            .prop_map(|list| Rows::spans(list.into_iter().map(|(a, b)| a..b.max(a))));
        prop_oneof![Just(Rows::All(n)), range, picks, spans].boxed()
    }

    proptest! {
        #[test]
        fn composing_equals_taking_twice((n, a, b) in (0_usize..9)
            .prop_flat_map(|n| (Just(n), rows(n)))
            .prop_flat_map(|(n, a)| { let b = rows(a.len()); (Just(n), Just(a), b) }))
        {
            let x: Vec<usize> = (0..n).map(|i| i * 10).collect();
            let once: Vec<usize> = a.iter().map(|i| x[i]).collect();
            let twice: Vec<usize> = b.iter().map(|i| once[i]).collect();
            let composed: Vec<usize> = a.compose(&b).iter().map(|i| x[i]).collect();
            prop_assert_eq!(twice, composed);
        }

        #[test]
        fn max_len_and_get_agree_with_iter((n, a) in (0_usize..9).prop_flat_map(|n| (Just(n), rows(n)))) {
            let all: Vec<usize> = a.iter().collect();
            prop_assert_eq!(a.len(), all.len());
            prop_assert_eq!(a.max(), all.iter().copied().max());
            prop_assert_eq!((0..all.len()).map(|i| a.get(i)).collect::<Vec<_>>(), all.iter().map(|&i| Some(i)).collect::<Vec<_>>());
            prop_assert_eq!(a.get(all.len()), None);
            let runs: Vec<Range<usize>> = a.runs().collect();
            prop_assert!(runs.iter().all(|run| !run.is_empty()));
            prop_assert_eq!(runs.iter().cloned().flatten().collect::<Vec<_>>(), &all[..]);
            prop_assert_eq!(Rows::spans(runs).iter().collect::<Vec<_>>(), &all[..]);
            prop_assert!(!a.is_all_of(n) || all == (0..n).collect::<Vec<_>>());
        }
    }
}
