//! What rows score above another one, seed by seed.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::{ComparisonError, FinishedRun, Row, Spread};
use crate::metric::MetricName;

/// What the runs of a row score above those of another one that have the same seeds.
///
/// Repeats of one seed draw the same order of batches and, where methods have them in common, the same initial values, so
/// that what a seed makes easy or hard falls out of their difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The row's score less the other one's, over the seeds that both have.
    #[serde(flatten)]
    pub score: Spread,
    /// Of how many of them the row's score is the better one.
    pub better: usize,
}

impl Row {
    /// The score of each of its runs by seed, where the metric is defined.
    fn scores(&self, runs: &[FinishedRun], metric: MetricName) -> BTreeMap<u64, f64> {
        let own = runs.iter().filter(|run| self.dirs.contains(&run.dir));
        own.filter_map(|run| Some((run.result.seed, run.result.score(metric)?)))
            .collect()
    }

    fn difference(
        &self,
        baseline: &Row,
        runs: &[FinishedRun],
        metric: MetricName,
    ) -> Option<Difference> {
        let (ours, theirs) = (self.scores(runs, metric), baseline.scores(runs, metric));
        let pairs = ours
            .iter()
            .filter_map(|(seed, our)| Some((*our, *theirs.get(seed)?)));
        let differences: Vec<f64> = pairs.clone().map(|(our, their)| our - their).collect();
        Some(Difference {
            score: Spread::of(&differences)?,
            better: pairs
                .filter(|(our, their)| metric.is_better(*our, *their))
                .count(),
        })
    }
}

/// Holds rows against the one that the run in the folder `baseline` belongs to: fills [`Row::against`] of the others of its
/// task, with nothing for a metric of which no seed has both scores. `runs` are those that the rows were made of.
///
/// # Errors
/// If the folder is that of no run among them.
pub fn hold_against(
    rows: &mut [Row],
    runs: &[FinishedRun],
    metrics: &[MetricName],
    baseline: &Path,
) -> Result<(), ComparisonError> {
    let whole = |path: &Path| path.canonicalize().ok();
    let is_baseline = |row: &Row| {
        let mut dirs = row.dirs.iter();
        dirs.any(|dir| {
            dir == baseline || whole(dir).is_some_and(|dir| whole(baseline) == Some(dir))
        })
    };
    let found = rows.iter().find(|row| is_baseline(row));
    let Some(baseline) = found.cloned() else {
        return Err(ComparisonError::NoBaseline {
            dir: baseline.to_owned(),
        });
    };
    for row in rows {
        if row.name.task != baseline.name.task || row.dirs == baseline.dirs {
            continue;
        }
        let differences = metrics
            .iter()
            .map(|metric| (metric.name(), row.difference(&baseline, runs, *metric)));
        row.against = Some(differences.collect());
    }
    Ok(())
}
