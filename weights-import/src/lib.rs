//! Reads pretrained models: folders in Hugging Face's layout (safetensors or `pytorch_model.bin`, single or
//! sharded) and GGUF files, each with its configuration and tokenizer.
//!
//! [`Checkpoint`] is the one entrance. It lists the tensors at once and reads each when the model asks for it
//! through [`WeightSource`](lingo_core::weights::WeightSource): weights are mapped into memory, converted to f32
//! while they are copied, and their pages let go, so that the process holds little more than what it uses.
//!
//! ```no_run
//! # fn main() -> Result<(), weights_import::ImportError> {
//! let checkpoint = weights_import::Checkpoint::open("models/opt-125m".as_ref())?;
//! for tensor in checkpoint.tensors() {
//!     assert!(!tensor.shape.is_empty(), "{} is a scalar", tensor.name);
//! }
//! let tokenizer = checkpoint.tokenizer()?;
//! # let _ = tokenizer;
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
