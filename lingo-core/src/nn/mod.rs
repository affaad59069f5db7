//! Building blocks shared by the architectures.

pub mod activation;
pub mod attention;
pub mod gated;
pub mod loader;
pub mod noise;
pub mod norm;
pub mod precision;
pub mod projection;
pub mod rotary;
pub mod tied_cross_entropy;
pub mod token_embedding;

pub use activation::Activation;
pub use loader::{AddedTokens, Loader};
pub use noise::Noise;
pub use precision::Precision;
pub use projection::{Input, Projection};
