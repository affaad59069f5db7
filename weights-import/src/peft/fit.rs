//! Whether an adapter fits a model.

use std::path::Path;

use lingo_core::models::ModelConfig;

use super::parts::unfit;
use super::{CONFIG_FILE, Factors, PREFIX, PeftAdapter};
use crate::checkpoint::Checkpoint;
use crate::error::ImportError;
use crate::hf::keys;

impl PeftAdapter {
    /// Checks that the model has the matrices that the adapter in `folder` corrects, in these shapes, and layers of the
    /// width that its head reads.
    ///
    /// # Errors
    /// With the first that it does not have, by PEFT's names.
    pub fn check_fits(&self, folder: &Path, model: &Checkpoint) -> Result<(), ImportError> {
        let config = model.config();
        let tensors = model.tensors();
        for (path, Factors { p, q, .. }) in &self.matrices {
            let weight = format!("{path}.weight");
            let found = tensors.iter().find(|tensor| tensor.name == weight);
            let expected = [p.shape()[0], q.shape()[1]];
            let reason = match (found.map(|tensor| &tensor.shape[..]), model.matrix(path)) {
                (Some(shape), Some(_)) if shape == expected => continue,
                (Some(shape), Some(_)) => {
                    format!("it is for a matrix of {expected:?}, the model has one of {shape:?}")
                }
                (Some(_), None) => format!(
                    "it corrects `{path}`, which is no matrix of a layer, and those alone are adapted here; train the \
                     adapter without it, for instance with exclude_modules in {CONFIG_FILE}, or let it be trained whole by \
                     modules_to_save"
                ),
                (None, _) => "the model has no such matrix".to_owned(),
            };
            return Err(unfit(folder, &in_peft(config, path), reason));
        }
        let (layout, width) = (config.head(), config.width());
        let output = format!("{}.weight", layout.output);
        let rows = self
            .head
            .get(&output)
            .and_then(|head| head.shape().first().copied());
        for (name, data) in &self.head {
            let is_pooler = layout.pooler.is_some_and(|pooler| name.starts_with(pooler));
            let rows = match (is_pooler, rows) {
                (true, _) => width,
                (false, Some(rows)) => rows,
                // A matrix without rows is no output.
                (false, None) if *name == output => 0,
                // Without an output there is no head at all, which is told elsewhere.
                (false, None) => continue,
            };
            let expected = match name.ends_with(".bias") {
                true => vec![rows],
                false => vec![rows, width],
            };
            let shape = data.shape();
            if shape[..] != expected[..] {
                let reason = format!(
                    "it has shape {:?}, and the head of a model of width {width} has {expected:?}; give the pretrained \
                     model that the adapter is for",
                    &shape[..]
                );
                return Err(unfit(folder, &in_peft(config, name), reason));
            }
        }
        Ok(())
    }
}

/// What PEFT calls a module or a tensor.
fn in_peft(model: &ModelConfig, name: &str) -> String {
    format!("{PREFIX}{}", keys::in_wrapper(model, name))
}
