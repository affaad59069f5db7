//! Finished runs side by side: runs that differ by their seed alone are repeats, and become one row with mean and
//! spread.

mod against;
mod ranks;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub use against::{Against, Difference, hold_against};
pub use ranks::{RankCurve, RankPoint};

use crate::config::Method;
use crate::metric::MetricName;

/// Settings that make no other experiment of a run.
const OF_ONE_RUN: [&str; 5] = [
    "seed",
    "output.dir",
    "data.cache",
    "data.in_memory_mib",
    "train.checkpoint_every",
];

/// Why runs cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum ComparisonError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}; compare takes run folders that `lingo train` has finished", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The result is none of a run.
    #[error("{}: {source}; it is no result of a run", path.display())]
    Result {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The configuration is not TOML.
    #[error("{}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<toml::de::Error>,
    },
    /// The table of steps cannot be read.
    #[error("{}: {source}; it is no table of steps of a run", path.display())]
    Steps {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: csv::Error,
    },
    /// The table of steps is not there.
    #[error("{} has no train.csv, which tells how its ranks fell", dir.display())]
    NoSteps {
        /// The run folder.
        dir: PathBuf,
    },
    /// What others are to be held against is not there.
    #[error(
        "{} is none of the finished runs that are compared; give it and its repeats too, beside those to hold against them",
        dir.display()
    )]
    NoBaseline {
        /// The folder.
        dir: PathBuf,
    },
    /// Two runs are the same run.
    #[error(
        "{} and {} are the same run: all settings are alike, the seed {seed} too; leave one out, or repeat it with another seed",
        first.display(),
        second.display()
    )]
    SameRun {
        /// A run folder.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
        /// Their seed.
        seed: u64,
    },
}

/// What is compared of a `result.json`; whatever else it holds, by this version or an older one, is passed over.
#[derive(Clone, Debug, Deserialize)]
pub struct Outcome {
    /// How the model was adapted.
    pub method: Method,
    /// The seed.
    pub seed: u64,
    /// Metrics on test and what belongs to them, by name.
    pub test: BTreeMap<String, serde_json::Value>,
    /// Trained scalars at the start, head included.
    pub trainable_parameters: usize,
    /// Optimizer steps.
    pub steps: u64,
    /// Seconds in training steps.
    pub train_secs: f64,
    /// Floating-point operations of training.
    pub flops: Option<f64>,
    /// Largest resident memory in MiB.
    pub peak_memory_mib: Option<f64>,
}

impl Outcome {
    /// A metric on test; `None` where it is undefined.
    pub fn score(&self, metric: MetricName) -> Option<f64> {
        self.test.get(metric.name())?.as_f64()
    }
}

/// A run with its result.
#[derive(Clone, Debug)]
pub struct FinishedRun {
    /// The run folder.
    pub dir: PathBuf,
    /// The resolved configuration: dotted keys with their values as TOML.
    pub settings: BTreeMap<String, String>,
    /// What it came to.
    pub result: Outcome,
}

impl FinishedRun {
    /// Reads `config.toml` and `result.json` of a run folder; `None` where there is no result yet.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn open(dir: &Path) -> Result<Option<Self>, ComparisonError> {
        let read = |name: &str| {
            let path = dir.join(name);
            match std::fs::read_to_string(&path) {
                Ok(text) => Ok((path, text)),
                Err(source) => Err(ComparisonError::Read { path, source }),
            }
        };
        let (path, text) = read("config.toml")?;
        let table: Table = text.parse().map_err(|source| ComparisonError::Config {
            path,
            source: Box::new(source),
        })?;
        if !dir.join("result.json").exists() {
            return Ok(None);
        }
        let (path, text) = read("result.json")?;
        let result = serde_json::from_str(&text)
            .map_err(|source| ComparisonError::Result { path, source })?;
        let mut settings = BTreeMap::new();
        flatten("", &Value::Table(table), &mut settings);
        Ok(Some(Self {
            dir: dir.to_owned(),
            settings,
            result,
        }))
    }

    /// What all repeats of the run have in common.
    fn experiment(&self) -> BTreeMap<&str, &str> {
        let of_all = self.settings.iter();
        of_all
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .filter(|(key, _)| !OF_ONE_RUN.contains(key))
            .collect()
    }

    /// A text of the configuration, without its quotes.
    fn text(&self, key: &str) -> Option<String> {
        let value = self.settings.get(key)?;
        let parsed: Table = format!("x = {value}").parse().ok()?;
        Some(parsed.get("x")?.as_str()?.to_owned())
    }

    fn name(&self) -> Name {
        // Of a split by name, its folder.
        let data = self.text("data.dir").map(PathBuf::from).or_else(|| {
            let split = PathBuf::from(self.text("data.train")?);
            Some(split.parent()?.to_owned())
        });
        let last = |path: &Path| match path.file_name() {
            Some(name) => name.to_string_lossy().into_owned(),
            None => path.to_string_lossy().into_owned(),
        };
        let prompted = ["prompt.prefix", "prompt.suffix"]
            .iter()
            .any(|key| self.text(key).is_some_and(|text| !text.is_empty()));
        let method = self.result.method;
        Name {
            task: data.map_or(String::new(), |path| last(&path)),
            model: self
                .text("model")
                .map_or(String::new(), |model| last(Path::new(&model))),
            method: match (method, prompted) {
                (Method::AdaptiveRankSampling, true) => "LINGO".to_owned(),
                (method, true) => format!("{}, with prompt", method.name()),
                (method, false) => method.name().to_owned(),
            },
        }
    }
}

/// What a row is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Name {
    /// Folder of the data.
    pub task: String,
    /// Last part of the model's name.
    pub model: String,
    /// The method; adaptive rank sampling with a prompt is LINGO.
    pub method: String,
}

/// A number over several runs.
///
/// ```
/// let spread = lingo_train::comparison::Spread::of(&[0.5, 0.7]).expect("there are two");
/// assert_eq!((spread.mean, spread.n), (0.6, 2));
/// assert!((spread.sd.expect("there are two") - 0.02_f64.sqrt()).abs() < 1e-12);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of a sample (over n - 1); `None` of one run.
    pub sd: Option<f64>,
    /// How many runs have the number.
    pub n: usize,
}

impl Spread {
    /// Of numbers, `None` where there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (n > 0.0).then_some(Self {
            mean,
            sd: (n > 1.0).then(|| (squares / (n - 1.0)).sqrt()),
            n: values.len(),
        })
    }
}

/// Runs that differ by their seed alone.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Task, model and method.
    #[serde(flatten)]
    pub name: Name,
    /// What tells it from other rows of the same name: keys of the run file.
    pub settings: BTreeMap<String, String>,
    /// The run folders.
    #[serde(skip)]
    pub dirs: Vec<PathBuf>,
    /// Their seeds.
    pub seeds: Vec<u64>,
    /// Metrics on test; where a metric is undefined in a run, over the others.
    pub test: BTreeMap<&'static str, Option<Spread>>,
    /// How it stands to another row, once [`hold_against`] has looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Against>,
    /// Trained scalars at the start, head included.
    pub trainable_parameters: usize,
    /// Optimizer steps.
    pub steps: Spread,
    /// Seconds in training steps.
    pub train_secs: Spread,
    /// Floating-point operations of training, where they were counted.
    pub flops: Option<Spread>,
    /// Largest resident memory in MiB, where the system tells.
    pub peak_memory_mib: Option<Spread>,
}

/// Gathers repeats into rows, in the order in which they are met; `metrics` of test.
///
/// # Errors
/// If two runs are the same.
pub fn compare(runs: &[FinishedRun], metrics: &[MetricName]) -> Result<Vec<Row>, ComparisonError> {
    let mut groups: Vec<Vec<&FinishedRun>> = Vec::new();
    for run in runs {
        let experiment = run.experiment();
        let group = groups
            .iter_mut()
            .find(|group| group[0].experiment() == experiment);
        let Some(group) = group else {
            groups.push(vec![run]);
            continue;
        };
        if let Some(same) = group
            .iter()
            .find(|other| other.result.seed == run.result.seed)
        {
            return Err(ComparisonError::SameRun {
                first: same.dir.clone(),
                second: run.dir.clone(),
                seed: run.result.seed,
            });
        }
        group.push(run);
    }
    Ok(groups
        .iter()
        .map(|group| row(group, telling(group[0], &groups), metrics))
        .collect())
}

/// The settings of `run` that another experiment of the same name has otherwise.
fn telling(run: &FinishedRun, groups: &[Vec<&FinishedRun>]) -> BTreeMap<String, String> {
    let own = run.experiment();
    let of_name = groups.iter().filter(|group| group[0].name() == run.name());
    let keys: BTreeSet<&str> = of_name
        .flat_map(|group| {
            let other = group[0].experiment();
            let keys = own.keys().chain(other.keys()).copied();
            let differ = keys.filter(|key| own.get(key) != other.get(key));
            differ.collect::<Vec<_>>()
        })
        .collect();
    let value = |key: &str| own.get(key).copied().unwrap_or_default().to_owned();
    keys.into_iter()
        .map(|key| (key.to_owned(), value(key)))
        .collect()
}

fn row(group: &[&FinishedRun], settings: BTreeMap<String, String>, metrics: &[MetricName]) -> Row {
    let results = || group.iter().map(|run| &run.result);
    let spread = |value: fn(&Outcome) -> Option<f64>| {
        Spread::of(&results().filter_map(value).collect::<Vec<f64>>())
    };
    let test = metrics.iter().map(|metric| {
        let values: Vec<f64> = results()
            .filter_map(|result| result.score(*metric))
            .collect();
        (metric.name(), Spread::of(&values))
    });
    // A group holds a run.
    let none = Spread {
        mean: f64::NAN,
        sd: None,
        n: 0,
    };
    Row {
        name: group[0].name(),
        settings,
        dirs: group.iter().map(|run| run.dir.clone()).collect(),
        seeds: results().map(|result| result.seed).collect(),
        test: test.collect(),
        against: None,
        trainable_parameters: group[0].result.trainable_parameters,
        steps: spread(|r| Some(r.steps as f64)).unwrap_or(none),
        train_secs: spread(|r| Some(r.train_secs)).unwrap_or(none),
        flops: spread(|r| r.flops),
        peak_memory_mib: spread(|r| r.peak_memory_mib),
    }
}

/// Dotted keys of a table with their values as TOML.
fn flatten(key: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    let Value::Table(table) = value else {
        into.insert(key.to_owned(), value.to_string());
        return;
    };
    for (name, value) in table {
        match key {
            "" => flatten(name, value, into),
            _ => flatten(&format!("{key}.{name}"), value, into),
        }
    }
}

#[cfg(test)]
mod tests;
