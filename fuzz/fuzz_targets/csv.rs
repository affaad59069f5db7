//! Tables: to predict, and to train on, whether they hold classes, lists of labels, or a column for each label.
#![no_main]

use lingo_fuzz::Folder;
use lingo_train::data::{GueData, Objective, read_gue, read_sequences};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    thread_local!(static FOLDER: Folder = Folder::default());
    FOLDER.with(|folder| {
        let path = folder.write("x.csv", input);
        let _ = read_sequences(&path);
        let names = ["a", "b"].map(String::from);
        let _ = read_gue(&path, &Objective::Classes(2));
        for names in [None, Some(&names[..])] {
            let Ok(data) = GueData::load(&path, &path, &path, names) else {
                continue;
            };
            let labels = data.train.iter().filter_map(|record| record.label.as_ref());
            for label in labels {
                let outputs = data.objective.outputs();
                match label.class() {
                    Some(class) => assert!(class < outputs),
                    None => assert_eq!(label.marks().len(), outputs),
                }
            }
        }
    });
});
