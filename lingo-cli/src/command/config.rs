//! `lingo config`.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use lingo_train::config::{Combinations, Origin, PretrainConfig, Resolved};
use lingo_train::task::check_fit;
use serde::Serialize;
use weights_import::{Blueprint, read_config};

use super::pretrain;
use super::train::resolve;
use crate::args::{CheckArgs, ConfigVerb, ShowArgs};
use crate::{message, say};

/// The folder that is checked where none is named.
pub const CONFIGS: &str = "configs";

/// Shows or checks run files.
pub fn run(verb: &ConfigVerb) -> Result<()> {
    match verb {
        ConfigVerb::Show(args) => show(args),
        ConfigVerb::Check(args) => check(args),
    }
}

fn show(args: &ShowArgs) -> Result<()> {
    if PretrainConfig::is_described_by(&args.run.files)? {
        return print(&pretrain::resolve(&args.run)?, args.json);
    }
    let resolved = resolve(&args.run)?;
    for idle in &resolved.idle {
        note!("note: {idle}");
    }
    print(&resolved, args.json)
}

fn print(resolved: &Resolved<impl Serialize>, json: bool) -> Result<()> {
    match json {
        true => result!("{}", serde_json::to_string_pretty(&resolved.entries()?)?),
        false => result!("{}", resolved.annotated()?.trim_end()),
    }
    Ok(())
}

fn check(args: &CheckArgs) -> Result<()> {
    match args.files.as_slice() {
        [folder] if folder.is_dir() => check_folder(folder, &args.set),
        [folder] if folder == Path::new(CONFIGS) && !folder.exists() => bail!(
            "there is no folder {CONFIGS} here, whose combinations are checked where no run file is named; name one, or \
             go to the folder where lingo's source code is"
        ),
        files => {
            let known = check_run(files, &args.set)?;
            let unless = match known {
                true => "",
                false => "; whether it goes with its model shows when that is there",
            };
            result!("the run file is in order{unless}");
            Ok(())
        }
    }
}

/// Checks every combination of a folder, and names all that fail.
fn check_folder(folder: &Path, set: &[(String, String)]) -> Result<()> {
    let (mut total, mut failed) = (0, 0);
    for table in Combinations::open(folder)?.tables {
        let runs = table.runs(folder);
        let mut good = 0;
        for files in &runs {
            let outcome = match check_run(files, set) {
                Ok(true) => Ok(()),
                Ok(false) => Err(anyhow!(
                    "nothing beside {} says what shape the model has",
                    files[1].display()
                )),
                Err(error) => Err(error),
            };
            match outcome {
                Ok(()) => good += 1,
                Err(error) => {
                    let names = files.each_ref().map(|file| file.display().to_string());
                    say::error(format_args!(
                        "{}\n  {}",
                        names.join(" "),
                        message(&error).replace('\n', "\n  ")
                    ));
                }
            }
        }
        result!("{good:>5} of {:<5} {}", runs.len(), table.name);
        total += runs.len();
        failed += runs.len() - good;
    }
    if failed > 0 {
        bail!("{failed} of {total} combinations cannot be run");
    }
    result!("{total:>5} combinations are in order");
    Ok(())
}

/// Checks one run as far as files of text allow; whether the shape of its model was among them.
fn check_run(files: &[PathBuf], set: &[(String, String)]) -> Result<bool> {
    if PretrainConfig::is_described_by(files)? {
        let config = PretrainConfig::load(files, set)?.config;
        let is_there = config.model.exists();
        if is_there {
            Blueprint::open(&config.model)?;
        }
        return Ok(is_there);
    }
    let resolved = Resolved::load(files, set)?;
    let Some(path) = shape_file(&resolved) else {
        return Ok(false);
    };
    check_fit(&resolved.config, &read_config(&path)?).map_err(|error| {
        let origin = error.key().and_then(|key| resolved.origin(key));
        match origin {
            Some(origin) => anyhow!("{error} ({origin})"),
            None => error.into(),
        }
    })?;
    Ok(true)
}

/// Where the model's shape can be read: in its folder, or, for one of the hub, in the JSON file of the same name beside
/// the file that names it.
fn shape_file(resolved: &Resolved) -> Option<PathBuf> {
    let own = resolved.config.model.join("config.json");
    let beside = resolved.origin("model").and_then(Origin::file);
    let beside = beside.map(|file| file.with_extension("json"));
    std::iter::once(own)
        .chain(beside)
        .find(|path| path.is_file())
}
