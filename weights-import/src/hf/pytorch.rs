//! Weights that `torch.save` wrote. The reader interprets the pickle's opcodes and builds nothing but tables of
//! tensors; no code of the file is run. Tensors are read one at a time, when they are asked for.
//!
//! What a file claims is not trusted: an archive whose entries are compressed, and a tensor that repeats its numbers
//! (a stride of 0), could both be far larger in memory than on disk, so both are held against the file's size first.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _};
use std::path::{Path, PathBuf};

use burn::store::pytorch::PytorchReader;
use burn::store::pytorch_reader::{DType, PickleValue};
use lingo_core::models::ModelConfig;
use zip::ZipArchive;

use crate::checkpoint::Contents;
use crate::encoding::Encoding;
use crate::error::ImportError;
use crate::hf::kind::{PAGE, is_page};
use crate::hf::{index::Index, keys};
use crate::mapped::is_lfs_pointer;
use crate::tensors::{Element, Place, RowOrder, Stored};

/// How many times the file's size its content may have: weights hardly compress, and tensors share little.
const MOST_EXPANSION: u64 = 16;
/// How archives begin, and where those of PyTorch before 0.1.10 say what they are.
const ZIP: &[u8] = b"PK";
const TAR: &[u8] = b"ustar";
const TAR_AT: usize = 257;
/// What the names begin with of a model that is saved within something else.
const STATE_DICT: &str = "state_dict.";

/// Opens the files and lists their tensors.
pub(crate) fn open(
    config: &ModelConfig,
    paths: &[PathBuf],
    index: Option<&Index>,
) -> Result<Contents, ImportError> {
    let mut tensors = Vec::new();
    let mut bytes = 0;
    for path in paths {
        let size = check(path)?;
        bytes += size;
        let reader = PytorchReader::new(path).map_err(|error| unreadable(path, error))?;
        let all = reader.tensors().values();
        refuse_larger(
            path,
            size,
            "tensors",
            all.map(|tensor| tensor.byte_len() as u64),
        )?;
        refuse_calls(path)?;
        if let Some(index) = index {
            index.check_shard(path, |tensor| reader.get(tensor).is_some())?;
        }
        let mut found: Vec<_> = reader.into_tensors().into_iter().collect();
        if index.is_none() {
            found = unwrapped(found);
        }
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

/// The model's tensors by name. Where a trainer has put them under `state_dict`, what it saved beside them is left out: the
/// state of an optimizer, say.
fn unwrapped<T>(tensors: Vec<(String, T)>) -> Vec<(String, T)> {
    if !tensors.iter().any(|(name, _)| name.starts_with(STATE_DICT)) {
        return tensors;
    }
    let inside = tensors.into_iter().filter_map(|(name, tensor)| {
        let name = name.strip_prefix(STATE_DICT)?.to_owned();
        Some((name, tensor))
    });
    inside.collect()
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

/// Looks at a file before it is parsed, and gives its size.
fn check(path: &Path) -> Result<u64, ImportError> {
    let io = |source| ImportError::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let mut start = Vec::new();
    let beginning = (TAR_AT + TAR.len()) as u64;
    file.by_ref()
        .take(beginning)
        .read_to_end(&mut start)
        .map_err(io)?;
    if is_lfs_pointer(&start) {
        return Err(ImportError::LfsPointer {
            path: path.to_owned(),
        });
    }
    if is_page(&start) {
        return Err(ImportError::OtherKind {
            path: path.to_owned(),
            found: "an HTML page",
            expected: "a PyTorch checkpoint",
            remedy: PAGE,
        });
    }
    if start.starts_with(ZIP) {
        file.rewind().map_err(io)?;
        let mut archive =
            ZipArchive::new(BufReader::new(file)).map_err(|error| unreadable(path, error))?;
        let mut sizes = Vec::with_capacity(archive.len());
        for entry in 0..archive.len() {
            let entry = archive.by_index_raw(entry);
            sizes.push(entry.map_err(|error| unreadable(path, error))?.size());
        }
        refuse_larger(path, size, "archive's entries", sizes)?;
    } else if start.get(TAR_AT..) == Some(TAR) {
        return Err(unreadable(
            path,
            "it is of a PyTorch before 0.1.10, older than any model that can be read",
        ));
    }
    Ok(size)
}

/// Refuses a pickle that asks for anything but tensors to be made, as PyTorch itself does. The reader has run nothing
/// of it and would only leave it out.
fn refuse_calls(path: &Path) -> Result<(), ImportError> {
    let content = PytorchReader::read_pickle_data(path, None);
    let content = content.map_err(|error| unreadable(path, error))?;
    match foreign(&content) {
        None => Ok(()),
        Some(name) => Err(unreadable(
            path,
            format!("its pickle calls `{name}`, which makes no tensor; none of it was run"),
        )),
    }
}

/// The first thing of a pickle that PyTorch has no part in.
fn foreign(value: &PickleValue) -> Option<&str> {
    match value {
        PickleValue::List(items) => items.iter().find_map(foreign),
        PickleValue::Dict(entries) => entries.values().find_map(foreign),
        // Whole numbers beyond 64 bits are as little understood, and as harmless.
        PickleValue::Unsupported(name) => {
            (name != "int" && !name.starts_with("torch.")).then_some(name)
        }
        _ => None,
    }
}

fn unreadable(path: &Path, reason: impl ToString) -> ImportError {
    ImportError::Pytorch {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// Refuses a file whose content claims to be much larger than itself.
fn refuse_larger(
    path: &Path,
    size: u64,
    what: &str,
    parts: impl IntoIterator<Item = u64>,
) -> Result<(), ImportError> {
    let whole: u128 = parts.into_iter().map(u128::from).sum();
    if whole <= u128::from(size) * u128::from(MOST_EXPANSION) {
        return Ok(());
    }
    Err(unreadable(
        path,
        format!("its {what} claim {whole} bytes in a file of {size}, which no weights do"),
    ))
}
