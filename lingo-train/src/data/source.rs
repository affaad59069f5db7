//! Where labelled sequences come from, told by the file's name.

use std::path::Path;

use super::answers::Wanted;
use super::deepsea::{Columns, DeepSea};
use super::label::Objective;
use super::record::{DataError, Record};
use super::table::Rows;

/// Records one after the other, in the file's order.
pub type Records<'a> = Box<dyn Iterator<Item = Result<Record, DataError>> + Send + 'a>;

/// The records of a file with the labels that are wanted; none is held but the one at hand. What has to be unpacked is, into
/// the folder `scratch`.
///
/// # Errors
/// If the file cannot be opened, is FASTA, or its header is not that of such data.
pub(super) fn records<'a>(
    path: &Path,
    wanted: Wanted<'a>,
    scratch: &Path,
) -> Result<Records<'a>, DataError> {
    if is_fasta(path) {
        return Err(DataError::Unlabelled {
            path: path.to_owned(),
        });
    }
    if !is_deepsea(path) {
        return Ok(Box::new(Rows::open(path, wanted)?));
    }
    let columns = match wanted {
        Wanted::Any(names) => Columns::select(names)?,
        Wanted::Of(Objective::Labels(names)) => Columns::select(Some(names))?,
        // There is none that is read, and one is the least that can be kept.
        Wanted::Nothing => Columns::select(Some(&["column_1".to_owned()]))?,
        Wanted::Of(Objective::Classes(_)) => {
            return Err(DataError::Format {
                path: path.to_owned(),
                reason: "one of DeepSEA's files (.mat) has labels, the training split has classes",
            });
        }
    };
    let samples = DeepSea::open(path, &columns, scratch)?;
    Ok(match wanted {
        Wanted::Nothing => Box::new(samples.map(|record| {
            Ok(Record {
                label: None,
                ..record?
            })
        })),
        _ => Box::new(samples),
    })
}

/// Whether a file's name is that of one of DeepSEA's.
pub(super) fn is_deepsea(path: &Path) -> bool {
    has_extension(path, &["mat"])
}

/// Whether a file's name is that of a FASTA file.
pub(super) fn is_fasta(path: &Path) -> bool {
    has_extension(path, &["fa", "fasta", "fna", "fas"])
}

fn has_extension(path: &Path, of: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|found| of.iter().any(|known| found.eq_ignore_ascii_case(known)))
}
