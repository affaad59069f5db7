//! Writing what was trained.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use lingo_core::adapter::LowRank;
use lingo_core::models::{Classifier, HeadLayout};
use safetensors::tensor::Dtype;

use super::names::{checkpoint_name, is_always_trained};
use super::{MANIFEST_FILE, Manifest, SavedError, TENSORS_FILE};
use crate::config::Method;
use crate::record::{RecordError, write_atomically};

/// Writes the trained tensors of `classifier` to `dir`: of each adapter the triplets `survivors` (all, without),
/// the head, and the tensors that are called in `brought`; under full fine-tuning every tensor. Matrices without surviving triplets are left out. Returns the
/// ranks written.
///
/// # Errors
/// If a file cannot be written.
pub fn save(
    dir: &Path,
    classifier: &Classifier,
    survivors: Option<&[Vec<usize>]>,
    brought: &[String],
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
        layout: classifier.layout(),
        all: manifest.method == Method::Full,
        brought,
        wanted: &|_| true,
        tensors: &mut tensors,
    };
    // Adapters were written above, pruned; here come the head and, under full fine-tuning, all else.
    classifier.visit(&mut visitor);

    write(dir, &manifest, &tensors)?;
    Ok(manifest)
}

/// Tensors of a classifier without adapters, by the checkpoint's canonical names: those whose names pass.
pub fn tensors_of(
    classifier: &Classifier,
    wanted: &dyn Fn(&str) -> bool,
) -> BTreeMap<String, TensorData> {
    named_tensors(classifier, classifier.layout(), wanted)
}

/// Tensors of a model with a field `backbone` and perhaps a head of `layout`, by the checkpoint's canonical names: those
/// whose names pass.
pub fn named_tensors(
    model: &impl Module,
    layout: &HeadLayout,
    wanted: &dyn Fn(&str) -> bool,
) -> BTreeMap<String, TensorData> {
    let mut tensors = BTreeMap::new();
    model.visit(&mut Collect {
        path: Vec::new(),
        layout,
        all: true,
        brought: &[],
        wanted,
        tensors: &mut tensors,
    });
    tensors
}

/// Writes tensors, whose names and shapes the manifest describes, to `dir`.
///
/// # Errors
/// If a file cannot be written.
pub fn write(
    dir: &Path,
    manifest: &Manifest,
    tensors: &BTreeMap<String, TensorData>,
) -> Result<(), SavedError> {
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
    let text = serde_json::to_string_pretty(manifest).map_err(|source| SavedError::Manifest {
        path: path.clone(),
        source,
    })?;
    Ok(write_atomically(&path, text.as_bytes())?)
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

/// Collects trained tensors that belong to no adapter: all, or those of the head.
struct Collect<'a> {
    path: Vec<String>,
    layout: &'a HeadLayout,
    // Whether a tensor was trained cannot be seen in a model that is made ready for evaluation.
    all: bool,
    // Of the adapter that training went on from.
    brought: &'a [String],
    wanted: &'a dyn Fn(&str) -> bool,
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
        let Some((name, transposed)) = checkpoint_name(&self.path, self.layout) else {
            return;
        };
        let trained = self.all || is_always_trained(&self.path) || self.brought.contains(&name);
        if trained && (self.wanted)(&name) {
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
