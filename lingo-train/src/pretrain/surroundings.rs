//! What surrounds a run: where it computes, where it writes, who asks for a stop, and who hears of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;

use super::record::{PretrainState, Validation};
use crate::checkpoint::{Found, RunLock};
use crate::stop::StopRequest;
use crate::workers::Compute;

/// What happens, for whoever shows it.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    /// A step was taken.
    Step {
        /// Its number.
        step: u64,
        /// Steps of the whole run.
        total: u64,
        /// Its mean loss.
        loss: f64,
        /// Tokens a second.
        tokens_per_sec: f64,
    },
    /// An evaluation has so many of its tokens.
    Evaluating {
        /// Tokens done.
        done: usize,
        /// Tokens in all.
        total: usize,
    },
    /// An evaluation is done.
    Evaluated(Validation),
}

/// Writes a model's tensors, by canonical names, as the folder of a model.
pub type SaveModel<'a> = dyn FnMut(
        BTreeMap<String, TensorData>,
        &Path,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
    + 'a;

/// What surrounds a run.
pub struct PretrainSurroundings<'a> {
    /// How the device is made use of; a single one.
    pub compute: Compute,
    /// What `result.json` calls the device.
    pub device_name: String,
    /// The run folder, which exists.
    pub dir: PathBuf,
    /// The checkpoint in it to go on from, for a run that is resumed.
    pub resume: Option<Found<PretrainState>>,
    /// Asks for a stop.
    pub stop: StopRequest,
    /// Keeps others out of the run folder.
    pub lock: RunLock,
    /// Hears what happens.
    pub progress: &'a mut dyn FnMut(Progress),
    /// Writes the model of an evaluation that is the best so far.
    pub save: &'a mut SaveModel<'a>,
}

/// The folder of the best model, in the run folder.
pub const MODEL_FOLDER: &str = "model";
