//! Arguments of what tells figures of runs, models and machines.

use std::path::PathBuf;

use clap::ValueEnum;
use lingo_train::config::Method;
use lingo_train::metric::MetricName;

use super::{choice, positive};

/// Arguments of `compare`.
#[derive(Debug, clap::Args)]
pub struct CompareArgs {
    /// Run folders; those without result yet are passed over.
    #[arg(value_name = "RUN_DIR", required = true)]
    pub runs: Vec<PathBuf>,
    /// Metrics on test, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = choice(&MetricName::ALL, MetricName::name), default_value = "mcc,auroc")]
    pub metrics: Vec<MetricName>,
    /// Hold the others against the run in this folder and its repeats: differences at equal seeds, and in how many of them
    /// they are better.
    #[arg(long, value_name = "RUN_DIR")]
    pub against: Option<PathBuf>,
    /// The form of the table.
    #[arg(long, value_enum, default_value_t = TableFormat::Markdown)]
    pub format: TableFormat,
    /// Draw ranks over the steps, and the first metric over trained parameters, to a file that ends in .svg or .png; may
    /// be given often.
    #[arg(long, value_name = "FILE")]
    pub plot: Vec<PathBuf>,
}

/// The form of a table.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum TableFormat {
    /// For people and documents.
    Markdown,
    /// A column a number.
    Csv,
    /// A list of rows.
    Json,
}

/// Arguments of `flops`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Counted are the matrix products of one batch without padding, a multiplication and an addition each: \
what `metrics.csv` sums up over a run. docs/flops.md holds them against PyTorch's count."
)]
pub struct FlopsArgs {
    /// A model as `train` takes it; of a folder, config.json suffices.
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Tokens a sequence, prompt included.
    #[arg(long, value_parser = positive)]
    pub tokens: usize,
    /// Sequences a batch.
    #[arg(long, default_value_t = 8, value_parser = positive)]
    pub batch_size: usize,
    /// full, lora, adalora or adaptive-rank-sampling.
    #[arg(long, default_value = Method::AdaptiveRankSampling.name(), value_parser = choice(&Method::ALL, Method::name))]
    pub method: Method,
    /// The (initial) rank of each adapter [default: adapter.rank or adapter.initial_rank of a run file].
    #[arg(long, value_parser = positive)]
    pub rank: Option<usize>,
    /// The matrices to adapt, as in adapter.targets of a run file.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub targets: Vec<String>,
    /// Outputs of the head.
    #[arg(long, default_value_t = 2, value_parser = positive)]
    pub classes: usize,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `devices`.
#[derive(Debug, clap::Args)]
pub struct DevicesArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
