//! MATLAB 5: a stream of elements, each with a tag of type and size, of which some are compressed.
//!
//! The format is that of MathWorks' "MAT-File Format", chapter "Level 5 MAT-File Format": numbers as MATLAB stores them,
//! which may be smaller than their class, the first dimension fastest.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use flate2::bufread::ZlibDecoder;

use super::error::MatError;
use super::intake::{Filling, Intake, Variable};

mod element;

use element::{Number, Tag, skip_padding};

/// Bytes before the first element.
const HEADER_BYTES: u64 = 128;
/// Values of a row, which are held at a time. MATLAB 5 itself stops at 2 GiB a variable: some 2 MiB a row of DeepSEA's.
const MOST_ROW_VALUES: usize = 16 << 20;
/// A name and dimensions are short; what claims to be longer is damaged.
const MOST_NAME_BYTES: u64 = 4096;
const MOST_DIMS: u64 = 32;

/// Takes the two variables in.
pub(super) fn read(file: File, file_bytes: u64, intake: &mut Intake<'_>) -> Result<(), MatError> {
    let mut file = BufReader::with_capacity(1 << 18, file);
    let mut header = [0; HEADER_BYTES as usize];
    file.read_exact(&mut header)
        .map_err(|error| MatError::reading(error, 0))?;
    match &header[124..] {
        [_, 1, b'I', b'M'] => {}
        [_, _, b'M', b'I'] => return Err(MatError::BigEndian),
        _ => return Err(damaged(124, "neither version 1 nor a byte order".into())),
    }
    let mut offset = HEADER_BYTES;
    while offset < file_bytes {
        let tag = Tag::read(&mut file).map_err(|error| MatError::reading(error, offset))?;
        let start = offset + Tag::BYTES;
        let end = start + tag.bytes;
        if end > file_bytes {
            return Err(MatError::CutOff);
        }
        let content = file.by_ref().take(tag.bytes);
        match tag.kind {
            Tag::COMPRESSED => compressed(content, offset, file_bytes, intake)?,
            Tag::MATRIX => {
                let mut array = Array {
                    content,
                    offset,
                    bytes: tag.bytes,
                };
                array.read(file_bytes, intake)?;
            }
            _ => {}
        }
        offset = end;
        file.seek(SeekFrom::Start(offset)).map_err(MatError::Read)?;
    }
    Ok(())
}

fn damaged(offset: u64, reason: String) -> MatError {
    MatError::Damaged { offset, reason }
}

/// Reads the array that an element is when it is decompressed.
fn compressed(
    content: impl BufRead,
    offset: u64,
    file_bytes: u64,
    intake: &mut Intake<'_>,
) -> Result<(), MatError> {
    let mut content = ZlibDecoder::new(content);
    let tag = Tag::read(&mut content).map_err(|error| MatError::reading(error, offset))?;
    if tag.kind != Tag::MATRIX {
        return Ok(());
    }
    let mut array = Array {
        content: content.by_ref().take(tag.bytes),
        offset,
        bytes: tag.bytes,
    };
    if array.read(file_bytes, intake)? {
        // The checksum follows the last byte, and no more than what fills up.
        let rest = io::copy(&mut content.take(Tag::BYTES), &mut io::sink())
            .map_err(|error| MatError::reading(error, offset))?;
        if rest == Tag::BYTES {
            return Err(damaged(offset, "more bytes than the array has".into()));
        }
    }
    Ok(())
}

/// An array that is being read; complaints are about where its element starts in the file.
struct Array<R> {
    content: R,
    offset: u64,
    bytes: u64,
}

impl<R: Read> Array<R> {
    /// Takes it in if it is one of the two; else says so.
    fn read(&mut self, file_bytes: u64, intake: &mut Intake<'_>) -> Result<bool, MatError> {
        let flags = self.part("flags", 8)?;
        let (class, complex) = match flags[..] {
            [class, flags, ..] => (class, flags & 0x08 != 0),
            _ => return Err(self.damaged("an array without flags")),
        };
        let dims = self.part("dimensions", MOST_DIMS * 4)?;
        let dims: Vec<u64> = dims
            .chunks_exact(4)
            .map(|dim| u64::from(u32::from_le_bytes([dim[0], dim[1], dim[2], dim[3]])))
            .collect();
        let name = self.part("name", MOST_NAME_BYTES)?;
        let name = String::from_utf8_lossy(&name).into_owned();
        let Some(kind) = intake.notice(&name) else {
            return Ok(false);
        };
        if let Some(found) = unusable(class, complex) {
            return Err(MatError::Class { name, found });
        }
        let variable = Variable::new(&name, kind, &dims, file_bytes)?;
        let row_values = variable.samples.saturating_mul(variable.width());
        let tag = self.tag()?;
        let Some(number) = Number::of(tag.kind) else {
            return Err(self.damaged(&format!("`{name}` has values of the type {}", tag.kind)));
        };
        let needed = (row_values as u64)
            .saturating_mul(variable.rows as u64)
            .saturating_mul(number.bytes() as u64);
        if tag.bytes != needed {
            let tag = tag.bytes;
            return Err(self.damaged(&format!(
                "`{name}` has {tag} bytes of values where its dimensions take {needed}"
            )));
        }
        if needed > self.bytes || row_values > MOST_ROW_VALUES {
            return Err(MatError::Claims {
                name,
                claimed: needed,
            });
        }
        let mut filling = intake.begin(variable)?;
        let taken = match tag.within {
            Some(bytes) => take(&mut &bytes[..], number, row_values, &mut filling),
            None => take(&mut self.content, number, row_values, &mut filling),
        };
        taken.map_err(|error| error.at(self.offset))?;
        intake.end(filling);
        Ok(true)
    }

    /// Reads a short part whole, with what fills it up.
    fn part(&mut self, what: &str, most_bytes: u64) -> Result<Vec<u8>, MatError> {
        let tag = self.tag()?;
        if let Some(bytes) = tag.within {
            return Ok(bytes[..tag.bytes as usize].to_vec());
        }
        if tag.bytes > most_bytes {
            let bytes = tag.bytes;
            return Err(self.damaged(&format!("{what} of {bytes} bytes, at most {most_bytes}")));
        }
        let mut bytes = vec![0; tag.bytes as usize];
        let read = self.content.read_exact(&mut bytes);
        read.and_then(|()| skip_padding(&mut self.content, tag.bytes))
            .map_err(|error| MatError::reading(error, self.offset))?;
        Ok(bytes)
    }

    fn tag(&mut self) -> Result<Tag, MatError> {
        Tag::read(&mut self.content).map_err(|error| MatError::reading(error, self.offset))
    }

    fn damaged(&self, reason: &str) -> MatError {
        damaged(self.offset, reason.to_owned())
    }
}

/// Why an array of this class is no plain numbers.
fn unusable(class: u8, complex: bool) -> Option<String> {
    let name = match class {
        6..=13 if complex => "complex numbers",
        6..=13 => return None,
        1 => "cells",
        2 | 3 => "a structure or object",
        4 => "text",
        5 => "a sparse matrix",
        _ => return Some(format!("something of class {class}")),
    };
    Some(name.to_owned())
}

/// What came between while values were taken.
enum Stopped {
    Reading(io::Error),
    Taking(MatError),
}

impl Stopped {
    fn at(self, offset: u64) -> MatError {
        match self {
            Self::Reading(error) => MatError::reading(error, offset),
            Self::Taking(error) => error,
        }
    }
}

/// Takes all values of a variable, a row at a time.
fn take(
    content: &mut dyn Read,
    number: Number,
    row_values: usize,
    filling: &mut Filling,
) -> Result<(), Stopped> {
    let mut values = vec![0; row_values];
    for row in 0..filling.variable.rows {
        number
            .read(content, &mut values)
            .map_err(Stopped::Reading)?;
        filling.put(row, 0, &values).map_err(Stopped::Taking)?;
    }
    Ok(())
}
