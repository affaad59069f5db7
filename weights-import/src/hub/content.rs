//! Whether a content is what the hub described.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// Bytes that are read at a time.
const BUFFER_BYTES: usize = 1 << 17;

/// What is wrong with a file that should have a size and, where its tag tells it, a SHA-256.
pub(super) fn fault(path: &Path, tag: &str, bytes: u64) -> io::Result<Option<String>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    if length != bytes {
        return Ok(Some(format!("{length} bytes instead of {bytes}")));
    }
    if !is_sha256(tag) {
        return Ok(None);
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hash.update(&buffer[..read]),
        }
    }
    let found = hash
        .finalize()
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
    let differs = !found.eq_ignore_ascii_case(tag);
    Ok(differs.then(|| format!("SHA-256 {found} instead of {tag}")))
}

/// Whether a tag is the SHA-256 of its content, as that of a large file is.
fn is_sha256(tag: &str) -> bool {
    tag.len() == 64 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn size_and_digest_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("content");
        std::fs::write(&path, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let tag = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let of = |tag: &str, bytes| fault(&path, tag, bytes).unwrap();
        assert_eq!(of(tag, 3), None);
        assert_eq!(of(&tag.to_uppercase(), 3), None);
        assert_eq!(of("0123456789abcdef0123456789abcdef01234567", 3), None);
        assert!(of(tag, 4).unwrap().contains("3 bytes instead of 4"));
        let other = of(&tag.replace('b', "c"), 3).unwrap();
        assert!(other.contains(tag), "{other}");
    }
}
