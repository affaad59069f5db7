//! The record of a run, `run.json`: what is needed to repeat it, and how it ended.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::files::{RecordError, write_atomically};
use super::state::RunState;
use crate::config::RunConfig;
use crate::result::{RunResult, peak_memory_mib};
use crate::run::RunError;

/// Its name in the run folder.
pub const RUN_RECORD: &str = "run.json";

/// What a run was made of and what became of it; written when it begins and when it ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunRecord {
    /// Where it stands.
    pub status: Status,
    /// Why it did not finish.
    pub reason: Option<String>,
    /// When it began, or was resumed last, in seconds since 1970 (UTC).
    pub started_unix_secs: u64,
    /// When that ended.
    pub ended_unix_secs: Option<u64>,
    /// What came before, of a run that was resumed: the first session first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Session>,
    /// The resolved run file, its seed included.
    pub config: serde_json::Value,
    /// The files of data: train, dev and test.
    pub data: Vec<FileRecord>,
    /// The files of the pretrained model, its tokenizer included.
    pub model: Vec<FileRecord>,
    /// What the software was.
    pub versions: Versions,
    /// The device as asked for.
    pub device: String,
    /// Threads that shared each batch.
    pub workers: usize,
    /// Optimizer steps taken.
    pub steps: u64,
    /// Tokens trained on, padding not counted.
    pub tokens: u64,
    /// Floating-point operations of the training steps.
    pub flops: f64,
    /// Those of one FLOPs-adjusted step.
    pub flops_reference: f64,
    /// Largest resident memory of the process in MiB, where the system tells.
    pub peak_memory_mib: Option<f64>,
    /// How often test was scored: once, after selection, in a run that came so far; more often, if its process ended while
    /// it did so and it was resumed.
    pub test_scored: u32,
}

/// A part of a run, by one process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// How it ended; `running`, where it was killed.
    pub status: Status,
    /// Why it ended.
    pub reason: Option<String>,
    /// When it began, in seconds since 1970 (UTC).
    pub started_unix_secs: u64,
    /// When it ended.
    pub ended_unix_secs: Option<u64>,
    /// What the software was.
    pub versions: Versions,
    /// The device as asked for.
    pub device: String,
    /// Threads that shared each batch.
    pub workers: usize,
    /// Largest resident memory of its process in MiB.
    pub peak_memory_mib: Option<f64>,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Under way, or ended with its process.
    Running,
    /// It came to its result.
    Finished,
    /// It was told to stop.
    Interrupted,
    /// Something went wrong.
    Failed,
}

/// A file that a run read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Where it was.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of its content, as `b3sum` prints it.
    pub blake3: String,
}

impl FileRecord {
    /// Reads a whole file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        let bytes = io::copy(&mut File::open(path)?, &mut hasher)?;
        Ok(Self {
            path: path.to_owned(),
            bytes,
            blake3: hasher.finalize().to_hex().to_string(),
        })
    }
}

/// Versions of what computes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Of lingo.
    pub lingo: String,
    /// Of Burn.
    pub burn: String,
    /// Of the compiler.
    pub rustc: String,
}

impl Versions {
    /// Of this build.
    pub fn current() -> Self {
        Self {
            lingo: env!("CARGO_PKG_VERSION").to_owned(),
            burn: env!("LINGO_BURN_VERSION").to_owned(),
            rustc: env!("LINGO_RUSTC_VERSION").to_owned(),
        }
    }
}

impl RunRecord {
    /// The record of a run in `dir` that begins now, or goes on from `state`: then what is recorded there is kept.
    ///
    /// # Errors
    /// If the configuration cannot be written as JSON, or a file cannot be read.
    pub fn begin(
        dir: &Path,
        state: &RunState,
        config: &RunConfig,
        model: &[PathBuf],
        device: &str,
        workers: usize,
        flops_reference: f64,
    ) -> Result<Self, RunError> {
        let data = config.data.files();
        let data = [data.train, data.dev, data.test];
        let of = |path: &PathBuf| {
            FileRecord::of(path).map_err(|source| RunError::Unrecorded {
                path: path.clone(),
                source,
            })
        };
        let (earlier, test_scored) = before(dir);
        Ok(Self {
            status: Status::Running,
            earlier,
            reason: None,
            started_unix_secs: now(),
            ended_unix_secs: None,
            config: serde_json::to_value(config).map_err(|source| RecordError {
                path: RUN_RECORD.into(),
                source: source.into(),
            })?,
            data: data.iter().map(of).collect::<Result<_, _>>()?,
            model: model.iter().map(of).collect::<Result<_, _>>()?,
            versions: Versions::current(),
            device: device.to_owned(),
            workers,
            steps: state.steps,
            tokens: state.tokens,
            flops: state.flops,
            flops_reference,
            peak_memory_mib: None,
            test_scored,
        })
    }

    /// Notes how the run ended.
    pub fn end(&mut self, state: &RunState, outcome: &Result<RunResult, RunError>) {
        self.status = match outcome {
            Ok(_) => Status::Finished,
            Err(RunError::Interrupted { .. } | RunError::Killed { .. }) => Status::Interrupted,
            Err(_) => Status::Failed,
        };
        self.reason = outcome.as_ref().err().map(ToString::to_string);
        self.ended_unix_secs = Some(now());
        self.steps = state.steps;
        self.tokens = state.tokens;
        self.flops = state.flops;
        self.peak_memory_mib = peak_memory_mib();
    }

    /// Writes the record into the run folder.
    ///
    /// # Errors
    /// If it cannot be written; an older one is then untouched.
    pub fn write(&self, dir: &Path) -> Result<(), RecordError> {
        let path = dir.join(RUN_RECORD);
        let json = serde_json::to_vec_pretty(self).map_err(|source| RecordError {
            path: path.clone(),
            source: source.into(),
        })?;
        write_atomically(&path, &json)
    }
}

/// The sessions that a run folder knows of, and how often they scored test; a record that cannot be read tells nothing.
fn before(dir: &Path) -> (Vec<Session>, u32) {
    let old = std::fs::read(dir.join(RUN_RECORD)).ok();
    let old: Option<RunRecord> = old.and_then(|json| serde_json::from_slice(&json).ok());
    let Some(old) = old else {
        return (Vec::new(), 0);
    };
    let newest = Session {
        status: old.status,
        reason: old.reason,
        started_unix_secs: old.started_unix_secs,
        ended_unix_secs: old.ended_unix_secs,
        versions: old.versions,
        device: old.device,
        workers: old.workers,
        peak_memory_mib: old.peak_memory_mib,
    };
    let sessions = old.earlier.into_iter().chain([newest]);
    (sessions.collect(), old.test_scored)
}

/// Seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_files_hash_is_the_one_that_blake3_publishes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        // The first test vectors of the reference implementation: the empty input, and "abc" as b3sum prints it.
        let cases = [
            (
                "",
                "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
            ),
            (
                "abc",
                "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
            ),
        ];
        for (content, blake3) in cases {
            std::fs::write(&path, content).unwrap();
            let record = FileRecord::of(&path).unwrap();
            assert_eq!(
                (record.blake3.as_str(), record.bytes),
                (blake3, content.len() as u64)
            );
        }
    }
}
