//! Whether a file is there that may be read to its end: pipes and devices have none, and folders nothing to read.

use std::fs;
use std::io::{Error, ErrorKind};
use std::path::Path;

use crate::error::ImportError;

/// Whether there is a file at a path.
///
/// # Errors
/// If there is something else, or a link that leads nowhere.
pub(crate) fn is_there(path: &Path) -> Result<bool, ImportError> {
    let io = |source| ImportError::Io {
        path: path.to_owned(),
        source,
    };
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(_) => Err(ImportError::NotAFile {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => match fs::read_link(path) {
            Ok(target) => {
                let reason = format!("it is a link to {}, which is not there", target.display());
                Err(io(Error::new(ErrorKind::NotFound, reason)))
            }
            Err(_) => Ok(false),
        },
        // A part of the path is a file.
        Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(io(error)),
    }
}
