//! Files that claim what they do not hold, lead elsewhere, or would do harm: each is one error that names the file, and
//! costs no more memory than it has bytes.

use super::*;
use crate::allocation::peak;

/// What a small file may cost: buffers of fixed sizes, and the message.
const MOST_BYTES: usize = 1 << 20;

/// The one error of a folder, which names the file.
#[track_caller]
pub(super) fn refused(folder: &Path, file: &str, parts: &[&str]) {
    let (result, bytes) = peak(|| Checkpoint::open(folder));
    let error = result.map(|_| ()).unwrap_err().to_string();
    assert!(bytes < MOST_BYTES, "{bytes} bytes were allocated: {error}");
    for part in [&[file][..], parts].concat() {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

/// A safetensors file of a header and data.
fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.resize(file.len() + data, 0);
    file
}

#[test]
fn a_safetensors_header_that_contradicts_itself_is_refused_by_tensor() {
    const FILE: &str = "model.safetensors";
    let f32s = |name: &str, shape: &str, offsets: &str| {
        format!("\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":{offsets}}}")
    };
    let most = u64::MAX;
    let half = u64::MAX / 2 + 1;
    let cases: [(&str, String, usize, &[&str]); 17] = [
        (
            "overlapping",
            [f32s("a", "[2]", "[0,8]"), f32s("b", "[2]", "[4,12]")].join(","),
            12,
            &["`b`", "from byte 8 on", "from byte 4"],
        ),
        (
            "with a hole",
            [f32s("a", "[2]", "[0,8]"), f32s("b", "[1]", "[12,16]")].join(","),
            16,
            &["`b`", "from byte 8 on", "from byte 12"],
        ),
        (
            "beginning late",
            f32s("a", "[1]", "[4,8]"),
            8,
            &["`a`", "from byte 0 on"],
        ),
        (
            "backwards",
            f32s("a", "[1]", "[0,0]").replace("[0,0]", "[4,0]"),
            4,
            &["`a`", "from byte 0 on"],
        ),
        (
            "named twice",
            [f32s("a", "[1]", "[0,4]"), f32s("a", "[1]", "[4,8]")].join(","),
            8,
            &["`a`", "one of the name", "two"],
        ),
        (
            "named twice at one place",
            [f32s("a", "[1]", "[0,4]"), f32s("a", "[1]", "[0,4]")].join(","),
            4,
            &["`a`", "one of the name"],
        ),
        (
            "of another shape",
            f32s("a", "[3]", "[0,8]"),
            8,
            &["`a`", "12 bytes for F32 of shape [3]", "bytes 0 to 8"],
        ),
        (
            "of another type",
            f32s("a", "[2]", "[0,8]").replace("F32", "F64"),
            8,
            &["`a`", "16 bytes for F64"],
        ),
        (
            "of an unknown type",
            f32s("a", "[2]", "[0,8]").replace("F32", "F128"),
            8,
            &["the header", "F128"],
        ),
        (
            "of parts of bytes",
            f32s("a", "[3]", "[0,1]").replace("F32", "F4"),
            1,
            &["`a`", "a size that can be for F4"],
        ),
        (
            "with more numbers than can be counted",
            f32s("a", &format!("[{half},2]"), "[0,8]"),
            8,
            &["`a`", "a size that can be"],
        ),
        (
            "with more bytes than can be counted",
            f32s("a", &format!("[{half}]"), "[0,8]"),
            8,
            &["`a`", "a size that can be"],
        ),
        (
            "larger than the file",
            f32s(
                "a",
                &format!("[{}]", 1_u64 << 58),
                &format!("[0,{}]", 1_u64 << 60),
            ),
            8,
            &["a file of 115292150460684", "bytes"],
        ),
        (
            "to the end of all numbers",
            f32s("a", "[1]", &format!("[0,{most}]")),
            4,
            &["`a`", "4 bytes for F32"],
        ),
        (
            "of a negative size",
            f32s("a", "[-1]", "[0,4]"),
            4,
            &["the header", "-1"],
        ),
        ("none", "1".to_owned(), 0, &["the header", "JSON"]),
        (
            "nested without end",
            format!("\"a\":{}", "[".repeat(1 << 12)),
            0,
            &["the header"],
        ),
    ];
    let folder = folder(&config());
    let path = folder.path().join(FILE);
    for (what, entries, data, parts) in cases {
        std::fs::write(&path, safetensors(&format!("{{{entries}}}"), data)).unwrap();
        println!("{what}");
        refused(folder.path(), FILE, parts);
    }
    // The sum of what fits each by itself is too much for any number.
    let quarter = 1_u64 << 62;
    let many: Vec<String> = (0..5)
        .map(|i| {
            let (from, to) = (quarter.wrapping_mul(i), quarter.wrapping_mul(i + 1));
            f32s(
                &format!("t{i}"),
                &format!("[{}]", quarter / 4),
                &format!("[{from},{to}]"),
            )
        })
        .collect();
    std::fs::write(&path, safetensors(&format!("{{{}}}", many.join(",")), 4)).unwrap();
    refused(folder.path(), FILE, &["expected", "found"]);
    for length in [1 << 63, u64::MAX, u64::MAX - 7, 1 << 40] {
        let mut file = safetensors("{}", 0);
        file[..8].copy_from_slice(&length.to_le_bytes());
        std::fs::write(&path, file).unwrap();
        refused(folder.path(), FILE, &["the header", &length.to_string()]);
    }
}

#[test]
fn an_index_that_leads_astray_is_refused() {
    const INDEX: &str = "model.safetensors.index.json";
    let folder = sharded();
    for shard in [INDEX, "config.json"] {
        write_index(folder.path(), &json!({"decoder.x": shard}));
        refused(folder.path(), INDEX, &[shard, "no file of weights"]);
    }
    std::fs::create_dir(folder.path().join("c.safetensors")).unwrap();
    write_index(folder.path(), &json!({"decoder.x": "c.safetensors"}));
    refused(folder.path(), "c.safetensors", &["no ordinary file"]);
    let path = folder.path().join(INDEX);
    for text in [
        "[]",
        "{\"weight_map\": {}}",
        "{\"weight_map\": [\"a.safetensors\"]}",
        "{\"weight_map\": {\"a\": {\"b\": \"c\"}}}",
        "{\"weight_map\": {\"a\": null}}",
        "{}",
        "\u{feff}{}",
    ] {
        std::fs::write(&path, text).unwrap();
        refused(folder.path(), INDEX, &[]);
    }
    let deep = format!("{{\"weight_map\": {}", "{\"a\":".repeat(1 << 12));
    std::fs::write(&path, deep).unwrap();
    refused(folder.path(), INDEX, &["JSON", "recursion"]);
    std::fs::write(&path, b"{\"weight_map\": {\"\xff\": \"a.safetensors\"}}").unwrap();
    refused(folder.path(), INDEX, &["JSON"]);
}

/// Links as such are followed: the hub's cache consists of them.
#[cfg(unix)]
#[test]
fn a_link_to_nothing_to_itself_or_to_a_device_is_named() {
    use std::os::unix::fs::symlink;
    let folder = sharded();
    let path = |name: &str| folder.path().join(name);
    std::fs::remove_file(path("b.safetensors")).unwrap();
    for (target, part) in [
        ("b.safetensors", "cannot be read"),
        ("nowhere", "a link to nowhere, which is not there"),
        ("/dev/zero", "no ordinary file"),
    ] {
        symlink(target, path("b.safetensors")).unwrap();
        refused(folder.path(), "b.safetensors", &[part]);
        std::fs::remove_file(path("b.safetensors")).unwrap();
    }
    let model = model(&config(), &tensors(""));
    let checkpoint = Checkpoint::open(model.path()).unwrap();
    for target in ["tokenizer.json", "/dev/zero"] {
        symlink(target, model.path().join("tokenizer.json")).unwrap();
        let error = checkpoint.tokenizer().unwrap_err();
        assert!(
            matches!(error, ImportError::Io { .. } | ImportError::NotAFile { .. }),
            "{error}"
        );
        std::fs::remove_file(model.path().join("tokenizer.json")).unwrap();
    }
    std::fs::remove_file(model.path().join("config.json")).unwrap();
    symlink("config.json", model.path().join("config.json")).unwrap();
    refused(model.path(), "config.json", &["cannot be read"]);
}

#[test]
fn a_configuration_of_absurd_sizes_is_refused_by_key() {
    let sizes = |keys: &[&'static str]| -> Vec<&'static str> {
        let all = ["vocab_size", "hidden_size", "num_hidden_layers"];
        let more = ["num_attention_heads", "max_position_embeddings"];
        [&all[..], &more, keys].concat()
    };
    let bert = json!({
        "model_type": "bert", "vocab_size": 6, "hidden_size": 4, "intermediate_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "max_position_embeddings": 16,
    });
    let mut esm = bert.clone();
    esm["model_type"] = json!("esm");
    esm["position_embedding_type"] = json!("rotary");
    let mut dnabert2 = bert.clone();
    dnabert2["alibi_starting_size"] = json!(16);
    let models = [
        (config(), sizes(&["ffn_dim", "word_embed_proj_dim"])),
        (
            llama_config(),
            sizes(&["intermediate_size", "num_key_value_heads", "head_dim"]),
        ),
        (bert, sizes(&["intermediate_size", "type_vocab_size"])),
        (esm, sizes(&["intermediate_size"])),
        (
            dnabert2,
            vec![
                "vocab_size",
                "hidden_size",
                "intermediate_size",
                "num_hidden_layers",
            ],
        ),
    ];
    let absurd = [
        json!(0),
        json!(-1),
        json!(1_u64 << 31),
        json!(1_u64 << 40),
        json!(u64::MAX),
        json!(1e30),
        json!(1.5),
        json!("8"),
        json!([8]),
        json!(true),
    ];
    for (good, keys) in models {
        for (key, value) in keys
            .iter()
            .flat_map(|key| absurd.iter().map(move |value| (key, value)))
        {
            let mut config = good.clone();
            config[key] = value.clone();
            let folder = model(&config, &Tensors::new());
            let key = format!("key `{key}`");
            refused(
                folder.path(),
                "config.json",
                &[&key, "whole number", &value.to_string()],
            );
        }
    }
}

#[test]
fn a_configuration_that_is_none_is_refused() {
    let folder = model(&config(), &tensors(""));
    let path = folder.path().join("config.json");
    let deep = format!("{{\"a\": {}", "[".repeat(1 << 14));
    for text in [
        &b""[..],
        b"null",
        b"[]",
        b"\"opt\"",
        b"{\"model_type\": \"opt\"",
        b"{\"model_type\": \"\xff\"}",
        b"{\"model_type\": {\"opt\": 1}}",
        b"{\"model_type\": \"opt\", \"vocab_size\": 1e999}",
        b"\x00\x00\x00\x00",
        deep.as_bytes(),
    ] {
        std::fs::write(&path, text).unwrap();
        refused(folder.path(), "config.json", &[]);
    }
}
