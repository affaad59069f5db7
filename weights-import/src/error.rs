//! What can be wrong with a checkpoint.

use std::path::PathBuf;

/// Why a checkpoint, or its tokenizer, could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// There is nothing at the path.
    #[error("{}: no such file or folder; expected a folder in Hugging Face layout or a .gguf file", path.display())]
    NotFound {
        /// Path as given.
        path: PathBuf,
    },
    /// The path is a file of an unknown kind.
    #[error(
        "{}: this file is no model: it does not begin with the letters GGUF; give a .gguf file, or the folder that \
         holds config.json beside the weights", path.display()
    )]
    NotACheckpoint {
        /// Path as given.
        path: PathBuf,
    },
    /// Something else than a file of an end and a content is at the path.
    #[error("{}: this is no ordinary file, but a folder, a pipe or a device; put the file itself there", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The operating system refused a file.
    #[error("{}: cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The folder has no `config.json`.
    #[error(
        "{}: the folder has no config.json (it holds {}); give the folder of a model in Hugging Face layout, \
         or the path of one .gguf file", folder.display(), listing(found)
    )]
    NoConfig {
        /// The folder.
        folder: PathBuf,
        /// Names of some files found instead.
        found: Vec<String>,
    },
    /// The folder has an adapter that PEFT saved, and no model.
    #[error(
        "{}: this is an adapter that PEFT saved, not a model; `lingo import {} --base MODEL --out DIR` makes a folder \
         of it that eval, predict, export and adapter.from take", folder.display(), folder.display()
    )]
    IsAdapter {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder has a configuration but no weights.
    #[error(
        "{}: config.json is there, but no weights (the folder holds {}); expected model.safetensors, \
         model.safetensors.index.json, pytorch_model.bin or pytorch_model.bin.index.json", folder.display(), listing(found)
    )]
    NoWeights {
        /// The folder.
        folder: PathBuf,
        /// Names of some files found instead.
        found: Vec<String>,
    },
    /// An adapter has a configuration but no weights.
    #[error(
        "{}: there is no {}; copy all files of the adapter there", folder.display(), expected.join(" and no ")
    )]
    NoAdapterWeights {
        /// The folder.
        folder: PathBuf,
        /// The missing file, by its names.
        expected: [&'static str; 2],
    },
    /// No matrix of an adapter is one of the model's.
    #[error(
        "{}: tensor `{tensor}` and all others are of matrices that a model of type {model_type} does not have; give \
         the pretrained model that the adapter is for{}",
        path.display(),
        base.as_ref().map_or(String::new(), |base| format!(" (it says {base})"))
    )]
    ForeignAdapter {
        /// The file.
        path: PathBuf,
        /// One of its tensors.
        tensor: String,
        /// What the model is.
        model_type: &'static str,
        /// The model that the adapter's configuration names.
        base: Option<String>,
    },
    /// A tensor of an adapter is not as it must be.
    #[error("{}: tensor `{tensor}`: {reason}", path.display())]
    AdapterTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refused to write a file.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A Git LFS pointer stands where the file should be.
    #[error(
        "{}: this is a Git LFS pointer, not the file itself; run `git lfs pull` in the model's folder or \
         download the file", path.display()
    )]
    LfsPointer {
        /// The file.
        path: PathBuf,
    },
    /// A file is of another kind than its name says.
    #[error("{}: this is {found}, not {expected}; {remedy}", path.display())]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A JSON file does not parse.
    #[error("{}: not valid JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A key of a configuration is missing or has an unsuitable value.
    #[error("{}: key `{key}`: expected {expected}, found {found}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Name of the key.
        key: String,
        /// What would have been right.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The architecture is not one of ours.
    #[error("{}: `{key}` is {found}; supported are {}", path.display(), supported.join(", "))]
    Architecture {
        /// The file.
        path: PathBuf,
        /// The key that names the architecture.
        key: &'static str,
        /// Its value.
        found: String,
        /// The architectures that can be read.
        supported: &'static [&'static str],
    },
    /// The model uses a feature that is not implemented, and would compute something else without it.
    #[error(
        "{}: `{feature}` = {found} is not supported ({supported} is); ignoring it would give another model, \
         so use a checkpoint without it", path.display()
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Name of the feature, as the file spells it.
        feature: String,
        /// Its value.
        found: String,
        /// The values that are supported.
        supported: String,
    },
    /// A file ends early or its parts contradict each other.
    #[error("{}: {place}: expected {expected}, found {found}; the file is damaged or incomplete, fetch it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which part of the file.
        place: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// An index names a file that does not lie directly in the folder.
    #[error(
        "{}: tensor `{tensor}` is said to be in `{file}`; an index may name only files of its own folder, \
         without separators or `..`", index.display()
    )]
    OutsideFolder {
        /// The index.
        index: PathBuf,
        /// The tensor.
        tensor: String,
        /// The name that the index gives.
        file: String,
    },
    /// An index names a file that holds no weights.
    #[error(
        "{}: tensor `{tensor}` is said to be in `{file}`, which is no file of weights; fetch the index again",
        index.display()
    )]
    NotAShard {
        /// The index.
        index: PathBuf,
        /// The tensor.
        tensor: String,
        /// The name that the index gives.
        file: String,
    },
    /// An index names a file that is not there.
    #[error("{}: names the shard `{shard}`, which is not in the folder; fetch all of the model's files", index.display())]
    ShardMissing {
        /// The index.
        index: PathBuf,
        /// Name of the shard.
        shard: String,
    },
    /// A shard lacks a tensor that the index says it holds.
    #[error("{}: tensor `{tensor}` should be in `{shard}`, which does not hold it; index and shards are of different models", index.display())]
    ShardTensor {
        /// The index.
        index: PathBuf,
        /// Name of the shard.
        shard: String,
        /// The tensor.
        tensor: String,
    },
    /// A PyTorch file cannot be parsed.
    #[error("{}: not a readable PyTorch checkpoint: {reason}; fetch it again, or use the model's safetensors", path.display())]
    Pytorch {
        /// The file.
        path: PathBuf,
        /// The reader's words.
        reason: String,
    },
    /// A tensor that the model needs is of an element type that cannot be converted.
    #[error("{}: tensor `{tensor}` is of type {found}; supported are {supported}", path.display())]
    ElementType {
        /// The file.
        path: PathBuf,
        /// The tensor, as the file calls it.
        tensor: String,
        /// Its type.
        found: String,
        /// The types that can be read.
        supported: &'static str,
    },
    /// Two tensors mean the same one.
    #[error("{}: `{first}` and `{second}` both stand for `{name}`; remove one of them", path.display())]
    Duplicate {
        /// The checkpoint.
        path: PathBuf,
        /// Canonical name.
        name: String,
        /// One key.
        first: String,
        /// The other key.
        second: String,
    },
    /// The checkpoint holds tensors that the model has no place for.
    #[error(
        "{}: {} unknown tensor(s): {}; the checkpoint is of another architecture, or config.json does not \
         belong to it", path.display(), keys.len(), keys.join(", ")
    )]
    UnknownTensors {
        /// The checkpoint.
        path: PathBuf,
        /// Their keys, as the files spell them.
        keys: Vec<String>,
    },
    /// There is no tokenizer.
    #[error(
        "{}: no tokenizer: expected tokenizer.json, or vocab.json with merges.txt; copy the model's tokenizer files there",
        folder.display()
    )]
    NoTokenizer {
        /// The folder that was searched.
        folder: PathBuf,
    },
    /// A tokenizer is there but cannot be used.
    #[error("{}: tokenizer: expected {expected}, found {found}; {remedy}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What was asked of it.
        expected: String,
        /// What is there.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
}

/// `a, b, c`, or words for an empty list.
fn listing(names: &[String]) -> String {
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}
