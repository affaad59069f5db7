//! `lingo predict`.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, Result, bail};
use indicatif::ProgressBar;
use lingo_train::config::DataConfig;
use lingo_train::data::{
    DataError, EncodingReport, Objective, Record, Records, read_sequences, sequences,
};
use lingo_train::metric::{predictions, probabilities, sigmoid};

use crate::args::PredictArgs;
use crate::bank::Adapters;
use crate::say;
use crate::scorer::Scorer;
use crate::signals::{clean_up_on_signals, unfinished};

/// Sequences that are scored at a time, so that no more are held.
const CHUNK: usize = 1 << 14;

/// Writes probabilities of classes or labels for sequences.
pub fn run(args: &PredictArgs) -> Result<()> {
    clean_up_on_signals()?;
    let Some(model) = &args.model else {
        return by_adapters(args);
    };
    let output = match is_standard(&args.output) {
        true => Output::Standard,
        false => Output::File(output_file(args, &args.output)?),
    };
    let scratch = DataConfig::default().cache().dir;
    let mut ids = Ids::default();
    // A pipe cannot be read twice.
    let held = match args.input.is_file() {
        true => None,
        false => Some(read_sequences(&args.input)?),
    };
    let records = || -> Result<Records<'_>, DataError> {
        match &held {
            Some(held) => Ok(Box::new(held.iter().cloned().map(Ok))),
            None => sequences(&args.input, &scratch),
        }
    };
    // What is wrong far down a file is found before anything is scored.
    for record in records()? {
        ids.add(&record?.id);
    }
    ids.say();
    let scorer = Scorer::load(model, &args.load)?;
    let bar = scorer.bar(ids.count);
    let mut report = EncodingReport::default();
    output.write(|file| {
        let mut table = PredictionTable::new(&output, file, scorer.objective())?;
        let mut records = records()?;
        loop {
            let chunk = records
                .by_ref()
                .take(CHUNK)
                .collect::<Result<Vec<_>, _>>()?;
            if chunk.is_empty() {
                return table.finish();
            }
            let (logits, of_chunk) = scorer.score(&chunk, &bar)?;
            table.add(&chunk, &logits)?;
            report = report.merge(of_chunk);
        }
    })?;
    bar.finish_and_clear();
    scorer.say_losses(report);
    if let Output::File(_) = output {
        let (count, shown) = (ids.count, args.output.display());
        note!("{count} predictions written to {shown}");
    }
    Ok(())
}

/// Writes a table for each of many adapters.
fn by_adapters(args: &PredictArgs) -> Result<()> {
    let folder = args.output.display();
    if is_standard(&args.output) {
        bail!(
            "--output - is standard output; with --adapters a folder is needed, in which each adapter gets a table"
        );
    }
    if args.output.exists() && !args.output.is_dir() {
        bail!(
            "--output {folder} is a file; with --adapters it is a folder, in which each adapter gets a table: give another \
             name"
        );
    }
    let adapters = Adapters::find(&args.adapters, &args.load)?;
    let tables: Vec<PathBuf> = adapters
        .names()
        .iter()
        .map(|name| args.output.join(format!("{name}.csv")))
        .collect();
    for table in tables.iter().filter(|table| table.exists()) {
        output_file(args, table)?;
    }
    let scratch = DataConfig::default().cache().dir;
    let records = sequences(&args.input, &scratch)?.collect::<Result<Vec<_>, _>>()?;
    let mut ids = Ids::default();
    records.iter().for_each(|record| ids.add(&record.id));
    ids.say();
    let bank = adapters.load()?;
    std::fs::create_dir_all(&args.output).with_context(|| format!("cannot make {folder}"))?;
    let files = tables.iter().map(|table| output_file(args, table));
    let files: Vec<Output> = files
        .map(|file| Ok(Output::File(file?)))
        .collect::<Result<_>>()?;
    let bar = say::bar(ProgressBar::new(files.len() as u64));
    bank.score(&records, |adapter, logits, objective| {
        bar.inc(1);
        files[adapter].write(|file| {
            let mut table = PredictionTable::new(&files[adapter], file, objective)?;
            table.add(&records, logits)?;
            table.finish()
        })
    })?;
    bar.finish_and_clear();
    note!(
        "{} predictions of each of {} adapters written to {folder}",
        records.len(),
        files.len()
    );
    Ok(())
}

/// What is told of the ids of sequences.
#[derive(Default)]
struct Ids {
    count: usize,
    empty: usize,
    again: usize,
    /// The first that is there twice.
    first: Option<String>,
    /// Hashes, which take less room.
    seen: HashSet<u64>,
}

impl Ids {
    fn add(&mut self, id: &str) {
        self.count += 1;
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        if id.is_empty() {
            self.empty += 1;
        } else if !self.seen.insert(hasher.finish()) {
            self.again += 1;
            self.first.get_or_insert_with(|| id.to_owned());
        }
    }

    /// Says so where predictions cannot be told apart by their ids.
    fn say(&self) {
        let order = "their predictions stand in the input's order";
        if let Some(first) = &self.first {
            note!(
                "note: {} sequences have an id that one before them has, such as `{first}`; {order}",
                self.again
            );
        }
        if self.empty > 0 {
            note!("note: {} sequences have an empty id; {order}", self.empty);
        }
    }
}

/// Where a table goes.
enum Output {
    /// Standard output.
    Standard,
    /// A file.
    File(PathBuf),
}

/// Whether the user means standard output, as by `-`.
fn is_standard(output: &Path) -> bool {
    output == Path::new("-")
}

impl Output {
    /// Has it written; a file under a temporary name, which gets its own when it is whole. A reader that needs no more is no
    /// error.
    fn write(&self, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        let path = match self {
            Self::File(path) => path,
            Self::Standard => {
                let written = write(&mut std::io::stdout().lock());
                let is_gone = |error: &Error| {
                    let mut io = error.chain().filter_map(|cause| cause.downcast_ref());
                    io.any(|error: &std::io::Error| error.kind() == ErrorKind::BrokenPipe)
                };
                return match written {
                    Err(error) if is_gone(&error) => Ok(()),
                    written => written,
                };
            }
        };
        let failed = || format!("cannot write {}", path.display());
        let dir = path.parent().filter(|dir| *dir != Path::new(""));
        let mut file = unfinished(dir.unwrap_or(Path::new("."))).with_context(failed)?;
        write(file.as_file_mut())?;
        let placed = file.as_file().sync_all().map(|()| file);
        let placed = placed.and_then(|file| file.persist(path).map_err(|error| error.error));
        placed.with_context(failed)?;
        Ok(())
    }
}

/// The file that may be written: what a link leads to, and never the input.
fn output_file(args: &PredictArgs, output: &Path) -> Result<PathBuf> {
    let shown = output.display();
    if std::fs::symlink_metadata(output).is_err() {
        let folder = output.parent();
        let folder = folder.filter(|folder| *folder != Path::new(""));
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            bail!(
                "cannot write {shown}: there is no folder {}",
                folder.display()
            );
        }
        return Ok(output.to_owned());
    }
    if !args.overwrite {
        bail!("{shown} exists; give another name, or --overwrite to replace it");
    }
    let file = output.canonicalize();
    let file = file.with_context(|| format!("cannot replace {shown}"))?;
    if args.input.canonicalize().is_ok_and(|input| input == file) {
        bail!("{shown} is the input, which would be lost; give another name for the output");
    }
    if !file.is_file() {
        bail!("{shown} is not an ordinary file; give the name of one");
    }
    Ok(file)
}

/// Predictions as CSV, as they come.
struct PredictionTable<'a> {
    /// What an error calls it.
    name: String,
    writer: csv::Writer<&'a mut dyn Write>,
    objective: &'a Objective,
}

impl<'a> PredictionTable<'a> {
    /// In `file`, which becomes what `output` says.
    fn new(output: &Output, file: &'a mut dyn Write, objective: &'a Objective) -> Result<Self> {
        let header: Vec<String> = match objective {
            Objective::Classes(classes) => ["id", "prediction"]
                .map(String::from)
                .into_iter()
                .chain((0..*classes).map(|class| format!("p_{class}")))
                .collect(),
            Objective::Labels(names) => ["id".to_owned()]
                .into_iter()
                .chain(names.iter().map(|name| format!("p_{name}")))
                .collect(),
        };
        let mut table = Self {
            name: match output {
                Output::Standard => "to standard output".to_owned(),
                Output::File(path) => path.display().to_string(),
            },
            writer: csv::Writer::from_writer(file),
            objective,
        };
        table.row(header)?;
        Ok(table)
    }

    /// Adds records with their logits `[N, C]`.
    fn add(&mut self, records: &[Record], logits: &[f32]) -> Result<()> {
        let outputs = self.objective.outputs();
        if let Some(at) = logits.iter().position(|logit| !logit.is_finite()) {
            let id = &records[at / outputs].id;
            bail!("the model's logits for `{id}` are not finite; its weights are broken");
        }
        let (predictions, probabilities) = match self.objective {
            Objective::Classes(classes) => (
                Some(predictions(logits, *classes)),
                probabilities(logits, *classes),
            ),
            Objective::Labels(_) => (None, logits.iter().map(|logit| sigmoid(*logit)).collect()),
        };
        for (row, record) in records.iter().enumerate() {
            let prediction = predictions.as_ref().map(|classes| classes[row].to_string());
            let cells = &probabilities[row * outputs..][..outputs];
            let start = [record.id.clone()].into_iter().chain(prediction);
            self.row(start.chain(cells.iter().map(f64::to_string)))?;
        }
        Ok(())
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) -> Result<()> {
        let written = self.writer.write_record(cells);
        let written = written.map_err(std::io::Error::from);
        written.with_context(|| format!("cannot write {}", self.name))
    }

    fn finish(mut self) -> Result<()> {
        let written = self.writer.flush();
        written.with_context(|| format!("cannot write {}", self.name))
    }
}
