//! Reading tensors out of their files, all of them or some rows.

use std::borrow::Cow;
use std::ops::Range;

use burn::tensor::{DType, TensorData};

use super::{Element, Half, Place, RowOrder, Stored};
use crate::encoding::{Encoding, FLOAT_TYPES};
use crate::mapped::MappedFile;

/// About how many bytes of a mapped file are converted before their pages are released.
const CHUNK_BYTES: usize = 1 << 22;

impl Stored {
    /// Reads all of it; an error is the reason in words.
    pub(crate) fn read(&self, files: &[MappedFile]) -> Result<TensorData, String> {
        let encoding = self.encoding()?;
        let numbers = self.shape.iter().product();
        match &self.place {
            Place::Mapped { file, range } => {
                let file = file_at(files, *file)?;
                let bytes = slice(file.bytes(), range.clone())?;
                let mut out = vec![0.0_f32; numbers];
                match (self.rows, self.shape.as_slice()) {
                    (RowOrder::Interleaved { .. }, &[_, width]) if width > 0 => {
                        for (row, out) in out.chunks_exact_mut(width).enumerate() {
                            decode_row(encoding, bytes, self.rows.source(row), out)?;
                        }
                        file.release(range);
                    }
                    _ => decode_in_chunks(encoding, file, range, &mut out)?,
                }
                Ok(TensorData::new(out, self.shape.as_slice()))
            }
            Place::Pytorch(tensor) => {
                let bytes = tensor.read().map_err(|error| error.to_string())?;
                if bytes.len() != numbers * encoding.block_bytes() {
                    return Err(format!("{} bytes for {numbers} numbers", bytes.len()));
                }
                // The reader's bytes become the tensor as they are: a large table is never held twice.
                if encoding == Encoding::F32 && bytes.as_ptr().cast::<f32>().is_aligned() {
                    return Ok(TensorData::from_bytes_vec(
                        bytes,
                        self.shape.as_slice(),
                        DType::F32,
                    ));
                }
                let mut out = vec![0.0_f32; numbers];
                encoding.decode(&bytes, &mut out);
                Ok(TensorData::new(out, self.shape.as_slice()))
            }
        }
    }

    /// Reads all of it as numbers of 16 bits, a row at a time: there is never an f32 copy of the whole. An error is the
    /// reason in words.
    pub(crate) fn read_half<T: Half>(&self, files: &[MappedFile]) -> Result<TensorData, String> {
        let encoding = self.encoding()?;
        let numbers: usize = self.shape.iter().product();
        let width = self.shape.last().copied().unwrap_or(1);
        let mut out = Vec::with_capacity(numbers);
        let mut scratch = vec![0.0_f32; width];
        let mut fill = |bytes: &[u8], release: &dyn Fn(Range<usize>)| -> Result<(), String> {
            let (mut kept, rows) = (0, numbers / width.max(1));
            for row in 0..rows {
                decode_row(encoding, bytes, self.rows.source(row), &mut scratch)?;
                out.extend(scratch.iter().map(|number| T::round(*number)));
                // What was read in the order of the file is not read again.
                let read = bytes.len() / rows * row;
                if self.rows == RowOrder::Plain && read - kept > CHUNK_BYTES {
                    release(kept..read);
                    kept = read;
                }
            }
            Ok(())
        };
        match &self.place {
            Place::Mapped { file, range } => {
                let file = file_at(files, *file)?;
                let release = |part: Range<usize>| {
                    file.release(&(range.start + part.start..range.start + part.end));
                };
                fill(slice(file.bytes(), range.clone())?, &release)?;
                file.release(range);
            }
            Place::Pytorch(tensor) => {
                fill(&tensor.read().map_err(|error| error.to_string())?, &|_| {})?;
            }
        }
        Ok(TensorData::new(out, self.shape.as_slice()))
    }

    /// The stored bytes, where they are the numbers of a type in the order of rows; an error is the reason in words.
    pub(crate) fn bytes_of<'a>(
        &self,
        files: &'a [MappedFile],
        wanted: Encoding,
    ) -> Result<Option<Cow<'a, [u8]>>, String> {
        if self.encoding()? != wanted || self.rows != RowOrder::Plain {
            return Ok(None);
        }
        let bytes = match &self.place {
            Place::Mapped { file, range } => {
                Cow::Borrowed(slice(file_at(files, *file)?.bytes(), range.clone())?)
            }
            Place::Pytorch(tensor) => Cow::Owned(tensor.read().map_err(|error| error.to_string())?),
        };
        let numbers: usize = self.shape.iter().product();
        if bytes.len() != numbers * wanted.block_bytes() {
            return Err(format!("{} bytes for {numbers} numbers", bytes.len()));
        }
        Ok(Some(bytes))
    }

    /// Lets the pages of its file go.
    pub(crate) fn release(&self, files: &[MappedFile]) {
        if let Place::Mapped { file, range } = &self.place
            && let Some(file) = files.get(*file)
        {
            file.release(range);
        }
    }

    /// Reads the given rows of a matrix; an error is the reason in words.
    ///
    /// A mapped file is touched at these rows only. The PyTorch reader cannot seek, so there the stored tensor
    /// is read and dropped again.
    pub(crate) fn read_rows(
        &self,
        files: &[MappedFile],
        rows: &[u32],
    ) -> Result<TensorData, String> {
        let encoding = self.encoding()?;
        let &[height, width] = self.shape.as_slice() else {
            return Err(format!(
                "rows were asked for of a tensor of shape {:?}",
                self.shape
            ));
        };
        let mut out = vec![0.0_f32; rows.len() * width];
        let mut fill = |bytes: &[u8]| -> Result<(), String> {
            for (&row, out) in rows.iter().zip(out.chunks_exact_mut(width.max(1))) {
                let index = row as usize;
                if index >= height {
                    return Err(format!("row {row} was asked for, it has {height}"));
                }
                decode_row(encoding, bytes, self.rows.source(index), out)?;
            }
            Ok(())
        };
        match &self.place {
            Place::Mapped { file, range } => {
                let file = file_at(files, *file)?;
                fill(slice(file.bytes(), range.clone())?)?;
                file.release(range);
            }
            Place::Pytorch(tensor) => fill(&tensor.read().map_err(|error| error.to_string())?)?,
        }
        Ok(TensorData::new(out, [rows.len(), width]))
    }

    fn encoding(&self) -> Result<Encoding, String> {
        match &self.element {
            Element::Known(encoding) => Ok(*encoding),
            Element::Other(name) => Err(format!(
                "it is of type {name}; {FLOAT_TYPES} can be converted"
            )),
        }
    }
}

/// Converts one row of a matrix.
fn decode_row(encoding: Encoding, bytes: &[u8], row: usize, out: &mut [f32]) -> Result<(), String> {
    let len = encoding
        .byte_len(out.len(), 1)
        .ok_or_else(|| format!("a row of {} numbers is not whole blocks", out.len()))?;
    let start = row.checked_mul(len).ok_or("its size overflows")?;
    encoding.decode(slice(bytes, start..start.saturating_add(len))?, out);
    Ok(())
}

/// Converts a contiguous tensor, letting go of the file's pages along the way.
fn decode_in_chunks(
    encoding: Encoding,
    file: &MappedFile,
    range: &Range<usize>,
    out: &mut [f32],
) -> Result<(), String> {
    let blocks = (CHUNK_BYTES / encoding.block_bytes()).max(1);
    let mut start = range.start;
    for out in out.chunks_mut(blocks * encoding.block_len()) {
        let len = out.len() / encoding.block_len() * encoding.block_bytes();
        let part = start..start.saturating_add(len).min(range.end);
        let bytes = slice(file.bytes(), part.clone())?;
        if bytes.len() != len {
            return Err("its bytes end before its shape does".to_owned());
        }
        encoding.decode(bytes, out);
        file.release(&part);
        start = part.end;
    }
    Ok(())
}

fn file_at(files: &[MappedFile], index: usize) -> Result<&MappedFile, String> {
    files
        .get(index)
        .ok_or_else(|| "its file is not open".to_owned())
}

fn slice(bytes: &[u8], range: Range<usize>) -> Result<&[u8], String> {
    let end = range.end;
    bytes.get(range).ok_or_else(|| {
        format!(
            "it ends at byte {end}, after the file's end ({})",
            bytes.len()
        )
    })
}
