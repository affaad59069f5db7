//! The trainer of LINGO: data, metrics, training, selection, records. [`run`] is the file to read first.
//!
//! What `lingo train` does, from Rust: a run file, its task and a model make a [`Run`](run::Run), which trains, selects on
//! dev and scores test once.
//!
//! ```
//! use burn::tensor::Device;
//! use burn::train::renderer::CliMetricsRenderer;
//! use lingo_core::models::Pretrained;
//! use lingo_core::nn::Loader;
//! use lingo_train::checkpoint::RunLock;
//! use lingo_train::config::RunConfig;
//! use lingo_train::run::{Run, Surroundings};
//! use lingo_train::stop::StopRequest;
//! use lingo_train::task::{Task, Text};
//! use lingo_train::workers::Compute;
//! use weights_import::{Checkpoint, TextTokenizer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let short = [("train.max_steps", "2"), ("adapter.method", "lora")];
//! let short = short.map(|(key, value)| (key.to_owned(), value.to_owned()));
//! let config = RunConfig::load("../configs/quickstart.toml".as_ref(), &short)?;
//!
//! let mut checkpoint = Checkpoint::open(&config.model)?;
//! let shape = checkpoint.config().clone();
//! let TextTokenizer { tokenizer, bos, eos, pad } = checkpoint.tokenizer()?;
//! let text = Text { tokenizer, bos, eos, pad };
//! let task = Task::load(&config, Some(text), &shape, &mut |_, _| {})?;
//!
//! // The token table keeps the rows that DNA and prompt can reach, on a device that records gradients.
//! let device = Device::flex().autodiff();
//! let mut loader = Loader::new(&mut checkpoint, &device, task.text.rows());
//! let backbone = Pretrained::load(&shape, &mut loader)?;
//! let run = Run::prepare(config, task, &shape, backbone)?;
//!
//! let dir = tempfile::tempdir()?;
//! let result = run.train(Surroundings {
//!     compute: Compute::Host { threads: 1 },
//!     device_name: "cpu".into(),
//!     lock: RunLock::take(dir.path())?,
//!     dir: dir.path().to_owned(),
//!     resume: None,
//!     renderer: Box::new(CliMetricsRenderer::new()),
//!     stop: StopRequest::default(),
//! })?;
//! assert_eq!((result.steps, result.test.examples), (2, 160));
//! assert!(dir.path().join("best/adapter.safetensors").is_file());
//! # Ok(())
//! # }
//! ```

pub mod bench;
pub mod checkpoint;
pub mod comparison;
pub mod config;
pub mod data;
pub mod evaluate;
pub mod flops;
pub mod metric;
pub mod pretrain;
mod readable;
pub mod record;
pub mod result;
pub mod run;
pub mod saved;
pub mod schedule;
pub mod step;
pub mod stop;
pub mod stopping;
pub mod task;
pub mod workers;
