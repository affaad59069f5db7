//! The model, the task and the run files of the demo, which the binary holds.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use lingo_train::record::write_atomically;

/// Files of the repository's folder `configs`, by their names in it.
macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../../../../configs/", $name)).as_slice())),*]
    };
}

const FILES: [(&str, &[u8]); 21] = embedded![
    "demo/common.toml",
    "demo/full.toml",
    "demo/lora.toml",
    "demo/adalora.toml",
    "demo/adaptive-rank-sampling.toml",
    "demo/lingo.toml",
    "demo/data/PROVENANCE.md",
    "demo/data/train.csv",
    "demo/data/dev.csv",
    "demo/data/test.csv",
    "demo/model/PROVENANCE.md",
    "demo/model/config.json",
    "demo/model/model.safetensors",
    "demo/model/tokenizer.json",
    "demo/model/tokenizer_config.json",
    "method/full.toml",
    "method/lora.toml",
    "method/adalora.toml",
    "method/adaptive-rank-sampling.toml",
    "method/lingo.toml",
    "method/lingo-one-hot.toml",
];

/// Where the run files of a demo are.
pub fn configs(out: &Path) -> PathBuf {
    out.join("configs/demo")
}

/// Writes the files into the demo's folder, unless they are there; gives the folder of the run files.
///
/// # Errors
/// If one cannot be written, or another stands in its place and is not to be replaced: what was trained so far would not
/// be what is trained from here on.
pub fn unpack(out: &Path, overwrite: bool) -> Result<PathBuf> {
    write(FILES.into_iter(), out, overwrite)
}

/// Writes the run files alone, without model and data.
///
/// # Errors
/// If one cannot be written.
pub fn unpack_run_files(out: &Path) -> Result<PathBuf> {
    write(
        FILES
            .into_iter()
            .filter(|(name, _)| name.ends_with(".toml")),
        out,
        false,
    )
}

fn write(
    files: impl Iterator<Item = (&'static str, &'static [u8])>,
    out: &Path,
    overwrite: bool,
) -> Result<PathBuf> {
    let place = |name: &str| out.join("configs").join(name);
    let mut missing = Vec::new();
    for (name, content) in files {
        let path = place(name);
        match std::fs::read(&path) {
            Ok(found) if found == content => continue,
            // What is told of them decides nothing.
            Ok(_) if !overwrite && !name.ends_with(".md") => bail!(
                "{} is not the demo's: another version of lingo wrote it, or it was changed; begin anew with --overwrite, \
                 choose another folder with --out, or train by your own file with `lingo train`",
                path.display()
            ),
            _ => missing.push((path, content)),
        }
    }
    for (path, content) in missing {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)
                .with_context(|| format!("cannot create {}", dir.display()))?;
        }
        write_atomically(&path, content)?;
    }
    Ok(configs(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_demo_is_in_the_binary() {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
        let mut found = Vec::new();
        for folder in ["demo", "demo/data", "demo/model", "method"] {
            for entry in std::fs::read_dir(configs.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    let name = path.file_name().unwrap().to_str().unwrap();
                    found.push(format!("{folder}/{name}"));
                }
            }
        }
        found.sort();
        let mut held = FILES.map(|(name, _)| name);
        held.sort_unstable();
        assert_eq!(found, held);
    }

    #[test]
    fn what_an_older_version_tells_of_the_same_files_stops_nobody() {
        let place = tempfile::tempdir().unwrap();
        let told = unpack(place.path(), false)
            .unwrap()
            .join("model/PROVENANCE.md");
        let written = std::fs::read(&told).unwrap();
        std::fs::write(&told, "older").unwrap();
        unpack(place.path(), false).unwrap();
        assert_eq!(std::fs::read(&told).unwrap(), written);
    }

    #[test]
    fn files_that_were_changed_are_not_used() {
        let place = tempfile::tempdir().unwrap();
        let configs = unpack(place.path(), false).unwrap();
        let file = configs.join("lora.toml");
        let written = std::fs::read(&file).unwrap();
        unpack(place.path(), false).unwrap();
        std::fs::write(&file, "epochs").unwrap();
        let said = unpack(place.path(), false).unwrap_err().to_string();
        assert!(said.contains("lora.toml") && said.contains("--overwrite"));
        unpack(place.path(), true).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), written);
    }
}
