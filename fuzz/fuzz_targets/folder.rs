//! A folder in Hugging Face's layout: `config.json`, `model.safetensors.index.json` (or nothing) and the safetensors
//! file, in this order, with a zero byte between.
#![no_main]

use lingo_fuzz::{Folder, parts, safetensors};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    thread_local!(static FOLDER: Folder = Folder::default());
    let [config, index, weights] = parts(input);
    FOLDER.with(|folder| {
        folder.put("config.json", config);
        folder.put("model.safetensors.index.json", index);
        let (used, other) = match index {
            [] => ("model.safetensors", "a.safetensors"),
            _ => ("a.safetensors", "model.safetensors"),
        };
        folder.put(used, &safetensors(weights));
        folder.put(other, &[]);
        lingo_fuzz::read(folder.path());
    });
});
