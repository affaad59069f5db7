//! `model.safetensors`, written tensor by tensor.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::TensorData;
use half::{bf16, f16};
use lingo_core::models::ModelConfig;
use lingo_core::nn::Precision;
use safetensors::{Dtype, View};

use super::config::tensor_name;
use super::{ExportError, FineTuned, encoding, keeping};
use crate::checkpoint::Checkpoint;
use crate::error::ImportError;
use crate::hf::keys;
use crate::mapped::MappedFile;
use crate::tensors::{Element, Role, Stored};

/// The file's name.
const FILE: &str = "model.safetensors";

/// A tensor and what its numbers become.
pub(super) struct Planned<'a> {
    /// The key in the file.
    key: String,
    numbers: Numbers<'a>,
    shape: &'a [usize],
    dtype: Precision,
}

/// Where a tensor's numbers are.
enum Numbers<'a> {
    /// In the source.
    Stored(&'a Stored),
    /// Here.
    Given(&'a TensorData),
}

impl Planned<'_> {
    /// What the source calls it, for messages.
    fn source_name(&self) -> &str {
        match self.numbers {
            Numbers::Stored(stored) => &stored.source,
            Numbers::Given(_) => &self.key,
        }
    }

    fn numbers(&self) -> usize {
        self.shape.iter().product()
    }
}

/// All tensors of the model and its head, none twice.
pub(super) fn plan<'a>(
    source: &'a Checkpoint,
    dtype: Option<Precision>,
    fine_tuned: Option<&'a FineTuned>,
) -> Result<Vec<Planned<'a>>, ExportError> {
    let (tensors, _) = source.stored_tensors();
    let of_role = |role: Role| tensors.iter().filter(move |tensor| tensor.role == role);
    let unknown: Vec<String> = of_role(Role::Unknown)
        .map(|tensor| tensor.source.clone())
        .collect();
    if !unknown.is_empty() {
        return Err(ExportError::Import(ImportError::UnknownTensors {
            path: source.path().to_owned(),
            keys: unknown,
        }));
    }
    let known = |stored: &'a Stored| match stored.element {
        // Opening a checkpoint refuses the others.
        Element::Known(encoding) => Some((stored, dtype.unwrap_or(keeping(encoding)))),
        Element::Other(_) => None,
    };
    let Some(fine_tuned) = fine_tuned else {
        let stored = of_role(Role::Used).chain(of_role(Role::Head));
        let planned = stored.filter_map(known).map(|(stored, dtype)| Planned {
            key: tensor_name(source, &stored.name, &stored.source).to_owned(),
            numbers: Numbers::Stored(stored),
            shape: &stored.shape,
            dtype,
        });
        return Ok(planned.collect());
    };
    // A head of its own has no place beside the new one.
    let kept = of_role(Role::Used).filter(|stored| !fine_tuned.tensors.contains_key(&stored.name));
    let kept = kept.filter_map(known).map(|(stored, dtype)| Planned {
        key: keys::in_wrapper(source.config(), &stored.name),
        numbers: Numbers::Stored(stored),
        shape: &stored.shape,
        dtype,
    });
    let given = fine_tuned.tensors.iter().map(|(name, data)| Planned {
        key: keys::in_wrapper(source.config(), name),
        numbers: Numbers::Given(data),
        shape: data.shape(),
        dtype: dtype.unwrap_or(Precision::F32),
    });
    Ok(kept.chain(given).collect())
}

/// The type of most numbers.
pub(super) fn prevalent(tensors: &[Planned<'_>]) -> Precision {
    let count = |dtype: &Precision| -> usize {
        let of_type = tensors.iter().filter(|tensor| tensor.dtype == *dtype);
        of_type.map(Planned::numbers).sum()
    };
    Precision::ALL
        .into_iter()
        .max_by_key(count)
        .unwrap_or(Precision::F32)
}

/// Tensors that are all given, of a network of shape `config`.
pub(super) fn given<'a>(
    config: &ModelConfig,
    tensors: &'a BTreeMap<String, TensorData>,
    dtype: Precision,
) -> Vec<Planned<'a>> {
    let planned = tensors.iter().map(|(name, data)| Planned {
        key: keys::in_wrapper(config, name),
        numbers: Numbers::Given(data),
        shape: data.shape(),
        dtype,
    });
    planned.collect()
}

/// Where tensors come from that are not given.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    /// For messages.
    pub(super) path: &'a Path,
    /// What stored tensors refer to.
    pub(super) files: &'a [MappedFile],
}

/// Writes them; `progress` hears how many numbers of how many are done.
pub(super) fn write(
    source: Origin<'_>,
    tensors: &[Planned<'_>],
    folder: &Path,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(), ExportError> {
    let writing = Writing {
        source,
        failure: Cell::new(None),
        total: tensors.iter().map(Planned::numbers).sum(),
        done: Cell::new(0),
        last: Cell::new(None),
        progress: RefCell::new(progress),
    };
    let views = tensors.iter().map(|planned| {
        let writing = &writing;
        (&planned.key, Lazy { planned, writing })
    });
    let path = folder.join(FILE);
    // The entry that tells PyTorch's libraries how to read the file.
    let about = [("format".to_owned(), "pt".to_owned())].into();
    let written = safetensors::serialize_to_file(views, Some(about), &path);
    if let Some(failure) = writing.failure.take() {
        return Err(failure);
    }
    written.map_err(|error| ExportError::Weights {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    readable_as(&path, &folder.join("config.json"))
}

/// Gives a file the permissions of another: what `safetensors` writes is private.
fn readable_as(path: &Path, other: &Path) -> Result<(), ExportError> {
    let permissions = other.metadata().map_err(ExportError::io(other))?;
    std::fs::set_permissions(path, permissions.permissions()).map_err(ExportError::io(path))
}

/// What all tensors share while they are written.
struct Writing<'a> {
    source: Origin<'a>,
    /// The first failure: a view of the crate can report none.
    failure: Cell<Option<ExportError>>,
    total: usize,
    done: Cell<usize>,
    /// The tensor that was asked for last.
    last: Cell<Option<&'a Stored>>,
    progress: RefCell<&'a mut dyn FnMut(usize, usize)>,
}

/// A tensor that is read when it is written.
struct Lazy<'a> {
    planned: &'a Planned<'a>,
    writing: &'a Writing<'a>,
}

impl Lazy<'_> {
    /// Its numbers as they are written. A source's own are looked at, as they pass: with one that is not finite, no training
    /// and no score can succeed.
    fn checked_bytes(&self) -> Result<Cow<'_, [u8]>, ExportError> {
        let bytes = self.bytes()?;
        if matches!(self.planned.numbers, Numbers::Stored(_))
            && !are_finite(&bytes, self.planned.dtype)
        {
            return Err(ExportError::Tensor {
                path: self.writing.source.path.to_owned(),
                tensor: self.planned.source_name().to_owned(),
                reason: "it holds NaN or an infinite number, and no score can come of it: the training that made it diverged, \
                         or the file is damaged; fetch it again, or take another checkpoint"
                    .to_owned(),
            });
        }
        Ok(bytes)
    }

    fn bytes(&self) -> Result<Cow<'_, [u8]>, ExportError> {
        let Planned { dtype, .. } = self.planned;
        let key = self.planned.source_name();
        let source = self.writing.source;
        let unreadable = |reason| ExportError::Tensor {
            path: source.path.to_owned(),
            tensor: key.to_owned(),
            reason,
        };
        let files = source.files;
        let read;
        let data = match self.planned.numbers {
            Numbers::Given(data) => data,
            Numbers::Stored(stored) => {
                let as_wanted = stored.bytes_of(files, encoding(*dtype));
                if let Some(bytes) = as_wanted.map_err(unreadable)? {
                    return Ok(bytes);
                }
                read = stored.read(files).map_err(unreadable)?;
                &read
            }
        };
        let numbers = data
            .as_slice::<f32>()
            .map_err(|error| unreadable(format!("{error:?}")))?;
        let mut bytes = Vec::with_capacity(self.data_len());
        match dtype {
            Precision::F32 => bytes.extend(numbers.iter().flat_map(|x| x.to_le_bytes())),
            Precision::Bf16 => {
                let rounded = numbers.iter().map(|x| bf16::from_f32(*x));
                bytes.extend(rounded.flat_map(bf16::to_le_bytes));
            }
            Precision::F16 => {
                let too_large = |x: &&f32| x.is_finite() && f16::from_f32(**x).is_infinite();
                if let Some(value) = numbers.iter().find(too_large) {
                    return Err(ExportError::Range {
                        path: source.path.to_owned(),
                        tensor: key.to_owned(),
                        value: *value,
                        dtype: dtype.name(),
                    });
                }
                let rounded = numbers.iter().map(|x| f16::from_f32(*x));
                bytes.extend(rounded.flat_map(f16::to_le_bytes));
            }
        }
        Ok(Cow::Owned(bytes))
    }
}

impl View for Lazy<'_> {
    fn dtype(&self) -> Dtype {
        match self.planned.dtype {
            Precision::F32 => Dtype::F32,
            Precision::F16 => Dtype::F16,
            Precision::Bf16 => Dtype::BF16,
        }
    }

    fn shape(&self) -> &[usize] {
        self.planned.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let writing = self.writing;
        let failure = writing.failure.take();
        let failed = failure.is_some();
        writing.failure.set(failure);
        if failed {
            return Cow::Borrowed(&[]);
        }
        // The one before is written by now.
        let stored = match self.planned.numbers {
            Numbers::Stored(stored) => Some(stored),
            Numbers::Given(_) => None,
        };
        if let Some(before) = writing.last.replace(stored) {
            before.release(writing.source.files);
        }
        match self.checked_bytes() {
            Ok(bytes) => {
                let done = writing.done.get() + self.planned.numbers();
                writing.done.set(done);
                (writing.progress.borrow_mut())(done, writing.total);
                bytes
            }
            Err(failure) => {
                writing.failure.set(Some(failure));
                Cow::Borrowed(&[])
            }
        }
    }

    fn data_len(&self) -> usize {
        self.planned.numbers() * self.planned.dtype.bytes()
    }
}

/// Whether none of the numbers has all bits of its exponent set, as the infinite and NaN have.
fn are_finite(bytes: &[u8], dtype: Precision) -> bool {
    let halves = |exponent: u16| {
        let halves = bytes.as_chunks().0.iter();
        // Without an early end, it is many numbers at a time.
        halves.fold(true, |finite, bytes| {
            finite & (u16::from_le_bytes(*bytes) & exponent != exponent)
        })
    };
    match dtype {
        Precision::F32 => bytes.as_chunks().0.iter().fold(true, |finite, bytes| {
            const EXPONENT: u32 = 0x7f80_0000;
            finite & (u32::from_le_bytes(*bytes) & EXPONENT != EXPONENT)
        }),
        Precision::F16 => halves(0x7c00),
        Precision::Bf16 => halves(0x7f80),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_from_what_is_none_in_every_type() {
        for (number, finite) in [
            (0.0_f32, true),
            (-1.5, true),
            (65_504.0, true),
            (1e-7, true),
            (f32::NAN, false),
            (f32::INFINITY, false),
            (f32::NEG_INFINITY, false),
        ] {
            let of =
                |bytes: &[u8], dtype| are_finite(&[&vec![0; bytes.len()], bytes].concat(), dtype);
            assert_eq!(of(&number.to_le_bytes(), Precision::F32), finite);
            assert_eq!(
                of(&f16::from_f32(number).to_le_bytes(), Precision::F16),
                finite
            );
            assert_eq!(
                of(&bf16::from_f32(number).to_le_bytes(), Precision::Bf16),
                finite
            );
        }
    }
}
