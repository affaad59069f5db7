//! Pretraining: a language model from random weights on somebody's own text, by causal language modelling.
//!
//! A corpus becomes documents ([`Documents`]), these one stream of tokens ([`TokenStream`]), and that blocks of equal length
//! without padding, which are trained on in an order of their own each epoch. [`Pretraining`] is the run.

mod beginning;
mod blocks;
mod byte_level_bpe;
mod documents;
mod error;
mod record;
mod run;
mod step;
mod surroundings;
mod token_stream;
mod training;
mod unigram;

pub use blocks::{Block, Blocks};
pub use byte_level_bpe::{BOUNDARY, PADDING, SMALLEST_VOCABULARY, byte_level_bpe};
pub use documents::{CorpusError, Documents};
pub use error::PretrainError;
pub use record::{PretrainResult, PretrainState, Validation};
pub use run::{Counted, Pretraining, Unigram};
pub use surroundings::{MODEL_FOLDER, PretrainSurroundings, Progress, SaveModel};
pub use token_stream::TokenStream;
pub use unigram::UnigramModel;
