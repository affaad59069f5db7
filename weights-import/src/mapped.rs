//! Files mapped into memory: the one place of the crate with unsafe code.
//!
//! A mapping lets a tensor be converted straight out of the page cache, without a second copy of the file on
//! the heap. The operating system offers no mapping that Rust could call safe: whoever shortens or rewrites the
//! file meanwhile changes the bytes under a `&[u8]`. Weights are published files that nobody writes in place,
//! the mapping is read-only and private, and nothing but plain bytes is ever read from it, each number being
//! assembled from a copy; the same bargain that every other reader of safetensors and GGUF makes.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::error::ImportError;

/// How every Git LFS pointer begins.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// A file's bytes, paged in when touched.
#[derive(Debug)]
pub(crate) struct MappedFile {
    path: PathBuf,
    map: Mmap,
}

impl MappedFile {
    /// Maps the whole file.
    ///
    /// # Errors
    /// If it cannot be opened, is empty or is a Git LFS pointer.
    pub(crate) fn open(path: &Path) -> Result<Self, ImportError> {
        let io = |source: io::Error| ImportError::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.len() == 0 {
            return Err(ImportError::Damaged {
                path: path.to_owned(),
                place: "the whole file".to_owned(),
                expected: "weights".to_owned(),
                found: "0 bytes".to_owned(),
            });
        }
        // SAFETY: the mapping is read-only and private; see the module's documentation for files that change
        // while they are mapped.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        if is_lfs_pointer(&map) {
            return Err(ImportError::LfsPointer {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            map,
        })
    }

    /// The file's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// All its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Lets the system drop the pages of a range that has been copied out, so that the process does not keep
    /// both a tensor and its source resident. A hint: touching the range again reads it from the file.
    pub(crate) fn release(&self, range: &Range<usize>) {
        #[cfg(unix)]
        if range.start < range.end && range.end <= self.map.len() {
            // SAFETY: `DontNeed` loses nothing but unwritten changes, and a read-only mapping has none; the
            // range was just checked to lie inside the mapping.
            let advised = unsafe {
                self.map.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    range.start,
                    range.len(),
                )
            };
            // A system that refuses the hint only keeps the pages longer.
            let _ = advised;
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

/// Whether a file that should hold something else is a Git LFS pointer.
pub(crate) fn is_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(LFS_POINTER)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn released_pages_read_the_same_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        let content: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let file = MappedFile::open(&path).unwrap();
        assert_eq!(file.bytes(), content);
        file.release(&(5_000..150_001));
        assert_eq!(file.bytes(), content);
        file.release(&(5_000..1 << 40));
    }

    #[test]
    fn an_empty_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        std::fs::write(&path, b"").unwrap();
        let error = MappedFile::open(&path).unwrap_err().to_string();
        assert!(error.contains("0 bytes"), "{error}");
    }
}
