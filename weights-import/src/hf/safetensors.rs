//! Weights in the safetensors format, one file or several.

use std::collections::HashSet;
use std::path::PathBuf;

use lingo_core::models::ModelConfig;
use safetensors::Dtype;

use crate::checkpoint::Contents;
use crate::encoding::Encoding;
use crate::error::ImportError;
use crate::hf::{header::Header, index::Index, keys};
use crate::mapped::MappedFile;
use crate::tensors::{Element, Place, RowOrder, Stored};

/// Maps the files and lists their tensors.
pub(crate) fn open(
    config: &ModelConfig,
    paths: &[PathBuf],
    index: Option<&Index>,
) -> Result<Contents, ImportError> {
    let mut files = Vec::with_capacity(paths.len());
    let mut tensors = Vec::new();
    for path in paths {
        let file = MappedFile::open(path)?;
        let header = Header::parse(path, file.bytes())?;
        if let Some(index) = index {
            let names: HashSet<&str> = header.tensors.iter().map(|(name, _)| &**name).collect();
            index.check_shard(path, |tensor| names.contains(tensor))?;
        }
        for (source, info) in header.tensors {
            if index.is_some_and(|index| !index.places(&source, path)) {
                continue;
            }
            let name = keys::canonical(&source);
            let (start, end) = info.data_offsets;
            tensors.push(Stored {
                role: keys::role(config, &name),
                name,
                source,
                shape: info.shape,
                element: element(info.dtype),
                place: Place::Mapped {
                    file: files.len(),
                    range: header.data_start + start..header.data_start + end,
                },
                rows: RowOrder::Plain,
            });
        }
        files.push(file);
    }
    Ok(Contents {
        format: match paths.len() {
            1 => "safetensors".to_owned(),
            shards => format!("safetensors, {shards} shards"),
        },
        bytes: files.iter().map(|file| file.bytes().len() as u64).sum(),
        files,
        tensors,
    })
}

fn element(dtype: Dtype) -> Element {
    Element::Known(match dtype {
        Dtype::F64 => Encoding::F64,
        Dtype::F32 => Encoding::F32,
        Dtype::F16 => Encoding::F16,
        Dtype::BF16 => Encoding::Bf16,
        other => return Element::Other(format!("{other:?}")),
    })
}
