//! Tables: to predict, and to train on, whether they hold classes, lists of labels, or a column for each label.
#![no_main]

use lingo_fuzz::Folder;
use lingo_train::data::{
    Cache, DnaTokens, Encoder, Objective, Pieces, read_sequences,
};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    thread_local!(static FOLDER: Folder = Folder::default());
    FOLDER.with(|folder| {
        let path = folder.write("x.csv", input);
        let _ = read_sequences(&path);
        let names = ["a", "b"].map(String::from);
        let cache = Cache {
            dir: folder.path().join("cache"),
            in_memory: u64::MAX,
        };
        let classes = Objective::Classes(2);
        let _ = cache.labelled(&path, &classes, &encoder(), &mut |_, _| ());
        for names in [None, Some(&names[..])] {
            let paths = [&*path; 3];
            let Ok((splits, _)) = cache.splits(paths, names, &encoder(), &mut |_, _| ()) else {
                continue;
            };
            let outputs = splits.objective.outputs();
            for label in splits.train.labels().filter_map(Result::unwrap) {
                match label.class() {
                    Some(class) => assert!(class < outputs),
                    None => assert_eq!(label.marks().len(), outputs),
                }
            }
        }
    });
});

/// A token a letter.
fn encoder() -> Encoder {
    let pieces = Pieces {
        before: Vec::new(),
        dna: DnaTokens::Letters([0, 1, 2, 3, 4]),
        after: Vec::new(),
    };
    Encoder::of_pieces(pieces, [None, None], 0)
}
