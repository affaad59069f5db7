//! Tokenizers beside the weights.

use super::*;

/// A BPE of a few tokens, as OPT's files are.
fn write_vocabulary(folder: &Path) {
    let vocabulary = json!({"<s>": 0, "<pad>": 1, "</s>": 2, "A": 3, "C": 4, "AC": 5});
    std::fs::write(folder.join("vocab.json"), vocabulary.to_string()).unwrap();
    std::fs::write(folder.join("merges.txt"), "#version: 0.2\nA C\n").unwrap();
}

#[test]
fn opt_texts_begin_with_its_end_of_text_token() {
    let folder = model(&config(), &tensors(""));
    write_vocabulary(folder.path());
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let found = checkpoint.tokenizer().unwrap();
    assert_eq!((found.bos, found.pad), (Some(2), 1));
    assert_eq!(
        found.tokenizer.encode("ACA</s>", false).unwrap().get_ids(),
        [5, 3, 2]
    );

    let settings = json!({"add_bos_token": false, "tokenizer_class": "GPT2Tokenizer"});
    std::fs::write(
        folder.path().join("tokenizer_config.json"),
        settings.to_string(),
    )
    .unwrap();
    assert_eq!(checkpoint.tokenizer().unwrap().bos, None);
    let settings = json!({"add_bos_token": true, "bos_token": {"content": "<s>"}, "tokenizer_class": "GPT2Tokenizer"});
    std::fs::write(
        folder.path().join("tokenizer_config.json"),
        settings.to_string(),
    )
    .unwrap();
    assert_eq!(checkpoint.tokenizer().unwrap().bos, Some(0));
}

#[test]
fn added_tokens_must_have_the_ids_they_claim() {
    let folder = model(&config(), &tensors(""));
    write_vocabulary(folder.path());
    let path = folder.path().join("added_tokens.json");
    std::fs::write(&path, json!({"<dna>": 6}).to_string()).unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let found = checkpoint.tokenizer().unwrap();
    assert_eq!(
        found.tokenizer.encode("A<dna>C", false).unwrap().get_ids(),
        [3, 6, 4]
    );
    std::fs::write(&path, json!({"<dna>": 9}).to_string()).unwrap();
    let error = checkpoint.tokenizer().unwrap_err().to_string();
    assert!(error.contains("<dna>") && error.contains('9'), "{error}");
}

#[test]
fn tokenizer_problems_are_clear() {
    let folder = model(&config(), &tensors(""));
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert!(matches!(
        checkpoint.tokenizer(),
        Err(ImportError::NoTokenizer { .. })
    ));
    write_vocabulary(folder.path());
    std::fs::write(folder.path().join("merges.txt"), "A C\nAC AC\n").unwrap();
    let error = checkpoint.tokenizer().unwrap_err().to_string();
    assert!(error.contains("ACAC"), "{error}");
    std::fs::write(folder.path().join("merges.txt"), "A C A\n").unwrap();
    assert!(
        checkpoint
            .tokenizer()
            .unwrap_err()
            .to_string()
            .contains("A C A")
    );
    std::fs::write(folder.path().join("tokenizer.json"), b"{}").unwrap();
    assert!(matches!(
        checkpoint.tokenizer(),
        Err(ImportError::Tokenizer { .. })
    ));
}

#[test]
fn a_vocabulary_of_an_unknown_class_is_refused() {
    let folder = model(&llama_config(), &Tensors::new());
    write_vocabulary(folder.path());
    let error = Checkpoint::open(folder.path())
        .unwrap()
        .tokenizer()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("GPT2Tokenizer") && error.contains("tokenizer.json"),
        "{error}"
    );
}

#[test]
fn the_template_of_a_tokenizer_json_says_what_goes_around_a_text() {
    let folder = model(&config(), &tensors(""));
    write_vocabulary(folder.path());
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let found = checkpoint.tokenizer().unwrap();
    let mut file: Value = serde_json::from_str(&found.tokenizer.to_string(false).unwrap()).unwrap();
    let template = |before: Value, after: Value| {
        let sequence = json!([{"Sequence": {"id": "A", "type_id": 0}}]);
        let single: Vec<Value> = [before, sequence, after]
            .iter()
            .flat_map(|part| part.as_array().unwrap().clone())
            .collect();
        json!({
            "type": "TemplateProcessing", "single": single, "pair": single,
            "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
        })
    };
    let special = json!([{"SpecialToken": {"id": "<s>", "type_id": 0}}]);
    let mut read = |template: Value| {
        file["post_processor"] = template;
        std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
        checkpoint.tokenizer().map(|found| (found.bos, found.eos))
    };
    let none = || json!([]);
    assert_eq!(read(Value::Null).unwrap(), (None, None));
    let (before, after) = (special.clone(), special.clone());
    assert_eq!(read(template(before, none())).unwrap(), (Some(0), None));
    assert_eq!(read(template(none(), after)).unwrap(), (None, Some(0)));
    let both = template(special.clone(), special.clone());
    assert_eq!(read(both).unwrap(), (Some(0), Some(0)));
    let twice = json!([special[0], special[0]]);
    let error = read(template(twice, none())).unwrap_err().to_string();
    assert!(error.contains("at most one token"), "{error}");
}
