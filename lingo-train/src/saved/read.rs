//! Reading what was trained, and putting it on a pretrained model.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use lingo_core::adapter::LowRank;
use lingo_core::models::{Classifier, HeadLayout, Pretrained};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::names::{checkpoint_name, is_always_trained};
use super::{
    FORMAT, MANIFEST_FILE, MOST_PROMPT_BYTES, Manifest, OLDEST_FORMAT, Saved, SavedError,
    TENSORS_FILE,
};
use crate::config::Method;

/// Reads an ordinary file: a pipe or a device might never end.
fn read(path: &Path) -> Result<Vec<u8>, SavedError> {
    let content = || match std::fs::metadata(path)?.is_file() {
        true => std::fs::read(path),
        false => Err(Error::new(
            ErrorKind::InvalidInput,
            "it is no ordinary file",
        )),
    };
    content().map_err(|source| SavedError::Read {
        path: path.to_owned(),
        source,
    })
}

impl Manifest {
    /// Reads what is known of the adapter in `dir`.
    ///
    /// # Errors
    /// If the file is missing, damaged, or of another version.
    pub fn open(dir: &Path) -> Result<Self, SavedError> {
        let path = dir.join(MANIFEST_FILE);
        match path.symlink_metadata() {
            Ok(_) => Self::read(&path),
            Err(_) => Err(SavedError::None {
                dir: dir.to_owned(),
            }),
        }
    }

    /// Reads what is known of an adapter from a file of any name.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn read(path: &Path) -> Result<Self, SavedError> {
        let path = path.to_owned();
        let manifest: Manifest =
            serde_json::from_slice(&read(&path)?).map_err(|source| SavedError::Manifest {
                path: path.clone(),
                source,
            })?;
        if !(OLDEST_FORMAT..=FORMAT).contains(&manifest.format) {
            let found = manifest.format;
            return Err(SavedError::Format { path, found });
        }
        for (key, part) in [("prefix", &manifest.prefix), ("suffix", &manifest.suffix)] {
            let found = part.len();
            if found > MOST_PROMPT_BYTES {
                return Err(SavedError::Prompt { path, key, found });
            }
        }
        Ok(manifest)
    }
}

impl Saved {
    /// Reads the adapter in `dir`.
    ///
    /// # Errors
    /// If a file is missing, damaged, or of another version.
    pub fn open(dir: &Path) -> Result<Self, SavedError> {
        let manifest = Manifest::open(dir)?;
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
        let mut tensors = self.tensors()?;
        let mut classifier = classifier;
        let device = classifier.device();
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
            let lambda = match self.has_singular_values() {
                true => Some(Tensor::from_data(take("lambda", &[rank])?, &device)),
                false => None,
            };
            let scale = self.manifest.scale;
            projection.adapter = Some(LowRank::new(p, q, lambda, scale, 0.0));
        }
        self.fill(classifier, tensors)
    }

    /// A classifier of the pretrained `backbone` with the saved tensors.
    ///
    /// # Errors
    /// If a tensor is missing, of another shape, or belongs nowhere.
    pub fn put_on(&self, backbone: Pretrained, head: HeadLayout) -> Result<Classifier, SavedError> {
        self.check_head(&head, backbone.width())?;
        let (outputs, seed) = (self.manifest.objective.outputs(), self.manifest.seed);
        self.apply(Classifier::with_new_head(backbone, head, outputs, seed))
    }

    /// Checks that there is a head from `width` to as many outputs as the manifest says, before anything is made of that
    /// size.
    ///
    /// # Errors
    /// If there is none, or it is of another size.
    fn check_head(&self, layout: &HeadLayout, width: usize) -> Result<(), SavedError> {
        let file = SafeTensors::deserialize(&self.bytes).map_err(|source| SavedError::Tensors {
            path: self.path.clone(),
            source,
        })?;
        let objective = &self.manifest.objective;
        let (outputs, fewest) = (objective.outputs(), objective.fewest_outputs());
        let name = format!("{}.weight", layout.output);
        let Ok(head) = file.tensor(&name) else {
            return Err(self.problem(&name, "is missing"));
        };
        match *head.shape() {
            [rows, d] if rows == outputs && rows >= fewest && d == width => Ok(()),
            ref shape => {
                let problem = format!(
                    "has shape {shape:?}; a head for {objective}, of which there are at least {fewest}, has \
                     [{outputs}, {width}]"
                );
                Err(self.problem(&name, &problem))
            }
        }
    }

    /// Checks, before anything is made of them, that an adapter's tensors are those of a model whose layers are `width` wide
    /// and whose matrices have the shapes `[d_output, d_input]` that `matrix` tells by path.
    ///
    /// # Errors
    /// If a tensor is missing, of another shape or belongs nowhere, or holds what is no number.
    pub fn check_fits(
        &self,
        layout: &HeadLayout,
        width: usize,
        matrix: &dyn Fn(&str) -> Option<[usize; 2]>,
    ) -> Result<(), SavedError> {
        self.check_head(layout, width)?;
        let mut tensors = self.tensors()?;
        for (name, data) in &tensors {
            if let Some(number) = data.iter::<f32>().find(|number| !number.is_finite()) {
                let problem = format!(
                    "holds {number}: the training diverged or the file is damaged; train again, or take another \
                     checkpoint of the run"
                );
                return Err(self.problem(name, &problem));
            }
        }
        for (path, &rank) in self.manifest.ranks.iter().filter(|(_, rank)| **rank > 0) {
            let Some([d_output, d_input]) = matrix(path) else {
                return Err(
                    self.problem(&format!("{path}.P"), "belongs to no matrix of this model")
                );
            };
            let lambda = self.has_singular_values().then_some(("lambda", vec![rank]));
            let factors = [("P", vec![d_output, rank]), ("Q", vec![rank, d_input])];
            for (factor, shape) in factors.into_iter().chain(lambda) {
                self.take(&mut tensors, &format!("{path}.{factor}"), &shape)?;
            }
        }
        let outputs = self.manifest.objective.outputs();
        let layers = [(Some(layout.output), outputs), (layout.pooler, width)];
        for (layer, rows) in layers {
            let Some(layer) = layer else { continue };
            for (part, shape) in [("weight", vec![rows, width]), ("bias", vec![rows])] {
                let name = format!("{layer}.{part}");
                if tensors.contains_key(&name) {
                    self.take(&mut tensors, &name, &shape)?;
                }
            }
        }
        match tensors.into_keys().next() {
            Some(name) => Err(self.problem(&name, "belongs to no matrix of this model")),
            None => Ok(()),
        }
    }

    /// Whether its corrections are triplets, with λ.
    pub(super) fn has_singular_values(&self) -> bool {
        match self.manifest.method {
            Method::AdaLora | Method::AdaptiveRankSampling => true,
            Method::Lora | Method::Full => false,
        }
    }

    /// Puts the tensors that belong to no correction in their places; none may be left over.
    pub(super) fn fill(
        &self,
        classifier: Classifier,
        tensors: BTreeMap<String, TensorData>,
    ) -> Result<Classifier, SavedError> {
        let device = classifier.device();
        let mut filler = Fill {
            path: Vec::new(),
            layout: classifier.layout().clone(),
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

    /// All tensors by name: of each adapted matrix `P`, `Q` and, where it has singular values, `lambda` behind its path;
    /// the head's and others by the checkpoint's names.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn tensors(&self) -> Result<BTreeMap<String, TensorData>, SavedError> {
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

    pub(super) fn take(
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

    pub(super) fn problem(&self, name: &str, problem: &str) -> SavedError {
        SavedError::Tensor {
            path: self.path.clone(),
            name: name.to_owned(),
            problem: problem.to_owned(),
        }
    }
}

/// Puts saved tensors in their places.
struct Fill<'a> {
    path: Vec<String>,
    layout: HeadLayout,
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
        let Some((name, transposed)) = checkpoint_name(&self.path, &self.layout) else {
            return param;
        };
        // A pooler of the checkpoint's own is there only where it was trained.
        let expected = self.all || is_always_trained(&self.path);
        if self.problem.is_some() || !(expected || self.tensors.contains_key(&name)) {
            return param;
        }
        let mut shape = param.dims();
        if transposed {
            shape.swap(0, 1);
        }
        match self.saved.take(&mut self.tensors, &name, &shape) {
            Ok(data) => {
                // Of the type that the weight has, in which the model may be loaded.
                let own = param.val().dtype();
                let value = Tensor::<D>::from_data(data, (&self.device, own));
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
