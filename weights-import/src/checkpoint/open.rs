//! Opening whatever a path leads to, and what must hold of it before anything is read.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use lingo_core::models::ModelConfig;

use super::{Checkpoint, Contents, Kind, Problem};
use crate::encoding::FLOAT_TYPES;
use crate::error::ImportError;
use crate::json::JsonFile;
use crate::listing::{file_names, file_names_of};
use crate::ordinary;
use crate::peft::PeftAdapter;
use crate::tensors::{Element, Role};
use crate::{gguf, hf};

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
        // Each names a column of predictions. Those of classes are only shown.
        if let (Problem::Labels, Some(twice)) = (
            checkpoint.problem,
            checkpoint.labels().and_then(first_twice),
        ) {
            let expected =
                format!("a name of its own for each label, where `{twice}` is there twice");
            return Err(file.bad("id2label", expected));
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
        let table = hf::keys::TOKEN_TABLES
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
        // By its shape a classifier is told from a model without a head.
        let head = format!("{}.weight", config.head().output);
        let head = by_name
            .get(&head)
            .and_then(|index| contents.tensors.get(*index));
        if let Some(head) = head.filter(|head| head.shape.len() != 2) {
            return Err(ImportError::Damaged {
                path: path.to_owned(),
                place: format!("the head's matrix `{}`", head.source),
                expected: format!("a row of {} numbers for each output", config.width()),
                found: format!("shape {:?}", head.shape),
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
}

/// The first name that another one before it is equal to.
fn first_twice(names: &[String]) -> Option<&String> {
    let mut seen = HashSet::new();
    names.iter().find(|name| !seen.insert(*name))
}

fn has_gguf_extension(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}
