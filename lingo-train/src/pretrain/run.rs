//! A pretraining run before its first step.

use std::path::PathBuf;

use burn::module::Module as _;
use burn::tensor::Device;
use lingo_core::initial_weights::InitialWeights;
use lingo_core::models::{LanguageModel, ModelConfig};
use lingo_core::nn::Loader;
use serde::{Deserialize, Serialize};

use super::PretrainError;
use super::blocks::Blocks;
use super::record::bits_per_byte;
use super::token_stream::TokenStream;
use super::unigram::UnigramModel;
use crate::config::PretrainConfig;

/// How much of a text there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Bytes of the documents.
    pub bytes: usize,
    /// Tokens of the stream.
    pub tokens: usize,
}

/// How well a model of frequencies predicts the validation text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unigram {
    /// Mean of -log p over the tokens, in nats.
    pub loss: f64,
    /// `exp` of it: perplexity per token.
    pub perplexity: f64,
    /// As of an evaluation.
    pub bits_per_byte: f64,
}

/// A run that is ready to train.
pub struct Pretraining {
    pub(super) config: PretrainConfig,
    pub(super) model: LanguageModel,
    pub(super) network: ModelConfig,
    pub(super) train: Blocks,
    pub(super) valid: Blocks,
    pub(super) digests: [String; 2],
    pub(super) counted: [Counted; 2],
    pub(super) unigram: Unigram,
    pub(super) vocabulary: usize,
    pub(super) context: usize,
    /// Files that are read beside the corpus.
    pub(super) files: Vec<PathBuf>,
}

impl Pretraining {
    /// Draws the weights of a model of `shape`, in `spread`, on an autodiff device, to be trained on the first of the two
    /// `streams` and evaluated on the second.
    ///
    /// # Errors
    /// If blocks are longer than the model takes, or a text is too short.
    pub fn prepare(
        config: PretrainConfig,
        shape: &ModelConfig,
        spread: f64,
        streams: [TokenStream; 2],
        device: &Device,
    ) -> Result<Self, PretrainError> {
        let settings = &config.pretrain;
        let context = match settings.context_tokens {
            0 => shape.max_tokens(),
            asked => asked,
        };
        if context > shape.max_tokens() {
            return Err(PretrainError::Context {
                asked: context,
                longest: shape.max_tokens(),
            });
        }
        let [train, valid] = &streams;
        if valid.ids.len() < 2 {
            let path = config.corpus.valid.clone();
            return Err(PretrainError::NothingToPredict { path });
        }
        let blocks = Blocks::new(train, context);
        if blocks.whole() < settings.batch_size {
            return Err(PretrainError::TooShort {
                path: config.corpus.train.clone(),
                tokens: train.ids.len(),
                blocks: blocks.whole(),
                context,
                batch_size: settings.batch_size,
            });
        }
        let mut weights = InitialWeights {
            seed: config.seed,
            spread,
        };
        let model = LanguageModel::load(shape, &mut Loader::new(&mut weights, device, None))?;
        let [vocabulary, _] = shape.token_table();
        let predicted = &valid.ids[1..];
        let loss = UnigramModel::new(&train.ids, vocabulary).loss(predicted);
        Ok(Self {
            network: shape.clone(),
            train: blocks,
            valid: Blocks::new(valid, context),
            digests: streams.each_ref().map(TokenStream::digest),
            counted: streams.each_ref().map(|stream| Counted {
                bytes: stream.bytes,
                tokens: stream.ids.len(),
            }),
            unigram: Unigram {
                loss,
                perplexity: loss.exp(),
                bits_per_byte: bits_per_byte(loss, predicted.len(), valid.bytes),
            },
            vocabulary,
            context,
            model,
            config,
            files: Vec::new(),
        })
    }

    /// Notes files that are read beside the corpus, for the run's record.
    pub fn with_files(self, files: Vec<PathBuf>) -> Self {
        Self { files, ..self }
    }

    /// Numbers that are trained.
    pub fn parameters(&self) -> usize {
        self.model.num_params()
    }

    /// Tokens of a block.
    pub fn context_tokens(&self) -> usize {
        self.context
    }

    /// The training and the validation text.
    pub fn counted(&self) -> [Counted; 2] {
        self.counted
    }

    /// The yardstick on the validation text.
    pub fn unigram(&self) -> Unigram {
        self.unigram
    }

    /// Steps of an epoch; blocks that do not fill one more are left for another epoch, whose order is another.
    pub fn epoch_steps(&self) -> u64 {
        (self.train.whole() / self.config.pretrain.batch_size) as u64
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        let settings = &self.config.pretrain;
        let all = self.epoch_steps().saturating_mul(settings.epochs as u64);
        match settings.max_steps {
            0 => all,
            most => all.min(most as u64),
        }
    }

    /// Whether the validation text is evaluated behind a step.
    pub(super) fn evaluates_behind(&self, step: u64) -> bool {
        let every = match self.config.pretrain.eval_every {
            0 => self.epoch_steps(),
            every => every as u64,
        };
        step > 0 && (step.is_multiple_of(every) || step == self.total_steps())
    }
}
