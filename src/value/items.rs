//! Items that Rust has no type of its own for: byte strings and points in time.

use std::fmt;

/// A byte string, as numpy's `S` has them: trailing NULs are not part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteString(pub Vec<u8>);

impl ByteString {
    /// A byte string from a field of fixed length, without the NULs behind it.
    #[must_use]
    pub fn from_field(field: &[u8]) -> Self {
        let end = field.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        Self(field[..end].to_vec())
    }
}

impl From<&[u8]> for ByteString {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

/// As UTF-8 text; bytes that are none as Python shows them, `\xff`.
impl fmt::Display for ByteString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.utf8_chunks().try_for_each(|part| {
            f.write_str(part.valid())?;
            part.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
        })
    }
}

macro_rules! datetimes {
    ($($name:ident $unit:literal $per_second:literal $digits:literal;)*) => {
        $(
            #[doc = concat!("A point in time in ", $unit, " since 1970-01-01T00:00:00, numpy's `datetime64`; `i64::MIN` is `NaT`.")]
            #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
            pub struct $name(pub i64);

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    if self.0 == i64::MIN {
                        return f.write_str("NaT");
                    }
                    let (seconds, rest) = (self.0.div_euclid($per_second), self.0.rem_euclid($per_second));
                    let Some(time) = chrono::DateTime::from_timestamp(seconds, 0) else {
                        return write!(f, concat!("{} ", $unit, " since 1970"), self.0);
                    };
                    write!(f, "{}", time.format("%Y-%m-%dT%H:%M:%S"))?;
                    if $digits > 0 { write!(f, ".{rest:0width$}", width = $digits) } else { Ok(()) }
                }
            }
        )*
    };
}

datetimes! {
    DatetimeS "seconds" 1 0;
    DatetimeMs "milliseconds" 1_000 3;
    DatetimeUs "microseconds" 1_000_000 6;
    DatetimeNs "nanoseconds" 1_000_000_000 9;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_numpy_shows_them() {
        assert_eq!(DatetimeS(0).to_string(), "1970-01-01T00:00:00");
        assert_eq!(DatetimeNs(1_577_836_800_000_000_001).to_string(), "2020-01-01T00:00:00.000000001");
        assert_eq!(DatetimeMs(-1).to_string(), "1969-12-31T23:59:59.999");
        assert_eq!(DatetimeUs(i64::MIN).to_string(), "NaT");
        assert_eq!(DatetimeS(i64::MAX).to_string(), format!("{} seconds since 1970", i64::MAX));
    }

    #[test]
    fn bytes_that_are_no_text_are_escaped() {
        assert_eq!(ByteString(b"a\xff\xc3\xbc".to_vec()).to_string(), "a\\xffü");
    }

    #[test]
    fn fields_lose_the_nuls_behind_them_only() {
        assert_eq!(ByteString::from_field(b"a\0b\0\0"), ByteString(b"a\0b".to_vec()));
        assert_eq!(ByteString::from_field(b"\0\0"), ByteString::default());
    }
}
