//! A `config.json` without weights: what a language model is made after.

use std::path::Path;

use lingo_core::models::ModelConfig;
use serde_json::{Map, Value, json};

use crate::error::ImportError;
use crate::hf;
use crate::json::JsonFile;
use crate::tokenizer::TextTokenizer;

/// The shape of a decoder that is yet to be pretrained, with tied embeddings.
#[derive(Debug)]
pub struct Blueprint {
    file: JsonFile,
    config: ModelConfig,
    spread: f64,
}

impl Blueprint {
    /// Reads a `config.json`, or that in a folder, of an OPT or a LLaMA.
    ///
    /// # Errors
    /// If it cannot be read, describes no decoder that is supported, or one with an output layer of its own.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let path = match path.is_dir() {
            true => path.join("config.json"),
            false => path.to_owned(),
        };
        let file = JsonFile::open(&path)?;
        let config = hf::config::parse(&file)?;
        let key = match &config {
            ModelConfig::Opt(_) => "init_std",
            ModelConfig::Llama(_) => "initializer_range",
            other => {
                return Err(ImportError::Architecture {
                    path,
                    key: "model_type",
                    found: format!(
                        "`{}`, which does not predict the next token",
                        other.model_type()
                    ),
                    supported: &["opt", "llama"],
                });
            }
        };
        file.require_flag("tie_word_embeddings", true)?;
        let spread = file.number_or(key, 0.02)?;
        if spread <= 0.0 {
            return Err(file.bad(key, "a number above 0"));
        }
        Ok(Self {
            file,
            config,
            spread,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The shape.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Standard deviation of matrices and tables at the start.
    pub fn spread(&self) -> f64 {
        self.spread
    }

    /// Entries of the token table.
    pub fn entries(&self) -> usize {
        self.config.token_table()[0]
    }

    /// The same with a token table of so many entries.
    pub fn with_entries(mut self, entries: usize) -> Self {
        match &mut self.config {
            ModelConfig::Opt(opt) => opt.vocab_size = entries,
            ModelConfig::Llama(llama) => llama.vocab_size = entries,
            // Opening admits no others.
            _ => {}
        }
        self
    }

    /// Where the tokenizer of another model is, for a model of this shape: its folder.
    ///
    /// # Errors
    /// If the tokenizer has tokens that the table has no row for.
    pub fn check_tokenizer(
        &self,
        folder: &Path,
        tokenizer: &TextTokenizer,
    ) -> Result<(), ImportError> {
        let needed = tokenizer.tokenizer.get_vocab(true);
        let needed = needed.values().max().map_or(0, |id| *id as usize + 1);
        match needed <= self.entries() {
            true => Ok(()),
            false => Err(self.file.bad(
                "vocab_size",
                format!("{needed} or more, for all tokens of {}", folder.display()),
            )),
        }
    }

    /// The `config.json` of the model with its tokenizer, whose numbers are of a type by Hugging Face's name.
    pub(crate) fn to_config(&self, tokenizer: &TextTokenizer, dtype: &str) -> Map<String, Value> {
        let class = match self.config {
            ModelConfig::Opt(_) => "OPTForCausalLM",
            _ => "LlamaForCausalLM",
        };
        let mut root = self.file.root().clone();
        let eos = tokenizer.eos.or(tokenizer.bos);
        let said = [
            ("architectures", json!([class])),
            ("vocab_size", self.entries().into()),
            ("bos_token_id", json!(tokenizer.bos)),
            ("eos_token_id", json!(eos)),
            ("pad_token_id", tokenizer.pad.into()),
            ("tie_word_embeddings", true.into()),
        ];
        root.extend(said.map(|(key, value)| (key.to_owned(), value)));
        // transformers 5 reads the first, 4 the second.
        let key = match root.contains_key("dtype") {
            true => "dtype",
            false => "torch_dtype",
        };
        root.insert(key.to_owned(), dtype.into());
        root
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn open(json: &str) -> Result<Blueprint, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        assert!(Blueprint::open(dir.path()).is_ok() == Blueprint::open(&path).is_ok());
        Blueprint::open(&path).map_err(|error| error.to_string())
    }

    const OPT: &str = r#""model_type": "opt", "vocab_size": 300, "hidden_size": 8, "ffn_dim": 16,
        "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 32"#;

    #[test]
    fn the_spread_is_the_files_or_that_of_the_published_models() {
        assert_eq!(open(&format!("{{{OPT}}}")).unwrap().spread(), 0.02);
        let other = open(&format!("{{{OPT}, \"init_std\": 0.006}}")).unwrap();
        assert_eq!((other.spread(), other.entries()), (0.006, 300));
        assert_eq!(other.with_entries(280).entries(), 280);
    }

    #[test]
    fn what_cannot_be_made_is_refused_by_name() {
        let error = open(&format!("{{{OPT}, \"tie_word_embeddings\": false}}")).unwrap_err();
        assert!(error.contains("tie_word_embeddings"), "{error}");
        let error = open(&format!("{{{OPT}, \"init_std\": 0}}")).unwrap_err();
        assert!(error.contains("init_std"), "{error}");
        let bert = r#"{"model_type": "bert", "vocab_size": 30, "hidden_size": 8, "intermediate_size": 16,
            "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 32}"#;
        let error = open(bert).unwrap_err();
        assert!(
            error.contains("bert") && error.contains("opt, llama"),
            "{error}"
        );
    }
}
