//! The language around a sequence.

/// What stands before and after the DNA in a model's input; both may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prompt {
    /// Before the DNA.
    pub prefix: String,
    /// After the DNA; truncation never reaches it.
    pub suffix: String,
}

impl Prompt {
    /// A prompt of a prefix and a suffix.
    pub fn new(prefix: impl Into<String>, suffix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            suffix: suffix.into(),
        }
    }

    /// The whole text around a sequence.
    pub fn wrap(&self, sequence: &str) -> String {
        [&self.prefix, sequence, &self.suffix].concat()
    }
}
