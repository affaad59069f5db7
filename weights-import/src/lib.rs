//! Reads pretrained models: folders in Hugging Face's layout (safetensors or `pytorch_model.bin`, single or
//! sharded) and GGUF files, each with its configuration and tokenizer.
//!
//! [`Checkpoint`] is the one entrance. It lists the tensors at once and reads each when the model asks for it
//! through [`WeightSource`](lingo_core::weights::WeightSource): weights are mapped into memory, converted to f32
//! while they are copied, and their pages let go, so that the process holds little more than what it uses.
//!
//! A classifier with a new head on a pretrained network, and its logits for one sequence:
//!
//! ```
//! use burn::tensor::{Device, Int, Tensor};
//! use lingo_core::models::{Classifier, Pretrained, TokenBatch};
//! use lingo_core::nn::{Loader, Noise};
//! use weights_import::Checkpoint;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let mut checkpoint = Checkpoint::open("../configs/quickstart/model".as_ref())?;
//! let config = checkpoint.config().clone();
//! assert_eq!(config.model_type(), "opt");
//!
//! let text = checkpoint.tokenizer()?;
//! let encoding = text.tokenizer.encode("Sequence: ACGTTGCA", false)?;
//! let ids: Vec<u32> = text.bos.into_iter().chain(encoding.get_ids().iter().copied()).collect();
//! let length = ids.len();
//!
//! let device = Device::flex();
//! let backbone = Pretrained::load(&config, &mut Loader::new(&mut checkpoint, &device, None))?;
//! let classifier = Classifier::with_new_head(backbone, config.head(), 2, 42);
//! let tokens = TokenBatch {
//!     ids: Tensor::<1, Int>::from_data(ids.as_slice(), &device).unsqueeze(), // [B, T]
//!     lengths: vec![length],
//! };
//! let logits = classifier.forward(&tokens, &Noise::off()); // [B, C]
//! assert_eq!(logits.dims(), [1, 2]);
//! # Ok(())
//! # }
//! ```
//!
//! [`hub`] fetches such folders from the Hugging Face hub; [`export`] writes whatever was read as one compact folder.

#[cfg(test)]
mod allocation;
mod blueprint;
mod bpe;
mod charsmap;
mod checkpoint;
mod encoding;
mod error;
pub mod export;
mod gguf;
mod hf;
pub mod hub;
mod json;
mod listing;
mod mapped;
mod ordinary;
mod outline;
pub mod peft;
mod sample;
mod tensors;
mod tokenizer;

pub use blueprint::Blueprint;
pub use checkpoint::{Checkpoint, Problem};
pub use error::ImportError;
pub use hf::read_config;
pub use tensors::{Role, TensorInfo};
pub use tokenizer::{TextTokenizer, read_tokenizer};
