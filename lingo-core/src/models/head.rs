//! Classification heads as Hugging Face puts them on each architecture.

/// Which hidden state stands for the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// That of the first token: encoders.
    FirstToken,
    /// That of the last token that is not padding: decoders.
    LastToken,
}

/// The form of a classification head: `output(drop(tanh(pooler(drop(h)))))`, or `output(h)` alone.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadLayout {
    /// Which hidden state `h` is.
    pub pooling: Pooling,
    /// Checkpoint's name of the layer before the output, from `D` to `D`, with a bias.
    pub pooler: Option<&'static str>,
    /// Checkpoint's name of the output layer, from `D` to `C`.
    pub output: &'static str,
    /// Whether the output layer has a bias.
    pub output_bias: bool,
    /// Dropout before the pooler, in training.
    pub input_dropout: f64,
    /// Dropout before the output layer, in training.
    pub dropout: f64,
}

impl HeadLayout {
    /// One layer without bias over the last token.
    pub const fn last_token(output: &'static str) -> Self {
        Self {
            pooling: Pooling::LastToken,
            pooler: None,
            output,
            output_bias: false,
            input_dropout: 0.0,
            dropout: 0.0,
        }
    }

    /// Two layers over the first token.
    pub const fn pooled(pooler: &'static str, output: &'static str, dropout: f64) -> Self {
        Self {
            pooling: Pooling::FirstToken,
            pooler: Some(pooler),
            output,
            output_bias: true,
            input_dropout: 0.0,
            dropout,
        }
    }
}
