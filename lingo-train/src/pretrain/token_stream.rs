//! A corpus as one stream of tokens.

use blake3::Hasher;
use tokenizers::Tokenizer;

use super::documents::{CorpusError, Documents};

/// Documents that are tokenised at the same time.
const AT_ONCE: usize = 1024;

/// All documents one after another: the boundary, a document, the boundary, a document, ..., the boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenStream {
    /// The tokens.
    pub ids: Vec<u32>,
    /// Bytes of the documents' texts.
    pub bytes: usize,
}

impl TokenStream {
    /// Tokenises documents. What looks like a special token in them is text.
    ///
    /// # Errors
    /// If the tokenizer refuses a document.
    pub fn new(
        documents: &Documents,
        tokenizer: &Tokenizer,
        boundary: Option<u32>,
    ) -> Result<Self, CorpusError> {
        let mut tokenizer = tokenizer.clone();
        tokenizer.set_encode_special_tokens(true);
        let mut ids: Vec<u32> = boundary.into_iter().collect();
        for (number, texts) in documents.texts.chunks(AT_ONCE).enumerate() {
            let inputs: Vec<&str> = texts.iter().map(String::as_str).collect();
            let encodings = tokenizer.encode_batch_fast(inputs, false);
            let encodings = encodings.map_err(|error| CorpusError::Tokens {
                path: documents.path.clone(),
                document: number * AT_ONCE + 1,
                reason: error.to_string(),
            })?;
            for encoding in encodings {
                ids.extend_from_slice(encoding.get_ids());
                ids.extend(boundary);
            }
        }
        Ok(Self {
            ids,
            bytes: documents.bytes(),
        })
    }

    /// What tells this stream from another.
    pub fn digest(&self) -> String {
        let mut hasher = Hasher::new();
        for ids in self.ids.chunks(AT_ONCE) {
            let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
        hasher.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pretrain::{SMALLEST_VOCABULARY, byte_level_bpe};

    #[test]
    fn boundaries_stand_around_each_document_and_nowhere_else() {
        let documents = Documents {
            path: "corpus.txt".into(),
            texts: vec!["ab".into(), "</s>".into()],
        };
        let tokenizer = byte_level_bpe(&documents, SMALLEST_VOCABULARY).unwrap();
        let stream = TokenStream::new(&documents, &tokenizer, Some(2)).unwrap();
        let at: Vec<usize> = (0..stream.ids.len())
            .filter(|i| stream.ids[*i] == 2)
            .collect();
        assert_eq!(at, [0, 3, 8]);
        assert_eq!((stream.ids.len(), stream.bytes), (9, 6));
        let bare = TokenStream::new(&documents, &tokenizer, None).unwrap();
        assert_eq!(bare.ids.len(), 6);
        assert_ne!(bare.digest(), stream.digest());
    }
}
