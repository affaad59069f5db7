//! Tokenizers, and what each must do around a text.

use std::collections::BTreeMap;
use std::path::Path;

use lingo_core::models::ModelConfig;
use serde_json::Value;
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::{Merges, Vocab};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{AddedToken, Tokenizer};

use crate::bpe;
use crate::error::ImportError;
use crate::json::{self, JsonFile};
use crate::ordinary;
use crate::outline;

/// The files of a Hugging Face folder that a tokenizer can consist of.
pub const FILES: [&str; 7] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
];

/// OPT's bos, eos and unk, where no file says otherwise.
const OPT_BOS: &str = "</s>";
/// Padding as OPT calls it.
const OPT_PAD: &str = "<pad>";
/// Padding as BERT calls it.
const BERT_PAD: &str = "[PAD]";
/// A text to see what a tokenizer puts around one.
const PROBE: &str = "A";

/// A tokenizer with the tokens that go around a text.
///
/// Encode without the tokenizer's own special tokens (`encode(text, false)`), put [`bos`](Self::bos) in front and
/// [`eos`](Self::eos) behind.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    /// Text to ids.
    pub tokenizer: Tokenizer,
    /// Token in front of each text, if the model was trained with one.
    pub bos: Option<u32>,
    /// Token behind each text, if the model was trained with one.
    pub eos: Option<u32>,
    /// Token that fills shorter sequences of a batch; always within the model's vocabulary.
    pub pad: u32,
}

/// The tokenizer of a folder in Hugging Face's layout, for a model of shape `config`.
///
/// # Errors
/// If there is none, or it cannot be used.
pub fn read_tokenizer(folder: &Path, config: &ModelConfig) -> Result<TextTokenizer, ImportError> {
    from_folder(folder, config)
}

/// The tokenizer of a folder in Hugging Face's layout.
pub(crate) fn from_folder(
    folder: &Path,
    config: &ModelConfig,
) -> Result<TextTokenizer, ImportError> {
    let names = SpecialNames::read(folder)?;
    let path = folder.join("tokenizer.json");
    let (tokenizer, bos, eos) = if ordinary::is_there(&path)? {
        let tokenizer = parse(&path)?;
        let (bos, eos) = template(&path, &tokenizer)?;
        let bos = match names.add_bos {
            Some(true) => Some(names.bos_of(&path, &tokenizer)?),
            Some(false) => None,
            None => bos,
        };
        (tokenizer, bos, eos)
    } else if ordinary::is_there(&folder.join("vocab.json"))?
        && ordinary::is_there(&folder.join("merges.txt"))?
    {
        let (tokenizer, bos) = from_vocabulary(folder, config, &names)?;
        (tokenizer, bos, None)
    } else if matches!(config, ModelConfig::Bert(_))
        && ordinary::is_there(&folder.join("vocab.txt"))?
    {
        from_word_pieces(&folder.join("vocab.txt"), &names)?
    } else {
        return Err(ImportError::NoTokenizer {
            folder: folder.to_owned(),
        });
    };
    let pad = pad(&tokenizer, config, &names);
    Ok(TextTokenizer {
        tokenizer,
        bos,
        eos,
        pad,
    })
}

fn parse(path: &Path) -> Result<Tokenizer, ImportError> {
    let bytes = json::read(path)?;
    outline::check(path, &bytes)?;
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| bpe::refused(path, &error))?;
    spell_long_words(&mut tokenizer);
    // Cutting and filling are the caller's, who knows the model and the prompt.
    tokenizer.with_padding(None);
    tokenizer
        .with_truncation(None)
        .map_err(|error| bpe::refused(path, &error))?;
    Ok(tokenizer)
}

/// A sequence of DNA is one word, and WordPiece takes words of more than 100 letters for unknown.
fn spell_long_words(tokenizer: &mut Tokenizer) {
    if let ModelWrapper::WordPiece(pieces) = tokenizer.get_model() {
        let mut pieces = pieces.clone();
        pieces.max_input_chars_per_word = usize::MAX;
        tokenizer.with_model(pieces);
    }
}

/// `vocab.txt`: BERT's kind of tokenizer, a token a line.
fn from_word_pieces(
    path: &Path,
    names: &SpecialNames,
) -> Result<(Tokenizer, Option<u32>, Option<u32>), ImportError> {
    let text = utf8(path)?;
    let vocabulary = (0_u32..).zip(text.lines());
    let vocabulary = vocabulary.map(|(id, token)| (token.to_owned(), id));
    let unknown = "[UNK]".to_owned();
    let model = WordPiece::builder()
        .vocab(vocabulary.collect::<Vocab>())
        .unk_token(unknown)
        .build()
        .map_err(|error| bpe::refused(path, &error))?;
    let mut tokenizer = Tokenizer::new(model);
    let normalizer = BertNormalizer::new(true, true, None, names.lower_case);
    let normalizer = tokenizer.with_normalizer(Some(normalizer));
    normalizer.map_err(|error| bpe::refused(path, &error))?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let added: BTreeMap<u32, AddedToken> = special
        .into_iter()
        .filter_map(|name| Some((tokenizer.token_to_id(name)?, AddedToken::from(name, true))))
        .collect();
    bpe::add_tokens(path, &mut tokenizer, &added)?;
    spell_long_words(&mut tokenizer);
    let [bos, eos] = ["[CLS]", "[SEP]"].map(|name| tokenizer.token_to_id(name));
    Ok((tokenizer, bos, eos))
}

/// The tokens that the tokenizer's own template puts in front of a text and behind it.
fn template(path: &Path, tokenizer: &Tokenizer) -> Result<(Option<u32>, Option<u32>), ImportError> {
    let encode = |special| {
        tokenizer
            .encode(PROBE, special)
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|error| bpe::refused(path, &error))
    };
    let (with, plain) = (encode(true)?, encode(false)?);
    match with.as_slice() {
        ids if ids == plain => Ok((None, None)),
        [bos, rest @ ..] if rest == plain => Ok((Some(*bos), None)),
        [rest @ .., eos] if rest == plain => Ok((None, Some(*eos))),
        [bos, rest @ .., eos] if rest == plain => Ok((Some(*bos), Some(*eos))),
        _ => Err(ImportError::Tokenizer {
            path: path.to_owned(),
            expected: "a template that adds at most one token in front of a text and one behind it"
                .to_owned(),
            found: format!("{with:?} around {plain:?}"),
            remedy: "correct `post_processor` in it",
        }),
    }
}

/// What `tokenizer_config.json` and `special_tokens_map.json` say, the former first.
#[derive(Debug, Default)]
struct SpecialNames {
    add_bos: Option<bool>,
    add_prefix_space: bool,
    lower_case: bool,
    class: Option<String>,
    bos: Option<String>,
    eos: Option<String>,
    pad: Option<String>,
    /// All special tokens by name.
    all: Vec<String>,
}

impl SpecialNames {
    fn read(folder: &Path) -> Result<Self, ImportError> {
        let config = JsonFile::open_optional(&folder.join("tokenizer_config.json"))?;
        let map = JsonFile::open_optional(&folder.join("special_tokens_map.json"))?;
        let mut names = Self {
            lower_case: true,
            ..Self::default()
        };
        if let Some(config) = &config {
            names.add_bos = match config.get("add_bos_token") {
                Some(_) => Some(config.flag_or("add_bos_token", false)?),
                None => None,
            };
            names.add_prefix_space = config.flag_or("add_prefix_space", false)?;
            names.lower_case = config.flag_or("do_lower_case", true)?;
            names.class = config.text("tokenizer_class")?.map(str::to_owned);
        }
        let files = [config.as_ref(), map.as_ref()];
        let find = |key: &str| {
            files
                .iter()
                .flatten()
                .find_map(|file| content(file.get(key)?))
        };
        names.bos = find("bos_token");
        names.eos = find("eos_token");
        names.pad = find("pad_token");
        for key in [
            "bos_token",
            "eos_token",
            "unk_token",
            "pad_token",
            "sep_token",
            "cls_token",
            "mask_token",
        ] {
            names.all.extend(find(key));
        }
        for file in files.into_iter().flatten() {
            let more = file
                .get("additional_special_tokens")
                .and_then(Value::as_array);
            names
                .all
                .extend(more.into_iter().flatten().filter_map(content));
        }
        Ok(names)
    }

    /// The id of the token in front of a text, which `add_bos_token` promises.
    fn bos_of(&self, path: &Path, tokenizer: &Tokenizer) -> Result<u32, ImportError> {
        let name = self.bos.as_deref();
        name.and_then(|name| tokenizer.token_to_id(name))
            .ok_or_else(|| ImportError::Tokenizer {
                path: path.to_owned(),
                expected: "a bos_token of the vocabulary, as add_bos_token is true".to_owned(),
                found: name.map_or_else(|| "none".to_owned(), |name| format!("`{name}`")),
                remedy: "correct bos_token in tokenizer_config.json",
            })
    }
}

/// A token's text, given as such or as `{"content": ...}`.
fn content(value: &Value) -> Option<String> {
    value
        .as_str()
        .or_else(|| value.get("content")?.as_str())
        .map(str::to_owned)
}

/// `vocab.json` with `merges.txt`: GPT-2's kind of tokenizer, which OPT has.
fn from_vocabulary(
    folder: &Path,
    config: &ModelConfig,
    names: &SpecialNames,
) -> Result<(Tokenizer, Option<u32>), ImportError> {
    let path = folder.join("vocab.json");
    let is_opt = matches!(config, ModelConfig::Opt(_));
    let class = names.class.as_deref();
    // Without a tokenizer.json nothing but the class says how texts are split.
    if !matches!(
        (class, is_opt),
        (Some("GPT2Tokenizer" | "GPT2TokenizerFast"), _) | (None, true)
    ) {
        return Err(ImportError::Tokenizer {
            path,
            expected:
                "the class GPT2Tokenizer in tokenizer_config.json, for vocab.json with merges.txt"
                    .to_owned(),
            found: class.unwrap_or("no class").to_owned(),
            remedy: "put the model's tokenizer.json beside it",
        });
    }
    let file = JsonFile::open(&path)?;
    let mut vocabulary = Vocab::new();
    for (token, id) in file.root() {
        let id = id
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| file.bad(token, "a token id"))?;
        vocabulary.insert(token.clone(), id);
    }
    let merges = merges(&folder.join("merges.txt"))?;
    let model = bpe::model(&path, vocabulary, merges, |builder| builder)?;
    let mut tokenizer = bpe::byte_level(model, names.add_prefix_space);

    let mut added = BTreeMap::new();
    let defaults = [OPT_BOS, OPT_PAD].map(str::to_owned);
    let fallback: &[String] = if is_opt { &defaults } else { &[] };
    for name in names.all.iter().chain(fallback) {
        if let Some(id) = tokenizer.token_to_id(name) {
            added.insert(id, AddedToken::from(name.clone(), true));
        }
    }
    if let Some(file) = JsonFile::open_optional(&folder.join("added_tokens.json"))? {
        for token in file.root().keys() {
            let id = file
                .token_id(token)?
                .ok_or_else(|| file.bad(token, "a token id"))?;
            let special = names.all.contains(token);
            added.insert(id, AddedToken::from(token.clone(), special));
        }
    }
    bpe::add_tokens(&path, &mut tokenizer, &added)?;

    let add_bos = names.add_bos.unwrap_or(is_opt);
    let bos = match (add_bos, &names.bos) {
        (false, _) => None,
        (true, None) if is_opt => tokenizer.token_to_id(OPT_BOS),
        (true, _) => Some(names.bos_of(&path, &tokenizer)?),
    };
    Ok((tokenizer, bos))
}

fn utf8(path: &Path) -> Result<String, ImportError> {
    String::from_utf8(json::read(path)?).map_err(|error| ImportError::Damaged {
        path: path.to_owned(),
        place: "the text".to_owned(),
        expected: "UTF-8".to_owned(),
        found: error.to_string(),
    })
}

fn merges(path: &Path) -> Result<Merges, ImportError> {
    let text = utf8(path)?;
    text.lines()
        .enumerate()
        .filter(|(number, line)| !(line.is_empty() || *number == 0 && line.starts_with("#version")))
        .map(|(_, line)| bpe::merge(path, line))
        .collect()
}

/// A token that the model has a row for: the tokenizer's padding, the configuration's, the end of a text, or the
/// first of all. What it is makes no difference, since padding is never attended to or pooled.
fn pad(tokenizer: &Tokenizer, config: &ModelConfig, names: &SpecialNames) -> u32 {
    let [rows, _] = config.token_table();
    let id = |name: Option<&str>| name.and_then(|name| tokenizer.token_to_id(name));
    [
        id(names.pad.as_deref()),
        id(Some(OPT_PAD)),
        id(Some(BERT_PAD)),
        config.pad_token_id(),
        id(names.eos.as_deref()),
    ]
    .into_iter()
    .flatten()
    .find(|id| (*id as usize) < rows)
    .unwrap_or(0)
}
