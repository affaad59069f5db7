//! From files to batches: records, prompts, tokens, and the order in which they are trained on.

mod answers;
mod batch;
pub mod deepsea;
mod dna_tokens;
mod finding;
mod gue;
mod kmer;
mod label;
mod prompt;
mod record;
mod rounds;
mod sequences;
mod table;
mod tokenize;
mod vocabulary;

pub use batch::{Batch, plan_epoch, plan_eval};
pub use dna_tokens::{DnaTokens, LETTERS};
pub use finding::Finding;
pub use gue::{GueData, read_gue};
pub use kmer::{NucleotideTransformer, OverlappingKmers};
pub use label::{Label, Objective, all_alike};
pub use prompt::Prompt;
pub use record::{DataError, NUCLEOTIDES, Record, normalise};
pub use rounds::{EvalLoader, Rounds};
pub use sequences::read_sequences;
pub use tokenize::{EncodeError, Encoder, EncodingReport, Pieces, Sample};
pub use vocabulary::{Vocabulary, VocabularyError};
