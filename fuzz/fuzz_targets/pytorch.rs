//! `pytorch_model.bin` of a tiny OPT.
#![no_main]

use lingo_fuzz::Folder;

const CONFIG: &[u8] = include_bytes!("../../tests/fixtures/layouts/opt_bin/config.json");

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    thread_local!(static FOLDER: Folder = Folder::default());
    FOLDER.with(|folder| {
        folder.write("config.json", CONFIG);
        folder.write("pytorch_model.bin", input);
        lingo_fuzz::read(folder.path());
    });
});
