//! What TensorBoard shows of a run: event files beside the tables, with the same numbers.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use syntaxdot_summary::SummaryWriter;

use super::files::{RecordError, TrainLine};
use super::state::Evaluation;
use crate::metric::MetricName;

/// The folder in the run's.
const FOLDER: &str = "tensorboard";

/// An event file. It is written without a buffer: what was added is there for whoever looks, and survives the process.
pub(super) struct TensorBoard {
    path: PathBuf,
    writer: SummaryWriter<File>,
}

impl TensorBoard {
    /// An event file for the run in `dir`. What its tables hold already, of a run that goes on, takes the place of older
    /// event files, which may go further than the tables do.
    pub(super) fn open(dir: &Path) -> Result<Self, RecordError> {
        let folder = dir.join(FOLDER);
        let open = || -> io::Result<Self> {
            std::fs::create_dir_all(&folder)?;
            let old = std::fs::read_dir(&folder)?.collect::<io::Result<Vec<_>>>()?;
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            let secs = since.map_or(0, |since| since.as_secs());
            // TensorBoard knows its files by the middle of their names.
            let name = (0..)
                .map(|number| folder.join(format!("events.out.tfevents.{secs}.{number}.lingo")));
            let mut names = name.skip_while(|path| path.exists());
            let path = names.next().unwrap_or_else(|| folder.clone());
            let writer = SummaryWriter::new(File::create(&path)?)?;
            let mut board = Self { path, writer };
            let mut table = csv::Reader::from_path(dir.join("train.csv"))?;
            for line in table.deserialize() {
                board.add_step(&line?)?;
            }
            for line in
                io::BufRead::lines(io::BufReader::new(File::open(dir.join("metrics.jsonl"))?))
            {
                board.add_evaluation(&serde_json::from_str(&line?)?)?;
            }
            // Not before the new one holds all of it.
            for old in old {
                std::fs::remove_file(old.path())?;
            }
            Ok(board)
        };
        open().map_err(|source| RecordError {
            path: folder.clone(),
            source,
        })
    }

    /// Adds an optimizer step.
    pub(super) fn step(&mut self, line: &TrainLine) -> Result<(), RecordError> {
        let added = self.add_step(line);
        self.finish(added)
    }

    /// Adds an evaluation, by its step, and once more by its FLOPs-adjusted step: an axis that models share.
    pub(super) fn evaluation(&mut self, evaluation: &Evaluation) -> Result<(), RecordError> {
        let added = self.add_evaluation(evaluation);
        self.finish(added)
    }

    fn add_step(&mut self, line: &TrainLine) -> io::Result<()> {
        let count = |count: Option<usize>| count.map(|count| count as f64);
        let scalars = [
            ("train/loss", Some(line.loss)),
            ("train/penalty", line.penalty),
            ("train/learning_rate", Some(line.learning_rate)),
            ("train/budget", count(line.budget)),
            ("train/active_ranks", count(line.active_ranks)),
        ];
        for (tag, value) in scalars {
            self.add(tag, line.step, value)?;
        }
        Ok(())
    }

    fn add_evaluation(&mut self, evaluation: &Evaluation) -> io::Result<()> {
        let adjusted = evaluation.flops_adjusted_step.round() as u64;
        for name in MetricName::ALL {
            let value = evaluation.scores.get(name);
            self.add(&format!("dev/{name}"), evaluation.step, value)?;
            self.add(&format!("dev_by_flops/{name}"), adjusted, value)?;
        }
        self.add("dev/flops", evaluation.step, Some(evaluation.flops))
    }

    fn add(&mut self, tag: &str, step: u64, value: Option<f64>) -> io::Result<()> {
        match value {
            Some(value) => self.writer.write_scalar(tag, step as i64, value as f32),
            None => Ok(()),
        }
    }

    fn finish(&self, added: io::Result<()>) -> Result<(), RecordError> {
        added.map_err(|source| RecordError {
            path: self.path.clone(),
            source,
        })
    }
}

impl std::fmt::Debug for TensorBoard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TensorBoard({})", self.path.display())
    }
}
