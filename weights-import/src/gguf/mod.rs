//! GGUF files of llama.cpp: weights, often quantised, with the configuration and the tokenizer in one file.

pub(crate) mod blocks;
mod config;
mod header;
mod keys;
mod sentencepiece;
mod tokenizer;
mod types;

use std::collections::BTreeMap;
use std::path::Path;

use lingo_core::models::ModelConfig;

use crate::checkpoint::Contents;
use crate::error::ImportError;
use crate::hf;
use crate::mapped::MappedFile;
use crate::tensors::{Element, Place, Role, RowOrder, Stored};
use crate::tokenizer::TextTokenizer;

use config::Metadata;
use header::{Header, TensorEntry};

/// Maps the file and lists its tensors.
pub(crate) fn open(path: &Path) -> Result<(ModelConfig, Contents), ImportError> {
    let file = MappedFile::open(path)?;
    let header = Header::parse(path, file.bytes())?;
    let vocabulary = header
        .tensors
        .iter()
        .find(|tensor| tensor.name == "token_embd.weight")
        .and_then(|tensor| usize::try_from(*tensor.dimensions.get(1)?).ok());
    let llama = config::parse(Metadata::new(path, &header), vocabulary)?;
    let head_dim = llama.head_dim;
    let config = ModelConfig::Llama(llama);

    let mut tensors = Vec::with_capacity(header.tensors.len());
    for entry in &header.tensors {
        tensors.push(stored(&file, &header, entry, &config, head_dim)?);
    }
    refuse_shared_data(path, &tensors)?;
    refuse_stretched_rotary(&file, &tensors)?;
    let contents = Contents {
        format: format!("GGUF, {}", prevalent_type(&tensors)),
        bytes: file.bytes().len() as u64,
        files: vec![file],
        tensors,
    };
    Ok((config, contents))
}

/// The file's own tokenizer, or one in a `tokenizer.json` beside it when that cannot be reproduced.
pub(crate) fn tokenizer(
    file: &MappedFile,
    config: &ModelConfig,
) -> Result<TextTokenizer, ImportError> {
    let header = Header::parse(file.path(), file.bytes())?;
    match tokenizer::read(Metadata::new(file.path(), &header)) {
        Ok(tokenizer) => Ok(tokenizer),
        Err(error) => match file.path().parent() {
            Some(folder) if folder.join("tokenizer.json").is_file() => {
                crate::tokenizer::from_folder(folder, config)
            }
            _ => Err(error),
        },
    }
}

fn stored(
    file: &MappedFile,
    header: &Header,
    entry: &TensorEntry,
    config: &ModelConfig,
    head_dim: usize,
) -> Result<Stored, ImportError> {
    let damaged = |expected: String, found: String| ImportError::Damaged {
        path: file.path().to_owned(),
        place: format!("tensor `{}`", entry.name),
        expected,
        found,
    };
    let encoding = types::encoding(entry.element).ok_or_else(|| ImportError::ElementType {
        path: file.path().to_owned(),
        tensor: entry.name.clone(),
        found: types::name(entry.element),
        supported: types::SUPPORTED,
    })?;
    // `ne` has the innermost dimension first; row-major shapes have it last.
    let shape = entry
        .dimensions
        .iter()
        .rev()
        .map(|size| usize::try_from(*size).ok().filter(|size| *size > 0))
        .collect::<Option<Vec<usize>>>();
    let size = shape.as_deref().and_then(|shape| {
        let (width, outer) = shape.split_last()?;
        let rows = outer
            .iter()
            .try_fold(1_usize, |rows, size| rows.checked_mul(*size))?;
        // The count of numbers must be representable too, not only that of bytes.
        width.checked_mul(rows)?;
        encoding.byte_len(*width, rows)
    });
    let (Some(shape), Some(size)) = (shape, size) else {
        return Err(damaged(
            format!("rows of whole blocks of {} numbers", encoding.block_len()),
            format!("dimensions {:?}", entry.dimensions),
        ));
    };
    let start = usize::try_from(entry.offset)
        .ok()
        .and_then(|offset| header.data_start.checked_add(offset));
    let range = start.and_then(|start| Some(start..start.checked_add(size)?));
    let Some(range) = range.filter(|range| range.end <= file.bytes().len()) else {
        return Err(damaged(
            format!("{size} bytes from byte {} of the data on", entry.offset),
            format!(
                "{} bytes of data",
                file.bytes().len().saturating_sub(header.data_start)
            ),
        ));
    };

    let name = keys::canonical(&entry.name);
    let interleaved = keys::is_interleaved(&name);
    if interleaved && !(shape.len() == 2 && shape[0].is_multiple_of(head_dim)) {
        return Err(damaged(
            format!("a matrix of whole heads, {head_dim} rows each"),
            format!("shape {shape:?}"),
        ));
    }
    let role = if entry.name == keys::ROPE_FREQUENCIES {
        Role::Ignored
    } else {
        hf::keys::role(config, &name)
    };
    Ok(Stored {
        role,
        name,
        source: entry.name.clone(),
        shape,
        element: Element::Known(encoding),
        place: Place::Mapped { file: 0, range },
        rows: if interleaved {
            RowOrder::Interleaved { head_dim }
        } else {
            RowOrder::Plain
        },
    })
}

/// No bytes are those of two tensors: a small file could claim to be any number of large ones.
fn refuse_shared_data(path: &Path, tensors: &[Stored]) -> Result<(), ImportError> {
    let mut places: Vec<_> = tensors
        .iter()
        .filter_map(|tensor| match &tensor.place {
            Place::Mapped { range, .. } => Some((range.start, range.end, &*tensor.source)),
            Place::Pytorch(_) => None,
        })
        .collect();
    places.sort_unstable();
    match places
        .array_windows()
        .find(|[(_, end, _), (start, ..)]| start < end)
    {
        None => Ok(()),
        Some([(_, end, first), (start, _, second)]) => Err(ImportError::Damaged {
            path: path.to_owned(),
            place: format!("tensor `{second}`"),
            expected: "data of its own".to_owned(),
            found: format!("{} bytes of tensor `{first}`", end - start),
        }),
    }
}

/// Llama 3.1 and later store how their rotary frequencies are stretched as a tensor; all ones mean not at all.
fn refuse_stretched_rotary(file: &MappedFile, tensors: &[Stored]) -> Result<(), ImportError> {
    let Some(tensor) = tensors
        .iter()
        .find(|tensor| tensor.source == keys::ROPE_FREQUENCIES)
    else {
        return Ok(());
    };
    let damaged = |found: String| ImportError::Damaged {
        path: file.path().to_owned(),
        place: format!("tensor `{}`", tensor.source),
        expected: "factors of rotary frequencies".to_owned(),
        found,
    };
    let factors = tensor
        .read(std::slice::from_ref(file))
        .map_err(damaged)?
        .try_into_vec::<f32>()
        .map_err(|error| damaged(format!("{error:?}")))?;
    if factors.iter().all(|factor| *factor == 1.0) {
        Ok(())
    } else {
        Err(ImportError::Unsupported {
            path: file.path().to_owned(),
            feature: keys::ROPE_FREQUENCIES.to_owned(),
            found: "factors other than 1 (llama3 rope scaling)".to_owned(),
            supported: "1".to_owned(),
        })
    }
}

/// The type of most matrices.
fn prevalent_type(tensors: &[Stored]) -> &str {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for tensor in tensors.iter().filter(|tensor| tensor.shape.len() > 1) {
        *counts.entry(tensor.element.name()).or_default() += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map_or("F32", |(name, _)| name)
}

#[cfg(test)]
pub(crate) mod tests;
