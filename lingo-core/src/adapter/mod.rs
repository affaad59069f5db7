//! Low-rank corrections of frozen matrices: LoRA, AdaLoRA and adaptive rank sampling share one module.

pub mod init;
pub mod low_rank;
pub mod orthogonality;
pub mod target;

pub use low_rank::{LowRank, LowRankConfig};
