//! SentencePiece's maps of characters (`precompiled_charsmap` of a `tokenizer.json`): a trie from characters to places in
//! a text, packed into an array. The crate that applies them takes them at their word: it reserves what they claim and
//! follows links out of the array. So they are looked at first.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

/// The normalizer with a map.
const KIND: &str = "Precompiled";
/// The key of a map.
const KEY: &str = "precompiled_charsmap";
/// Bits of a unit beside its label that must be zero in a link.
const LABEL: usize = 1 << 31 | 0xFF;
/// The bit that says that a character ends here.
const IS_END: usize = 1 << 8;
/// The place in the text, where a character ends.
const PLACE: usize = (1 << 31) - 1;

/// Whether all maps within a normalizer can be applied to any text.
pub(crate) fn are_sound(normalizer: &Value) -> bool {
    match normalizer {
        Value::Array(items) => items.iter().all(are_sound),
        Value::Object(entries) => {
            let map = entries.get(KEY);
            let expected = map.is_some() || entries.get("type").is_some_and(|kind| kind == KIND);
            let sound = || {
                let map = BASE64_STANDARD.decode(map?.as_str()?).ok()?;
                is_sound(&map)
            };
            (!expected || sound().is_some()) && entries.values().all(are_sound)
        }
        _ => true,
    }
}

/// Walks all of a map: the length of the trie in bytes, the trie, the text.
fn is_sound(map: &[u8]) -> Option<()> {
    let (length, rest) = map.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize / 4 * 4;
    let (units, text) = rest.split_at_checked(length)?;
    let (units, _) = units.as_chunks();
    let units: Vec<usize> = units
        .iter()
        .map(|unit| u32::from_le_bytes(*unit) as usize)
        .collect();
    let text = std::str::from_utf8(text).ok()?;
    let offset = |unit: usize| (unit >> 10) << ((unit & 1 << 9) >> 6);
    let mut seen = vec![false; units.len()];
    let mut nodes = vec![offset(*units.first()?)];
    while let Some(node) = nodes.pop() {
        for byte in 1..=0xFF {
            let at = node ^ byte;
            let unit = *units.get(at)?;
            if unit & LABEL != byte {
                continue;
            }
            let next = at ^ offset(unit);
            if unit & IS_END != 0 && !text.is_char_boundary(units.get(next)? & PLACE) {
                return None;
            }
            if !std::mem::replace(&mut seen[at], true) {
                nodes.push(next);
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;
    use tokenizers::normalizers::Precompiled;
    use tokenizers::{NormalizedString, Normalizer as _};

    use super::*;
    use crate::allocation::peak;

    /// A trie of one character: A stands for what is at a place of the text.
    fn map(place: u32, text: &[u8]) -> Vec<u8> {
        let mut units = vec![0_u32; 768];
        units[0] = 256 << 10;
        let link = 256 ^ usize::from(b'A');
        let end = 512 ^ link ^ link;
        units[link] = u32::from(b'A') | 1 << 8 | ((end ^ link) as u32) << 10;
        units[end] = 1 << 31 | place;
        let mut map = (4 * units.len() as u32).to_le_bytes().to_vec();
        map.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        map.extend(text);
        map
    }

    fn normalizer(map: &[u8]) -> Value {
        json!({"type": "Precompiled", KEY: BASE64_STANDARD.encode(map)})
    }

    #[test]
    fn a_sound_map_is_applied() {
        let value = normalizer(&map(3, b"x\0\0n\xC3\xA4h\0"));
        assert!(are_sound(
            &json!({"type": "Sequence", "normalizers": [value]})
        ));
        let found: Precompiled = serde_json::from_str(&value.to_string()).unwrap();
        let mut text = NormalizedString::from("CAB");
        found.normalize(&mut text).unwrap();
        assert_eq!(text.get(), "Cn\u{e4}hB");
    }

    #[test]
    fn a_map_that_leads_out_of_itself_is_not_sound() {
        let good = map(0, b"a\0");
        assert!(are_sound(&normalizer(&good)));
        // Beyond the text, and within a character of it.
        for (place, text) in [
            (3, &b"a\0"[..]),
            (1 << 30, b"a\0"),
            (1, b"\xC3\xA4\0"),
            (0, b"\xFF"),
        ] {
            assert!(!are_sound(&normalizer(&map(place, text))), "{place}");
        }
        for end in 0..good.len() - 2 {
            assert!(!are_sound(&normalizer(&good[..end])), "{end}");
        }
        for claim in [0_u32, 4, 1024, 1 << 16, u32::MAX] {
            let mut map = good.clone();
            map[..4].copy_from_slice(&claim.to_le_bytes());
            let value = normalizer(&map);
            let (sound, bytes) = peak(|| are_sound(&value));
            assert!(!sound && bytes < 1 << 16, "{claim}: {bytes}");
        }
        for unit in 0..768 {
            let mut map = good.clone();
            map[4 + 4 * unit..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
            // Whatever is found sound never leaves the map.
            let value = normalizer(&map);
            if are_sound(&value) {
                let found: Precompiled = serde_json::from_str(&value.to_string()).unwrap();
                for text in ["A", "AA", "\u{ff}A\u{10ffff}", "BCA"] {
                    found.normalize(&mut NormalizedString::from(text)).unwrap();
                }
            }
        }
        for value in [json!(null), json!(3), json!("%"), json!("")] {
            assert!(!are_sound(&json!({"type": KIND, KEY: value})));
        }
        assert!(!are_sound(&json!({"type": KIND})));
    }
}
