//! Weights in the safetensors format, one file or several.

use std::path::PathBuf;

use lingo_core::models::ModelConfig;
use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::Metadata};

use crate::checkpoint::Contents;
use crate::encoding::Encoding;
use crate::error::ImportError;
use crate::hf::{index::Index, keys};
use crate::mapped::MappedFile;
use crate::tensors::{Element, Place, RowOrder, Stored};

/// Bytes before the header: its length.
const LENGTH_BYTES: usize = 8;

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
        let (header_len, metadata) =
            SafeTensors::read_metadata(file.bytes()).map_err(|error| damaged(&file, error))?;
        if let Some(index) = index {
            index.check_shard(path, |tensor| metadata.info(tensor).is_some())?;
        }
        let data_start = LENGTH_BYTES + header_len;
        for source in metadata.offset_keys() {
            let Some(info) = metadata.info(&source) else {
                continue;
            };
            if index.is_some_and(|index| !index.places(&source, path)) {
                continue;
            }
            let name = keys::canonical(&source);
            let (start, end) = info.data_offsets;
            tensors.push(Stored {
                role: keys::role(config, &name),
                name,
                source,
                shape: info.shape.clone(),
                element: element(info.dtype),
                place: Place::Mapped {
                    file: files.len(),
                    range: data_start + start..data_start + end,
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

/// The reader's complaint with the figures that tell a truncated file from a wrong one.
fn damaged(file: &MappedFile, error: SafeTensorError) -> ImportError {
    let found = file.bytes().len();
    let header = file
        .bytes()
        .first_chunk()
        .map(|length| u64::from_le_bytes(*length));
    let (place, expected, found) = match (&error, header) {
        (SafeTensorError::HeaderTooSmall, _) | (_, None) => (
            "the header's length",
            format!("at least {LENGTH_BYTES} bytes"),
            format!("{found} bytes"),
        ),
        (SafeTensorError::InvalidHeaderLength, Some(length)) => (
            "the header",
            format!("{length} bytes after the first {LENGTH_BYTES}"),
            format!("a file of {found} bytes"),
        ),
        (SafeTensorError::MetadataIncompleteBuffer, Some(length)) => {
            let data = declared_data(file.bytes(), length).unwrap_or_default();
            let expected = u128::from(length) + LENGTH_BYTES as u128 + data as u128;
            (
                "the tensors",
                format!("a file of {expected} bytes, as its header says"),
                format!("{found} bytes"),
            )
        }
        _ => (
            "the header",
            "a safetensors header".to_owned(),
            error.to_string(),
        ),
    };
    ImportError::Damaged {
        path: file.path().to_owned(),
        place: place.to_owned(),
        expected,
        found,
    }
}

/// The bytes of tensors that a header speaks of.
fn declared_data(bytes: &[u8], header_len: u64) -> Option<usize> {
    let end = LENGTH_BYTES.checked_add(usize::try_from(header_len).ok()?)?;
    let metadata: Metadata = serde_json::from_slice(bytes.get(LENGTH_BYTES..end)?).ok()?;
    Some(metadata.data_len())
}
