//! What a run leaves behind: the trained tensors alone, and what must be known to use them again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use lingo_core::adapter::LowRank;
use lingo_core::models::{Backbone, Classifier};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::config::Method;
use crate::record::{RecordError, write_atomically};

/// The file with the tensors.
pub const TENSORS_FILE: &str = "adapter.safetensors";
/// The file that describes them.
pub const MANIFEST_FILE: &str = "adapter.json";
/// The version of the format that is written, and the only one that is read.
pub const FORMAT: u32 = 1;

/// Why a saved adapter cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The manifest is not one of ours.
    #[error("{}: {source}; it is no adapter that this version of lingo wrote", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The manifest was written by a newer version.
    #[error("{}: adapter format {found}, this version of lingo reads {FORMAT}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format's number.
        found: u32,
    },
    /// The tensor file is damaged.
    #[error("{}: {source}; the file is damaged or not complete", path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: safetensors::SafeTensorError,
    },
    /// A tensor is missing, or is not as the model needs it.
    #[error("{}: tensor `{name}` {problem}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] RecordError),
}

/// What must be known to use the tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub format: u32,
    /// The pretrained model, whose tokenizer is used too.
    pub model: PathBuf,
    /// Its architecture.
    pub model_type: String,
    /// How it was adapted.
    pub method: Method,
    /// `C`.
    pub classes: usize,
    /// The prompt's part before the DNA.
    pub prefix: String,
    /// The prompt's part behind the DNA.
    pub suffix: String,
    /// Longest input, in tokens.
    pub max_tokens: usize,
    /// Whether the token table was restricted to what prompt and DNA can reach.
    pub restricted: bool,
    /// What the product of an adapter's factors is multiplied with.
    pub scale: f64,
    /// Surviving ranks of each adapted matrix.
    pub ranks: BTreeMap<String, usize>,
    /// Optimizer steps behind it.
    pub steps: u64,
    /// The run's seed.
    pub seed: u64,
    /// Version of lingo that wrote it.
    pub version: String,
}

/// A saved adapter, read.
#[derive(Debug)]
pub struct Saved {
    /// Its description.
    pub manifest: Manifest,
    path: PathBuf,
    bytes: Vec<u8>,
}

/// Writes the trained tensors of `classifier` to `dir`: of each adapter the triplets `survivors` (all, without),
/// and the head; under full fine-tuning every tensor. Matrices without surviving triplets are left out. Returns the
/// ranks written.
///
/// # Errors
/// If a file cannot be written.
pub fn save(
    dir: &Path,
    classifier: &Classifier,
    survivors: Option<&[Vec<usize>]>,
    mut manifest: Manifest,
) -> Result<Manifest, SavedError> {
    let mut tensors = BTreeMap::new();
    for (i, (path, adapter)) in classifier.adapters().into_iter().enumerate() {
        let all: Vec<usize> = (0..adapter.rank()).collect();
        let kept = survivors.map_or(all.as_slice(), |survivors| survivors[i].as_slice());
        manifest.ranks.insert(path.clone(), kept.len());
        if !kept.is_empty() {
            insert_adapter(&mut tensors, &path, adapter, kept);
        }
    }
    let mut visitor = Collect {
        path: Vec::new(),
        all: manifest.method == Method::Full,
        tensors: &mut tensors,
    };
    // Adapters were written above, pruned; here come the head and, under full fine-tuning, all else.
    classifier.visit(&mut visitor);

    std::fs::create_dir_all(dir).map_err(|source| RecordError {
        path: dir.to_owned(),
        source,
    })?;
    let path = dir.join(TENSORS_FILE);
    let views = tensors.iter().map(|(name, data)| (name, View(data)));
    let content = safetensors::serialize(views, None).map_err(|source| SavedError::Tensors {
        path: path.clone(),
        source,
    })?;
    write_atomically(&path, &content)?;
    let path = dir.join(MANIFEST_FILE);
    let text = serde_json::to_string_pretty(&manifest).map_err(|source| SavedError::Manifest {
        path: path.clone(),
        source,
    })?;
    write_atomically(&path, text.as_bytes())?;
    Ok(manifest)
}

impl Saved {
    /// Reads the adapter in `dir`.
    ///
    /// # Errors
    /// If a file is missing, damaged, or of a newer version.
    pub fn open(dir: &Path) -> Result<Self, SavedError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| SavedError::Read {
                path: path.to_owned(),
                source,
            })
        };
        let path = dir.join(MANIFEST_FILE);
        let manifest: Manifest =
            serde_json::from_slice(&read(&path)?).map_err(|source| SavedError::Manifest {
                path: path.clone(),
                source,
            })?;
        if manifest.format != FORMAT {
            let found = manifest.format;
            return Err(SavedError::Format { path, found });
        }
        let path = dir.join(TENSORS_FILE);
        let bytes = read(&path)?;
        Ok(Self {
            manifest,
            path,
            bytes,
        })
    }

    /// Puts the saved tensors into `classifier`, which has the pretrained weights, and a head of any values.
    ///
    /// # Errors
    /// If a tensor is missing, of another shape, or belongs nowhere.
    pub fn apply(&self, classifier: Classifier) -> Result<Classifier, SavedError> {
        let mut tensors = self.read_tensors()?;
        let mut classifier = classifier;
        let device = classifier.score.weight.device();
        let paths = classifier.projection_paths();
        for (path, projection) in paths.iter().zip(classifier.backbone.projections_mut()) {
            let rank = self.manifest.ranks.get(path).copied().unwrap_or(0);
            if rank == 0 {
                continue;
            }
            let [d_input, d_output] = projection.dims();
            let mut take = |part: &str, shape: &[usize]| {
                self.take(&mut tensors, &format!("{path}.{part}"), shape)
            };
            let p = Tensor::from_data(take("P", &[d_output, rank])?, &device);
            let q = Tensor::from_data(take("Q", &[rank, d_input])?, &device);
            let lambda = match self.manifest.method {
                Method::AdaLora | Method::AdaptiveRankSampling => {
                    Some(Tensor::from_data(take("lambda", &[rank])?, &device))
                }
                Method::Lora | Method::Full => None,
            };
            let scale = self.manifest.scale;
            projection.adapter = Some(LowRank::new(p, q, lambda, scale, 0.0));
        }
        let mut filler = Fill {
            path: Vec::new(),
            all: self.manifest.method == Method::Full,
            device,
            saved: self,
            tensors,
            problem: None,
        };
        let classifier = classifier.map(&mut filler);
        if let Some(problem) = filler.problem {
            return Err(problem);
        }
        match filler.tensors.into_keys().next() {
            Some(name) => Err(self.problem(&name, "belongs to no matrix of this model")),
            None => Ok(classifier),
        }
    }

    fn read_tensors(&self) -> Result<BTreeMap<String, TensorData>, SavedError> {
        let file = SafeTensors::deserialize(&self.bytes).map_err(|source| SavedError::Tensors {
            path: self.path.clone(),
            source,
        })?;
        file.iter()
            .map(|(name, view)| Ok((name.to_owned(), self.decode(name, &view)?)))
            .collect()
    }

    fn decode(&self, name: &str, view: &TensorView<'_>) -> Result<TensorData, SavedError> {
        if view.dtype() != Dtype::F32 {
            return Err(self.problem(name, &format!("is {:?}, expected F32", view.dtype())));
        }
        let values: Vec<f32> = view
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        Ok(TensorData::new(values, view.shape().to_vec()))
    }

    fn take(
        &self,
        tensors: &mut BTreeMap<String, TensorData>,
        name: &str,
        shape: &[usize],
    ) -> Result<TensorData, SavedError> {
        let Some(data) = tensors.remove(name) else {
            return Err(self.problem(name, "is missing"));
        };
        if data.shape()[..] != *shape {
            let problem = format!(
                "has shape {:?}, the model needs {shape:?}",
                &data.shape()[..]
            );
            return Err(self.problem(name, &problem));
        }
        Ok(data)
    }

    fn problem(&self, name: &str, problem: &str) -> SavedError {
        SavedError::Tensor {
            path: self.path.clone(),
            name: name.to_owned(),
            problem: problem.to_owned(),
        }
    }
}

fn insert_adapter(
    tensors: &mut BTreeMap<String, TensorData>,
    path: &str,
    adapter: &LowRank,
    kept: &[usize],
) {
    let rows: Vec<i64> = kept.iter().map(|i| *i as i64).collect();
    let device = adapter.q.val().device().inner();
    let rows = Tensor::from_data(TensorData::new(rows, [kept.len()]), &device);
    let p = adapter.p.val().inner().select(1, rows.clone());
    let q = adapter.q.val().inner().select(0, rows.clone());
    tensors.insert(format!("{path}.P"), p.into_data());
    tensors.insert(format!("{path}.Q"), q.into_data());
    if let Some(lambda) = &adapter.lambda {
        let lambda = lambda.val().inner().select(0, rows);
        tensors.insert(format!("{path}.lambda"), lambda.into_data());
    }
}

/// The checkpoint's name of the tensor at a module path, and whether it is stored transposed; none for parts of an
/// adapter.
fn checkpoint_name(path: &[String]) -> Option<(String, bool)> {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    if parts.contains(&"adapter") {
        return None;
    }
    // The backbone and its variant are ours, and so is the layer inside a projection.
    let inside = match parts.as_slice() {
        ["backbone", _variant, rest @ ..] => rest,
        rest => rest,
    };
    let names: Vec<&str> = inside
        .iter()
        .filter(|part| **part != "base")
        .map(|part| match *part {
            "gamma" => "weight",
            "beta" => "bias",
            other => other,
        })
        .collect();
    let table = names.iter().any(|name| name.starts_with("embed_"));
    let transposed = inside.last() == Some(&"weight") && !table;
    Some((names.join("."), transposed))
}

/// Collects trained tensors that belong to no adapter: all, or those of the head.
struct Collect<'a> {
    path: Vec<String>,
    // Whether a tensor was trained cannot be seen in a model that is made ready for evaluation.
    all: bool,
    tensors: &'a mut BTreeMap<String, TensorData>,
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !(self.all || is_head(&self.path)) {
            return;
        }
        if let Some((name, transposed)) = checkpoint_name(&self.path) {
            let value = param.val().inner();
            let value = if transposed {
                value.swap_dims(0, 1)
            } else {
                value
            };
            self.tensors.insert(name, value.into_data());
        }
    }
}

/// Puts saved tensors in their places.
struct Fill<'a> {
    path: Vec<String>,
    all: bool,
    device: Device,
    saved: &'a Saved,
    tensors: BTreeMap<String, TensorData>,
    problem: Option<SavedError>,
}

impl ModuleMapper for Fill<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some((name, transposed)) = checkpoint_name(&self.path) else {
            return param;
        };
        if self.problem.is_some() || !(self.all || is_head(&self.path)) {
            return param;
        }
        let mut shape = param.dims();
        if transposed {
            shape.swap(0, 1);
        }
        match self.saved.take(&mut self.tensors, &name, &shape) {
            Ok(data) => {
                let value = Tensor::<D>::from_data(data, &self.device);
                let value = if transposed {
                    value.swap_dims(0, 1)
                } else {
                    value
                };
                param.map(|_| value)
            }
            Err(problem) => {
                self.problem = Some(problem);
                param
            }
        }
    }
}

fn is_head(path: &[String]) -> bool {
    path.first().is_some_and(|part| part == "score")
}

/// A tensor's values as safetensors takes them.
struct View<'a>(&'a TensorData);

impl safetensors::View for View<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        self.0.as_bytes().into()
    }

    fn data_len(&self) -> usize {
        self.0.as_bytes().len()
    }
}
