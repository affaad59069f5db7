//! The files of a run folder.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::state::Evaluation;
use super::tensorboard::TensorBoard;

/// A file of the record that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}; what was written before is kept", path.display())]
pub struct RecordError {
    /// The file.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// One line of `train.csv`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainLine {
    /// Optimizer step, counted from 1.
    pub step: u64,
    /// Mean over what is known of its batches.
    pub loss: f64,
    /// Orthogonality penalty; empty where there is none.
    pub penalty: Option<f64>,
    /// Learning rate.
    pub learning_rate: f64,
    /// Triplets that the schedule allows; empty where ranks are fixed.
    pub budget: Option<usize>,
    /// Triplets that the newest allocation left; empty where ranks are fixed.
    pub active_ranks: Option<usize>,
}

/// The growing files of a run.
#[derive(Debug)]
pub struct RecordFiles {
    metrics_csv: Table,
    metrics_jsonl: Lines,
    train: Table,
    ranks: Option<Table>,
    tensorboard: TensorBoard,
}

impl RecordFiles {
    /// Creates the files in `dir`; `matrices` are the columns of `ranks.csv`, which is made where there are any.
    ///
    /// # Errors
    /// If one cannot be created.
    pub fn create(dir: &Path, matrices: &[String]) -> Result<Self, RecordError> {
        let ranks = match matrices.is_empty() {
            true => None,
            false => {
                let mut table = Table::create(dir.join("ranks.csv"))?;
                let fixed = [
                    "step", "budget", "active", "dropped", "admitted", "returned", "last",
                ];
                table.row(fixed.into_iter().chain(matrices.iter().map(String::as_str)))?;
                Some(table)
            }
        };
        Ok(Self {
            metrics_csv: Table::create(dir.join("metrics.csv"))?,
            metrics_jsonl: Lines::create(dir.join("metrics.jsonl"))?,
            train: Table::create(dir.join("train.csv"))?,
            ranks,
            // Behind the tables, which it begins with.
            tensorboard: TensorBoard::open(dir)?,
        })
    }

    /// Adds a line to `train.csv`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn train(&mut self, line: &TrainLine) -> Result<(), RecordError> {
        self.train.serialize(line)?;
        self.tensorboard.step(line)
    }

    /// Adds an evaluation to `metrics.csv` and `metrics.jsonl`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn evaluation(&mut self, evaluation: &Evaluation) -> Result<(), RecordError> {
        self.metrics_csv.serialize(&evaluation.line())?;
        self.metrics_jsonl.push(evaluation)?;
        self.tensorboard.evaluation(evaluation)
    }

    /// Adds an allocation to `ranks.csv`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn allocation(
        &mut self,
        allocation: &lingo_core::rank::Allocation,
    ) -> Result<(), RecordError> {
        let Some(table) = &mut self.ranks else {
            return Ok(());
        };
        let counts = [
            allocation.step as usize,
            allocation.budget,
            allocation.total_active(),
            allocation.dropped,
            allocation.admitted,
            allocation.returned,
            usize::from(allocation.last),
        ];
        let cells = counts.iter().chain(&allocation.active);
        table.row(cells.map(usize::to_string))
    }
}

/// A CSV file whose rows are flushed one by one.
#[derive(Debug)]
struct Table {
    path: PathBuf,
    writer: csv::Writer<File>,
}

impl Table {
    fn create(path: PathBuf) -> Result<Self, RecordError> {
        let file = create(&path)?;
        let writer = csv::WriterBuilder::new().flexible(true).from_writer(file);
        Ok(Self { path, writer })
    }

    fn row<T: AsRef<[u8]>>(&mut self, cells: impl Iterator<Item = T>) -> Result<(), RecordError> {
        let written = self.writer.write_record(cells);
        self.finish(written)
    }

    fn serialize(&mut self, row: &impl Serialize) -> Result<(), RecordError> {
        let written = self.writer.serialize(row);
        self.finish(written)
    }

    fn finish(&mut self, written: csv::Result<()>) -> Result<(), RecordError> {
        written
            .map_err(io::Error::from)
            .and_then(|()| self.writer.flush())
            .map_err(|source| RecordError {
                path: self.path.clone(),
                source,
            })
    }
}

/// A file of JSON values, one a line.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    fn create(path: PathBuf) -> Result<Self, RecordError> {
        let file = create(&path)?;
        Ok(Self { path, file })
    }

    fn push(&mut self, value: &impl Serialize) -> Result<(), RecordError> {
        serde_json::to_string(value)
            .map_err(io::Error::from)
            .and_then(|line| writeln!(self.file, "{line}"))
            .map_err(|source| RecordError {
                path: self.path.clone(),
                source,
            })
    }
}

fn create(path: &Path) -> Result<File, RecordError> {
    File::create(path).map_err(|source| RecordError {
        path: path.to_owned(),
        source,
    })
}

/// A file in `dir` with a temporary name, which whoever may read new files may read: it is to be kept.
///
/// # Errors
/// If it cannot be created.
pub fn temporary(suffix: &str, dir: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.suffix(suffix);
    // As for any new file, what the user's mask leaves; temporary files are private otherwise.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(dir)
}

/// Writes a whole file under a temporary name, syncs it, and gives it its name: whoever looks finds the old file or
/// the new one, never a part.
///
/// # Errors
/// If it cannot be written; an old file is then untouched.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<(), RecordError> {
    let dir = path.parent().filter(|dir| *dir != Path::new(""));
    let dir = dir.unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut file = temporary("", dir)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|source| RecordError {
        path: path.to_owned(),
        source,
    })
}
