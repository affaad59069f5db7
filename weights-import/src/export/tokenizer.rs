//! `tokenizer.json` with as much of `tokenizer_config.json` as is needed to mean the same.

use std::path::Path;

use lingo_core::models::ModelConfig;
use serde_json::{Map, Value};
use tokenizers::Tokenizer;
use tokenizers::processors::template::TemplateProcessing;

use super::ExportError;
use super::config::write_json;
use crate::checkpoint::Checkpoint;
use crate::json::JsonFile;
use crate::tokenizer::{self, TextTokenizer};

/// What is said about special tokens.
const CONFIG: &str = "tokenizer_config.json";
const MAP: &str = "special_tokens_map.json";

/// How much is said about special tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    AsFound,
    Padding,
    PaddingAndBos,
}

/// Writes a tokenizer that reads as `found`.
pub(super) fn write(
    source: &Checkpoint,
    found: &TextTokenizer,
    folder: &Path,
) -> Result<(), ExportError> {
    write_from(
        source.folder(),
        source.path(),
        source.config(),
        found,
        folder,
    )
}

/// The same; what `from` says about special tokens is kept, and `path` stands in messages.
pub(super) fn write_from(
    from: Option<&Path>,
    path: &Path,
    model: &ModelConfig,
    found: &TextTokenizer,
    folder: &Path,
) -> Result<(), ExportError> {
    let fail = |reason: String| ExportError::Tokenizer {
        path: path.to_owned(),
        reason,
    };
    let mut tokenizer = found.tokenizer.clone();
    if let Some(template) = template(found) {
        tokenizer.with_post_processor(Some(template));
    }
    tokenizer
        .save(folder.join("tokenizer.json"), true)
        .map_err(|error| fail(error.to_string()))?;

    let root = match from {
        Some(from) => {
            copy_file(from, folder, MAP)?;
            // Other tokenizations of DNA have their own way with it.
            copy_file(from, folder, "vocab.txt")?;
            let config = JsonFile::open_optional(&from.join(CONFIG))?;
            config.map(|file| file.root().clone())
        }
        None => None,
    };
    let mut root = root.unwrap_or_else(|| {
        let mut root = Map::new();
        name(&mut root, "pad_token", &found.tokenizer, Some(found.pad));
        // What BERT's tokenizers call the two.
        let [before, behind] = match found.eos {
            Some(_) => ["cls_token", "sep_token"],
            None => ["bos_token", "eos_token"],
        };
        name(&mut root, before, &found.tokenizer, found.bos);
        if found.eos.is_some() {
            name(&mut root, behind, &found.tokenizer, found.eos);
        }
        root
    });
    root.entry("tokenizer_class")
        .or_insert_with(|| "PreTrainedTokenizerFast".into());
    // A key is set only where it makes a difference, so that other libraries' defaults stay.
    for said in [Said::AsFound, Said::Padding, Said::PaddingAndBos] {
        if said != Said::AsFound {
            name(&mut root, "pad_token", &found.tokenizer, Some(found.pad));
        }
        if said == Said::PaddingAndBos {
            name(&mut root, "bos_token", &found.tokenizer, found.bos);
            root.insert("add_bos_token".to_owned(), found.bos.is_some().into());
        }
        write_json(folder, CONFIG, root.clone())?;
        let again = tokenizer::from_folder(folder, model)?;
        if (again.bos, again.eos, again.pad) == (found.bos, found.eos, found.pad) {
            return Ok(());
        }
    }
    Err(fail(format!(
        "the tokens around a text (bos {:?}, eos {:?}, padding {}) have no names to write down",
        found.bos, found.eos, found.pad
    )))
}

/// Copies the files of a tokenizer, and says how many there were.
pub(super) fn copy(source: &Checkpoint, folder: &Path) -> Result<usize, ExportError> {
    let Some(from) = source.folder() else {
        return Ok(0);
    };
    let mut copied = 0;
    for file in tokenizer::FILES {
        copied += usize::from(copy_file(from, folder, file)?);
    }
    Ok(copied)
}

fn copy_file(from: &Path, to: &Path, name: &str) -> Result<bool, ExportError> {
    let path = from.join(name);
    if !path.is_file() {
        return Ok(false);
    }
    let content = std::fs::read(&path).map_err(ExportError::io(&path))?;
    let path = to.join(name);
    std::fs::write(&path, content).map_err(ExportError::io(&path))?;
    Ok(true)
}

/// Names a token under a key, or says that there is none.
fn name(root: &mut Map<String, Value>, key: &str, tokenizer: &Tokenizer, id: Option<u32>) {
    let token = id.and_then(|id| tokenizer.id_to_token(id));
    root.insert(key.to_owned(), token.into());
}

/// The tokens in front of a text and behind it as part of the tokenizer, where it has no template of its own: other
/// libraries know no other way. Of a pair, the second text has them of its own but for BERT's token in front.
fn template(found: &TextTokenizer) -> Option<TemplateProcessing> {
    if found.tokenizer.get_post_processor().is_some() {
        return None;
    }
    let named = |id: Option<u32>| Some((found.tokenizer.id_to_token(id?)?, id?));
    let (bos, eos) = (named(found.bos), named(found.eos));
    let special: Vec<(String, u32)> = bos.iter().chain(&eos).cloned().collect();
    if special.is_empty() {
        return None;
    }
    // Spelt as one text, a template would be cut at a token's own spaces.
    let piece = |token: &Option<(String, u32)>, part: usize| {
        token.as_ref().map(|(token, _)| format!("{token}:{part}"))
    };
    let around = |text: &str, part: usize, bos: &Option<(String, u32)>| -> Vec<String> {
        let text = Some(format!("{text}:{part}"));
        [piece(bos, part), text, piece(&eos, part)]
            .into_iter()
            .flatten()
            .collect()
    };
    let single = around("$A", 0, &bos);
    let second = around("$B", 1, if eos.is_some() { &None } else { &bos });
    let pair = [single.clone(), second].concat();
    TemplateProcessing::builder()
        .try_single(single)
        .ok()?
        .try_pair(pair)
        .ok()?
        .special_tokens(special)
        .build()
        .ok()
}
