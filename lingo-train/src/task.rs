//! A task made ready for a model: data read, tokenised, and the tokens that it can reach.

use std::fmt;
use std::sync::Arc;

use lingo_core::models::ModelConfig;
use tokenizers::Tokenizer;

use crate::config::RunConfig;
use crate::data::{
    DataError, EncodeError, Encoder, EncodingReport, Finding, GueData, Prompt, Sample, Vocabulary,
    VocabularyError,
};

/// A checkpoint's tokenizer and what it does around a text.
#[derive(Clone, Debug)]
pub struct Text {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// Put before each text.
    pub bos: Option<u32>,
    /// Put behind each text.
    pub eos: Option<u32>,
    /// Fills batches up; never read.
    pub pad: u32,
}

/// Why a task cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The data cannot be tokenised.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The padding token is not in the vocabulary.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// The input is asked to be longer than the model can take.
    #[error(
        "tokenizer.max_tokens: {asked} tokens, but this model takes at most {limit}; set it to {limit} or less, or \
         to 0 for the longest that the data needs"
    )]
    TooLong {
        /// As asked.
        asked: usize,
        /// The model's limit.
        limit: usize,
    },
}

/// Turns records into samples for one model.
#[derive(Clone, Debug)]
pub struct TextEncoder {
    /// The tokenizer with prompt and limit.
    pub encoder: Encoder,
    /// The rows of the token table that are kept; all, without.
    pub vocabulary: Option<Vocabulary>,
    /// Id of the padding in samples.
    pub pad: u32,
    /// The most tokens of a sample.
    pub max_tokens: usize,
}

impl TextEncoder {
    /// An encoder for the model; `max_tokens` 0 asks for no less than it takes.
    ///
    /// # Errors
    /// If more tokens are asked for than the model takes.
    pub fn new(
        text: Text,
        prompt: Prompt,
        max_tokens: usize,
        restricted: bool,
        model: &ModelConfig,
    ) -> Result<Self, TaskError> {
        let limit = model.max_tokens();
        let [rows, _] = model.token_table();
        if max_tokens > limit {
            let asked = max_tokens;
            return Err(TaskError::TooLong { asked, limit });
        }
        let max_tokens = if max_tokens == 0 { limit } else { max_tokens };
        let always: Vec<u32> = [text.bos, text.eos, Some(text.pad)]
            .into_iter()
            .flatten()
            .collect();
        let vocabulary =
            restricted.then(|| Vocabulary::reachable(&text.tokenizer, &prompt, &always, rows));
        let encoder = Encoder::new(text.tokenizer, [text.bos, text.eos], prompt, max_tokens);
        let (encoder, pad) = match &vocabulary {
            Some(vocabulary) => (
                encoder.with_vocabulary(vocabulary.clone()),
                vocabulary.row(text.pad)?,
            ),
            None => (encoder, text.pad),
        };
        Ok(Self {
            encoder,
            vocabulary,
            pad,
            max_tokens,
        })
    }

    /// The rows of the token table to load; all, without.
    pub fn rows(&self) -> Option<&[u32]> {
        self.vocabulary.as_ref().map(Vocabulary::ids)
    }
}

/// The three splits as samples.
#[derive(Clone, Debug)]
pub struct Task {
    /// Turned the records into samples.
    pub text: TextEncoder,
    /// `C`.
    pub classes: usize,
    /// Trained on.
    pub train: Arc<[Sample]>,
    /// Selected on.
    pub dev: Arc<[Sample]>,
    /// Scored once, after selection.
    pub test: Arc<[Sample]>,
    /// What encoding did to all of them.
    pub report: EncodingReport,
    /// What a user should know of the data.
    pub findings: Vec<Finding>,
}

impl Task {
    /// Reads and encodes the splits that `config` names, for the model.
    ///
    /// # Errors
    /// If the data cannot be read or encoded.
    pub fn load(config: &RunConfig, text: Text, model: &ModelConfig) -> Result<Self, TaskError> {
        let files = config.data.files();
        let data = GueData::load(&files.train, &files.dev, &files.test)?;
        let prompt = Prompt::new(&config.prompt.prefix, &config.prompt.suffix);
        let text = TextEncoder::new(
            text,
            prompt,
            config.tokenizer.max_tokens,
            config.restricts_vocabulary(),
            model,
        )?;
        let (train, train_report) = text.encoder.encode(&data.train)?;
        let (dev, dev_report) = text.encoder.encode(&data.dev)?;
        let (test, test_report) = text.encoder.encode(&data.test)?;
        Ok(Self {
            text,
            classes: data.classes,
            train: train.into(),
            dev: dev.into(),
            test: test.into(),
            report: train_report.merge(dev_report).merge(test_report),
            findings: data.findings,
        })
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [train, dev, test] = [&self.train, &self.dev, &self.test].map(|split| split.len());
        writeln!(
            f,
            "data        {train} train, {dev} dev, {test} test; {} classes",
            self.classes
        )?;
        let report = &self.report;
        write!(
            f,
            "tokens      {:.2} bp a token of DNA, longest input {}, ",
            report.bp_per_token(),
            report.longest_tokens
        )?;
        match report.truncated {
            0 => write!(f, "no sequence cut")?,
            cut => write!(
                f,
                "{cut} of {} sequences cut to {} tokens ({} bp lost)",
                report.sequences, self.text.max_tokens, report.bp_cut
            )?,
        }
        if let Some(vocabulary) = &self.text.vocabulary {
            let rows = vocabulary.ids().len();
            write!(
                f,
                "\n            {rows} tokens can occur, the table keeps their rows"
            )?;
        }
        for finding in &self.findings {
            write!(f, "\nnote        {finding}")?;
        }
        Ok(())
    }
}
