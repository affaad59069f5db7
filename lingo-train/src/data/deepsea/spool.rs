//! A table of one byte a row and sample, on disk: written a row at a time, read a sample at a time.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::error::MatError;

/// Rows that are turned at a time: each sample's share is a cache line.
const TILE_ROWS: usize = 64;

/// The table, in a temporary file without a name. A row's bytes lie together.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    dir: PathBuf,
    rows: usize,
    samples: usize,
    tile: Vec<u8>,
}

impl Spool {
    /// In a temporary file in the folder `dir`, which is made where there is none.
    pub(super) fn new(dir: &Path, rows: usize, samples: usize) -> Result<Self, MatError> {
        let file = std::fs::create_dir_all(dir).and_then(|()| tempfile::tempfile_in(dir));
        let file = file.map_err(|source| temporary(dir, source))?;
        Ok(Self {
            file,
            dir: dir.to_owned(),
            rows,
            samples,
            tile: Vec::new(),
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn samples(&self) -> usize {
        self.samples
    }

    /// Writes `bytes` of a row, from the sample `start` on.
    pub(super) fn write(&mut self, row: usize, start: usize, bytes: &[u8]) -> Result<(), MatError> {
        self.seek(row, start)
            .and_then(|()| self.file.write_all(bytes))
            .map_err(|source| temporary(&self.dir, source))
    }

    /// Reads `count` samples from `start` on: the rows of one after those of the other.
    pub(super) fn read(
        &mut self,
        start: usize,
        count: usize,
        samples: &mut Vec<u8>,
    ) -> Result<(), MatError> {
        samples.resize(count * self.rows, 0);
        let mut tile = std::mem::take(&mut self.tile);
        for first in (0..self.rows).step_by(TILE_ROWS) {
            let rows = TILE_ROWS.min(self.rows - first);
            tile.resize(rows * count, 0);
            for (row, bytes) in tile.chunks_exact_mut(count).enumerate() {
                self.seek(first + row, start)
                    .and_then(|()| self.file.read_exact(bytes))
                    .map_err(|source| temporary(&self.dir, source))?;
            }
            for (at, sample) in samples.chunks_exact_mut(self.rows).enumerate() {
                for (row, byte) in sample[first..first + rows].iter_mut().enumerate() {
                    *byte = tile[row * count + at];
                }
            }
        }
        self.tile = tile;
        Ok(())
    }

    fn seek(&mut self, row: usize, start: usize) -> io::Result<()> {
        let offset = row as u64 * self.samples as u64 + start as u64;
        self.file.seek(SeekFrom::Start(offset)).map(drop)
    }
}

fn temporary(dir: &Path, source: io::Error) -> MatError {
    MatError::Temporary {
        dir: dir.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_in_rows_is_read_in_samples() {
        let (rows, samples) = (150, 7);
        let byte = |row: usize, sample: usize| (row * samples + sample) as u8;
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(&dir.path().join("made"), rows, samples).unwrap();
        for (start, end) in [(3, samples), (0, 3)] {
            for row in (0..rows).rev() {
                let bytes: Vec<u8> = (start..end).map(|sample| byte(row, sample)).collect();
                spool.write(row, start, &bytes).unwrap();
            }
        }
        let mut found = Vec::new();
        for (start, count) in [(0, samples), (2, 3), (6, 1)] {
            spool.read(start, count, &mut found).unwrap();
            let expected: Vec<u8> = (start..start + count)
                .flat_map(|sample| (0..rows).map(move |row| byte(row, sample)))
                .collect();
            assert_eq!(found, expected);
        }
    }
}
