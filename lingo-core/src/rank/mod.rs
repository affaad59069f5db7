//! Rank control: who keeps its singular values, and when. Schedule, scores and allocation are plain functions;
//! the controller applies them to a model in training.

pub mod allocator;
pub mod controller;
pub mod importance;
pub mod schedule;

pub use controller::{Allocation, RankConfig, RankController, RankPolicy};
pub use schedule::BudgetSchedule;
