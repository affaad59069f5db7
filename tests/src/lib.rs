//! What the end-to-end tests share: fixtures and models.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData};
use lingo_core::models::{Classifier, Pretrained, TokenBatch};
use lingo_core::nn::{Loader, Precision};
use lingo_train::data::{Batch, Label};
use weights_import::Checkpoint;

/// A path below `tests/fixtures`.
pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(path)
}

/// The tensors of a fixture file.
pub struct Expected(BTreeMap<String, (Vec<usize>, Vec<u8>)>);

impl Expected {
    /// Reads a safetensors file below `tests/fixtures`.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn read(path: &str) -> Self {
        let bytes = std::fs::read(fixture(path)).expect("the fixture is there");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("the fixture is whole");
        let tensors = file
            .iter()
            .map(|(name, view)| {
                let content = (view.shape().to_vec(), view.data().to_vec());
                (name.to_owned(), content)
            })
            .collect();
        Self(tensors)
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// An f32 tensor.
    ///
    /// # Panics
    /// If it is missing.
    pub fn f32(&self, name: &str) -> TensorData {
        let (shape, bytes) = self.entry(name);
        let values: Vec<f32> = bytes
            .as_chunks()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        TensorData::new(values, shape.clone())
    }

    /// An i32 tensor.
    ///
    /// # Panics
    /// If it is missing.
    pub fn i32(&self, name: &str) -> (Vec<usize>, Vec<i32>) {
        let (shape, bytes) = self.entry(name);
        let chunks = bytes.as_chunks().0.iter();
        let values = chunks.map(|bytes| i32::from_le_bytes(*bytes)).collect();
        (shape.clone(), values)
    }

    /// A tensor of booleans.
    ///
    /// # Panics
    /// If it is missing.
    pub fn bools(&self, name: &str) -> Vec<bool> {
        self.entry(name).1.iter().map(|byte| *byte != 0).collect()
    }

    /// A batch from `{prefix}input_ids`, `{prefix}lengths` and `{prefix}labels`.
    ///
    /// # Panics
    /// If one is missing.
    pub fn batch(&self, prefix: &str) -> Batch {
        let (shape, ids) = self.i32(&format!("{prefix}input_ids"));
        let counts = |name: &str| {
            let (_, values) = self.i32(&format!("{prefix}{name}"));
            values.into_iter().map(|v| v as usize).collect::<Vec<_>>()
        };
        let labels = counts("labels").into_iter().map(Label::Class);
        Batch {
            number: 0,
            ids,
            shape: [shape[0], shape[1]],
            lengths: counts("lengths"),
            known_in_step: labels.len(),
            labels: labels.collect(),
            indices: (0..shape[0]).collect(),
        }
    }

    fn entry(&self, name: &str) -> &(Vec<usize>, Vec<u8>) {
        let found = self.0.get(name);
        found.unwrap_or_else(|| panic!("the fixture has no `{name}`"))
    }
}

/// Loads a classifier with its own head.
///
/// # Panics
/// If it does not load.
pub fn classifier(folder: &Path, device: &Device) -> Classifier {
    classifier_in(folder, device, Precision::F32, false)
}

/// Loads a classifier with its own head, to compute in `precision`; all weights are f32 where they are `masters`.
///
/// # Panics
/// If it does not load.
pub fn classifier_in(
    folder: &Path,
    device: &Device,
    precision: Precision,
    masters: bool,
) -> Classifier {
    let mut checkpoint = Checkpoint::open(folder).expect("the checkpoint opens");
    let config = checkpoint.config().clone();
    let classes = checkpoint.classes().expect("the checkpoint has a head");
    let loader = Loader::new(&mut checkpoint, device, None).with_precision(precision);
    let mut loader = match masters {
        true => loader.with_masters(),
        false => loader,
    };
    let backbone = Pretrained::load(&config, &mut loader).expect("the backbone loads");
    let model = Classifier::with_own_head(backbone, config.head(), classes, &mut loader)
        .expect("the head loads");
    checkpoint.check_complete().expect("no tensor is unknown");
    model
}

/// Token ids as a batch of one.
pub fn one(ids: &[u32], device: &Device) -> TokenBatch {
    let values: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
    let ids: Tensor<2, Int> = Tensor::from_data(TensorData::new(values, [1, ids.len()]), device);
    TokenBatch {
        lengths: vec![ids.dims()[1]],
        ids,
    }
}

/// Largest absolute difference of two tensors.
///
/// # Panics
/// If their shapes differ.
pub fn distance(a: &TensorData, b: &TensorData) -> f32 {
    assert_eq!(a.shape(), b.shape());
    let pairs = a.iter::<f32>().zip(b.iter::<f32>());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Largest absolute value of a tensor.
pub fn magnitude(a: &TensorData) -> f32 {
    a.iter::<f32>().map(f32::abs).fold(0.0, f32::max)
}

/// The folder that an environment variable names, for files that are not in the repository; a test that gets none
/// is passed over.
///
/// # Panics
/// If the variable is set and names no folder.
pub fn assets(variable: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os(variable).map(PathBuf::from) else {
        eprintln!("passed over: {variable} is not set");
        return None;
    };
    assert!(
        folder.is_dir(),
        "{variable} names no folder: {}",
        folder.display()
    );
    Some(folder)
}
