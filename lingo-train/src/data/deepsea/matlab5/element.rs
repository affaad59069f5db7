//! Tags of elements, and the numbers in them.

use std::io::{self, Read};

/// What an element is, and how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag {
    pub(super) kind: u32,
    pub(super) bytes: u64,
    /// The content of a small element stands in its tag.
    pub(super) within: Option<[u8; 4]>,
}

impl Tag {
    pub(super) const BYTES: u64 = 8;
    pub(super) const MATRIX: u32 = 14;
    pub(super) const COMPRESSED: u32 = 15;

    pub(super) fn read(content: &mut impl Read) -> io::Result<Self> {
        let mut tag = [0; Self::BYTES as usize];
        content.read_exact(&mut tag)?;
        let [a, b, c, d, rest @ ..] = tag;
        let kind = u32::from_le_bytes([a, b, c, d]);
        match (kind & 0xffff, kind >> 16) {
            (kind, 0) => Ok(Self {
                kind,
                bytes: u64::from(u32::from_le_bytes(rest)),
                within: None,
            }),
            (kind, bytes @ 1..=4) => Ok(Self {
                kind,
                bytes: u64::from(bytes),
                within: Some(rest),
            }),
            (_, bytes) => {
                let reason = format!("a small element of {bytes} bytes, at most 4");
                Err(io::Error::new(io::ErrorKind::InvalidData, reason))
            }
        }
    }
}

/// Elements start at multiples of 8 bytes.
pub(super) fn skip_padding(content: &mut impl Read, bytes: u64) -> io::Result<()> {
    let mut padding = [0; 8];
    let count = (bytes.next_multiple_of(8) - bytes) as usize;
    content.read_exact(&mut padding[..count])
}

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// Whole numbers of so many bytes, with or without sign: 0 and 1 are the same.
    Whole(usize),
    Single,
    Double,
}

impl Number {
    pub(super) fn of(kind: u32) -> Option<Self> {
        match kind {
            1 | 2 => Some(Self::Whole(1)),
            3 | 4 => Some(Self::Whole(2)),
            5 | 6 => Some(Self::Whole(4)),
            7 => Some(Self::Single),
            9 => Some(Self::Double),
            12 | 13 => Some(Self::Whole(8)),
            _ => None,
        }
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Single => 4,
            Self::Double => 8,
        }
    }

    /// Reads as many numbers as `values` has places: 0 and 1 as they are, all else as 255.
    pub(super) fn read(self, content: &mut dyn Read, values: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes();
        if bytes == 1 {
            return content.read_exact(values);
        }
        let mut one = [0; 8];
        match self {
            Self::Whole(_) => one[0] = 1,
            Self::Single => one[..4].copy_from_slice(&1_f32.to_le_bytes()),
            Self::Double => one = 1_f64.to_le_bytes(),
        }
        let (zero, one) = (&[0; 8][..bytes], &one[..bytes]);
        let mut buffer = [0; 1 << 14];
        for values in values.chunks_mut(buffer.len() / bytes) {
            let numbers = &mut buffer[..values.len() * bytes];
            content.read_exact(numbers)?;
            for (value, number) in values.iter_mut().zip(numbers.chunks_exact(bytes)) {
                *value = match number {
                    number if number == zero => 0,
                    number if number == one => 1,
                    _ => u8::MAX,
                };
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_of_every_type_become_bytes_of_0_and_1() {
        let encode: [(u32, [Vec<u8>; 3]); 4] = [
            (3, [0_i16, 1, 256].map(|n| n.to_le_bytes().to_vec())),
            (13, [0_u64, 1, 1 << 40].map(|n| n.to_le_bytes().to_vec())),
            (7, [0_f32, 1.0, 0.5].map(|n| n.to_le_bytes().to_vec())),
            (9, [0_f64, 1.0, f64::NAN].map(|n| n.to_le_bytes().to_vec())),
        ];
        for (kind, numbers) in encode {
            // More than one buffer of them.
            let bytes = numbers.concat().repeat(3000);
            let mut values = vec![7; 9000];
            let number = Number::of(kind).unwrap();
            number.read(&mut &bytes[..], &mut values).unwrap();
            assert_eq!(values, [0, 1, 255].repeat(3000), "{kind}");
            assert!(number.read(&mut &bytes[1..], &mut values).is_err());
        }
        assert_eq!(
            (Number::of(2), Number::of(8)),
            (Some(Number::Whole(1)), None)
        );
    }
}
