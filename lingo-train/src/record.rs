//! The record of a run: files that are opened before training starts and grow line by line.

mod evaluation_log;
mod files;
mod growing;
mod label_table;
mod ledger;
mod run_record;
mod state;
mod tensorboard;
mod train_log;

pub use evaluation_log::EvaluationLog;
pub use files::{RecordError, RecordFiles, TrainLine, sync_folder, temporary, write_atomically};
pub use growing::LogLengths;
pub(crate) use growing::{Opening, Table};
pub use label_table::write_label_table;
pub use ledger::{Ledger, LedgerError, Rules, SharedLedger, lock};
pub use run_record::{FileRecord, RUN_RECORD, RunRecord, Status, Versions};
pub use state::{Evaluation, RunState};
pub use train_log::{SKIPPED, TrainLog};
