//! `lingo flops`.

use anyhow::{Result, bail};
use lingo_train::config::{AdapterConfig, Method};
use lingo_train::flops::of_step;
use weights_import::Checkpoint;

use crate::args::FlopsArgs;
use crate::device::select;
use crate::hub::locate;

/// Counts a training step of a model from its shape.
pub fn run(args: &FlopsArgs) -> Result<()> {
    if args.method == Method::Full && (args.rank.is_some() || !args.targets.is_empty()) {
        bail!("--rank and --targets are of adapters, which --method full does not have");
    }
    let model = Checkpoint::shape(&locate(&args.model)?.path)?;
    let mut adapter = AdapterConfig {
        method: args.method,
        ..AdapterConfig::default()
    };
    if !args.targets.is_empty() {
        adapter.targets.clone_from(&args.targets);
    }
    if let Some(rank) = args.rank {
        adapter.rank = rank;
        adapter.initial_rank = rank;
    }
    let device = select("cpu")?.device;
    let step = of_step(&model, &adapter, args.classes, &device)?;
    let shape = [args.batch_size, args.tokens];
    let parts = [
        ("forward", step.forward),
        ("activations", step.activations),
        ("weights", step.weights),
        ("total", step.total()),
    ]
    .map(|(name, flops)| (name, flops.of_batch(shape)));
    if parts.iter().any(|(_, flops)| *flops == u64::MAX) {
        bail!(
            "a step of {} x {} tokens is of 2^64 operations or more, which are not counted; give smaller --tokens or \
             --batch-size",
            args.batch_size,
            args.tokens
        );
    }
    let limit = model.max_tokens();
    if args.tokens > limit {
        note!(
            "note: this model takes at most {limit} tokens; training cuts longer sequences, and has no such step"
        );
    }
    if args.json {
        let parts = parts.map(|(name, flops)| (name.to_owned(), flops.into()));
        let object = serde_json::Map::from_iter(parts);
        result!("{}", serde_json::to_string_pretty(&object)?);
        return Ok(());
    }
    result!("model       {} ({})", args.model.display(), model.summary());
    match args.method {
        Method::Full => result!("method      full"),
        method => result!(
            "method      {} of rank {} on {}",
            method.name(),
            if method == Method::Lora {
                adapter.rank
            } else {
                adapter.initial_rank
            },
            adapter.targets.join(" ")
        ),
    }
    result!("batch       {} x {} tokens", args.batch_size, args.tokens);
    let [forward, activations, weights, total] = parts.map(|(_, flops)| flops as f64 / 1e12);
    result!("forward     {forward:>12.6} TFLOP");
    result!("backward    {activations:>12.6} TFLOP through activations");
    result!("            {weights:>12.6} TFLOP for weights");
    result!("step        {total:>12.6} TFLOP");
    Ok(())
}
