//! What a file is that is not what its name says.

/// Bytes that are looked at.
const BEGINNING: usize = 64;

/// A web page, where weights were to be: what a browser or a script saves when a download asks for a login or fails.
pub(super) fn is_page(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(BEGINNING)];
    let start = start.trim_ascii_start().to_ascii_lowercase();
    [&b"<!doctype"[..], b"<html", b"<?xml"]
        .iter()
        .any(|page| start.starts_with(page))
}

/// A file of another kind, in words, with what to do; none where it is of no kind that is known.
pub(super) fn foreign(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    // The length that safetensors begins with, in eight bytes, of which the lower ones may look like anything.
    if bytes.get(4..8) == Some(&[0; 4]) {
        return None;
    }
    if is_page(bytes) {
        return Some(("an HTML page", PAGE));
    }
    let kinds = [
        (
            &b"PK\x03\x04"[..],
            "a zip archive",
            "unpack it, or, if torch.save wrote it, call it pytorch_model.bin",
        ),
        (
            b"GGUF",
            "a GGUF file",
            "call it .gguf and give its own path",
        ),
        (
            b"\x80\x02",
            "a pickle",
            "if torch.save wrote it, call it pytorch_model.bin",
        ),
        (b"\x1f\x8b", "a gzip archive", "unpack it"),
        (b"{", "JSON", "fetch the file itself"),
    ];
    let kinds = kinds.into_iter();
    let mut found = kinds.filter(|(start, ..)| bytes.starts_with(start));
    found.next().map(|(_, kind, remedy)| (kind, remedy))
}

/// What to do about a web page.
pub(super) const PAGE: &str = "the download failed or asked for a login; fetch the file itself";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_how_files_begin() {
        for (bytes, kind) in [
            (&b"<!DOCTYPE html><html>"[..], Some("an HTML page")),
            (b"\n  <HTML lang=en>", Some("an HTML page")),
            (b"PK\x03\x04\x14", Some("a zip archive")),
            (b"GGUF\x03\0\0\0", Some("a GGUF file")),
            (b"\x80\x02}q", Some("a pickle")),
            (b"{\"error\": \"not found\"}", Some("JSON")),
            (b"\x10\0\0\0\0\0\0\0{}", None),
            // Lengths of 640 and of 123 bytes.
            (b"\x80\x02\0\0\0\0\0\0{\"a\"", None),
            (b"{\0\0\0\0\0\0\0{\"a\"", None),
            (b"", None),
        ] {
            assert_eq!(foreign(bytes).map(|(kind, _)| kind), kind);
        }
    }
}
