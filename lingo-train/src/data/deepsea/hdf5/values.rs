//! Numbers of HDF5, of whatever type, as 0 and 1.

use hdf5_reader::error::{ByteOrder, Error};
use hdf5_reader::{Dataset, Datatype, H5Type, SliceInfo, SliceInfoElem};

use super::super::error::MatError;

/// Types of numbers that 0 and 1 may be stored as.
#[derive(Debug, Clone, Copy)]
pub(super) enum Values {
    /// Bytes, as they are.
    Byte,
    /// Integers of so many bytes, or an enumeration of them: h5py's booleans.
    Integer(usize),
    Single,
    Double,
}

impl Values {
    /// The type of a variable.
    pub(super) fn of(name: &str, datatype: &Datatype) -> Result<Self, MatError> {
        Ok(match datatype {
            Datatype::FixedPoint {
                size: 1,
                signed: false,
                ..
            } => Self::Byte,
            Datatype::FixedPoint { size, .. } => Self::Integer((*size).into()),
            Datatype::Enum { base, .. } => match **base {
                Datatype::FixedPoint { size, .. } => Self::Integer(size.into()),
                _ => {
                    return Err(no_numbers(
                        name,
                        "an enumeration of something else than integers",
                    ));
                }
            },
            Datatype::FloatingPoint { size: 4, .. } => Self::Single,
            Datatype::FloatingPoint { size: 8, .. } => Self::Double,
            Datatype::FloatingPoint { size, .. } => {
                return Err(no_numbers(name, &format!("floats of {size} bytes")));
            }
            Datatype::String { .. } => return Err(no_numbers(name, "text")),
            Datatype::Compound { .. } => {
                return Err(no_numbers(name, "records or complex numbers"));
            }
            Datatype::Reference { .. } => {
                return Err(no_numbers(name, "references, as cells are stored"));
            }
            _ => return Err(no_numbers(name, "no plain numbers")),
        })
    }

    /// Bytes of a value.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::Integer(bytes) => bytes,
            Self::Single => 4,
            Self::Double => 8,
        }
    }

    /// Values of a part of a variable, as 0, 1 or something else.
    pub(super) fn read(
        self,
        dataset: &Dataset,
        ranges: Vec<std::ops::Range<usize>>,
    ) -> Result<Vec<u8>, MatError> {
        let selections = ranges.into_iter().map(|range| SliceInfoElem::Slice {
            start: range.start as u64,
            end: range.end as u64,
            step: 1,
        });
        let slice = SliceInfo {
            selections: selections.collect(),
        };
        // What is neither 0 nor 1 stays so.
        let byte = |value: f64| match value {
            0.0 => 0,
            1.0 => 1,
            _ => OTHER,
        };
        Ok(match self {
            Self::Byte => {
                dataset
                    .read_slice_parallel::<u8>(&slice)?
                    .into_raw_vec_and_offset()
                    .0
            }
            Self::Integer(_) => {
                let values = dataset.read_slice_parallel::<Mark>(&slice)?;
                values.iter().map(|mark| mark.0).collect()
            }
            Self::Single => {
                let values = dataset.read_slice_parallel::<f32>(&slice)?;
                values.iter().map(|value| byte(f64::from(*value))).collect()
            }
            Self::Double => {
                let values = dataset.read_slice_parallel::<f64>(&slice)?;
                values.iter().map(|value| byte(*value)).collect()
            }
        })
    }
}

fn no_numbers(name: &str, found: &str) -> MatError {
    MatError::Class {
        name: name.to_owned(),
        found: found.to_owned(),
    }
}

/// In place of a value that is neither 0 nor 1.
const OTHER: u8 = u8::MAX;

/// An integer of any size, read as 0, 1 or [`OTHER`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark(u8);

impl Mark {
    /// The number whose bytes these are.
    fn of(bytes: &[u8], order: ByteOrder) -> Self {
        let (lowest, others) = match order {
            ByteOrder::LittleEndian => bytes.split_first().unzip(),
            ByteOrder::BigEndian => bytes.split_last().unzip(),
        };
        let is_small = others.is_some_and(|others: &[u8]| others.iter().all(|byte| *byte == 0));
        Self(match lowest {
            Some(byte @ (0 | 1)) if is_small => *byte,
            _ => OTHER,
        })
    }

    /// Bytes and their order of an integer type, or of the one that an enumeration is of.
    fn layout(datatype: &Datatype) -> Option<(usize, ByteOrder)> {
        match datatype {
            Datatype::FixedPoint {
                size, byte_order, ..
            } => Some(((*size).into(), *byte_order)),
            Datatype::Enum { base, .. } => Self::layout(base),
            _ => None,
        }
    }
}

impl H5Type for Mark {
    fn hdf5_type() -> Datatype {
        u8::hdf5_type()
    }

    fn from_bytes(bytes: &[u8], datatype: &Datatype) -> Result<Self, Error> {
        match Self::layout(datatype) {
            Some((size, order)) if size == bytes.len() => Ok(Self::of(bytes, order)),
            _ => Err(Error::TypeMismatch {
                expected: "an integer".to_owned(),
                actual: format!("{datatype:?}"),
            }),
        }
    }

    fn element_size(datatype: &Datatype) -> usize {
        Self::layout(datatype).map_or(1, |(size, _)| size)
    }

    fn decode_vec(
        raw: &[u8],
        datatype: &Datatype,
        count: usize,
    ) -> Option<Result<Vec<Self>, Error>> {
        let (size, order) = Self::layout(datatype).filter(|(size, _)| *size > 0)?;
        let raw = raw.get(..count.checked_mul(size)?)?;
        let marks = raw.chunks_exact(size).map(|bytes| Self::of(bytes, order));
        Some(Ok(marks.collect()))
    }
}
