//! The whole command from outside: the binary is run on the quickstart's model, and its files and messages are read.

#![allow(clippy::unwrap_used)] // helpers of tests may panic, as tests do

mod bases;
mod compare;
mod configs;
mod demo;
mod errors;
mod exports;
mod hub;
mod hub_server;
mod import;
mod labels;
mod memory;
mod models;
mod place;
mod predictions;
mod pretrain;
mod resume;
mod runs;
mod shell;
mod stops;
