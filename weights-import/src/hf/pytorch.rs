//! Weights that `torch.save` wrote. The reader interprets the pickle's opcodes and builds nothing but tables of
//! tensors; no code of the file is run. Tensors are read one at a time, when they are asked for.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use burn::store::pytorch::PytorchReader;
use burn::store::pytorch_reader::DType;
use lingo_core::models::ModelConfig;

use crate::checkpoint::Contents;
use crate::encoding::Encoding;
use crate::error::ImportError;
use crate::hf::{index::Index, keys};
use crate::mapped::is_lfs_pointer;
use crate::tensors::{Element, Place, RowOrder, Stored};

/// Opens the files and lists their tensors.
pub(crate) fn open(
    config: &ModelConfig,
    paths: &[PathBuf],
    index: Option<&Index>,
) -> Result<Contents, ImportError> {
    let mut tensors = Vec::new();
    let mut bytes = 0;
    for path in paths {
        refuse_pointer(path)?;
        bytes += path.metadata().map_or(0, |metadata| metadata.len());
        let reader = PytorchReader::new(path).map_err(|error| ImportError::Pytorch {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        if let Some(index) = index {
            index.check_shard(path, |tensor| reader.get(tensor).is_some())?;
        }
        let mut found: Vec<_> = reader.into_tensors().into_iter().collect();
        found.sort_by(|(left, _), (right, _)| left.cmp(right));
        for (source, tensor) in found {
            if index.is_some_and(|index| !index.places(&source, path)) {
                continue;
            }
            let name = keys::canonical(&source);
            tensors.push(Stored {
                role: keys::role(config, &name),
                name,
                source,
                shape: tensor.shape().to_vec(),
                element: element(tensor.dtype()),
                place: Place::Pytorch(tensor),
                rows: RowOrder::Plain,
            });
        }
    }
    Ok(Contents {
        format: match paths.len() {
            1 => "pytorch_model.bin".to_owned(),
            shards => format!("pytorch_model.bin, {shards} shards"),
        },
        files: Vec::new(),
        tensors,
        bytes,
    })
}

fn element(dtype: DType) -> Element {
    Element::Known(match dtype {
        DType::F64 => Encoding::F64,
        DType::F32 => Encoding::F32,
        DType::F16 => Encoding::F16,
        DType::BF16 => Encoding::Bf16,
        other => return Element::Other(format!("{other:?}")),
    })
}

/// A pointer file would otherwise be reported as a pickle that does not parse.
fn refuse_pointer(path: &Path) -> Result<(), ImportError> {
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(64).read_to_end(&mut start))
        .map_err(|source| ImportError::Io {
            path: path.to_owned(),
            source,
        })?;
    if is_lfs_pointer(&start) {
        return Err(ImportError::LfsPointer {
            path: path.to_owned(),
        });
    }
    Ok(())
}
