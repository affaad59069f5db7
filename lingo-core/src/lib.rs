//! Architectures, adapters and rank control of LINGO, written against Burn's `Device`: nothing here names a
//! backend.
//!
//! Dimension letters, used throughout: `B` batch, `T` tokens, `D` width, `H` heads, `K` head width, `R` rank,
//! `C` classes.

pub mod adapter;
pub mod flops;
pub mod initial_weights;
pub mod models;
pub mod nn;
pub mod rank;
pub mod weights;
