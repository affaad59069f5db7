//! What a store holds of a sample beside its tokens.

use serde::{Deserialize, Serialize};

use crate::data::Label;

/// What labels a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LabelKind {
    /// None, or a class each.
    Class,
    /// So many marks each.
    Marks(usize),
}

/// Bytes before the label.
const FIXED: usize = 8 + 4 + 4 + 8;
/// In place of a class that is not known.
const NO_CLASS: u32 = u32::MAX;
/// Marks in a byte.
const IN_BYTE: usize = 4;

impl LabelKind {
    /// The kind of a label.
    pub(super) fn of(label: Option<&Label>) -> Self {
        match label {
            None | Some(Label::Class(_)) => Self::Class,
            Some(Label::Marks(marks)) => Self::Marks(marks.len()),
        }
    }

    /// Bytes of an entry.
    pub(super) fn entry_bytes(self) -> usize {
        FIXED
            + match self {
                Self::Class => 4,
                Self::Marks(count) => count.div_ceil(IN_BYTE),
            }
    }

    /// A label as bytes.
    fn pack(self, label: &Option<Label>) -> Vec<u8> {
        match (self, label) {
            (Self::Class, label) => {
                let class = label.as_ref().and_then(Label::class);
                let class = class.map_or(NO_CLASS, |class| class as u32);
                class.to_le_bytes().to_vec()
            }
            (Self::Marks(count), label) => {
                let marks = label.as_ref().map_or(&[][..], Label::marks);
                let mut bytes = vec![0; count.div_ceil(IN_BYTE)];
                for (place, mark) in marks.iter().take(count).enumerate() {
                    let bits = mark.map_or(0, |mark| 1 + u8::from(mark));
                    bytes[place / IN_BYTE] |= bits << (place % IN_BYTE * 2);
                }
                bytes
            }
        }
    }

    /// A label from its bytes; `None` where they are of none.
    fn unpack(self, bytes: &[u8]) -> Option<Option<Label>> {
        match self {
            Self::Class => {
                let class = u32::from_le_bytes(bytes.try_into().ok()?);
                Some((class != NO_CLASS).then_some(Label::Class(class as usize)))
            }
            Self::Marks(count) => {
                let mark = |place: usize| match bytes[place / IN_BYTE] >> (place % IN_BYTE * 2) & 3
                {
                    0 => Some(None),
                    1 => Some(Some(false)),
                    2 => Some(Some(true)),
                    _ => None,
                };
                let marks: Option<Box<[Option<bool>]>> = (0..count).map(mark).collect();
                Some(Some(Label::Marks(marks?)))
            }
        }
    }
}

/// What a store holds of a sample beside its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where its tokens are.
    pub(super) at: u64,
    /// How many tokens there are.
    pub tokens: usize,
    /// Of its tokens, its label and its fingerprint.
    pub(super) checksum: u32,
    /// That of its sequence.
    pub fingerprint: u64,
    /// What is known of it.
    pub label: Option<Label>,
}

impl Entry {
    /// The entry as bytes; `None` where the label is of another kind.
    pub(super) fn pack(&self, kind: LabelKind) -> Option<Vec<u8>> {
        if self.label.is_some() && LabelKind::of(self.label.as_ref()) != kind {
            return None;
        }
        let mut bytes = Vec::with_capacity(kind.entry_bytes());
        bytes.extend(self.at.to_le_bytes());
        bytes.extend((self.tokens as u32).to_le_bytes());
        bytes.extend(self.checksum.to_le_bytes());
        bytes.extend(self.fingerprint.to_le_bytes());
        bytes.extend(kind.pack(&self.label));
        Some(bytes)
    }

    /// An entry from its bytes; `None` where they are of none.
    pub(super) fn parse(bytes: &[u8], kind: LabelKind) -> Option<Self> {
        let (at, rest) = bytes.split_first_chunk()?;
        let (tokens, rest) = rest.split_first_chunk()?;
        let (checksum, rest) = rest.split_first_chunk()?;
        let (fingerprint, label) = rest.split_first_chunk()?;
        Some(Self {
            at: u64::from_le_bytes(*at),
            tokens: u32::from_le_bytes(*tokens) as usize,
            checksum: u32::from_le_bytes(*checksum),
            fingerprint: u64::from_le_bytes(*fingerprint),
            label: kind.unpack(label)?,
        })
    }
}

/// The checksum of a sample.
pub(super) fn checksum(tokens: &[u8], label: &Option<Label>, fingerprint: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(tokens);
    hasher.update(&LabelKind::of(label.as_ref()).pack(label));
    hasher.update(&fingerprint.to_le_bytes());
    hasher.finalize()
}
