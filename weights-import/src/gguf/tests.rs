#![allow(clippy::unwrap_used)]

mod damage;
mod hostile;
mod tokenizer;

use std::path::PathBuf;

use lingo_core::models::ModelConfig;
use lingo_core::weights::{WeightError, WeightSource};
use tempfile::TempDir;

use crate::{Checkpoint, ImportError, Role};

/// Writes GGUF, right or wrong.
#[derive(Clone, Default)]
pub(crate) struct Writer {
    metadata: Vec<Vec<u8>>,
    pub(crate) tensors: Vec<(String, Vec<u64>, u32, Vec<u8>)>,
}

fn text(bytes: &str) -> Vec<u8> {
    let mut out = (bytes.len() as u64).to_le_bytes().to_vec();
    out.extend(bytes.as_bytes());
    out
}

impl Writer {
    fn remove(&mut self, key: &str) {
        self.metadata.retain(|entry| !entry.starts_with(&text(key)));
    }

    fn entry(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.remove(key);
        let mut entry = text(key);
        entry.extend(kind.to_le_bytes());
        entry.extend(value);
        self.metadata.push(entry);
    }

    fn integer(&mut self, key: &str, value: u32) {
        self.entry(key, 4, &value.to_le_bytes());
    }

    fn float(&mut self, key: &str, value: f32) {
        self.entry(key, 6, &value.to_le_bytes());
    }

    pub(crate) fn flag(&mut self, key: &str, value: bool) {
        self.entry(key, 7, &[value.into()]);
    }

    fn text(&mut self, key: &str, value: &str) {
        self.entry(key, 8, &text(value));
    }

    fn list(&mut self, key: &str, kind: u32, items: &[Vec<u8>]) {
        let mut value = kind.to_le_bytes().to_vec();
        value.extend((items.len() as u64).to_le_bytes());
        value.extend(items.concat());
        self.entry(key, 9, &value);
    }

    fn texts(&mut self, key: &str, items: &[&str]) {
        self.list(
            key,
            8,
            &items.iter().map(|item| text(item)).collect::<Vec<_>>(),
        );
    }

    fn integers(&mut self, key: &str, items: &[i32]) {
        self.list(
            key,
            5,
            &items
                .iter()
                .map(|item| item.to_le_bytes().to_vec())
                .collect::<Vec<_>>(),
        );
    }

    fn floats(&mut self, key: &str, items: &[f32]) {
        self.list(
            key,
            6,
            &items
                .iter()
                .map(|item| item.to_le_bytes().to_vec())
                .collect::<Vec<_>>(),
        );
    }

    /// An f32 tensor that counts up from `first`; the shape is row-major.
    pub(crate) fn tensor(&mut self, name: &str, shape: &[u64], first: f32) {
        let numbers: u64 = shape.iter().product();
        let bytes = (0..numbers)
            .flat_map(|i| (first + i as f32).to_le_bytes())
            .collect();
        self.tensors.push((
            name.to_owned(),
            shape.iter().rev().copied().collect(),
            0,
            bytes,
        ));
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        out.extend(self.metadata.concat());
        let mut data = Vec::new();
        for (name, dimensions, element, bytes) in &self.tensors {
            out.extend(text(name));
            out.extend((dimensions.len() as u32).to_le_bytes());
            out.extend(dimensions.iter().flat_map(|size| size.to_le_bytes()));
            out.extend(element.to_le_bytes());
            data.resize(data.len().next_multiple_of(32), 0);
            out.extend((data.len() as u64).to_le_bytes());
            data.extend(bytes);
        }
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(data);
        out
    }

    pub(crate) fn file(&self) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, self.bytes()).unwrap();
        (folder, path)
    }

    fn open(&self) -> Result<Checkpoint, ImportError> {
        let (_folder, path) = self.file();
        Checkpoint::open(&path)
    }
}

/// A LLaMA of one layer: width 8, 2 heads of 4, one for keys and values.
pub(crate) fn tiny() -> Writer {
    let mut writer = Writer::default();
    writer.text("general.architecture", "llama");
    writer.integer("llama.block_count", 1);
    writer.integer("llama.context_length", 16);
    writer.integer("llama.embedding_length", 8);
    writer.integer("llama.feed_forward_length", 12);
    writer.integer("llama.attention.head_count", 2);
    writer.integer("llama.attention.head_count_kv", 1);
    writer.float("llama.attention.layer_norm_rms_epsilon", 1e-5);
    writer.float("llama.rope.freq_base", 100_000.0);
    writer.text("tokenizer.ggml.model", "gpt2");
    writer.text("tokenizer.ggml.pre", "smollm");
    writer.texts(
        "tokenizer.ggml.tokens",
        &["<s>", "A", "C", "AC", "1", "2", "12", "Ġ"],
    );
    writer.integers("tokenizer.ggml.token_type", &[3, 1, 1, 1, 1, 1, 1, 1]);
    writer.texts("tokenizer.ggml.merges", &["A C", "1 2"]);
    writer.integer("tokenizer.ggml.bos_token_id", 0);
    writer.integer("tokenizer.ggml.padding_token_id", 7);
    writer.tensor("token_embd.weight", &[8, 8], 0.0);
    writer.tensor("blk.0.attn_norm.weight", &[8], 0.0);
    writer.tensor("blk.0.attn_q.weight", &[8, 8], 0.0);
    writer.tensor("blk.0.attn_k.weight", &[4, 8], 0.0);
    writer.tensor("blk.0.attn_v.weight", &[4, 8], 0.0);
    writer.tensor("blk.0.attn_output.weight", &[8, 8], 0.0);
    writer.tensor("blk.0.ffn_norm.weight", &[8], 0.0);
    writer.tensor("blk.0.ffn_gate.weight", &[12, 8], 0.0);
    writer.tensor("blk.0.ffn_up.weight", &[12, 8], 0.0);
    writer.tensor("blk.0.ffn_down.weight", &[8, 12], 0.0);
    writer.tensor("output_norm.weight", &[8], 0.0);
    writer
}

fn take_all(checkpoint: &mut Checkpoint) {
    for tensor in checkpoint.tensors() {
        checkpoint.take(&tensor.name, &tensor.shape).unwrap();
    }
}

#[test]
fn a_whole_file_loads_and_is_complete() {
    let mut checkpoint = tiny().open().unwrap();
    assert_eq!(checkpoint.format(), "GGUF, F32");
    let ModelConfig::Llama(config) = checkpoint.config() else {
        panic!("not a LLaMA");
    };
    assert_eq!(
        (
            config.vocab_size,
            config.head_dim,
            config.num_key_value_heads
        ),
        (8, 4, 1)
    );
    assert_eq!((config.rms_norm_eps, config.rope_theta), (1e-5, 1e5));
    assert_eq!(config.pad_token_id, Some(7));
    assert!(
        checkpoint
            .tensors()
            .iter()
            .all(|tensor| tensor.role == Role::Used)
    );
    take_all(&mut checkpoint);
    checkpoint.check_complete().unwrap();
}

#[test]
fn a_folder_with_one_gguf_file_and_no_configuration_opens() {
    let (folder, _) = tiny().file();
    Checkpoint::open(folder.path()).unwrap();
    std::fs::write(folder.path().join("second.GGUF"), b"GGUF").unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("no config.json") && error.contains("second.GGUF"),
        "{error}"
    );
}

#[test]
fn rows_of_queries_and_keys_return_to_halves() {
    let mut checkpoint = tiny().open().unwrap();
    // Rows 0 2 1 3 of each head of 4 in the file are rows 0 1 2 3.
    let first = |name: &str, shape: [usize; 2], rows: &[u32], source: &mut Checkpoint| {
        let whole = source
            .take(name, &shape)
            .unwrap()
            .try_into_vec::<f32>()
            .unwrap();
        let picked = source
            .take_rows(name, shape, rows)
            .unwrap()
            .try_into_vec::<f32>()
            .unwrap();
        for (row, picked) in rows.iter().zip(picked.chunks(8)) {
            assert_eq!(picked, &whole[*row as usize * 8..][..8]);
        }
        whole
            .chunks(8)
            .map(|row| row[0] as usize / 8)
            .collect::<Vec<_>>()
    };
    let queries = first(
        "layers.0.self_attn.q_proj.weight",
        [8, 8],
        &[7, 1, 1],
        &mut checkpoint,
    );
    assert_eq!(queries, [0, 2, 1, 3, 4, 6, 5, 7]);
    let keys = first(
        "layers.0.self_attn.k_proj.weight",
        [4, 8],
        &[2],
        &mut checkpoint,
    );
    assert_eq!(keys, [0, 2, 1, 3]);
    let output = first(
        "layers.0.self_attn.o_proj.weight",
        [8, 8],
        &[2],
        &mut checkpoint,
    );
    assert_eq!(output, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn interleaved_rows_are_read_in_16_bits_too() {
    crate::tensors::tests::check_halves(&mut tiny().open().unwrap());
}

#[test]
fn rows_outside_the_matrix_and_wrong_shapes_are_errors() {
    let mut checkpoint = tiny().open().unwrap();
    let error = checkpoint
        .take_rows("embed_tokens.weight", [8, 8], &[8])
        .unwrap_err();
    assert!(matches!(error, WeightError::Unreadable { .. }), "{error}");
    let error = checkpoint.take("embed_tokens.weight", &[8, 9]).unwrap_err();
    assert!(matches!(error, WeightError::Shape { .. }), "{error}");
    let error = checkpoint.take("score.weight", &[2, 8]).unwrap_err();
    assert!(matches!(error, WeightError::Missing { .. }), "{error}");
    assert!(!checkpoint.has("score.weight") && checkpoint.has("norm.weight"));
}

#[test]
fn a_tensor_without_a_place_is_reported_under_its_own_name() {
    let mut writer = tiny();
    writer.tensor("blk.0.attn_q.bias", &[8], 0.0);
    writer.tensor("output.weight", &[8, 8], 0.0);
    let mut checkpoint = writer.open().unwrap();
    for tensor in checkpoint.tensors() {
        if tensor.role == Role::Used {
            checkpoint.take(&tensor.name, &tensor.shape).unwrap();
        }
    }
    let ImportError::UnknownTensors { keys, .. } = checkpoint.check_complete().unwrap_err() else {
        panic!("another error");
    };
    assert_eq!(keys, ["blk.0.attn_q.bias"]);
}
