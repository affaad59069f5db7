//! Every key of a run file: where it is read, its default and what it may be.

use lingo_core::nn::Precision;
use toml::Value;

use super::RunConfig;
use super::adapter::{AdapterConfig, Method};
use super::bound::Bound;
use super::read::Reader;
use super::sections::{
    DataConfig, OutputConfig, PromptConfig, Restrict, TokenizerConfig, TokenizerKind, TrainConfig,
};
use crate::data::first_twice;
use crate::metric::MetricName;

/// Reads every key; `None` where a key without a default is missing (which is then among the problems).
pub(super) fn read_run(reader: &mut Reader<'_>) -> Option<RunConfig> {
    let model = reader.path_or_name("model");
    if model.is_none() {
        reader.require(
            "model",
            "the path of a Hugging Face folder or a .gguf file, or a model of the hub such as \"facebook/opt-125m\"",
        );
    }
    let device = reader.text("device").unwrap_or_else(|| "cpu".into());
    if device.trim().is_empty() {
        reader.problem(
            "device",
            "is empty",
            "a device such as cpu, wgpu, wgpu:1 or cuda:0",
        );
    }
    let seed = reader.count("seed", 0).unwrap_or(42) as u64;
    let data = read_data(reader);
    let prompt = read_prompt(reader);
    let tokenizer = read_tokenizer(reader);
    let adapter = read_adapter(reader);
    let train = read_train(reader);
    let output = OutputConfig {
        dir: reader.path_here("output.dir"),
    };
    Some(RunConfig {
        model: model?,
        device,
        seed,
        data,
        prompt,
        tokenizer,
        adapter,
        train,
        output,
    })
}

fn read_data(reader: &mut Reader<'_>) -> DataConfig {
    let root = reader.path("data.root");
    let dir = reader.path_under("data.dir", root.as_deref());
    let mut split = |key| reader.path_under(key, dir.as_deref());
    let (train, dev, test) = (split("data.train"), split("data.dev"), split("data.test"));
    let data = DataConfig {
        root,
        dir,
        train,
        dev,
        test,
        labels: read_labels(reader),
        in_memory_mib: reader
            .count("data.in_memory_mib", 0)
            .unwrap_or(DataConfig::default().in_memory_mib),
        cache: reader.path_here("data.cache"),
    };
    if data.dir.is_none() && (data.train.is_none() || data.dev.is_none() || data.test.is_none()) {
        // Keys that are there but unusable have been reported already.
        if !reader.has_problem_below("data") {
            reader.problem(
                "data",
                "does not say where all splits are",
                "dir = \"folder with train.csv, dev.csv and test.csv\", or all three of train, dev and test = \"file\"",
            );
        }
    }
    data
}

fn read_labels(reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let example = "[\"H3K4me3\", \"H3K27ac\"]";
    let labels = reader.texts("data.labels", example)?;
    let accepted = &format!("a list of different names, at least one, for example {example}");
    if labels.is_empty() {
        reader.problem("data.labels", "is empty", accepted);
    }
    if let Some(twice) = first_twice(&labels) {
        reader.problem("data.labels", &format!("has `{twice}` twice"), accepted);
    }
    Some(labels)
}

fn read_prompt(reader: &mut Reader<'_>) -> PromptConfig {
    let domain = reader.text("prompt.domain");
    let prompt = PromptConfig {
        prefix: reader.language("prompt.prefix"),
        suffix: reader.language("prompt.suffix"),
        domain,
    };
    prompt.with_domain()
}

fn read_tokenizer(reader: &mut Reader<'_>) -> TokenizerConfig {
    let kind = reader.choice("tokenizer.kind", &TokenizerKind::ALL, TokenizerKind::name);
    let max_tokens = reader.count("tokenizer.max_tokens", 0).unwrap_or(0);
    let accepted = "\"auto\", true or false";
    let restrict = match reader.raw("tokenizer.restrict") {
        None => Restrict::Auto,
        Some(Value::Boolean(true)) => Restrict::On,
        Some(Value::Boolean(false)) => Restrict::Off,
        Some(Value::String(text)) if text == "auto" => Restrict::Auto,
        Some(other) => {
            let found = format!("is {other}");
            reader.problem("tokenizer.restrict", &found, accepted);
            Restrict::Auto
        }
    };
    TokenizerConfig {
        kind,
        max_tokens,
        restrict,
    }
}

fn read_adapter(reader: &mut Reader<'_>) -> AdapterConfig {
    let default = AdapterConfig::default();
    let at_least_zero = Bound::AtLeast(0.0);
    let fraction = Bound::FromBelow(0.0, 1.0);
    let config = AdapterConfig {
        method: reader
            .choice("adapter.method", &Method::ALL, Method::name)
            .unwrap_or(default.method),
        targets: reader
            .texts("adapter.targets", "[\"Wq\", \"Wv\"]")
            .unwrap_or(default.targets),
        from: reader.path("adapter.from"),
        alpha: reader
            .number("adapter.alpha", Bound::Above(0.0))
            .unwrap_or(default.alpha),
        dropout: reader
            .number("adapter.dropout", fraction)
            .unwrap_or(default.dropout),
        rank: reader.count("adapter.rank", 1).unwrap_or(default.rank),
        initial_rank: reader
            .count("adapter.initial_rank", 1)
            .unwrap_or(default.initial_rank),
        target_rank: reader
            .count("adapter.target_rank", 1)
            .unwrap_or(default.target_rank),
        warmup_steps: reader
            .count("adapter.warmup_steps", 0)
            .unwrap_or(default.warmup_steps),
        final_ratio: reader
            .number("adapter.final_ratio", fraction)
            .unwrap_or(default.final_ratio),
        interval: reader
            .count("adapter.interval", 1)
            .unwrap_or(default.interval),
        beta1: reader
            .number("adapter.beta1", fraction)
            .unwrap_or(default.beta1),
        beta2: reader
            .number("adapter.beta2", fraction)
            .unwrap_or(default.beta2),
        p: reader
            .number("adapter.p", Bound::Within(0.0, 1.0))
            .unwrap_or(default.p),
        orthogonality: reader
            .number("adapter.orthogonality", at_least_zero)
            .unwrap_or(default.orthogonality),
    };
    if config.method == Method::Full && config.from.is_some() {
        let accepted =
            "no such key under full, which has no adapter; as model, a merged export of the run";
        reader.problem("adapter.from", "is set", accepted);
    }
    if config.target_rank > config.initial_rank {
        let found = format!("{} is above adapter.initial_rank", config.target_rank);
        let accepted = format!(
            "a whole number from 1 to adapter.initial_rank = {}",
            config.initial_rank
        );
        reader.problem("adapter.target_rank", &found, &accepted);
    }
    if config.method != Method::Full && config.targets.is_empty() {
        reader.problem(
            "adapter.targets",
            "is empty, so nothing would be adapted",
            "names such as \"Wq\" or suffixes of the checkpoint's own paths",
        );
    }
    config
}

fn read_train(reader: &mut Reader<'_>) -> TrainConfig {
    let default = TrainConfig::default();
    let at_least_zero = Bound::AtLeast(0.0);
    let select_by = reader
        .choice("train.select_by", &MetricName::ALL, MetricName::name)
        .unwrap_or(default.select_by);
    TrainConfig {
        epochs: reader.count("train.epochs", 1).unwrap_or(default.epochs),
        max_steps: reader
            .count("train.max_steps", 0)
            .unwrap_or(default.max_steps),
        batch_size: reader
            .count("train.batch_size", 1)
            .unwrap_or(default.batch_size),
        eval_batch_size: reader
            .count("train.eval_batch_size", 1)
            .unwrap_or(default.eval_batch_size),
        learning_rate: reader
            .number("train.learning_rate", Bound::Above(0.0))
            .unwrap_or(default.learning_rate),
        weight_decay: reader
            .number("train.weight_decay", at_least_zero)
            .unwrap_or(default.weight_decay),
        warmup_ratio: reader
            .number("train.warmup_ratio", Bound::Within(0.0, 1.0))
            .unwrap_or(default.warmup_ratio),
        gradient_accumulation: reader
            .count("train.gradient_accumulation", 1)
            .unwrap_or(default.gradient_accumulation),
        max_grad_norm: reader
            .number("train.max_grad_norm", at_least_zero)
            .unwrap_or(default.max_grad_norm),
        precision: reader
            .choice("train.precision", &Precision::ALL, Precision::name)
            .unwrap_or(default.precision),
        gradient_checkpointing: reader
            .flag("train.gradient_checkpointing")
            .unwrap_or(default.gradient_checkpointing),
        eval_every: reader
            .count("train.eval_every", 0)
            .unwrap_or(default.eval_every),
        flops_reference: reader
            .number("train.flops_reference", at_least_zero)
            .unwrap_or(default.flops_reference),
        select_by,
        patience: reader
            .count("train.patience", 0)
            .unwrap_or(default.patience),
        min_delta: reader
            .number("train.min_delta", at_least_zero)
            .unwrap_or(default.min_delta),
        stop_by: reader
            .choice("train.stop_by", &MetricName::ALL, MetricName::name)
            .unwrap_or(select_by),
        checkpoint_every: reader
            .count("train.checkpoint_every", 0)
            .unwrap_or(default.checkpoint_every),
        max_skipped_steps: reader
            .count("train.max_skipped_steps", 0)
            .unwrap_or(default.max_skipped_steps),
    }
}
