//! The tokenizer inside a file.

use super::*;

fn ids(writer: &Writer, text: &str) -> Vec<u32> {
    let tokenizer = writer.open().unwrap().tokenizer().unwrap();
    tokenizer
        .tokenizer
        .encode(text, false)
        .unwrap()
        .get_ids()
        .to_vec()
}

#[test]
fn digits_are_split_for_smollm_and_merged_for_gpt2() {
    let mut writer = tiny();
    assert_eq!(ids(&writer, "ACCA 12<s>"), [3, 2, 1, 7, 4, 5, 0]);
    writer.text("tokenizer.ggml.pre", "gpt-2");
    assert_eq!(ids(&writer, "12"), [6]);
    writer.text("tokenizer.ggml.pre", "llama-bpe");
    assert_eq!(ids(&writer, "12A"), [6, 1]);
}

#[test]
fn a_bos_is_used_when_the_file_says_so() {
    let mut writer = tiny();
    let tokenizer = writer.open().unwrap().tokenizer().unwrap();
    assert_eq!((tokenizer.bos, tokenizer.pad), (None, 7));
    writer.flag("tokenizer.ggml.add_bos_token", true);
    assert_eq!(writer.open().unwrap().tokenizer().unwrap().bos, Some(0));
    writer.integer("tokenizer.ggml.bos_token_id", 8);
    let error = writer.open().unwrap().tokenizer().unwrap_err().to_string();
    assert!(
        error.contains("bos_token_id") && error.contains("below 8"),
        "{error}"
    );
}

/// Files older than the key `pre`, or made without knowing it.
#[test]
fn llama_3_is_known_by_its_first_token() {
    let mut writer = tiny();
    writer.texts(
        "tokenizer.ggml.tokens",
        &["<|begin_of_text|>", "A", "C", "AC", "1", "2", "12", "<pad>"],
    );
    for pre in [None, Some("default"), Some("gpt-2")] {
        writer.remove("tokenizer.ggml.pre");
        if let Some(pre) = pre {
            writer.text("tokenizer.ggml.pre", pre);
        }
        let tokenizer = writer.open().unwrap().tokenizer().unwrap();
        assert_eq!(
            tokenizer.bos,
            (pre != Some("gpt-2")).then_some(0),
            "{pre:?}"
        );
    }
}

#[test]
fn an_unknown_tokenizer_asks_for_a_tokenizer_json_and_uses_it() {
    let mut writer = tiny();
    writer.text("tokenizer.ggml.pre", "of-tomorrow");
    let (folder, path) = writer.file();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let error = checkpoint.tokenizer().unwrap_err().to_string();
    assert!(
        error.contains("of-tomorrow") && error.contains("tokenizer.json beside"),
        "{error}"
    );

    let other = tiny().open().unwrap().tokenizer().unwrap();
    let beside = folder.path().join("tokenizer.json");
    other.tokenizer.save(beside, false).unwrap();
    let found = checkpoint.tokenizer().unwrap();
    assert_eq!(
        found.tokenizer.encode("AC1", false).unwrap().get_ids(),
        [3, 4]
    );
    assert_eq!((found.bos, found.pad), (None, 7));
}

#[test]
fn a_merge_into_no_token_is_an_error() {
    let mut writer = tiny();
    writer.texts("tokenizer.ggml.merges", &["AC 12"]);
    let error = writer.open().unwrap().tokenizer().unwrap_err().to_string();
    assert!(error.contains("AC12"), "{error}");
}

/// A file with SentencePiece's vocabulary.
fn sentencepiece() -> Writer {
    let mut writer = tiny();
    writer.text("tokenizer.ggml.model", "llama");
    writer.texts(
        "tokenizer.ggml.tokens",
        &["<unk>", "<s>", "<0x54>", "▁", "A", "C", "AC", "▁AC"],
    );
    writer.floats(
        "tokenizer.ggml.scores",
        &[0.0, 0.0, 0.0, -3.0, -4.0, -5.0, -1.0, -2.0],
    );
    writer.integers("tokenizer.ggml.token_type", &[2, 3, 6, 1, 1, 1, 1, 1]);
    writer.integer("tokenizer.ggml.bos_token_id", 1);
    writer
}

#[test]
fn sentencepiece_merges_by_score_and_falls_back_to_bytes() {
    let writer = sentencepiece();
    let tokenizer = writer.open().unwrap().tokenizer().unwrap();
    assert_eq!(tokenizer.bos, Some(1));
    let encoding = tokenizer.tokenizer.encode("ACC ACT", false).unwrap();
    assert_eq!(encoding.get_ids(), [7, 5, 7, 2]);
    assert_eq!(
        tokenizer
            .tokenizer
            .decode(encoding.get_ids(), false)
            .unwrap(),
        "ACC ACT"
    );
}

#[test]
fn sentencepiece_without_scores_is_refused() {
    let mut writer = sentencepiece();
    writer.floats("tokenizer.ggml.scores", &[0.0; 8]);
    let error = writer.open().unwrap().tokenizer().unwrap_err().to_string();
    assert!(
        error.contains("scores") && error.contains("tokenizer.json beside"),
        "{error}"
    );
}
