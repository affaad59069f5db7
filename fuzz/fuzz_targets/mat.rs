//! DeepSEA's files, in either format.
#![no_main]

use lingo_fuzz::Folder;
use lingo_train::data::deepsea::{Columns, DeepSea};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    thread_local!(static FOLDER: Folder = Folder::default());
    FOLDER.with(|folder| {
        let path = folder.write("x.mat", input);
        let columns = Columns::select(None).expect("there are columns");
        if let Ok(samples) = DeepSea::open(&path, &columns, folder.path()) {
            let count = samples.len();
            assert_eq!(samples.map_while(Result::ok).count(), count);
        }
    });
});
