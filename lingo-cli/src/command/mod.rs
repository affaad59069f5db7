//! One file a verb.

pub mod bench;
pub mod compare;
pub mod config;
pub mod demo;
pub mod devices;
pub mod eval;
pub mod export;
pub mod flops;
mod go_on;
pub mod import;
pub mod inspect;
pub mod predict;
pub mod pretrain;
mod run_folder;
pub mod shell;
pub mod train;
