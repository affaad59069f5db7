//! A task made ready for a model: data read, tokenised, and the tokens that it can reach.

mod digest;
mod encoder;
mod fit;

use std::fmt;
use std::path::{Path, PathBuf};

use lingo_core::models::ModelConfig;

pub use digest::token_digest;
pub use encoder::{Layout, SequenceEncoder, TaskError, Text};
pub use fit::{FitError, check_fit};

use crate::config::RunConfig;
use crate::data::{EncodingReport, Finding, Objective, Samples};

/// The three splits as samples.
#[derive(Clone, Debug)]
pub struct Task {
    /// Turned the records into samples.
    pub text: SequenceEncoder,
    /// What is asked of a sequence.
    pub objective: Objective,
    /// Trained on.
    pub train: Samples,
    /// Selected on.
    pub dev: Samples,
    /// Scored once, after selection.
    pub test: Samples,
    /// What encoding did to all of them.
    pub report: EncodingReport,
    /// What a user should know of the data.
    pub findings: Vec<Finding>,
}

impl Task {
    /// Reads and encodes the splits that `config` names, for the model. While a file's tokens are stored on disk,
    /// `progress` is told how many sequences there are.
    ///
    /// # Errors
    /// If the data cannot be read, encoded or stored.
    pub fn load(
        config: &RunConfig,
        text: Option<Text>,
        model: &ModelConfig,
        progress: &mut dyn FnMut(&Path, usize),
    ) -> Result<Self, TaskError> {
        let files = config.data.files();
        let splits = [&files.train, &files.dev, &files.test].map(PathBuf::as_path);
        if let Some(dir) = config.data.dir.as_ref().filter(|dir| !dir.is_dir())
            && splits.iter().any(|split| split.starts_with(dir))
        {
            return Err(TaskError::NoFolder {
                dir: dir.clone(),
                root: config.data.root.clone(),
            });
        }
        let layout = Layout::choose(config.tokenizer.kind, &config.prompt, text.as_ref(), model)?;
        let text = SequenceEncoder::new(
            text,
            layout,
            config.tokenizer.max_tokens,
            config.restricts_vocabulary(),
            model,
        )?;
        let cache = config.data.cache();
        let (splits, report) = cache.splits(
            splits,
            config.data.labels.as_deref(),
            &text.encoder,
            progress,
        )?;
        Ok(Self {
            text,
            objective: splits.objective,
            train: splits.train,
            dev: splits.dev,
            test: splits.test,
            report,
            findings: splits.findings,
        })
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [train, dev, test] = [&self.train, &self.dev, &self.test].map(|split| split.len());
        writeln!(
            f,
            "data        {train} train, {dev} dev, {test} test; {}",
            self.objective
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
        if report.ambiguous > 0 {
            write!(
                f,
                "\nnote        {} ambiguous letters are read as N",
                report.ambiguous
            )?;
        }
        if self.text.added > 0 {
            let rows = self.text.added;
            write!(
                f,
                "\n            {rows} tokens of the task's own, in trained rows"
            )?;
        }
        if let Some(vocabulary) = &self.text.vocabulary {
            let rows = vocabulary.ids().len();
            write!(
                f,
                "\n            {rows} tokens can occur, the table keeps their rows"
            )?;
        }
        if let Some(store) = self.train.store() {
            write!(f, "\n            kept in {}", store.path().display())?;
        }
        for finding in &self.findings {
            write!(f, "\nnote        {finding}")?;
        }
        Ok(())
    }
}
