//! Dequantisation of GGML's block formats.
//!
//! A block is a run of consecutive numbers of one row: [`SMALL`] of them in the Q4_0 ... Q8_0 formats, [`LARGE`]
//! in the K-quants. The order of the f32 operations is that of `gguf.quants` on PyPI, so that the results agree
//! bit for bit. `d` is the scale and `m` the minimum, stored as f16.

use half::f16;

/// Numbers in a block of Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.
pub(crate) const SMALL: usize = 32;
/// Numbers in a block of the K-quants.
pub(crate) const LARGE: usize = 256;
/// Numbers that share a scale in Q4_K and Q5_K.
const PART: usize = 32;

/// Converts blocks of `B` bytes and `L` numbers.
pub(crate) fn each<const B: usize, const L: usize>(
    bytes: &[u8],
    out: &mut [f32],
    convert: impl Fn(&[u8; B], &mut [f32; L]),
) {
    let (blocks, _) = bytes.as_chunks::<B>();
    let (outs, _) = out.as_chunks_mut::<L>();
    for (block, out) in blocks.iter().zip(outs) {
        convert(block, out);
    }
}

/// The f16 at `at`.
fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// The 32 fifth bits at `at`.
fn bits_at(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// `d, 16 bytes`: low nibbles are the first half. Value d · (q − 8).
pub(crate) fn q4_0(block: &[u8; 18], out: &mut [f32; SMALL]) {
    let d = half_at(block, 0);
    for (i, &byte) in block[2..].iter().enumerate() {
        out[i] = d * f32::from((byte & 15) as i8 - 8);
        out[i + 16] = d * f32::from((byte >> 4) as i8 - 8);
    }
}

/// `d, m, 16 bytes`. Value d · q + m.
pub(crate) fn q4_1(block: &[u8; 20], out: &mut [f32; SMALL]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    for (i, &byte) in block[4..].iter().enumerate() {
        out[i] = d * f32::from(byte & 15) + m;
        out[i + 16] = d * f32::from(byte >> 4) + m;
    }
}

/// `d, 32 high bits, 16 bytes`. Value d · (q − 16).
pub(crate) fn q5_0(block: &[u8; 22], out: &mut [f32; SMALL]) {
    let (d, high) = (half_at(block, 0), bits_at(block, 2));
    for (i, &byte) in block[6..].iter().enumerate() {
        let first = (byte & 15) | fifth_bit(high, i);
        let second = (byte >> 4) | fifth_bit(high, i + 16);
        out[i] = d * f32::from(first as i8 - 16);
        out[i + 16] = d * f32::from(second as i8 - 16);
    }
}

/// `d, m, 32 high bits, 16 bytes`. Value d · q + m.
pub(crate) fn q5_1(block: &[u8; 24], out: &mut [f32; SMALL]) {
    let (d, m, high) = (half_at(block, 0), half_at(block, 2), bits_at(block, 4));
    for (i, &byte) in block[8..].iter().enumerate() {
        out[i] = d * f32::from((byte & 15) | fifth_bit(high, i)) + m;
        out[i + 16] = d * f32::from((byte >> 4) | fifth_bit(high, i + 16)) + m;
    }
}

/// Bit `i` of `high`, moved to the fifth place.
fn fifth_bit(high: u32, i: usize) -> u8 {
    (((high >> i) & 1) << 4) as u8
}

/// `d, 32 signed bytes`. Value d · q.
pub(crate) fn q8_0(block: &[u8; 34], out: &mut [f32; SMALL]) {
    let d = half_at(block, 0);
    for (slot, &byte) in out.iter_mut().zip(&block[2..]) {
        *slot = f32::from(byte as i8) * d;
    }
}

/// The 6-bit scale and minimum of part `i` of 8, from the 12 bytes that Q4_K and Q5_K pack them into: parts
/// 0..4 in the low 6 bits of bytes 0..4 and 4..8, parts 4..8 in bytes 8..12 with their top bits in the top bits
/// of the first eight.
fn scale_and_minimum(packed: &[u8], i: usize) -> (f32, f32) {
    let (scale, minimum) = if i < 4 {
        (packed[i] & 63, packed[i + 4] & 63)
    } else {
        let low = packed[i + 4];
        (
            (low & 15) | ((packed[i - 4] >> 2) & 48),
            (low >> 4) | ((packed[i] >> 2) & 48),
        )
    };
    (f32::from(scale), f32::from(minimum))
}

/// `d, m, 12 bytes of scales, 128 bytes`: each 32 bytes hold two parts, low nibbles first.
/// Value (d · scale) · q − (m · minimum).
pub(crate) fn q4_k(block: &[u8; 144], out: &mut [f32; LARGE]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let (scales, quants) = block[4..].split_at(12);
    for (part, out) in out.chunks_exact_mut(PART).enumerate() {
        let (scale, minimum) = scale_and_minimum(scales, part);
        let (d, m) = (d * scale, m * minimum);
        let nibble = 4 * (part % 2);
        let from = part / 2 * PART;
        for (slot, &byte) in out.iter_mut().zip(&quants[from..from + PART]) {
            *slot = d * f32::from((byte >> nibble) & 15) - m;
        }
    }
}

/// As [`q4_k`] with 32 bytes of high bits before the nibbles: bit `part` of byte `i` belongs to number `i`.
pub(crate) fn q5_k(block: &[u8; 176], out: &mut [f32; LARGE]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let (scales, rest) = block[4..].split_at(12);
    let (high, quants) = rest.split_at(PART);
    for (part, out) in out.chunks_exact_mut(PART).enumerate() {
        let (scale, minimum) = scale_and_minimum(scales, part);
        let (d, m) = (d * scale, m * minimum);
        let nibble = 4 * (part % 2);
        let from = part / 2 * PART;
        for (i, slot) in out.iter_mut().enumerate() {
            let fifth = ((high[i] >> part) & 1) << 4;
            *slot = d * f32::from(((quants[from + i] >> nibble) & 15) | fifth) - m;
        }
    }
}

/// `128 bytes of low nibbles, 64 of high pairs, 16 signed scales, d`. Value (d · scale) · (q − 32), a scale for
/// each 16 numbers.
pub(crate) fn q6_k(block: &[u8; 210], out: &mut [f32; LARGE]) {
    let (low, rest) = block.split_at(128);
    let (high, rest) = rest.split_at(64);
    let (scales, _) = rest.split_at(16);
    let d = half_at(block, 208);
    for (part, out) in out.chunks_exact_mut(PART).enumerate() {
        // 128 numbers come from 64 low bytes and 32 high bytes.
        let (group, place) = (part / 4, part % 4);
        let low = &low[group * 64 + place % 2 * PART..];
        let high = &high[group * 32..];
        for (i, slot) in out.iter_mut().enumerate() {
            let nibble = (low[i] >> (place / 2 * 4)) & 15;
            let pair = (high[i] >> (2 * place)) & 3;
            let scale = f32::from(scales[part * 2 + i / 16] as i8);
            *slot = (d * scale) * f32::from((nibble | (pair << 4)) as i8 - 32);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use safetensors::SafeTensors;

    use crate::encoding::Encoding;

    /// Written by `tools/gguf_blocks.py` with PyPI's `gguf`.
    fn fixture() -> Vec<u8> {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gguf_blocks.safetensors");
        std::fs::read(path).unwrap()
    }

    #[test]
    fn every_block_format_equals_the_gguf_package_bit_for_bit() {
        let fixture = fixture();
        let fixture = SafeTensors::deserialize(&fixture).unwrap();
        for encoding in Encoding::ALL {
            if encoding == Encoding::F64 {
                continue; // not a type of GGUF weights in use
            }
            let name = encoding.name();
            let bytes = fixture.tensor(&format!("{name}.bytes")).unwrap();
            let expected = fixture.tensor(&format!("{name}.values")).unwrap();
            let expected: Vec<u32> = expected
                .data()
                .as_chunks::<4>()
                .0
                .iter()
                .map(|b| u32::from_le_bytes(*b))
                .collect();
            let mut out = vec![0.0; expected.len()];
            assert_eq!(
                encoding.byte_len(encoding.block_len(), expected.len() / encoding.block_len()),
                Some(bytes.data().len()),
                "{name}"
            );
            encoding.decode(bytes.data(), &mut out);
            for (i, (found, expected)) in out.iter().zip(expected).enumerate() {
                assert_eq!(found.to_bits(), expected, "{name}, number {i}: {found}");
            }
        }
    }
}
