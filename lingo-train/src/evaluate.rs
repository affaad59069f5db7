//! A classifier's logits over many samples, and their scores.

use burn::data::dataloader::DataLoader;
use burn::module::Module;
use lingo_core::models::Classifier;
use lingo_core::nn::Noise;

use crate::data::{EvalLoader, Label, Objective};
use crate::metric::{MetricError, Scores};
use crate::workers::Workers;

/// Why samples cannot be scored.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The loader failed.
    #[error("cannot load a batch: {0}")]
    Loader(String),
    /// The logits cannot be read from the device.
    #[error("cannot read logits from the device: {0}")]
    Device(String),
    /// There is nothing to compute metrics from.
    #[error(transparent)]
    Metric(#[from] MetricError),
}

/// Logits of every sample of `loader`, in the order of the data: row-major `[N, C]`. The classifier has no autodiff;
/// `progress` is called after each batch.
///
/// # Errors
/// If a batch cannot be loaded or a result not read.
pub fn logits(
    classifier: &Classifier,
    loader: &EvalLoader,
    workers: &Workers,
    progress: &(dyn Fn() + Sync),
) -> Result<Vec<f32>, EvaluateError> {
    let classes = classifier.classes();
    let mut logits = vec![f32::NAN; loader.samples() * classes];
    let copies = (0..workers.count()).map(|index| match workers.device(index) {
        Some(device) => classifier.clone().to_device(device),
        None => classifier.clone(),
    });
    let copies: Vec<Classifier> = copies.collect();
    let mut batches = loader.iter();
    loop {
        let parts: Vec<_> = copies.iter().cloned().zip(batches.by_ref()).collect();
        if parts.is_empty() {
            return Ok(logits);
        }
        let results = workers.run(parts, |(classifier, batch)| {
            let batch = batch.map_err(|error| EvaluateError::Loader(error.to_string()))?;
            let tokens = batch.to_tokens(&classifier.device());
            let output = classifier.forward(&tokens, &Noise::off()); // [B, C]
            let data = output
                .try_into_data()
                .map_err(|error| EvaluateError::Device(error.to_string()))?;
            progress();
            Ok::<_, EvaluateError>((batch.indices, data.iter::<f32>().collect::<Vec<f32>>()))
        });
        for result in results {
            let (indices, values) = result?;
            for (row, index) in values.chunks_exact(classes).zip(indices) {
                logits[index * classes..(index + 1) * classes].copy_from_slice(row);
            }
        }
    }
}

/// Scores of `logits` `[N, C]` against the labels of their rows; a row without label is left out.
///
/// # Errors
/// If nothing has a label, or a logit is not finite.
pub fn score<'a>(
    logits: &[f32],
    objective: &Objective,
    labels: impl Iterator<Item = Option<&'a Label>>,
) -> Result<Scores, MetricError> {
    match objective {
        Objective::Classes(classes) => {
            let rows = logits.chunks_exact(*classes).zip(labels);
            let (labels, kept): (Vec<usize>, Vec<&[f32]>) = rows
                .filter_map(|(row, label)| Some((label?.class()?, row)))
                .unzip();
            Scores::from_logits(&kept.concat(), *classes, &labels)
        }
        Objective::Labels(names) => {
            let nothing = vec![None; names.len()];
            let marks = labels.map(|label| label.map_or(&nothing[..], Label::marks));
            Scores::from_marks(logits, names, &marks.collect::<Vec<_>>())
        }
    }
}
