//! The head of a GGUF file: metadata and the table of tensors. Versions 2 and 3, little-endian.
//!
//! The file is not trusted: each length it claims is held against the bytes that are left before anything is
//! allocated or skipped.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use crate::error::ImportError;

/// The first four bytes.
pub(crate) const MAGIC: &[u8; 4] = b"GGUF";
/// Longest name of a key or tensor.
const MAX_NAME_BYTES: usize = 65_535;
/// Deepest nesting of arrays that is followed.
const MAX_DEPTH: usize = 4;
/// Most dimensions of a tensor.
const MAX_DIMENSIONS: u32 = 8;
/// Bytes that the shortest entry of the metadata takes: an empty key, its type and one byte.
const MIN_ENTRY_BYTES: usize = 13;
/// Bytes that the shortest entry of the tensor table takes.
const MIN_TENSOR_BYTES: usize = 24;
/// Where tensors start when the metadata do not say: at multiples of this.
const DEFAULT_ALIGNMENT: u64 = 32;

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Any of the integer types.
    Integer(i128),
    /// Either of the float types.
    Float(f64),
    Bool(bool),
    Text(String),
    Integers(Vec<i64>),
    Floats(Vec<f64>),
    Texts(Vec<String>),
    /// An array of booleans or arrays, which no key in use has; its items are skipped.
    Skipped,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Integers(items) => write!(f, "{} integers", items.len()),
            Self::Floats(items) => write!(f, "{} numbers", items.len()),
            Self::Texts(items) => write!(f, "{} texts", items.len()),
            Self::Skipped => write!(f, "a list of booleans or lists"),
        }
    }
}

/// An entry of the tensor table.
#[derive(Debug)]
pub(crate) struct TensorEntry {
    pub(crate) name: String,
    /// Sizes, the innermost first: `ne` of GGML.
    pub(crate) dimensions: Vec<u64>,
    /// GGML's number of the element type.
    pub(crate) element: u32,
    /// Bytes from the start of the data.
    pub(crate) offset: u64,
}

/// The parsed head.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) metadata: HashMap<String, Value>,
    pub(crate) tensors: Vec<TensorEntry>,
    /// Where the data start in the file.
    pub(crate) data_start: usize,
}

impl Header {
    /// Parses the head of a file.
    ///
    /// # Errors
    /// If the file is not GGUF, of another version, or ends before its claims are met.
    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ImportError> {
        let mut reader = Reader { path, bytes, at: 0 };
        if bytes.get(..4) != Some(MAGIC) {
            return Err(ImportError::NotACheckpoint {
                path: path.to_owned(),
            });
        }
        reader.at = 4;
        let version = reader.u32("the version")?;
        if !matches!(version, 2 | 3) {
            let found = if version.swap_bytes() < 16 {
                format!("{} in big-endian order", version.swap_bytes())
            } else {
                version.to_string()
            };
            return Err(ImportError::Unsupported {
                path: path.to_owned(),
                feature: "GGUF version".to_owned(),
                found,
                supported: "2 or 3, little-endian".to_owned(),
            });
        }
        let tensor_count = reader.count("the number of tensors", MIN_TENSOR_BYTES)?;
        let entry_count = reader.count("the number of metadata", MIN_ENTRY_BYTES)?;

        let mut metadata = HashMap::new();
        for _ in 0..entry_count {
            let key = reader.name("a key of the metadata")?;
            let kind = reader.u32(&key)?;
            let value = reader.value(&key, kind)?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(reader.damaged(&key, "one value", "a second one".to_owned()));
            }
        }

        let mut tensors = Vec::new();
        for _ in 0..tensor_count {
            tensors.push(reader.tensor()?);
        }

        let alignment = match metadata.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(Value::Integer(value)) => u64::try_from(*value)
                .ok()
                .filter(|value| value.is_power_of_two() && *value <= 1 << 30)
                .ok_or_else(|| {
                    reader.damaged("general.alignment", "a power of two", value.to_string())
                })?,
            Some(value) => {
                return Err(reader.damaged("general.alignment", "a number", value.to_string()));
            }
        };
        let data_start = (reader.at as u64)
            .checked_next_multiple_of(alignment)
            .and_then(|start| usize::try_from(start).ok())
            .unwrap_or(usize::MAX);
        Ok(Self {
            metadata,
            tensors,
            data_start,
        })
    }
}

/// A cursor that cannot leave the file.
struct Reader<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn damaged(&self, place: &str, expected: &str, found: String) -> ImportError {
        ImportError::Damaged {
            path: self.path.to_owned(),
            place: format!("{place}, byte {}", self.at),
            expected: expected.to_owned(),
            found,
        }
    }

    fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    fn take(&mut self, place: &str, len: usize) -> Result<&'a [u8], ImportError> {
        let end = self
            .at
            .checked_add(len)
            .filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(self.damaged(
                place,
                &format!("{len} more bytes"),
                format!("{}", self.left()),
            ));
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, place: &str) -> Result<[u8; N], ImportError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(place, N)?);
        Ok(array)
    }

    fn u32(&mut self, place: &str) -> Result<u32, ImportError> {
        self.array(place).map(u32::from_le_bytes)
    }

    fn u64(&mut self, place: &str) -> Result<u64, ImportError> {
        self.array(place).map(u64::from_le_bytes)
    }

    /// A count of items that take at least `min_bytes` each, so that no more can follow than fit.
    fn count(&mut self, place: &str, min_bytes: usize) -> Result<usize, ImportError> {
        let count = self.u64(place)?;
        let most = self.left() / min_bytes;
        match usize::try_from(count) {
            Ok(count) if count <= most => Ok(count),
            _ => Err(self.damaged(
                place,
                &format!("at most {most}, which is what the rest of the file has room for"),
                count.to_string(),
            )),
        }
    }

    /// A text; what is not UTF-8 is replaced.
    fn text(&mut self, place: &str) -> Result<String, ImportError> {
        let len = self.count(place, 1)?;
        Ok(String::from_utf8_lossy(self.take(place, len)?).into_owned())
    }

    fn name(&mut self, place: &str) -> Result<String, ImportError> {
        let name = self.text(place)?;
        if name.len() > MAX_NAME_BYTES {
            return Err(self.damaged(
                place,
                &format!("a name of at most {MAX_NAME_BYTES} bytes"),
                format!("{}", name.len()),
            ));
        }
        Ok(name)
    }

    fn value(&mut self, key: &str, kind: u32) -> Result<Value, ImportError> {
        Ok(match kind {
            0..=5 | 10 | 11 => Value::Integer(self.integer(key, kind)?),
            6 | 12 => Value::Float(self.float(key, kind)?),
            7 => Value::Bool(self.array::<1>(key)?[0] != 0),
            8 => Value::Text(self.text(key)?),
            9 => self.list(key, 1)?,
            other => return Err(self.unknown_kind(key, other)),
        })
    }

    fn unknown_kind(&self, key: &str, kind: u32) -> ImportError {
        self.damaged(key, "a value type from 0 to 12", kind.to_string())
    }

    fn integer(&mut self, key: &str, kind: u32) -> Result<i128, ImportError> {
        Ok(match kind {
            0 => u8::from_le_bytes(self.array(key)?).into(),
            1 => i8::from_le_bytes(self.array(key)?).into(),
            2 => u16::from_le_bytes(self.array(key)?).into(),
            3 => i16::from_le_bytes(self.array(key)?).into(),
            4 => u32::from_le_bytes(self.array(key)?).into(),
            5 => i32::from_le_bytes(self.array(key)?).into(),
            10 => u64::from_le_bytes(self.array(key)?).into(),
            11 => i64::from_le_bytes(self.array(key)?).into(),
            other => return Err(self.unknown_kind(key, other)),
        })
    }

    fn float(&mut self, key: &str, kind: u32) -> Result<f64, ImportError> {
        Ok(match kind {
            6 => f32::from_le_bytes(self.array(key)?).into(),
            _ => f64::from_le_bytes(self.array(key)?),
        })
    }

    fn list(&mut self, key: &str, depth: usize) -> Result<Value, ImportError> {
        let kind = self.u32(key)?;
        Ok(match kind {
            0..=5 | 10 | 11 => {
                let size = match kind {
                    0 | 1 => 1,
                    2 | 3 => 2,
                    4 | 5 => 4,
                    _ => 8,
                };
                let count = self.count(key, size)?;
                let mut items = Vec::with_capacity(count);
                for _ in 0..count {
                    // Only u64 can exceed i64, and no key in use is so large.
                    let item = self.integer(key, kind)?;
                    items.push(i64::try_from(item).unwrap_or(i64::MAX));
                }
                Value::Integers(items)
            }
            6 | 12 => {
                let count = self.count(key, if kind == 6 { 4 } else { 8 })?;
                let mut items = Vec::with_capacity(count);
                for _ in 0..count {
                    items.push(self.float(key, kind)?);
                }
                Value::Floats(items)
            }
            7 => {
                let count = self.count(key, 1)?;
                self.take(key, count)?;
                Value::Skipped
            }
            8 => {
                let count = self.count(key, 8)?;
                // A text may be as short as its length field, three times smaller than a `String`.
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(self.text(key)?);
                }
                Value::Texts(items)
            }
            9 if depth < MAX_DEPTH => {
                let count = self.count(key, 12)?;
                for _ in 0..count {
                    self.list(key, depth + 1)?;
                }
                Value::Skipped
            }
            9 => {
                return Err(self.damaged(
                    key,
                    &format!("arrays nested at most {MAX_DEPTH} deep"),
                    "more".to_owned(),
                ));
            }
            other => return Err(self.unknown_kind(key, other)),
        })
    }

    fn tensor(&mut self) -> Result<TensorEntry, ImportError> {
        let name = self.name("the name of a tensor")?;
        let rank = self.u32(&name)?;
        if rank == 0 || rank > MAX_DIMENSIONS {
            return Err(self.damaged(
                &name,
                &format!("1 to {MAX_DIMENSIONS} dimensions"),
                rank.to_string(),
            ));
        }
        let mut dimensions = Vec::with_capacity(rank as usize);
        for _ in 0..rank {
            dimensions.push(self.u64(&name)?);
        }
        Ok(TensorEntry {
            element: self.u32(&name)?,
            offset: self.u64(&name)?,
            name,
            dimensions,
        })
    }
}
