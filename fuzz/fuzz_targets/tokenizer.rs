//! The files of a tokenizer beside a model: `tokenizer_config.json`, `special_tokens_map.json`, `vocab.json`,
//! `merges.txt`, `vocab.txt` and `tokenizer.json`, in this order, with a zero byte between. What is read then encodes.
#![no_main]

use lingo_fuzz::{Folder, parts};
use weights_import::Checkpoint;

const MODELS: [&str; 2] = ["opt_pre_ln", "bert"];
const FILES: [&str; 6] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.json",
];

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    thread_local!(static MODEL: (Folder, Vec<Checkpoint>) = models());
    MODEL.with(|(folder, models)| {
        for model in models {
            let path = model.path();
            for (file, content) in FILES.iter().zip(parts::<6>(input)) {
                folder.put(path.join(file).to_str().expect("a plain name"), content);
            }
            let Ok(found) = model.tokenizer() else {
                continue;
            };
            for text in ["ACGTTGCANNACGT", "Domain: DNA\nSequence: ", "é\u{1F9EC}"] {
                let _ = found.tokenizer.encode(text, false);
            }
        }
    });
});

/// Models without a tokenizer, opened once.
fn models() -> (Folder, Vec<Checkpoint>) {
    let folder = Folder::default();
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures");
    let open = |name: &&str| {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).expect("a folder of its own");
        for file in ["config.json", "model.safetensors"] {
            let from = format!("{fixtures}/{name}/{file}");
            std::fs::copy(from, path.join(file)).expect("a fixture");
        }
        Checkpoint::open(&path).expect("a whole model")
    };
    let models = MODELS.iter().map(open).collect();
    (folder, models)
}
