//! From a run file to a run: shape, corpus, tokenizer.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use lingo_train::config::PretrainConfig;
use lingo_train::pretrain::{
    BOUNDARY, Documents, PADDING, Pretraining, SMALLEST_VOCABULARY, TokenStream, byte_level_bpe,
};
use lingo_train::workers::Compute;
use weights_import::{Blueprint, TextTokenizer, read_tokenizer};

use crate::device::{Selected, select};

/// A run, and what its model is written with.
pub struct Prepared {
    /// The run.
    pub run: Pretraining,
    /// The shape of the model.
    pub blueprint: Blueprint,
    /// Its tokenizer.
    pub tokenizer: TextTokenizer,
    /// The folder of the model that the tokenizer comes from, if it is another's.
    pub tokenizer_from: Option<PathBuf>,
    /// Where to compute.
    pub selected: Selected,
}

/// Reads corpus, shape and tokenizer, and makes them a run.
pub fn prepare(config: PretrainConfig) -> Result<Prepared> {
    let selected = select(&config.device)?;
    if matches!(selected.compute, Compute::Devices(_)) {
        bail!(
            "device = \"{}\": pretraining computes on one device; name one of them",
            selected.name
        );
    }
    let mut blueprint = Blueprint::open(&config.model)?;
    let train = Documents::read(&config.corpus.train)?;
    let valid = Documents::read(&config.corpus.valid)?;
    let tokenizer_from = config.tokenizer.from.clone();
    let tokenizer = match &tokenizer_from {
        Some(folder) => {
            let tokenizer = read_tokenizer(folder, blueprint.config())?;
            blueprint.check_tokenizer(folder, &tokenizer)?;
            tokenizer
        }
        None => {
            let tokenizer = own_tokenizer(&train, &blueprint)?;
            let (made, asked) = (
                tokenizer.tokenizer.get_vocab_size(true),
                blueprint.entries(),
            );
            if made < asked {
                note!(
                    "note        {} gives {made} tokens that occur twice or more, vocab_size = {asked} are asked for: \
                     the model has {made}",
                    config.corpus.train.display()
                );
                blueprint = blueprint.with_entries(made);
            }
            tokenizer
        }
    };
    let boundary = tokenizer.bos.or(tokenizer.eos);
    let stream = |documents| TokenStream::new(documents, &tokenizer.tokenizer, boundary);
    let streams = [stream(&train)?, stream(&valid)?];
    let device = selected.device.clone().autodiff();
    let (shape, spread) = (blueprint.config(), blueprint.spread());
    let mut files = vec![blueprint.path().to_owned()];
    files.extend(
        tokenizer_from
            .iter()
            .map(|folder| folder.join("tokenizer.json"))
            .filter(|file| file.is_file()),
    );
    let run = Pretraining::prepare(config, shape, spread, streams, &device)?.with_files(files);
    Ok(Prepared {
        run,
        blueprint,
        tokenizer,
        tokenizer_from,
        selected,
    })
}

/// A tokenizer of as many entries as the model has.
fn own_tokenizer(train: &Documents, blueprint: &Blueprint) -> Result<TextTokenizer> {
    let entries = blueprint.entries();
    if entries < SMALLEST_VOCABULARY {
        bail!(
            "{}: vocab_size = {entries} is too small for a byte-level tokenizer; expected {SMALLEST_VOCABULARY} (every \
             byte and four special tokens) or more, or tokenizer.from in the run file",
            blueprint.path().display()
        );
    }
    let failed = |error| {
        anyhow!(
            "cannot make a tokenizer of {}: {error}",
            train.path.display()
        )
    };
    let tokenizer = byte_level_bpe(train, entries).map_err(failed)?;
    let id = |name: &str| {
        let id = tokenizer.token_to_id(name);
        id.with_context(|| format!("the tokenizer that was made has no {name}"))
    };
    Ok(TextTokenizer {
        bos: Some(id(BOUNDARY)?),
        eos: None,
        pad: id(PADDING)?,
        tokenizer,
    })
}
