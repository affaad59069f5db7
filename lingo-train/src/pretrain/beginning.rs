//! From what a run is made of, and perhaps a checkpoint, to a run under way.

use burn::module::Module as _;
use burn::optim::AdamWConfig;
use toml::{Table, Value};

use super::record::PretrainFiles;
use super::step::Draws;
use super::surroundings::PretrainSurroundings;
use super::training::Training;
use super::{PretrainError, PretrainState, Pretraining};
use crate::checkpoint::{self, CheckpointError, Checkpoints, Found, Origin};
use crate::config::{ConfigError, PRETRAIN_MAY_DIFFER};
use crate::record::{FileRecord, Opening, RecordError, write_atomically};
use crate::schedule::WarmupLinear;
use crate::workers::{Compute, Workers};

const EPSILON: f32 = 1e-8;

impl<'a> Training<'a> {
    /// Writes the resolved configuration and opens the files that grow: new ones, or as they were behind the checkpoint
    /// that was found.
    pub(super) fn open(
        mut plan: Pretraining,
        found: Option<Found<PretrainState>>,
        surroundings: PretrainSurroundings<'a>,
    ) -> Result<Self, PretrainError> {
        let (dir, device) = (&surroundings.dir, &surroundings.device_name);
        let settings = &plan.config.pretrain;
        let before = found.as_ref().map(|found| &found.state.origin);
        let same_device = before.filter(|before| before.device == *device);
        let workers = match (&surroundings.compute, same_device) {
            (Compute::Host { threads }, Some(before)) => {
                Workers::exactly(before.workers, *threads)?
            }
            (compute, _) => Workers::new(compute, settings.batch_size)?,
        };
        let origin = plan.origin(device, workers.count())?;
        let differences = before.map_or(Vec::new(), |before| before.differences(&origin));
        if !differences.is_empty() {
            let dir = dir.clone();
            return Err(CheckpointError::Differs { dir, differences }.into());
        }
        let read = plan.read_files()?;
        write_atomically(&dir.join("config.toml"), plan.config.to_toml()?.as_bytes())?;
        let mut optimizer = AdamWConfig::new()
            .with_beta_2(settings.beta2 as f32)
            .with_epsilon(EPSILON)
            .with_weight_decay(settings.weight_decay as f32)
            .init();
        let (files, checkpoints, state, train_secs) = match found {
            Some(found) => {
                let (model, of_optimizer) = found.tensors()?;
                plan.model = plan
                    .model
                    .try_load_record(model)
                    .map_err(PretrainError::Unfit)?;
                optimizer = optimizer.load_record(of_optimizer);
                let (state, train_secs) = (found.state.run.clone(), found.state.train_secs);
                let files = PretrainFiles::open(dir, &Opening::At(&found.state.logs))?;
                (files, found.go_on(origin), state, train_secs)
            }
            None => {
                let folder = dir.join(checkpoint::FOLDER);
                std::fs::create_dir_all(&folder).map_err(|source| RecordError {
                    path: folder.clone(),
                    source,
                })?;
                let files = PretrainFiles::open(dir, &Opening::New)?;
                let checkpoints = Checkpoints::new(folder, origin);
                (files, checkpoints, PretrainState::default(), 0.0)
            }
        };
        let (peak, warmup) = (settings.learning_rate, settings.warmup_ratio);
        Ok(Self {
            rate: WarmupLinear::new(peak, warmup, plan.total_steps()).behind(state.steps),
            draws: Draws {
                masks: surroundings.compute.masks(),
                seed: plan.config.seed,
            },
            plan,
            surroundings,
            workers,
            optimizer,
            files,
            checkpoints,
            state,
            train_secs,
            read,
        })
    }
}

impl Pretraining {
    /// What the run follows from: the settings, what stands in the corpus, and the weights before the first step.
    fn origin(&self, device: &str, workers: usize) -> Result<Origin, ConfigError> {
        let table = Table::try_from(&self.config).map_err(ConfigError::Write)?;
        let (model, network) = (&self.model, &self.network);
        let mut origin = Origin::of(table, &PRETRAIN_MAY_DIFFER, model, network, device, workers);
        let [train, valid] = &self.digests;
        let digest = |digest: &String| Value::String(format!("tokens of blake3 {digest}"));
        let corpus = Table::from_iter([
            ("train".to_owned(), digest(train)),
            ("valid".to_owned(), digest(valid)),
        ]);
        origin
            .config
            .insert("corpus".to_owned(), Value::Table(corpus));
        Ok(origin)
    }

    fn read_files(&self) -> Result<Vec<FileRecord>, PretrainError> {
        let corpus = &self.config.corpus;
        let files = [&corpus.train, &corpus.valid]
            .into_iter()
            .chain(&self.files);
        files
            .map(|path| {
                FileRecord::of(path).map_err(|source| PretrainError::Unrecorded {
                    path: path.clone(),
                    source,
                })
            })
            .collect()
    }
}
