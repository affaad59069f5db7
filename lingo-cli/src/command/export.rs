//! `lingo export`: a run's adapter in the formats of others.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use lingo_train::saved::{MANIFEST_FILE, Saved};
use weights_import::Checkpoint;
use weights_import::peft::PeftAdapter;

use crate::args::{ExportArgs, ExportFormat};
use crate::hub::locate;
use crate::peft::to_peft;
use crate::scorer::adapter_dir;

/// What the manifest is called beside an exported adapter: prompt and tokens, which PEFT has no place for.
pub const MANIFEST_BESIDE: &str = "lingo.json";

/// Writes the adapter of a run as another library reads it.
pub fn run(args: &ExportArgs) -> Result<()> {
    let Some(dir) = adapter_dir(&args.run)? else {
        bail!("{} is no run folder and no adapter", args.run.display());
    };
    let saved = Saved::open(&dir)?;
    let base = args.base.as_deref().unwrap_or(&saved.manifest.model);
    let checkpoint = locate(base)
        .and_then(|base| Ok(Checkpoint::open(&base.path)?))
        .with_context(|| format!("the pretrained model {} cannot be opened", base.display()))?;
    if args.out.exists() && !args.overwrite {
        bail!(
            "{} exists; give --overwrite to replace what is in it",
            args.out.display()
        );
    }
    match args.format {
        ExportFormat::Peft => peft(&saved, &checkpoint, args),
    }
}

fn peft(saved: &Saved, checkpoint: &Checkpoint, args: &ExportArgs) -> Result<()> {
    let adapter = to_peft(saved)?;
    let adapter = if args.as_lora {
        adapter.into_lora()
    } else {
        adapter
    };
    adapter.write(&args.out, checkpoint.config())?;
    write_manifest(saved, &args.out)?;
    let ranks: usize = adapter
        .matrices
        .values()
        .map(|factors| factors.rank())
        .sum();
    note!(
        "wrote {} of {} matrices in {ranks} ranks to {}",
        kind(&adapter),
        adapter.matrices.len(),
        args.out.display()
    );
    Ok(())
}

fn kind(adapter: &PeftAdapter) -> &'static str {
    match adapter.singular_values {
        true => "an AdaLoRA adapter",
        false => "a LoRA adapter",
    }
}

fn write_manifest(saved: &Saved, dir: &Path) -> Result<()> {
    let path = dir.join(MANIFEST_BESIDE);
    let text = serde_json::to_string_pretty(&saved.manifest)?;
    std::fs::write(&path, text)
        .with_context(|| format!("cannot write {} ({MANIFEST_FILE})", path.display()))
}
