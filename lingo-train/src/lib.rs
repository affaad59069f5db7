//! The trainer of LINGO: data, metrics, training, selection, records. [`run`] is the file to read first.

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
