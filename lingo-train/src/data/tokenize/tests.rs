#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, TruncationParams};

use super::super::batch::tests::Draws;
use super::*;
use crate::data::NUCLEOTIDES;

const PREFIX: &str = "Domain: DNA Promoter\nSequence: ";
const SUFFIX: &str = "\nAnnotation:";

/// A byte-level BPE as OPT has it, trained on DNA, the prompt and some words.
pub(crate) fn small_tokenizer() -> Tokenizer {
    let mut draws = Draws::new(1);
    let mut texts: Vec<String> = (0..200)
        .map(|_| format!(" {}", draws.sequence("ACGT", 80)))
        .collect();
    texts.extend((0..50).map(|_| format!("{PREFIX}{}{SUFFIX}", draws.sequence(NUCLEOTIDES, 40))));
    let words = "Ab initio methods of the Sequencer were domains, annotated; THE CAT SAW GAPS: äöü é 12 345 NAND";
    texts.extend(vec![words.to_string(); 20]);
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    tokenizer.with_post_processor(Some(ByteLevel::new(false, true, true)));
    let special = ["<s>", "<pad>", "</s>", "<unk>"].map(|name| AddedToken::from(name, true));
    let trainer = BpeTrainerBuilder::new()
        .show_progress(false)
        .vocab_size(700)
        .special_tokens(special.to_vec())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    tokenizer
        .train(&mut TrainerWrapper::from(trainer), texts.into_iter())
        .unwrap();
    tokenizer.add_special_tokens(special).unwrap();
    tokenizer
}

/// OPT's own tokenizer, where `LINGO_ASSETS` names a folder that has it.
pub(crate) fn opt_tokenizer() -> Option<(Tokenizer, PathBuf)> {
    let folder = PathBuf::from(std::env::var_os("LINGO_ASSETS")?).join("tokenizers");
    let file = |name: &str| folder.join("opt").join(name).to_str().unwrap().to_string();
    let model = BPE::from_file(&file("vocab.json"), &file("merges.txt"))
        .build()
        .unwrap();
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    let special = ["<s>", "<pad>", "</s>", "<unk>"].map(|name| AddedToken::from(name, true));
    tokenizer.add_special_tokens(special).unwrap();
    Some((tokenizer, folder))
}

pub(crate) fn record(id: usize, sequence: String) -> Record {
    Record {
        id: id.to_string(),
        sequence,
        label: Some(Label::Class(id % 2)),
    }
}

fn records(letters: &str, count: usize, length: usize) -> Vec<Record> {
    let mut draws = Draws::new(3);
    (0..count)
        .map(|id| record(id, draws.sequence(letters, length)))
        .collect()
}

fn prompt() -> Prompt {
    Prompt::new(PREFIX, SUFFIX)
}

fn decode(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut tokenizer = tokenizer.clone();
    tokenizer.with_decoder(Some(ByteLevel::default()));
    tokenizer.decode(ids, false).unwrap()
}

#[test]
fn the_text_is_prefix_sequence_and_suffix_after_the_first_token() {
    let tokenizer = small_tokenizer();
    let encoder = Encoder::new(tokenizer.clone(), [Some(2), None], prompt(), 0);
    let records = records("ACGTN", 5, 60);
    let (samples, report) = encoder.encode(&records).unwrap();
    for (record, sample) in records.iter().zip(&samples) {
        assert_eq!(sample.ids[0], 2);
        assert_eq!(sample.label, record.label);
        let text = decode(&tokenizer, &sample.ids[1..]);
        assert_eq!(text, format!("{PREFIX}{}{SUFFIX}", record.sequence));
    }
    assert_eq!(
        (report.sequences, report.bp, report.truncated, report.bp_cut),
        (5, 300, 0, 0)
    );
    assert_eq!(
        report.tokens,
        samples.iter().map(|s| s.ids.len()).sum::<usize>()
    );
    assert_eq!(
        report.longest_tokens,
        samples.iter().map(|s| s.ids.len()).max().unwrap()
    );
}

#[test]
fn what_is_too_long_loses_dna_from_its_end_and_nothing_else() {
    let prompts = [
        prompt(),
        Prompt::default(),
        Prompt::new("", SUFFIX),
        Prompt::new("é ü\n\n", "ACé"),
        Prompt::new("Sequence:", " Annotation"),
    ];
    let tokenizer = small_tokenizer();
    for prompt in prompts {
        for bos in [None, Some(2)] {
            let records = records("ACGT", 6, 90);
            let whole = Encoder::new(tokenizer.clone(), [bos, None], prompt.clone(), 0);
            let (whole, _) = whole.encode(&records).unwrap();
            for limit in 22..40 {
                let encoder = Encoder::new(tokenizer.clone(), [bos, None], prompt.clone(), limit);
                let (samples, report) = encoder.encode(&records).unwrap();
                let mut kept_bp = 0;
                for ((sample, whole), record) in samples.iter().zip(&whole).zip(&records) {
                    assert_eq!(sample.ids.len(), limit.min(whole.ids.len()));
                    let text = decode(&tokenizer, &sample.ids[usize::from(bos.is_some())..]);
                    let rest = text.strip_prefix(&prompt.prefix).unwrap();
                    let dna = rest.strip_suffix(&prompt.suffix).unwrap();
                    assert!(!dna.is_empty());
                    // A token across the border to the suffix is kept with the letters it holds.
                    let common = dna
                        .bytes()
                        .zip(record.sequence.bytes())
                        .take_while(|(a, b)| a == b)
                        .count();
                    assert!(
                        record.sequence.ends_with(&dna[common..]),
                        "{dna} of {}",
                        record.sequence
                    );
                    kept_bp += dna.len();
                }
                assert_eq!(report.bp_cut, report.bp - kept_bp);
                let cut = samples.iter().zip(&whole).filter(|(s, w)| s != w).count();
                assert_eq!(report.truncated, cut);
                assert!(cut > 0 || limit > 22);
            }
        }
    }
}

#[test]
fn a_token_across_the_border_to_the_suffix_belongs_to_the_suffix() {
    let span = 3..9;
    assert_eq!(dna_tokens(&[(0, 3), (3, 6), (6, 9), (9, 12)], &span), 1..3);
    assert_eq!(
        dna_tokens(&[(0, 3), (3, 6), (6, 10), (10, 12)], &span),
        1..2
    );
    assert_eq!(dna_tokens(&[(0, 4), (4, 6), (6, 9)], &span), 0..3);
    assert_eq!(dna_tokens(&[(0, 2), (2, 12)], &span), 1..1);
    // Trimmed offsets of a lone space: of no width, at its end.
    assert_eq!(
        dna_tokens(&[(0, 2), (3, 3), (3, 9), (9, 9), (9, 12)], &span),
        2..3
    );
}

#[test]
fn a_limit_without_room_for_dna_is_an_error_that_names_the_key_and_the_need() {
    let tokenizer = small_tokenizer();
    let records = records("ACGT", 3, 90);
    let prompt_tokens = tokenizer.encode(PREFIX.trim_end(), false).unwrap().len()
        + tokenizer.encode(SUFFIX, false).unwrap().len();
    let error = Encoder::new(tokenizer.clone(), [Some(2), None], prompt(), prompt_tokens)
        .encode(&records)
        .unwrap_err();
    let EncodeError::NoRoom { needed, .. } = &error else {
        panic!("{error}")
    };
    assert!(
        error.to_string().contains("tokenizer.max_tokens"),
        "{error}"
    );
    let encode = |limit| {
        Encoder::new(tokenizer.clone(), [Some(2), None], prompt(), limit).encode(&records[..1])
    };
    assert!(encode(*needed).is_ok());
    assert!(encode(*needed - 1).is_err());
}

#[test]
fn base_pairs_a_token_count_dna_alone() {
    let mut tokenizer = Tokenizer::new(BPE::default());
    let letters = ["A", "C", "G", "T", "x", "y"];
    let vocab: tokenizers::models::bpe::Vocab = letters
        .iter()
        .zip(0..)
        .map(|(letter, id)| (letter.to_string(), id))
        .chain([("AC".to_string(), 6)])
        .collect();
    let merges = vec![("A".to_string(), "C".to_string())];
    tokenizer.with_model(
        BPE::builder()
            .vocab_and_merges(vocab, merges)
            .build()
            .unwrap(),
    );
    let encoder = Encoder::new(tokenizer, [None; 2], Prompt::new("xyxy", "yyy"), 0);
    let (samples, report) = encoder.encode(&[record(0, "ACACGTAC".into())]).unwrap();
    assert_eq!(samples[0].ids, [4, 5, 4, 5, 6, 6, 2, 3, 6, 5, 5, 5]);
    assert_eq!((report.bp, report.dna_tokens, report.tokens), (8, 5, 12));
    assert_eq!(report.bp_per_token(), 1.6);
}

#[test]
fn truncation_and_padding_of_the_tokenizer_file_are_off() {
    let mut tokenizer = small_tokenizer();
    let records = records("ACGT", 2, 90);
    let (expected, _) = Encoder::new(tokenizer.clone(), [None; 2], prompt(), 0)
        .encode(&records)
        .unwrap();
    let truncation = TruncationParams {
        max_length: 8,
        ..Default::default()
    };
    tokenizer.with_truncation(Some(truncation)).unwrap();
    tokenizer.with_padding(Some(Default::default()));
    let (found, _) = Encoder::new(tokenizer, [None; 2], prompt(), 0)
        .encode(&records)
        .unwrap();
    assert_eq!(found, expected);
}

#[test]
fn opts_tokens_of_real_dna_equal_the_reference() {
    let Some((tokenizer, folder)) = opt_tokenizer() else {
        return;
    };
    #[derive(serde::Deserialize)]
    struct Golden {
        sequence: String,
        opt_ids_with_bos: Vec<u32>,
    }
    let golden: Vec<Golden> =
        serde_json::from_str(&std::fs::read_to_string(folder.join("golden.json")).unwrap())
            .unwrap();
    let records: Vec<Record> = golden
        .iter()
        .map(|g| record(0, g.sequence.clone()))
        .collect();
    let (samples, _) = Encoder::new(tokenizer, [Some(2), None], Prompt::default(), 0)
        .encode(&records)
        .unwrap();
    assert_eq!(samples.len(), 20);
    for (sample, golden) in samples.iter().zip(&golden) {
        assert_eq!(sample.ids, golden.opt_ids_with_bos);
    }
}
