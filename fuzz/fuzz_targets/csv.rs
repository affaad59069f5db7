//! Tables: to train on, and to predict.
#![no_main]

use lingo_fuzz::Folder;
use lingo_train::data::{read_gue, read_sequences};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    thread_local!(static FOLDER: Folder = Folder::default());
    FOLDER.with(|folder| {
        let path = folder.write("x.csv", input);
        let _ = read_sequences(&path);
        for classes in [None, Some(2)] {
            let _ = read_gue(&path, classes);
        }
    });
});
