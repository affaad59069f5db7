//! The head of a safetensors file: a table of tensors in JSON, after its length.
//!
//! The file is not trusted: what the table claims is held against the file's own length, tensors follow each other
//! without gap or overlap, each has as many bytes as its type and shape ask for, and none is named twice.

use std::fmt;
use std::path::Path;

use safetensors::tensor::TensorInfo;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::kind;
use crate::error::ImportError;

/// Bytes before the table: its length.
const LENGTH_BYTES: usize = 8;
/// The key that is no tensor.
const METADATA: &str = "__metadata__";

/// The parsed head.
#[derive(Debug)]
pub(super) struct Header {
    /// The tensors in the order of their data.
    pub(super) tensors: Vec<(String, TensorInfo)>,
    /// Where the data start in the file.
    pub(super) data_start: usize,
}

impl Header {
    /// Parses the head of a file.
    ///
    /// # Errors
    /// If it is no table of tensors, contradicts itself, or speaks of another file than this.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ImportError> {
        Self::parse_table(path, bytes).map_err(|error| match kind::foreign(bytes) {
            Some((found, remedy)) => ImportError::OtherKind {
                path: path.to_owned(),
                found,
                expected: "safetensors",
                remedy,
            },
            None => error,
        })
    }

    fn parse_table(path: &Path, bytes: &[u8]) -> Result<Self, ImportError> {
        let damaged = |place: &str, expected: String, found: String| ImportError::Damaged {
            path: path.to_owned(),
            place: place.to_owned(),
            expected,
            found,
        };
        let Some(length) = bytes.first_chunk() else {
            return Err(damaged(
                "the header's length",
                format!("at least {LENGTH_BYTES} bytes"),
                format!("{} bytes", bytes.len()),
            ));
        };
        let length = u64::from_le_bytes(*length);
        let end = usize::try_from(length).ok();
        let end = end.and_then(|length| length.checked_add(LENGTH_BYTES));
        let table = end.and_then(|end| Some((bytes.get(LENGTH_BYTES..end)?, end)));
        let Some((table, data_start)) = table else {
            return Err(damaged(
                "the header",
                format!("{length} bytes after the first {LENGTH_BYTES}"),
                format!("a file of {} bytes", bytes.len()),
            ));
        };
        let table: Table = serde_json::from_slice(table).map_err(|error| {
            damaged(
                "the header",
                "a table of tensors in JSON".to_owned(),
                error.to_string(),
            )
        })?;
        let mut tensors = table.0;
        tensors.sort_by(|(left, _), (right, _)| left.cmp(right));
        if let Some([(name, _), _]) = tensors.array_windows().find(|[(a, _), (b, _)]| a == b) {
            let expected = "one of the name".to_owned();
            return Err(damaged(&of(name), expected, "two".to_owned()));
        }
        tensors.sort_by_key(|(_, info)| info.data_offsets);
        let mut at = 0_usize;
        for (name, info) in &tensors {
            let (start, end) = info.data_offsets;
            if start != at {
                let expected = format!("data from byte {at} on, where the one before it ends");
                return Err(damaged(&of(name), expected, format!("from byte {start}")));
            }
            match (byte_len(info), end.checked_sub(start)) {
                (Some(expected), Some(found)) if expected == found => at = end,
                (expected, _) => {
                    let expected = expected.map_or("a size that can be".to_owned(), |bytes| {
                        format!("{bytes} bytes")
                    });
                    return Err(damaged(
                        &of(name),
                        format!("{expected} for {} of shape {:?}", info.dtype, info.shape),
                        format!("bytes {start} to {end}"),
                    ));
                }
            }
        }
        if bytes.len() - data_start != at {
            let whole = data_start as u128 + at as u128;
            return Err(damaged(
                "the tensors",
                format!("a file of {whole} bytes, as its header says"),
                format!("{} bytes", bytes.len()),
            ));
        }
        Ok(Self {
            tensors,
            data_start,
        })
    }
}

/// Which part of the file is spoken of.
fn of(tensor: &str) -> String {
    format!("tensor `{tensor}`")
}

/// The bytes of a tensor, if that many can be.
fn byte_len(info: &TensorInfo) -> Option<usize> {
    let mut sizes = info.shape.iter();
    let numbers = sizes.try_fold(1_usize, |all, size| all.checked_mul(*size))?;
    let bits = numbers.checked_mul(info.dtype.bitsize())?;
    bits.is_multiple_of(8).then_some(bits / 8)
}

/// The entries as they stand, those of one name included, which a map would lose.
struct Table(Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Table;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Table, M::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA {
                map.next_value::<IgnoredAny>()?;
            } else {
                entries.push((name, map.next_value()?));
            }
        }
        Ok(Table(entries))
    }
}
