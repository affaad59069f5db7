//! The files of a run folder.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::growing::{Lines, LogLengths, Opening, Table};
use super::state::Evaluation;
use super::tensorboard::TensorBoard;

const RANKS: &str = "ranks.csv";

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
        let mut files = Self::open(dir, !matrices.is_empty(), &Opening::New)?;
        if let Some(table) = &mut files.ranks {
            let fixed = [
                "step", "budget", "active", "dropped", "admitted", "returned", "last",
            ];
            table.row(fixed.into_iter().chain(matrices.iter().map(String::as_str)))?;
        }
        Ok(files)
    }

    /// Goes on with the files in `dir` as they were when they had these lengths.
    ///
    /// # Errors
    /// If one cannot be opened.
    pub fn go_on(dir: &Path, lengths: &LogLengths) -> Result<Self, RecordError> {
        Self::open(dir, lengths.has(RANKS), &Opening::At(lengths))
    }

    fn open(dir: &Path, ranks: bool, opening: &Opening<'_>) -> Result<Self, RecordError> {
        let ranks = ranks.then(|| Table::open(dir.join(RANKS), opening));
        Ok(Self {
            metrics_csv: Table::open(dir.join("metrics.csv"), opening)?,
            metrics_jsonl: Lines::open(dir.join("metrics.jsonl"), opening)?,
            train: Table::open(dir.join("train.csv"), opening)?,
            ranks: ranks.transpose()?,
            // Behind the tables, which it begins with.
            tensorboard: TensorBoard::open(dir)?,
        })
    }

    /// The lengths of all files, which are on the disk then.
    ///
    /// # Errors
    /// If the system cannot write them.
    pub fn sync(&self) -> Result<LogLengths, RecordError> {
        let tables = [&self.metrics_csv, &self.train]
            .into_iter()
            .chain(&self.ranks);
        let lengths = tables.map(Table::sync).chain([self.metrics_jsonl.sync()]);
        lengths.collect()
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
        sync_folder(dir)
    };
    write().map_err(|source| RecordError {
        path: path.to_owned(),
        source,
    })
}

/// Syncs the names in a folder, where the system has such a thing.
///
/// # Errors
/// If it cannot.
pub fn sync_folder(dir: &Path) -> io::Result<()> {
    match cfg!(unix) {
        true => File::open(dir)?.sync_all(),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn line(step: u64) -> TrainLine {
        TrainLine {
            step,
            loss: 0.5,
            penalty: None,
            learning_rate: 1e-3,
            budget: None,
            active_ranks: None,
        }
    }

    #[test]
    fn files_that_are_gone_on_with_are_those_that_were_never_interrupted() {
        let [whole, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let text = |dir: &tempfile::TempDir, name| std::fs::read_to_string(dir.path().join(name));
        let mut files = RecordFiles::create(whole.path(), &["q".to_owned()]).unwrap();
        (1..=4).for_each(|step| files.train(&line(step)).unwrap());

        let mut files = RecordFiles::create(other.path(), &["q".to_owned()]).unwrap();
        // Before the first line there is no header either.
        let none = files.sync().unwrap();
        (1..=2).for_each(|step| files.train(&line(step)).unwrap());
        let two = files.sync().unwrap();
        files.train(&line(9)).unwrap();
        for (lengths, next) in [(two, 3), (none, 1)] {
            assert_eq!(lengths.missing(other.path()), None);
            let mut files = RecordFiles::go_on(other.path(), &lengths).unwrap();
            (next..=4).for_each(|step| files.train(&line(step)).unwrap());
            for name in ["train.csv", "ranks.csv", "metrics.csv"] {
                let [a, b] = [&whole, &other].map(|dir| text(dir, name).unwrap());
                assert_eq!(a, b, "{name}");
            }
        }
    }

    #[test]
    fn files_that_were_cut_or_written_anew_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = RecordFiles::create(dir.path(), &[]).unwrap();
        files.train(&line(1)).unwrap();
        let lengths = files.sync().unwrap();
        let path = dir.path().join("train.csv");
        let content = std::fs::read(&path).unwrap();
        for changed in [&content[..content.len() - 1], &[b'x'; 200]] {
            std::fs::write(&path, changed).unwrap();
            let problem = lengths.missing(dir.path()).unwrap();
            assert!(problem.contains("train.csv"), "{problem}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(lengths.missing(dir.path()).is_some());
    }
}
