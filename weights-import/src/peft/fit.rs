//! Whether an adapter is for a model.

use std::path::Path;

use super::parts::unfit;
use super::{Factors, PeftAdapter};
use crate::checkpoint::Checkpoint;
use crate::error::ImportError;

impl PeftAdapter {
    /// Checks that the model has the matrices that the adapter in `folder` corrects, in these shapes.
    ///
    /// # Errors
    /// With the first that it does not have.
    pub fn check_fits(&self, folder: &Path, model: &Checkpoint) -> Result<(), ImportError> {
        let tensors = model.tensors();
        for (path, Factors { p, q, .. }) in &self.matrices {
            let weight = format!("{path}.weight");
            let found = tensors.iter().find(|tensor| tensor.name == weight);
            let expected = [p.shape()[0], q.shape()[1]];
            let reason = match found.map(|tensor| &tensor.shape[..]) {
                Some(shape) if shape == expected => continue,
                Some(shape) => {
                    format!("it is for a matrix of {expected:?}, the model has one of {shape:?}")
                }
                None => "the model has no such matrix".to_owned(),
            };
            return Err(unfit(folder, path, reason));
        }
        Ok(())
    }
}
