//! Sequences to predict, as FASTA.
#![no_main]

use lingo_fuzz::Folder;
use lingo_train::data::{NUCLEOTIDES, read_sequences};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    thread_local!(static FOLDER: Folder = Folder::default());
    FOLDER.with(|folder| {
        let Ok(records) = read_sequences(&folder.write("x.fa", input)) else {
            return;
        };
        for record in records {
            assert!(!record.sequence.is_empty());
            assert!(
                record
                    .sequence
                    .chars()
                    .all(|letter| NUCLEOTIDES.contains(letter))
            );
        }
    });
});
