//! [`Intent`]: the record of a write that is complete in the staging directory and waits to be carried out, as a list of steps.
//! Once the record is on disk, the write will happen, whoever carries it out.

use serde_json::{Value, json};

use super::meta::object;
use super::source::OURS;
use crate::path::ElemPath;

/// Somewhere in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spot {
    /// In the staging directory, by number.
    Staged(usize),
    /// A node's directory, or a file in one.
    Stored(ElemPath),
}

/// One change that readers see happen at once.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// What is at `from` goes to the free place `to`.
    Move { from: Spot, to: Spot },
    /// Two directories change places. A marker file goes with what was at `a`, so that it can be told whether they have.
    Swap { a: Spot, b: Spot },
    /// A staged file and the one at `at` change places; the staged one is this long and has this CRC-32C, and the one that is at
    /// `at` when this step begins is different.
    Document { staged: usize, at: ElemPath, len: u64, crc: u32 },
    /// As `Document`, with the same content: done for those who watch the file. Once more does no harm.
    Touch { staged: usize, at: ElemPath },
}

impl Step {
    /// A new document for the file `at`.
    pub(super) fn document(staged: usize, at: ElemPath, bytes: &[u8]) -> Self {
        Self::Document { staged, at, len: bytes.len() as u64, crc: crc32c::crc32c(bytes) }
    }

    /// The two places that change.
    pub(super) fn spots(&self) -> [Spot; 2] {
        match self {
            Self::Move { from: a, to: b } | Self::Swap { a, b } => [a.clone(), b.clone()],
            Self::Document { staged, at, .. } | Self::Touch { staged, at } => {
                [Spot::Staged(*staged), Spot::Stored(at.clone())]
            }
        }
    }

    /// Whether both do no more than move something in, or out: then neither minds which of them comes first.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        use Spot::{Staged, Stored};
        let way = |step: &Self| match step {
            Self::Move { from: Staged(_), to: Stored(_) } => Some(true),
            Self::Move { from: Stored(_), to: Staged(_) } => Some(false),
            _ => None,
        };
        way(self).is_some() && way(self) == way(other)
    }
}

/// The steps of a write, in their order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Intent {
    /// Whether the writer held the lock: then whoever holds it now knows that the writer is gone.
    pub(super) locked: bool,
    pub(super) steps: Vec<Step>,
}

impl Intent {
    pub(super) fn to_json(&self) -> Value {
        let spot = |spot: &Spot| match spot {
            Spot::Staged(number) => json!(number),
            Spot::Stored(at) => json!(at.as_str()),
        };
        let step = |step: &Step| match step {
            Step::Move { from, to } => json!({"move": [spot(from), spot(to)]}),
            Step::Swap { a, b } => json!({"swap": [spot(a), spot(b)]}),
            Step::Document { staged, at, len, crc } => {
                json!({"document": [staged, at.as_str()], "bytes": len, "crc32c": crc})
            }
            Step::Touch { staged, at } => json!({"touch": [staged, at.as_str()]}),
        };
        json!({"version": 1, "locked": self.locked, "steps": self.steps.iter().map(step).collect::<Vec<_>>()})
    }

    /// Understands a record, or says why not: among others because it names something outside of the store.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let json = object(bytes)?;
        if json.get("version") != Some(&json!(1)) {
            return Err("it was written by a later version of this program".into());
        }
        let locked = json.get("locked").and_then(Value::as_bool).ok_or("`locked` is missing")?;
        let steps = json.get("steps").and_then(Value::as_array).ok_or("`steps` is missing")?;
        let steps = steps.iter().map(|step| parse_step(step).ok_or_else(|| format!("no sound step: {step}")));
        Ok(Self { locked, steps: steps.collect::<Result<_, String>>()? })
    }
}

fn parse_step(step: &Value) -> Option<Step> {
    let pair = |kind: &str| match step.get(kind)?.as_array()?.as_slice() {
        [a, b] => Some((parse_spot(a)?, parse_spot(b)?)),
        _ => None,
    };
    if let Some((from, to)) = pair("move") {
        return Some(Step::Move { from, to });
    }
    if let Some((a, b)) = pair("swap") {
        return Some(Step::Swap { a, b });
    }
    if let Some((Spot::Staged(staged), Spot::Stored(at))) = pair("touch") {
        return Some(Step::Touch { staged, at });
    }
    let (Spot::Staged(staged), Spot::Stored(at)) = pair("document")? else { return None };
    let crc = u32::try_from(step.get("crc32c")?.as_u64()?).ok()?;
    Some(Step::Document { staged, at, len: step.get("bytes")?.as_u64()?, crc })
}

fn parse_spot(spot: &Value) -> Option<Spot> {
    if let Some(number) = spot.as_u64() {
        return usize::try_from(number).ok().map(Spot::Staged);
    }
    let text = spot.as_str()?;
    // Exactly as written: no slash at either end, nothing that leads out, nothing of this crate's own.
    let at = ElemPath::parse(text).ok().filter(|at| at.as_str() == text && !at.is_root())?;
    let is_ours = at.components().any(|name| name.starts_with(OURS));
    (!is_ours).then_some(Spot::Stored(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_written_and_lead_nowhere_else() {
        let stored = |at: &str| Spot::Stored(ElemPath::parse(at).unwrap());
        let intent = Intent {
            locked: true,
            steps: vec![
                Step::Move { from: Spot::Staged(1), to: stored("obsm/X") },
                Step::Swap { a: stored("a"), b: stored("7") },
                Step::document(3, ElemPath::parse("zarr.json").unwrap(), b"{}"),
                Step::Touch { staged: 4, at: ElemPath::parse(".zgroup").unwrap() },
            ],
        };
        let bytes = intent.to_json().to_string().into_bytes();
        assert_eq!(Intent::parse(&bytes).unwrap(), intent);
        for bad in ["../x", "/etc/x", "a/../../x", "a//b", "", "a/", ".adshadow-stage-x/0", "a\0"] {
            let json = json!({"version": 1, "locked": true, "steps": [{"move": [1, bad]}]});
            assert!(Intent::parse(json.to_string().as_bytes()).is_err(), "{bad:?}");
        }
        for bad in ["", "[]", "{\"version\": 2}", "{\"version\": 1, \"locked\": true, \"steps\": [{}]}"] {
            assert!(Intent::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
