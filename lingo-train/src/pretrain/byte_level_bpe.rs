//! A tokenizer made from the training text: byte pairs (Sennrich et al. 2016) over bytes, as GPT-2 and OPT have them.

use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer};

use super::documents::Documents;

/// The token before and behind each document, OPT's bos and eos.
pub const BOUNDARY: &str = "</s>";
/// The token that fills shorter sequences of a batch.
pub const PADDING: &str = "<pad>";
/// In OPT's order, by which `<pad>` is 1 and `</s>` 2.
const SPECIAL: [&str; 4] = ["<s>", PADDING, BOUNDARY, "<unk>"];
/// The special tokens and every byte.
pub const SMALLEST_VOCABULARY: usize = SPECIAL.len() + 256;
/// Longer runs without white space, such as DNA, are learnt from in pieces: each merge looks through every piece that it
/// occurs in.
const LONGEST_PIECE: usize = 128;

/// Learns at most `entries` tokens from `documents`; `</s>` is put in front of texts. The same documents give the same
/// tokenizer.
///
/// # Errors
/// As the crate `tokenizers` has it.
pub fn byte_level_bpe(documents: &Documents, entries: usize) -> tokenizers::Result<Tokenizer> {
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer
        .with_pre_tokenizer(Some(ByteLevel::new(false, true, true)))
        .with_decoder(Some(ByteLevel::default()));
    let trainer = BpeTrainer::builder()
        .vocab_size(entries)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(SPECIAL.map(|name| AddedToken::from(name, true)).to_vec())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let texts = documents.texts.iter().flat_map(|text| pieces(text));
    tokenizer.train(&mut TrainerWrapper::from(trainer), texts)?;
    let boundary = tokenizer.token_to_id(BOUNDARY).unwrap_or_default();
    let template = TemplateProcessing::builder()
        .try_single(format!("{BOUNDARY}:0 $A:0"))?
        .try_pair(format!("{BOUNDARY}:0 $A:0 {BOUNDARY}:1 $B:1"))?
        .special_tokens(vec![(BOUNDARY, boundary)])
        .build()?;
    tokenizer.with_post_processor(Some(template));
    Ok(tokenizer)
}

/// A text in pieces without long runs.
fn pieces(text: &str) -> Vec<&str> {
    let (mut pieces, mut start, mut run) = (Vec::new(), 0, 0);
    for (at, letter) in text.char_indices() {
        run = if letter.is_whitespace() { 0 } else { run + 1 };
        if run > LONGEST_PIECE {
            pieces.push(&text[start..at]);
            (start, run) = (at, 1);
        }
    }
    pieces.push(&text[start..]);
    pieces
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn documents(texts: &[&str]) -> Documents {
        Documents {
            path: "corpus.txt".into(),
            texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    #[test]
    fn it_has_opts_special_tokens_every_byte_and_what_is_frequent() {
        let corpus = documents(&["the theme of the theatre", "the other, the same"]);
        let tokenizer = byte_level_bpe(&corpus, SMALLEST_VOCABULARY + 5).unwrap();
        assert_eq!(tokenizer.get_vocab_size(true), SMALLEST_VOCABULARY + 5);
        let ids = SPECIAL.map(|name| tokenizer.token_to_id(name).unwrap());
        assert_eq!(ids, [0, 1, 2, 3]);
        let encoding = tokenizer.encode("the", false).unwrap();
        assert_eq!(encoding.get_tokens(), ["the"]);
        let strange = "naïve \u{1F9EC}\n";
        let encoding = tokenizer.encode(strange, true).unwrap();
        assert_eq!(encoding.get_ids()[0], 2);
        assert!(!encoding.get_ids().contains(&3));
        let back = tokenizer.decode(encoding.get_ids(), true).unwrap();
        assert_eq!(back, strange);
    }

    #[test]
    fn the_same_documents_give_the_same_tokenizer() {
        let texts: Vec<String> = (0..400_u32)
            .map(|i| {
                format!(
                    "{} {} {}",
                    i * 7919 % 613,
                    i % 17,
                    "ab".repeat(i as usize % 5)
                )
            })
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let made = || {
            let tokenizer = byte_level_bpe(&documents(&texts), 400).unwrap();
            tokenizer.to_string(false).unwrap()
        };
        let first = made();
        assert!((0..3).all(|_| made() == first));
    }

    #[test]
    fn long_runs_are_cut_and_nothing_is_lost() {
        let text = format!("é {} {}", "ACGT".repeat(100), "word ".repeat(100));
        let pieces = pieces(&text);
        assert_eq!(pieces.concat(), text);
        assert_eq!(pieces.len(), 4);
        assert_eq!(pieces[1].len(), LONGEST_PIECE);
    }
}
