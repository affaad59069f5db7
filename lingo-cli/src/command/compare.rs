//! `lingo compare`.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use anyhow::{Context as _, Result, bail};
use lingo_train::comparison::{FinishedRun, Row, Spread, compare};
use lingo_train::metric::MetricName;

use crate::args::{CompareArgs, TableFormat};
use crate::picture::Picture;

/// Prints a table of finished runs.
pub fn run(args: &CompareArgs) -> Result<()> {
    let mut runs = Vec::with_capacity(args.runs.len());
    for dir in &args.runs {
        if dir.join("adapter.json").is_file() {
            note!(
                "note: {} is an adapter, not a run, it is left out",
                dir.display()
            );
            continue;
        }
        match FinishedRun::open(dir)? {
            Some(run) => runs.push(run),
            None => note!("note: {} has no result yet, it is left out", dir.display()),
        }
    }
    if runs.is_empty() {
        bail!("none of the runs is finished; `lingo train` writes result.json at its end");
    }
    let rows = compare(&runs, &args.metrics)?;
    if let (false, Some(metric)) = (args.plot.is_empty(), args.metrics.first()) {
        let picture = Picture::new(&runs, &rows, *metric)?;
        args.plot.iter().try_for_each(|path| picture.write(path))?;
    }
    match args.format {
        TableFormat::Markdown => markdown(&rows, &args.metrics),
        TableFormat::Csv => return csv(&rows, &args.metrics),
        TableFormat::Json => result!("{}", serde_json::to_string_pretty(&rows)?),
    }
    Ok(())
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
    let memory = rows.iter().any(|row| row.peak_memory_mib.is_some());
    let flops = rows.iter().any(|row| row.flops.is_some());
    let mut header = vec!["task", "model", "method"];
    header.extend(&settings);
    header.extend(["runs", "trained parameters"]);
    let titles: Vec<String> = metrics
        .iter()
        .map(|metric| format!("test {metric}"))
        .collect();
    header.extend(titles.iter().map(String::as_str));
    header.push("steps");
    header.extend(flops.then_some("FLOPs"));
    header.push("s");
    header.extend(memory.then_some("MiB"));
    let line = |cells: &[&str]| result!("| {} |", cells.join(" | "));
    line(&header);
    let text = 3 + settings.len();
    let rule = (0..header.len()).map(|column| if column < text { "---" } else { "--:" });
    line(&rule.collect::<Vec<_>>());
    for row in rows {
        let mut cells = vec![
            row.name.task.clone(),
            row.name.model.clone(),
            row.name.method.clone(),
        ];
        cells.extend(settings.iter().map(|key| setting(row, key)));
        cells.push(row.seeds.len().to_string());
        cells.push(row.trainable_parameters.to_string());
        cells.extend(metrics.iter().map(|metric| score(row, *metric)));
        cells.push(format!("{:.0}", row.steps.mean));
        if flops {
            cells.push(
                row.flops
                    .map_or(String::new(), |flops| format!("{:.2e}", flops.mean)),
            );
        }
        cells.push(rounded(row.train_secs));
        if memory {
            cells.push(row.peak_memory_mib.map_or(String::new(), rounded));
        }
        line(&cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

fn setting(row: &Row, key: &str) -> String {
    // A bar would end the cell.
    row.settings
        .get(key)
        .map_or(String::new(), |value| value.replace('|', "\\|"))
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

fn rounded(Spread { mean, sd, .. }: Spread) -> String {
    match sd {
        Some(sd) => format!("{mean:.0} ± {sd:.0}"),
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
    for name in ["steps", "flops", "train_secs", "peak_memory_mib"] {
        header.extend(spread(name));
    }
    let mut writer = csv::Writer::from_writer(std::io::stdout());
    let mut written = writer.write_record(&header);
    for row in rows {
        let name = &row.name;
        let mut cells = vec![name.task.clone(), name.model.clone(), name.method.clone()];
        let value = |key: &&str| row.settings.get(*key).cloned().unwrap_or_default();
        cells.extend(settings.iter().map(value));
        cells.extend([row.seeds.len(), row.trainable_parameters].map(|count| count.to_string()));
        let of_test = metrics.iter().map(|metric| row.test[metric.name()]);
        let others = [
            Some(row.steps),
            row.flops,
            Some(row.train_secs),
            row.peak_memory_mib,
        ];
        for spread in of_test.chain(others) {
            let number =
                |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
            cells.push(number(spread.map(|spread| spread.mean)));
            cells.push(number(spread.and_then(|spread| spread.sd)));
        }
        written = written.and_then(|()| writer.write_record(&cells));
    }
    let written = written.map_err(std::io::Error::from);
    match written.and_then(|()| writer.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("cannot write to standard output"),
    }
}
