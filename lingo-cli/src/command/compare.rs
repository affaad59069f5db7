//! `lingo compare`.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use lingo_train::comparison::{
    Against, Difference, FinishedRun, Row, Spread, compare, hold_against,
};
use lingo_train::config::PretrainConfig;
use lingo_train::metric::MetricName;

use crate::args::{CompareArgs, TableFormat};
use crate::picture::Picture;
use crate::scorer::holds_runs;
use crate::table::Table;

/// Prints a table of finished runs.
pub fn run(args: &CompareArgs) -> Result<()> {
    let metrics = &without_doubles(&args.metrics)[..];
    let runs = args.runs.iter().filter_map(|dir| finished(dir).transpose());
    let runs = runs.collect::<Result<Vec<FinishedRun>>>()?;
    if runs.is_empty() {
        bail!("none of the runs is finished; `lingo train` writes result.json at its end");
    }
    let mut rows = compare(&runs, metrics)?;
    if let Some(baseline) = &args.against {
        hold_against(&mut rows, &runs, metrics, baseline).context("--against")?;
        say_differences(&rows);
    }
    if let (false, Some(metric)) = (args.plot.is_empty(), metrics.first()) {
        let picture = Picture::new(&runs, &rows, *metric)?;
        args.plot.iter().try_for_each(|path| picture.write(path))?;
        for dir in picture.without_steps() {
            note!(
                "note: {} has no train.csv, the picture is without its ranks",
                dir.display()
            );
        }
    }
    match args.format {
        TableFormat::Markdown => markdown(&rows, metrics),
        TableFormat::Csv => return csv(&rows, metrics),
        TableFormat::Json => result!("{}", serde_json::to_string_pretty(&rows)?),
    }
    Ok(())
}

/// Each metric where it stands first.
fn without_doubles(metrics: &[MetricName]) -> Vec<MetricName> {
    let mut kept = Vec::with_capacity(metrics.len());
    for metric in metrics {
        if !kept.contains(metric) {
            kept.push(*metric);
        }
    }
    kept
}

/// A run with its result; of what else a pattern such as `runs/*` finds, it is said why it is left out.
fn finished(dir: &Path) -> Result<Option<FinishedRun>> {
    let settings = dir.join("config.toml");
    let why = if dir.join("adapter.json").is_file() {
        "is an adapter, not a run, it is left out"
    } else if settings.is_file()
        && PretrainConfig::is_described_by(std::slice::from_ref(&settings))?
    {
        "is a run of `lingo pretrain`, which has no test, it is left out"
    } else if !settings.exists() && holds_runs(dir) {
        "is no run but holds some, it is left out; give those instead"
    } else if !settings.exists() && dir.exists() {
        "is no run folder, it is left out"
    } else if let Some(run) = FinishedRun::open(dir)? {
        return Ok(Some(run));
    } else {
        "has no result yet, it is left out"
    };
    note!("note: {} {why}", dir.display());
    Ok(None)
}

/// Says what else than the method tells rows that are held against each other apart, or that there are none.
fn say_differences(rows: &[Row]) {
    let mut held = 0;
    for row in rows {
        let Some(Against::Differences { settings, .. }) = &row.against else {
            continue;
        };
        held += 1;
        if !settings.is_empty() {
            let keys: Vec<&str> = settings.iter().map(String::as_str).collect();
            note!(
                "note: {} has other values of {} than what it is held against",
                row.name.method,
                keys.join(", ")
            );
        }
    }
    if held == 0 {
        note!("note: no other run was scored on the same test data, nothing is held against it");
    }
}

/// The keys that tell rows of one name apart.
fn settings(rows: &[Row]) -> Vec<&str> {
    let keys: BTreeSet<&str> = rows
        .iter()
        .flat_map(|row| row.settings.keys().map(String::as_str))
        .collect();
    keys.into_iter().collect()
}

fn markdown(rows: &[Row], metrics: &[MetricName]) {
    let settings = settings(rows);
    let mut table = Table::default();
    table.text("task", rows.iter().map(|row| row.name.task.clone()));
    table.text("model", rows.iter().map(|row| row.name.model.clone()));
    table.text("method", rows.iter().map(|row| row.name.method.clone()));
    for key in settings {
        table.text(key, rows.iter().map(|row| setting(row, key)));
    }
    table.numbers("runs", rows.iter().map(|row| row.seeds.len().to_string()));
    add_figures(&mut table, rows, metrics);
    if rows.iter().any(|row| row.peak_memory_mib.is_some()) {
        let cell = |row: &Row| row.peak_memory_mib.map_or(String::new(), rounded);
        table.numbers("MiB", rows.iter().map(cell));
    }
    result!("{table}");
}

/// Adds the columns of what was trained and what came out.
pub fn add_figures(table: &mut Table, rows: &[Row], metrics: &[MetricName]) {
    let cells = |of: fn(&Row) -> String| rows.iter().map(of);
    let parameters = |row: &Row| row.trainable_parameters.to_string();
    table.numbers("trained parameters", cells(parameters));
    for metric in metrics {
        let title = format!("test {metric}");
        table.numbers(&title, rows.iter().map(|row| score(row, *metric)));
        if rows.iter().any(|row| row.against.is_some()) {
            let cells = rows.iter().map(|row| difference(row, *metric));
            table.numbers(&format!("difference in {metric} (better)"), cells);
        }
    }
    table.numbers("steps", cells(|row| format!("{:.0}", row.steps.mean)));
    if rows.iter().any(|row| row.flops.is_some()) {
        let flops = |row: &Row| row.flops.map(|flops| format!("{:.2e}", flops.mean));
        table.numbers(
            "FLOPs",
            rows.iter().map(|row| flops(row).unwrap_or_default()),
        );
    }
    table.numbers("s", cells(|row| rounded(row.train_secs)));
}

fn setting(row: &Row, key: &str) -> String {
    row.settings.get(key).cloned().unwrap_or_default()
}

fn score(row: &Row, metric: MetricName) -> String {
    let Some(Spread { mean, sd, n }) = row.test.get(metric.name()).copied().flatten() else {
        return "undefined".to_owned();
    };
    let spread = sd.map_or(String::new(), |sd| format!(" ± {sd:.3}"));
    let of = match n == row.seeds.len() {
        true => String::new(),
        false => format!(" (n = {n})"),
    };
    format!("{mean:.3}{spread}{of}")
}

/// What a row scores above the one it is held against.
fn difference(row: &Row, metric: MetricName) -> String {
    let scores = match &row.against {
        None => return String::new(),
        Some(Against::Baseline) => return "baseline".to_owned(),
        Some(Against::OtherTest) => return "other test data".to_owned(),
        Some(Against::Differences { scores, .. }) => scores,
    };
    let Some(Difference { score, better }) = scores.get(metric.name()).copied().flatten() else {
        return "no pair of scores".to_owned();
    };
    let spread = score.sd.map_or(String::new(), |sd| format!(" ± {sd:.3}"));
    format!("{:+.3}{spread} ({better} of {})", score.mean, score.n)
}

fn rounded(Spread { mean, sd, .. }: Spread) -> String {
    match sd {
        Some(sd) => format!("{mean:.0} ± {sd:.0}"),
        None if mean < 10.0 => format!("{mean:.1}"),
        None => format!("{mean:.0}"),
    }
}

fn csv(rows: &[Row], metrics: &[MetricName]) -> Result<()> {
    let settings = settings(rows);
    let spread = |name: &str| [name.to_owned(), format!("{name}_sd")];
    let mut header = ["task", "model", "method"].map(String::from).to_vec();
    header.extend(settings.iter().map(|key| (*key).to_owned()));
    header.extend(["runs", "trainable_parameters"].map(String::from));
    header.extend(metrics.iter().flat_map(|metric| spread(metric.name())));
    let is_held = rows.iter().any(|row| row.against.is_some());
    if is_held {
        header.push("against".to_owned());
    }
    for metric in metrics.iter().filter(|_| is_held) {
        let parts = ["difference", "difference_sd", "pairs", "better"];
        header.extend(parts.map(|part| format!("{metric}_{part}")));
    }
    for name in ["steps", "flops", "train_secs", "peak_memory_mib"] {
        header.extend(spread(name));
    }
    let mut writer = csv::Writer::from_writer(std::io::stdout());
    let mut written = writer.write_record(&header);
    for row in rows {
        let name = &row.name;
        let mut cells = vec![name.task.clone(), name.model.clone(), name.method.clone()];
        cells.extend(settings.iter().map(|key| setting(row, key)));
        cells.extend([row.seeds.len(), row.trainable_parameters].map(|count| count.to_string()));
        let of_test = metrics.iter().map(|metric| row.test[metric.name()]);
        let others = [
            Some(row.steps),
            row.flops,
            Some(row.train_secs),
            row.peak_memory_mib,
        ];
        let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        let both = |spread: Option<Spread>| {
            [
                number(spread.map(|spread| spread.mean)),
                number(spread.and_then(|spread| spread.sd)),
            ]
        };
        cells.extend(of_test.flat_map(both));
        let (standing, scores) = match &row.against {
            Some(Against::Differences { scores, .. }) => ("held", Some(scores)),
            Some(Against::OtherTest) => ("other_test", None),
            Some(Against::Baseline) => ("baseline", None),
            None => ("", None),
        };
        if is_held {
            cells.push(standing.to_owned());
        }
        for metric in metrics.iter().filter(|_| is_held) {
            let found = scores.and_then(|scores| scores.get(metric.name()).copied().flatten());
            cells.extend(both(found.map(|found| found.score)));
            let counts = found.map(|found| [found.score.n, found.better]);
            let count = |of: usize| counts.map_or(String::new(), |counts| counts[of].to_string());
            cells.extend([count(0), count(1)]);
        }
        cells.extend(others.into_iter().flat_map(both));
        written = written.and_then(|()| writer.write_record(&cells));
    }
    let written = written.map_err(std::io::Error::from);
    match written.and_then(|()| writer.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("cannot write to standard output"),
    }
}
