//! What rows score above another one, seed by seed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::{ComparisonError, FinishedRun, Row, Spread};
use crate::metric::MetricName;
use crate::record::{RUN_RECORD, RunRecord};

/// How a row stands to the one that others are held against.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// It is that row.
    Baseline,
    /// It was scored on other examples: its scores are no more or less than those.
    OtherTest,
    /// Both were scored on the same examples.
    Differences {
        /// By metric; `None` where no seed has both scores.
        scores: BTreeMap<&'static str, Option<Difference>>,
        /// Keys of the run file that they do not share, but for those that say what is trained (`adapter`, `prompt`) and on
        /// which model.
        settings: BTreeSet<String>,
    },
}

/// What the runs of a row score above those of another one that have the same seeds.
///
/// Repeats of one seed draw the same order of batches and, where methods have them in common, the same initial values, so
/// that what a seed makes easy or hard falls out of their difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The row's score less the other one's, over the seeds that both have.
    #[serde(flatten)]
    pub score: Spread,
    /// For how many of them the row's score is the better one; as good is not better.
    pub better: usize,
}

impl FinishedRun {
    /// BLAKE3 of the file of test, of a run whose record is there.
    fn test_hash(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.dir.join(RUN_RECORD)).ok()?;
        let record: RunRecord = serde_json::from_str(&text).ok()?;
        let [_, _, test] = &record.data[..] else {
            return None;
        };
        Some(test.blake3.clone())
    }

    /// Whether both were scored on the same examples and labels, as far as what they left tells.
    fn has_test_of(&self, other: &Self) -> bool {
        let same = |key: &str| self.settings.get(key) == other.settings.get(key);
        let examples = |run: &Self| run.result.test.get("examples").cloned();
        if !same("data.labels") || examples(self) != examples(other) {
            return false;
        }
        match (self.test_hash(), other.test_hash()) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => same("data.dir") && same("data.test"),
        }
    }

    /// Keys of the run file that both do not share, but for those of what is trained.
    fn other_settings(&self, other: &Self) -> BTreeSet<String> {
        let (ours, theirs) = (self.experiment(), other.experiment());
        let own = |key: &str| {
            ["adapter.", "prompt."]
                .iter()
                .any(|section| key.starts_with(section))
        };
        // Where the data are is no matter: they are the same.
        let is_told = |key: &str| own(key) || key == "model" || key.starts_with("data.");
        let keys = ours.keys().chain(theirs.keys());
        keys.filter(|key| ours.get(*key) != theirs.get(*key) && !is_told(key))
            .map(|key| (*key).to_owned())
            .collect()
    }
}

/// Holds rows against the one that the run in the folder `baseline` belongs to: fills [`Row::against`]. `runs` are those that
/// the rows were made of.
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
    let is_there =
        |dir: &Path| dir == baseline || whole(dir).is_some_and(|dir| whole(baseline) == Some(dir));
    let found = runs.iter().find(|run| is_there(&run.dir));
    let theirs = found.and_then(|found| {
        let row = rows.iter().find(|row| row.dirs.contains(&found.dir))?;
        Some(row.runs(runs))
    });
    let Some(theirs) = theirs else {
        return Err(ComparisonError::NoBaseline {
            dir: baseline.to_owned(),
        });
    };
    for row in rows {
        let ours = row.runs(runs);
        row.against = Some(match (ours.as_slice(), theirs.as_slice()) {
            ([our, ..], [their, ..]) if our.dir == their.dir => Against::Baseline,
            ([our, ..], [their, ..]) if our.has_test_of(their) => {
                let scores = metrics
                    .iter()
                    .map(|metric| (metric.name(), difference(&ours, &theirs, *metric)));
                Against::Differences {
                    scores: scores.collect(),
                    settings: our.other_settings(their),
                }
            }
            _ => Against::OtherTest,
        });
    }
    Ok(())
}

impl Row {
    /// Its runs.
    fn runs<'a>(&self, runs: &'a [FinishedRun]) -> Vec<&'a FinishedRun> {
        let own = runs.iter().filter(|run| self.dirs.contains(&run.dir));
        own.collect()
    }
}

fn difference(
    ours: &[&FinishedRun],
    theirs: &[&FinishedRun],
    metric: MetricName,
) -> Option<Difference> {
    let score_of = |runs: &[&FinishedRun], seed: u64| {
        let run = runs.iter().find(|run| run.result.seed == seed)?;
        run.result.score(metric)
    };
    let seeds = ours.iter().map(|run| run.result.seed);
    let pairs: Vec<[f64; 2]> = seeds
        .filter_map(|seed| Some([score_of(ours, seed)?, score_of(theirs, seed)?]))
        .collect();
    let differences: Vec<f64> = pairs.iter().map(|[our, their]| our - their).collect();
    let better = pairs
        .iter()
        .filter(|[our, their]| metric.is_better(*our, *their));
    Some(Difference {
        score: Spread::of(&differences)?,
        better: better.count(),
    })
}
