//! Tensors handed to the model that asks for them, and whether all of them were.

use burn::tensor::TensorData;
use half::{bf16, f16};
use lingo_core::nn::Precision;
use lingo_core::weights::{WeightError, WeightSource};

use super::Checkpoint;
use crate::error::ImportError;
use crate::mapped::MappedFile;
use crate::tensors::{Place, Role, Stored, half_of};

impl Checkpoint {
    /// Whether every tensor has found its place. Call it once the model is built, or [checked](lingo_core::models::check):
    /// a tensor that was neither asked for nor is ignored by the model's key table (or belongs to the head) means another
    /// architecture than the configuration says.
    ///
    /// # Errors
    /// If there are such tensors; their keys are listed.
    pub fn check_complete(&self) -> Result<(), ImportError> {
        let keys: Vec<String> = self
            .contents
            .tensors
            .iter()
            .enumerate()
            .filter(|(index, tensor)| {
                !self.taken.contains(index) && matches!(tensor.role, Role::Used | Role::Unknown)
            })
            .map(|(_, tensor)| tensor.source.clone())
            .collect();
        if keys.is_empty() {
            Ok(())
        } else {
            Err(ImportError::UnknownTensors {
                path: self.path.clone(),
                keys,
            })
        }
    }

    /// Reads, one at a time, the tensors of PyTorch's files that the model or its head needs: whether their storages are
    /// there and whole is told no other way. Of other formats nothing is read.
    ///
    /// # Errors
    /// With the first that cannot be read.
    pub fn check_storages(&self) -> Result<(), ImportError> {
        let needed = self.contents.tensors.iter();
        let mut needed = needed.filter(|stored| matches!(stored.role, Role::Used | Role::Head));
        needed.try_for_each(|stored| match &stored.place {
            Place::Mapped { .. } => Ok(()),
            Place::Pytorch(tensor) => match tensor.read() {
                Ok(_) => Ok(()),
                Err(error) => Err(ImportError::Pytorch {
                    path: self.path.clone(),
                    reason: error.to_string(),
                }),
            },
        })
    }

    /// Finds a tensor and checks its shape.
    fn find(&self, name: &str, shape: &[usize]) -> Result<(usize, &Stored), WeightError> {
        let missing = || WeightError::Missing {
            name: name.to_owned(),
        };
        let index = *self.by_name.get(name).ok_or_else(missing)?;
        let tensor = self.contents.tensors.get(index).ok_or_else(missing)?;
        if tensor.shape != shape {
            return Err(WeightError::Shape {
                name: name.to_owned(),
                found: tensor.shape.clone(),
                expected: shape.to_vec(),
            });
        }
        Ok((index, tensor))
    }

    /// Finds a tensor, reads it and takes note.
    fn take_with(
        &mut self,
        name: &str,
        shape: &[usize],
        read: impl FnOnce(&Stored, &[MappedFile]) -> Result<TensorData, String>,
    ) -> Result<TensorData, WeightError> {
        let (index, tensor) = self.find(name, shape)?;
        let data =
            read(tensor, &self.contents.files).map_err(|reason| WeightError::Unreadable {
                name: name.to_owned(),
                reason,
            })?;
        self.taken.insert(index);
        Ok(data)
    }
}

impl WeightSource for Checkpoint {
    fn take_as(
        &mut self,
        name: &str,
        shape: &[usize],
        precision: Precision,
    ) -> Result<TensorData, WeightError> {
        self.take_with(name, shape, |tensor, files| match precision {
            Precision::F32 => tensor.read(files),
            Precision::Bf16 => tensor.read_half::<bf16>(files),
            Precision::F16 => tensor.read_half::<f16>(files),
        })
    }

    fn take_rows_as(
        &mut self,
        name: &str,
        shape: [usize; 2],
        rows: &[u32],
        precision: Precision,
    ) -> Result<TensorData, WeightError> {
        self.take_with(name, &shape, |tensor, files| match precision {
            Precision::F32 => tensor.read_rows(files, rows),
            Precision::Bf16 => Ok(half_of::<bf16>(tensor.read_rows(files, rows)?)),
            Precision::F16 => Ok(half_of::<f16>(tensor.read_rows(files, rows)?)),
        })
    }

    fn check(&mut self, name: &str, shape: &[usize]) -> Result<(), WeightError> {
        let (index, _) = self.find(name, shape)?;
        self.taken.insert(index);
        Ok(())
    }

    fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }
}
