//! A GGUF file: head, configuration, tokenizer and tensors.
#![no_main]

use lingo_fuzz::Folder;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    thread_local!(static FOLDER: Folder = Folder::default());
    FOLDER.with(|folder| lingo_fuzz::read(&folder.write("model.gguf", input)));
});
