//! [`MinorFilter`]: which positions of the uncompressed axis are wanted, and where they go.

use std::collections::HashMap;

use super::indices::Position;
use crate::index::Rows;

/// A selection of the uncompressed axis, made for looking up one index after the other.
pub(crate) enum MinorFilter {
    /// All stay where they are.
    Keep,
    /// `len` positions from `start` on, `step` apart; may be many more than there are values.
    Range { start: usize, step: isize, len: usize },
    /// Positions in any order, however often.
    Picks(Picks),
}

/// Longest axis that gets a table with a place for each position.
const TABLE: usize = 1 << 22;

/// Where each position of a list goes.
pub(crate) struct Picks {
    /// Number of a position among those wanted, from 1 on; 0 for all others.
    slots: Slots,
    /// For each wanted position, where its places begin in `places`; and their end.
    begins: Vec<usize>,
    places: Vec<usize>,
}

enum Slots {
    Table(Vec<u32>),
    Map(HashMap<usize, usize>),
}

impl MinorFilter {
    /// A filter for `rows` on an axis of `len`.
    pub(crate) fn new(rows: &Rows, len: usize) -> Self {
        match *rows {
            _ if rows.is_all_of(len) => Self::Keep,
            Rows::All(len) => Self::Range { start: 0, step: 1, len },
            Rows::Range { start, step, len } => Self::Range { start, step, len },
            Rows::Picks(_) | Rows::Spans(_) => Self::Picks(Picks::new(rows, len)),
        }
    }

    /// Calls `hit` with the number of each index that is wanted and where it goes, in order. The indices lie on the axis.
    pub(crate) fn scan<I: Position>(&self, indices: &[I], mut hit: impl FnMut(usize, usize)) {
        match *self {
            Self::Keep => indices.iter().enumerate().for_each(|(i, index)| hit(i, index.at())),
            Self::Range { start, step: 1, len } => {
                // Most of the time one gene is wanted of thousands: many indices are passed over at once.
                const MANY: usize = 64;
                let window = I::window(start, len);
                for (number, many) in indices.chunks(MANY).enumerate() {
                    if many.iter().fold(false, |any, index| any | index.is_in(window)) {
                        for (i, index) in many.iter().enumerate().filter(|(_, index)| index.is_in(window)) {
                            hit(number * MANY + i, index.at() - start);
                        }
                    }
                }
            }
            Self::Range { start, step, len } => {
                for (i, index) in indices.iter().enumerate() {
                    // No axis is longer than `isize::MAX`.
                    let ahead = index.at() as isize - start as isize;
                    let to = ahead / step;
                    if ahead % step == 0 && to >= 0 && (to as usize) < len {
                        hit(i, to as usize);
                    }
                }
            }
            Self::Picks(ref picks) => {
                for (i, index) in indices.iter().enumerate() {
                    picks.places(index.at()).iter().for_each(|&to| hit(i, to));
                }
            }
        }
    }
}

impl Picks {
    fn new(rows: &Rows, len: usize) -> Self {
        let mut wanted: Vec<(usize, usize)> = rows.iter().enumerate().map(|(to, from)| (from, to)).collect();
        wanted.sort_unstable();
        let mut slots = if len <= TABLE { Slots::Table(vec![0; len]) } else { Slots::Map(HashMap::new()) };
        let (mut begins, mut end) = (vec![0], 0);
        for places in wanted.chunk_by(|a, b| a.0 == b.0) {
            let number = begins.len();
            match &mut slots {
                Slots::Table(table) => table[places[0].0] = number as u32,
                Slots::Map(map) => drop(map.insert(places[0].0, number)),
            }
            end += places.len();
            begins.push(end);
        }
        Self { slots, begins, places: wanted.into_iter().map(|(_, to)| to).collect() }
    }

    /// Where `position` goes; nowhere, if it is not wanted.
    fn places(&self, position: usize) -> &[usize] {
        let number = match &self.slots {
            Slots::Table(table) => table[position] as usize,
            Slots::Map(map) => map.get(&position).copied().unwrap_or(0),
        };
        if number == 0 { &[] } else { &self.places[self.begins[number - 1]..self.begins[number]] }
    }
}
