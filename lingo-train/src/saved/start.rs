//! Training that goes on from a saved adapter.

use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use lingo_core::models::Classifier;

use super::{MANIFEST_FILE, Saved, SavedError};
use crate::config::Method;
use crate::data::Objective;
use crate::task::Task;

/// Where the adapter is in a folder that a user names: there, or the chosen one of a run.
pub fn folder_of(dir: &Path) -> PathBuf {
    let best = dir.join("best");
    match dir.join(MANIFEST_FILE).is_file() || !best.join(MANIFEST_FILE).is_file() {
        true => dir.to_owned(),
        false => best,
    }
}

/// An objective in full.
fn described(objective: &Objective) -> String {
    match objective {
        Objective::Classes(_) => objective.to_string(),
        Objective::Labels(names) => format!("{objective} ({})", names.join(", ")),
    }
}

impl Saved {
    /// Checks that the adapter was trained on a task of this form.
    ///
    /// # Errors
    /// If model, method, classes or labels, tokens or prompt are others.
    pub fn check_continues(&self, task: &Task, model_type: &str) -> Result<(), SavedError> {
        let saved = &self.manifest;
        let layout = &task.text.layout;
        let prompt = |prefix: &str, suffix: &str| format!("{prefix:?} and {suffix:?}");
        let pairs = [
            (
                "model_type",
                saved.model_type.clone(),
                model_type.to_owned(),
            ),
            (
                "answers for",
                described(&saved.objective),
                described(&task.objective),
            ),
            (
                "tokenizer.kind",
                saved.tokenizer.name().to_owned(),
                layout.kind.name().to_owned(),
            ),
            (
                "prompt",
                prompt(&saved.prefix, &saved.suffix),
                prompt(&layout.prompt.prefix, &layout.prompt.suffix),
            ),
        ];
        if saved.method == Method::Full {
            return Err(self.differs("method", "full", "an adapter"));
        }
        match pairs.into_iter().find(|(_, theirs, ours)| theirs != ours) {
            Some((what, theirs, ours)) => Err(self.differs(what, &theirs, &ours)),
            None => Ok(()),
        }
    }

    fn differs(&self, what: &'static str, found: &str, expected: &str) -> SavedError {
        SavedError::Continues {
            path: self.path.clone(),
            what,
            found: found.to_owned(),
            expected: expected.to_owned(),
        }
    }

    /// Puts the saved corrections into the new adapters of `classifier`, and the head and other trained tensors beside
    /// them, whose names are returned too. An adapter may have more ranks than were saved: those start as new, without
    /// effect.
    ///
    /// # Errors
    /// If a matrix has no adapter or one of fewer ranks, or a tensor is missing, of another shape, or belongs nowhere.
    pub fn start(
        &self,
        mut classifier: Classifier,
    ) -> Result<(Classifier, Vec<String>), SavedError> {
        let mut tensors = self.tensors()?;
        let device = classifier.device().inner();
        let paths = classifier.projection_paths();
        for (path, projection) in paths.iter().zip(classifier.backbone.projections_mut()) {
            let rank = self.manifest.ranks.get(path).copied().unwrap_or(0);
            if rank == 0 {
                continue;
            }
            let [d_input, d_output] = projection.dims();
            let Some(adapter) = &mut projection.adapter else {
                return Err(self.problem(path, "is of a matrix that adapter.targets leaves out"));
            };
            if adapter.rank() < rank {
                let problem = format!("has {rank} ranks, this run gives {}", adapter.rank());
                return Err(self.problem(path, &problem));
            }
            let mut take = |part: &str, shape: &[usize]| {
                self.take(&mut tensors, &format!("{path}.{part}"), shape)
            };
            let p = Tensor::from_data(take("P", &[d_output, rank])?, &device);
            let q = Tensor::from_data(take("Q", &[rank, d_input])?, &device);
            let lambda = match self.has_singular_values() {
                true => Some(Tensor::from_data(take("lambda", &[rank])?, &device)),
                false => None,
            };
            adapter.start(p, q, lambda, self.manifest.scale);
        }
        let names = tensors.keys().cloned().collect();
        Ok((self.fill(classifier, tensors)?, names))
    }
}
