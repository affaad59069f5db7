//! Which of a model's files are needed.

/// What describes the model.
pub(super) const CONFIG: &str = "config.json";

/// Weights by preference, and whether the file is an index of shards.
const WEIGHTS: [(&str, bool); 4] = [
    ("model.safetensors", false),
    ("model.safetensors.index.json", true),
    ("pytorch_model.bin", false),
    ("pytorch_model.bin.index.json", true),
];

/// The file that weights begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weights {
    /// All weights.
    Whole(&'static str),
    /// An index that names the files.
    Sharded(&'static str),
}

/// The best weights among the files that are there.
pub(super) fn weights(has: impl Fn(&str) -> bool) -> Option<Weights> {
    let (file, sharded) = WEIGHTS.into_iter().find(|(file, _)| has(file))?;
    Some(match sharded {
        true => Weights::Sharded(file),
        false => Weights::Whole(file),
    })
}

/// Whether a tokenizer can be made of the files that are there.
pub(super) fn has_tokenizer(has: impl Fn(&str) -> bool) -> bool {
    has("tokenizer.json") || has("vocab.json") && has("merges.txt") || has("vocab.txt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safetensors_come_first_and_one_file_before_shards() {
        let of = |files: &[&str]| weights(|file| files.contains(&file));
        let all = WEIGHTS.map(|(file, _)| file);
        assert_eq!(of(&all), Some(Weights::Whole("model.safetensors")));
        assert_eq!(
            of(&all[1..]),
            Some(Weights::Sharded("model.safetensors.index.json"))
        );
        assert_eq!(of(&all[2..]), Some(Weights::Whole("pytorch_model.bin")));
        assert_eq!(of(&["model.gguf", "tf_model.h5"]), None);
    }
}
