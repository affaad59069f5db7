//! A pretrained model's files behind one interface.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use half::{bf16, f16};
use lingo_core::models::ModelConfig;
use lingo_core::nn::Precision;
use lingo_core::weights::{WeightError, WeightSource};

use crate::encoding::FLOAT_TYPES;
use crate::error::ImportError;
use crate::json::JsonFile;
use crate::mapped::MappedFile;
use crate::ordinary;
use crate::peft::PeftAdapter;
use crate::tensors::{Element, Role, Stored, TensorInfo, half_of};
use crate::tokenizer::{self, TextTokenizer};
use crate::{gguf, hf};

/// At most how many files an error lists.
const LISTED_FILES: usize = 8;

/// An opened checkpoint: its configuration is read, its tensors are listed, none is loaded yet.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    kind: Kind,
    config: ModelConfig,
    labels: Option<Vec<String>>,
    problem: Problem,
    contents: Contents,
    by_name: HashMap<String, usize>,
    taken: HashSet<usize>,
}

/// What a classification head is for: `problem_type` of Hugging Face's `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// Telling classes apart, as where nothing is said.
    Classes,
    /// Labels that each hold or not.
    Labels,
    /// Numbers.
    Regression,
}

/// What was opened.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A folder in Hugging Face's layout.
    Folder,
    /// A GGUF file, the only mapped file of the contents.
    Gguf,
}

/// What the readers of the formats hand over.
#[derive(Debug)]
pub(crate) struct Contents {
    /// The format in words.
    pub(crate) format: String,
    /// The files that [`Place::Mapped`](crate::tensors::Place) refers to.
    pub(crate) files: Vec<MappedFile>,
    /// All tensors.
    pub(crate) tensors: Vec<Stored>,
    /// Bytes of the files.
    pub(crate) bytes: u64,
}

impl Checkpoint {
    /// Opens a folder in Hugging Face's layout, a `.gguf` file, or a folder that holds one `.gguf` file and no
    /// `config.json`.
    ///
    /// # Errors
    /// If there is nothing of the kind at the path, a file is damaged or missing, or the model is of an
    /// architecture or has a feature that is not supported.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        if path.is_dir() {
            if ordinary::is_there(&path.join("config.json"))? {
                return Self::open_folder(path);
            }
            if PeftAdapter::is_in(path) {
                let folder = path.to_owned();
                return Err(ImportError::IsAdapter { folder });
            }
            let names = file_names_of(path, |name| has_gguf_extension(Path::new(name)));
            return match names.as_slice() {
                [name] => Self::open_gguf(&path.join(name)),
                _ => Err(ImportError::NoConfig {
                    folder: path.to_owned(),
                    found: file_names(path),
                }),
            };
        }
        match ordinary::is_there(path)? {
            true => Self::open_gguf(path),
            false => Err(ImportError::NotFound {
                path: path.to_owned(),
            }),
        }
    }

    /// The shape of a model alone: of a folder, `config.json` suffices.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn shape(path: &Path) -> Result<ModelConfig, ImportError> {
        let file = path.join("config.json");
        match ordinary::is_there(&file)? {
            true => hf::read_config(&file),
            false => Ok(Self::open(path)?.config),
        }
    }

    fn open_folder(folder: &Path) -> Result<Self, ImportError> {
        let file = JsonFile::open(&folder.join("config.json"))?;
        let config = hf::config::parse(&file)?;
        let labels = hf::config::labels(&file)?;
        let contents = hf::open_weights(folder, &config)?;
        let mut checkpoint = Self::new(folder, Kind::Folder, config, labels, contents)?;
        checkpoint.problem = hf::config::problem(&file)?;
        if let (Some(classes), Some(labels)) = (checkpoint.classes(), checkpoint.labels())
            && classes != labels.len()
        {
            return Err(file.bad(
                "id2label",
                format!(
                    "{classes} names, one for each row of {}",
                    checkpoint.head_tensor()
                ),
            ));
        }
        Ok(checkpoint)
    }

    fn open_gguf(path: &Path) -> Result<Self, ImportError> {
        let (config, contents) = gguf::open(path)?;
        Self::new(path, Kind::Gguf, config, None, contents)
    }

    fn new(
        path: &Path,
        kind: Kind,
        config: ModelConfig,
        labels: Option<Vec<String>>,
        contents: Contents,
    ) -> Result<Self, ImportError> {
        let mut by_name: HashMap<String, usize> = HashMap::with_capacity(contents.tensors.len());
        for (index, tensor) in contents.tensors.iter().enumerate() {
            let needed = matches!(tensor.role, Role::Used | Role::Head);
            if let (true, Element::Other(found)) = (needed, &tensor.element) {
                return Err(ImportError::ElementType {
                    path: path.to_owned(),
                    tensor: tensor.source.clone(),
                    found: found.clone(),
                    supported: FLOAT_TYPES,
                });
            }
            if let Some(first) = by_name.insert(tensor.name.clone(), index)
                && tensor.role != Role::Ignored
            {
                return Err(ImportError::Duplicate {
                    path: path.to_owned(),
                    name: tensor.name.clone(),
                    first: contents.tensors[first].source.clone(),
                    second: tensor.source.clone(),
                });
            }
        }
        // Much is sized by the vocabulary before the table itself is read.
        let shape = config.token_table();
        let table = ["embed_tokens.weight", "embeddings.word_embeddings.weight"]
            .iter()
            .find_map(|name| contents.tensors.get(*by_name.get(*name)?));
        if let Some(table) = table.filter(|table| table.shape != shape) {
            return Err(ImportError::Damaged {
                path: path.to_owned(),
                place: format!("the token table `{}`", table.source),
                expected: format!("{shape:?}, as the configuration says"),
                found: format!("{:?}", table.shape),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            kind,
            config,
            labels,
            problem: Problem::Classes,
            contents,
            by_name,
            taken: HashSet::new(),
        })
    }

    /// The model's shape.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Whether a tensor belongs to a head that training puts on this model; a pooler that it brings does not.
    pub fn is_of_new_head(&self, name: &str) -> bool {
        let brought = |name: &str| self.stored(name).is_some_and(|t| t.role == Role::Used);
        hf::keys::head_layer(&self.config, name).is_some() && !brought(name)
    }

    /// Canonical name of a classification head's output matrix.
    pub fn head_tensor(&self) -> String {
        format!("{}.weight", self.config.head().output)
    }

    /// Classes of the checkpoint's own classification head, when it has one.
    pub fn classes(&self) -> Option<usize> {
        match self.stored(&self.head_tensor())?.shape.as_slice() {
            &[classes, _] => Some(classes),
            _ => None,
        }
    }

    /// What a classification head is for.
    pub fn problem(&self) -> Problem {
        self.problem
    }

    /// Names of the classes or labels, when the configuration gives any but the generic `LABEL_n`.
    pub fn labels(&self) -> Option<&[String]> {
        self.labels.as_deref()
    }

    /// All tensors in the files' order.
    pub fn tensors(&self) -> Vec<TensorInfo> {
        self.contents.tensors.iter().map(Stored::info).collect()
    }

    /// The files that the model is made of: weights, and what is beside them of configuration and tokenizer.
    pub fn files(&self) -> Vec<PathBuf> {
        let weights = self
            .contents
            .files
            .iter()
            .map(|file| file.path().to_owned());
        let beside = ["config.json"].into_iter().chain(tokenizer::FILES);
        let beside = beside.map(|name| self.path.join(name));
        weights
            .chain(beside.filter(|path| path.is_file()))
            .collect()
    }

    /// The format in words: `safetensors`, `pytorch_model.bin, 2 shards`, `GGUF, Q4_1`.
    pub fn format(&self) -> &str {
        &self.contents.format
    }

    /// Bytes of the files that hold the weights.
    pub fn weight_bytes(&self) -> u64 {
        self.contents.bytes
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder in Hugging Face's layout, if it is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self.kind {
            Kind::Folder => Some(&self.path),
            Kind::Gguf => None,
        }
    }

    /// The tensors as stored, and the files to read them from.
    pub(crate) fn stored_tensors(&self) -> (&[Stored], &[MappedFile]) {
        (&self.contents.tensors, &self.contents.files)
    }

    /// The tokenizer that belongs to the model.
    ///
    /// # Errors
    /// If there is none, or it is of a kind that cannot be reproduced.
    pub fn tokenizer(&self) -> Result<TextTokenizer, ImportError> {
        match (self.kind, self.contents.files.first()) {
            (Kind::Gguf, Some(file)) => gguf::tokenizer(file, &self.config),
            _ => tokenizer::from_folder(&self.path, &self.config),
        }
    }

    /// Whether every tensor has found its place. Call it once the model is built: a tensor that was neither
    /// taken nor is ignored by the model's key table (or belongs to the head) means another architecture than the
    /// configuration says.
    ///
    /// # Errors
    /// If there are such tensors; their keys are listed.
    pub fn check_complete(&self) -> Result<(), ImportError> {
        let keys: Vec<String> = self
            .contents
            .tensors
            .iter()
            .enumerate()
            .filter(|(index, tensor)| {
                !self.taken.contains(index) && matches!(tensor.role, Role::Used | Role::Unknown)
            })
            .map(|(_, tensor)| tensor.source.clone())
            .collect();
        if keys.is_empty() {
            Ok(())
        } else {
            Err(ImportError::UnknownTensors {
                path: self.path.clone(),
                keys,
            })
        }
    }

    fn stored(&self, name: &str) -> Option<&Stored> {
        self.by_name
            .get(name)
            .and_then(|index| self.contents.tensors.get(*index))
    }

    /// Finds a tensor, checks its shape, reads it and takes note.
    fn take_with(
        &mut self,
        name: &str,
        shape: &[usize],
        read: impl FnOnce(&Stored, &[MappedFile]) -> Result<TensorData, String>,
    ) -> Result<TensorData, WeightError> {
        let missing = || WeightError::Missing {
            name: name.to_owned(),
        };
        let index = *self.by_name.get(name).ok_or_else(missing)?;
        let tensor = self.contents.tensors.get(index).ok_or_else(missing)?;
        if tensor.shape != shape {
            return Err(WeightError::Shape {
                name: name.to_owned(),
                found: tensor.shape.clone(),
                expected: shape.to_vec(),
            });
        }
        let data =
            read(tensor, &self.contents.files).map_err(|reason| WeightError::Unreadable {
                name: name.to_owned(),
                reason,
            })?;
        self.taken.insert(index);
        Ok(data)
    }
}

impl WeightSource for Checkpoint {
    fn take_as(
        &mut self,
        name: &str,
        shape: &[usize],
        precision: Precision,
    ) -> Result<TensorData, WeightError> {
        self.take_with(name, shape, |tensor, files| match precision {
            Precision::F32 => tensor.read(files),
            Precision::Bf16 => tensor.read_half::<bf16>(files),
            Precision::F16 => tensor.read_half::<f16>(files),
        })
    }

    fn take_rows_as(
        &mut self,
        name: &str,
        shape: [usize; 2],
        rows: &[u32],
        precision: Precision,
    ) -> Result<TensorData, WeightError> {
        self.take_with(name, &shape, |tensor, files| match precision {
            Precision::F32 => tensor.read_rows(files, rows),
            Precision::Bf16 => Ok(half_of::<bf16>(tensor.read_rows(files, rows)?)),
            Precision::F16 => Ok(half_of::<f16>(tensor.read_rows(files, rows)?)),
        })
    }

    fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }
}

fn has_gguf_extension(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

/// Names of the folder's first files, for messages.
pub(crate) fn file_names(folder: &Path) -> Vec<String> {
    listed(file_names_of(folder, |_| true))
}

/// As many names as a message holds.
pub(crate) fn listed(mut names: Vec<String>) -> Vec<String> {
    if names.len() > LISTED_FILES {
        names.truncate(LISTED_FILES);
        names.push("...".to_owned());
    }
    names
}

/// Sorted names of the folder's files that pass.
fn file_names_of(folder: &Path, keep: impl Fn(&str) -> bool) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| keep(name))
        .collect();
    names.sort();
    names
}
