//! Models of the Hugging Face hub, fetched with progress on the terminal.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use weights_import::hub::{HubEvent, HubId, HubSettings, fetch};

use crate::say;

/// A model, found.
pub struct Located {
    /// Its path.
    pub path: PathBuf,
    /// What to call it when it is to be found again: the path, or the hub's name with the commit.
    pub name: PathBuf,
}

/// Finds a model by what the user calls it: a path that exists, else a model of the hub, which is fetched unless the
/// cache has it. What begins with the name of a folder that is there is no such name, unless a revision says so: who
/// mistypes `runs/one` does not ask for a model of the owner `runs`. Anything else is a path that does not exist, about which whoever opens it will complain.
pub fn locate(model: &Path) -> Result<Located> {
    if model
        .extension()
        .is_some_and(|extension| extension == "toml")
        && model.is_file()
    {
        bail!(
            "{} is a run file where a model is expected: a folder in Hugging Face's layout, a .gguf file, or a name on \
             the hub; its own model stands under the key `model`",
            model.display()
        );
    }
    let id = model.to_str().and_then(HubId::parse);
    let Some(id) = id.filter(|_| !model.exists()) else {
        return Ok(Located {
            path: model.to_owned(),
            name: model.to_owned(),
        });
    };
    let owner = Path::new(id.owner());
    if id.revision().is_none() && owner.is_dir() {
        bail!(
            "{}: there is no such file or folder in {}; give the path of a run, of a model's folder or of a .gguf file, or, \
             if the model {id} of the hub is meant, call it {}",
            model.display(),
            owner.display(),
            id.at("main")
        );
    }
    let settings = HubSettings::from_env()?;
    let bar = say::bar(ProgressBar::new(0).with_style(style()));
    let mut files = 0_usize;
    let mut total = 0;
    let snapshot = fetch(&settings, &id, &mut |event| match event {
        HubEvent::Licence(licence) => note!(
            "licence     {id} is under the {}: {}",
            licence.name,
            licence.terms
        ),
        HubEvent::File { name, bytes } => {
            if files == 0 {
                note!("fetching    {id} from {}", settings.endpoint);
            }
            files += 1;
            total += bytes;
            bar.set_length(bytes);
            bar.set_position(0);
            bar.set_message(name.to_owned());
        }
        HubEvent::Received(bytes) => bar.set_position(bytes),
        HubEvent::Waiting { name, lock } => note!(
            "waiting     for another process, which fetches {name} ({} is locked)",
            lock.display()
        ),
        HubEvent::WithoutTokenizer(error) => {
            note!("cached      {id} is used as it is, without a tokenizer: {error}");
        }
    });
    bar.finish_and_clear();
    let snapshot = snapshot?;
    if files > 0 {
        note!(
            "fetched     {files} files, {}, into {}",
            HumanBytes(total),
            snapshot.folder.display()
        );
    }
    Ok(Located {
        name: id.at(&snapshot.commit).to_string().into(),
        path: snapshot.folder,
    })
}

fn style() -> ProgressStyle {
    // The default does where the template were wrong.
    ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
