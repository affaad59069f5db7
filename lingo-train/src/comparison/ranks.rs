//! How the ranks of a run fell.

use std::path::PathBuf;

use super::{ComparisonError, FinishedRun};
use crate::record::TrainLine;

/// Ranks over the steps of a run that controls them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RankCurve {
    /// One a step.
    pub points: Vec<RankPoint>,
}

/// Ranks behind a step, over all matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankPoint {
    /// The optimizer step, counted from 1.
    pub step: u64,
    /// Ranks that the schedule allows.
    pub budget: usize,
    /// Ranks that the newest allocation left.
    pub active: usize,
}

impl RankCurve {
    /// Reads it from a run's `train.csv`; `None` where ranks are fixed.
    ///
    /// # Errors
    /// If the file is not there or cannot be read.
    pub fn read(run: &FinishedRun) -> Result<Option<Self>, ComparisonError> {
        if !run.result.method.uses("target_rank") {
            return Ok(None);
        }
        let path = run.dir.join("train.csv");
        if !path.is_file() {
            let dir = run.dir.clone();
            return Err(ComparisonError::NoSteps { dir });
        }
        let failed = |path: PathBuf| move |source| ComparisonError::Steps { path, source };
        let mut table = csv::Reader::from_path(&path).map_err(failed(path.clone()))?;
        let mut points = Vec::new();
        for line in table.deserialize() {
            let line: TrainLine = line.map_err(failed(path.clone()))?;
            if let (Some(budget), Some(active)) = (line.budget, line.active_ranks) {
                points.push(RankPoint {
                    step: line.step,
                    budget,
                    active,
                });
            }
        }
        Ok((!points.is_empty()).then_some(Self { points }))
    }
}
