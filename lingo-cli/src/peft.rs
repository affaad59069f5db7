//! Between our adapters and PEFT's.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use burn::tensor::TensorData;
use lingo_core::nn::Precision;
use lingo_core::weights::WeightSample;
use lingo_train::config::Method;
use lingo_train::data::Objective;
use lingo_train::saved::{self, Manifest, Saved};
use lingo_train::task::Layout;
use weights_import::Checkpoint;
use weights_import::hub::HubId;
use weights_import::peft::{Factors, PeftAdapter};

/// What stands behind a matrix's path in the names of our tensors.
const FACTORS: [&str; 3] = ["P", "Q", "lambda"];

/// What PEFT calls a pretrained model: a path, or a name of the hub, and of the latter the commit.
fn base_model(model: &Path) -> (String, Option<String>) {
    let name = model.display().to_string();
    match HubId::parse(&name) {
        Some(id) => (id.repository(), id.revision().map(str::to_owned)),
        None => (name, None),
    }
}

/// A saved adapter as PEFT has it, for the model that it was trained on.
pub fn to_peft(saved: &Saved, model: &Checkpoint) -> Result<PeftAdapter> {
    let manifest = &saved.manifest;
    if manifest.method == Method::Full {
        bail!("a fully fine-tuned model has no adapter; it is a checkpoint by itself");
    }
    let mut tensors = saved.tensors()?;
    if tensors.keys().any(|name| name.ends_with(".added")) {
        bail!(
            "this adapter has tokens of its own (tokenizer.kind = \"{}\"), and PEFT has no place for their rows",
            manifest.tokenizer.name()
        );
    }
    let config = model.config();
    saved.check_fits(&config.head(), config.width(), &|path| model.matrix(path))?;
    let mut matrices = BTreeMap::new();
    for path in manifest
        .ranks
        .iter()
        .filter(|(_, rank)| **rank > 0)
        .map(|(path, _)| path)
    {
        let [p, q, lambda] = FACTORS.map(|factor| tensors.remove(&format!("{path}.{factor}")));
        let (Some(p), Some(q)) = (p, q) else {
            bail!("the adapter lacks factors of {path}: its file is damaged");
        };
        matrices.insert(path.clone(), Factors { p, q, lambda });
    }
    let (base_model, revision) = base_model(&manifest.model);
    Ok(PeftAdapter {
        base_model: Some(base_model),
        revision,
        singular_values: manifest.method != Method::Lora,
        scale: manifest.scale,
        dropout: 0.0,
        matrices,
        head: tensors,
    })
}

/// What a head of so many rows answers: PEFT does not say.
fn objective(rows: usize, beside: Option<&Manifest>, labels: &[String]) -> Result<Objective> {
    let known = beside.map(|manifest| &manifest.objective);
    match (labels.len(), known) {
        (0, Some(labels @ Objective::Labels(_))) if labels.outputs() == rows => Ok(labels.clone()),
        (0, _) if rows >= 2 => Ok(Objective::Classes(rows)),
        (0, _) => bail!(
            "the adapter's head has {rows} rows: a classifier has a row for each of at least 2 classes, or for each \
             label, whose names --labels gives"
        ),
        (names, _) if names == rows => Ok(Objective::Labels(labels.into())),
        (names, _) => bail!("--labels: {names} names for a head of {rows} rows"),
    }
}

/// What an adapter's inputs are.
pub struct Inputs {
    /// What they consist of.
    pub layout: Layout,
    /// A hash of what the tokenizer makes of them.
    pub tokens: Option<String>,
}

/// Writes PEFT's adapter as ours, for the model `checkpoint` that is called `base`, with what else the manifest beside it
/// says.
pub fn write(
    dir: &Path,
    adapter: PeftAdapter,
    base: &Path,
    checkpoint: &Checkpoint,
    beside: Option<Manifest>,
    labels: &[String],
    Inputs { layout, tokens }: Inputs,
) -> Result<()> {
    let model = checkpoint.config();
    let output = format!("{}.weight", model.head().output);
    let objective = match adapter.head.get(&output).map(|head| &head.shape()[..]) {
        Some(&[rows, _]) => objective(rows, beside.as_ref(), labels)?,
        Some(shape) => {
            bail!("the adapter's head (`{output}`) has shape {shape:?}, expected a row an output")
        }
        None => bail!(
            "the adapter has no head (`{output}`): it was not trained to classify, or its head was not saved \
             (modules_to_save)"
        ),
    };
    let ranks = adapter.matrices.iter();
    let ranks = ranks
        .map(|(path, factors)| (path.clone(), factors.rank()))
        .collect();
    let known = beside.unwrap_or(Manifest {
        format: saved::FORMAT,
        model: base.to_owned(),
        model_type: model.model_type().to_owned(),
        base_weights: WeightSample::default(),
        base_tokens: None,
        method: Method::Lora,
        objective: objective.clone(),
        tokenizer: layout.kind,
        prefix: String::new(),
        suffix: String::new(),
        max_tokens: 0,
        restricted: true,
        precision: Precision::F32,
        scale: 0.0,
        ranks: BTreeMap::new(),
        steps: 0,
        seed: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    });
    let manifest = Manifest {
        model: base.to_owned(),
        model_type: model.model_type().to_owned(),
        base_weights: checkpoint.sample(),
        base_tokens: tokens,
        method: match (adapter.singular_values, known.method) {
            (true, Method::AdaptiveRankSampling) => Method::AdaptiveRankSampling,
            (true, _) => Method::AdaLora,
            (false, _) => Method::Lora,
        },
        objective,
        tokenizer: layout.kind,
        prefix: layout.prompt.prefix,
        suffix: layout.prompt.suffix,
        scale: adapter.scale,
        ranks,
        ..known
    };
    let mut tensors: BTreeMap<String, TensorData> = adapter.head;
    for (path, Factors { p, q, lambda }) in adapter.matrices {
        tensors.insert(format!("{path}.P"), p);
        tensors.insert(format!("{path}.Q"), q);
        if let Some(lambda) = lambda {
            tensors.insert(format!("{path}.lambda"), lambda);
        }
    }
    Ok(saved::write(dir, &manifest, &tensors)?)
}
