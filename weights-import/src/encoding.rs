//! Element types and their conversion to f32.

use half::{bf16, f16};

use crate::gguf::blocks;

/// What [`Encoding`] covers, for messages about files of Hugging Face.
pub(crate) const FLOAT_TYPES: &str = "F32, F16, BF16 and F64";

/// How a tensor's numbers are stored: in blocks of [`block_len`](Self::block_len) numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    F64,
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

impl Encoding {
    /// All of them.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 12] = [
        Self::F64,
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    /// The name in use for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Numbers in a block.
    pub(crate) fn block_len(self) -> usize {
        match self {
            Self::F64 | Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => blocks::SMALL,
            Self::Q4K | Self::Q5K | Self::Q6K => blocks::LARGE,
        }
    }

    /// Bytes of a block.
    pub(crate) fn block_bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Bytes of a tensor whose rows have `width` numbers; nothing when a row does not consist of whole blocks
    /// or the size overflows.
    pub(crate) fn byte_len(self, width: usize, rows: usize) -> Option<usize> {
        if !width.is_multiple_of(self.block_len()) {
            return None;
        }
        (width / self.block_len())
            .checked_mul(self.block_bytes())?
            .checked_mul(rows)
    }

    /// Converts whole blocks.
    ///
    /// # Panics
    /// In debug builds, if `bytes` and `out` differ in their number of blocks; a release build converts the
    /// common part.
    pub(crate) fn decode(self, bytes: &[u8], out: &mut [f32]) {
        debug_assert_eq!(
            bytes.len() / self.block_bytes(),
            out.len() / self.block_len()
        );
        match self {
            Self::F64 => each(bytes, out, |b: [u8; 8]| f64::from_le_bytes(b) as f32),
            Self::F32 => each(bytes, out, f32::from_le_bytes),
            Self::F16 => each(bytes, out, |b: [u8; 2]| f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => each(bytes, out, |b: [u8; 2]| bf16::from_le_bytes(b).to_f32()),
            Self::Q4_0 => blocks::each(bytes, out, blocks::q4_0),
            Self::Q4_1 => blocks::each(bytes, out, blocks::q4_1),
            Self::Q5_0 => blocks::each(bytes, out, blocks::q5_0),
            Self::Q5_1 => blocks::each(bytes, out, blocks::q5_1),
            Self::Q8_0 => blocks::each(bytes, out, blocks::q8_0),
            Self::Q4K => blocks::each(bytes, out, blocks::q4_k),
            Self::Q5K => blocks::each(bytes, out, blocks::q5_k),
            Self::Q6K => blocks::each(bytes, out, blocks::q6_k),
        }
    }
}

/// Converts numbers of `N` bytes.
fn each<const N: usize>(bytes: &[u8], out: &mut [f32], convert: impl Fn([u8; N]) -> f32) {
    let (numbers, _) = bytes.as_chunks::<N>();
    for (number, slot) in numbers.iter().zip(out) {
        *slot = convert(*number);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn floats_of_every_width_become_f32() {
        let values = [0.0_f32, -1.5, 0.25, 1024.0];
        let stored = [
            (
                Encoding::F64,
                values
                    .iter()
                    .flat_map(|v| f64::from(*v).to_le_bytes())
                    .collect(),
            ),
            (
                Encoding::F32,
                values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            ),
            (
                Encoding::F16,
                values
                    .iter()
                    .flat_map(|v| f16::from_f32(*v).to_le_bytes())
                    .collect(),
            ),
            (
                Encoding::Bf16,
                values
                    .iter()
                    .flat_map(|v| bf16::from_f32(*v).to_le_bytes())
                    .collect::<Vec<u8>>(),
            ),
        ];
        for (encoding, bytes) in stored {
            let mut out = [9.0; 4];
            encoding.decode(&bytes, &mut out);
            assert_eq!(out, values, "{}", encoding.name());
        }
    }

    #[test]
    fn a_row_of_broken_blocks_has_no_size() {
        assert_eq!(Encoding::Q4_0.byte_len(48, 2), None);
        assert_eq!(Encoding::Q4_0.byte_len(64, 2), Some(72));
        assert_eq!(Encoding::F32.byte_len(usize::MAX / 2, 2), None);
    }
}
