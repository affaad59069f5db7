//! Quotes of a CSV file that are opened and never closed: without a complaint, the rest of the file would be one cell.

use std::io::{Error, ErrorKind, Read, Result};

/// Hands a file's bytes on, and fails at its end where a quoted cell is still open.
#[derive(Debug)]
pub(super) struct ClosedQuotes<R> {
    inner: R,
    state: State,
}

/// Where in a cell the last byte was, as CSV has it: a quote opens a cell at its beginning alone, and two of them inside
/// stand for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the beginning of a cell.
    Start,
    /// In a cell without quotes, or behind the closing one.
    Plain,
    /// Between quotes.
    Quoted,
    /// Behind a quote that closes the cell unless another one follows.
    Quote,
}

impl State {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Start, b'"') => Self::Quoted,
            (Self::Quoted, b'"') => Self::Quote,
            (Self::Quote, b'"') | (Self::Quoted, _) => Self::Quoted,
            (_, b',' | b'\n' | b'\r') => Self::Start,
            _ => Self::Plain,
        }
    }

    fn after_all(self, bytes: &[u8]) -> Self {
        // Most files have none, and there the last byte tells.
        let bytes = match self != Self::Quoted && !bytes.contains(&b'"') {
            true => &bytes[bytes.len().saturating_sub(1)..],
            false => bytes,
        };
        bytes.iter().fold(self, |state, byte| state.after(*byte))
    }
}

impl<R> ClosedQuotes<R> {
    /// Around a file from its beginning.
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            state: State::Start,
        }
    }
}

impl<R: Read> Read for ClosedQuotes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.inner.read(buffer)?;
        if count == 0 && !buffer.is_empty() && self.state == State::Quoted {
            return Err(Error::new(
                ErrorKind::UnexpectedEof,
                "a quote (\") is opened in this row and never closed",
            ));
        }
        self.state = self.state.after_all(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_a_cell_that_is_open_at_the_end_is_refused() {
        for (text, is_closed) in [
            ("a,b\nc,d\n", true),
            ("a,\"b\"\n", true),
            ("a,\"b", false),
            ("\"a,b\nc,d\n", false),
            ("a,\"b\nc\"", true),
            ("a,\"b\"\"c\"", true),
            ("a,\"b\"\"", false),
            ("a,\"b\"\"\"", true),
            // Inside of a cell that does not begin with it, a quote is a quote.
            ("5\",3\"\n", true),
            ("a, \"b\n", true),
            ("\"a\"b\",c\n", true),
            ("\r\"a\r", false),
            ("", true),
        ] {
            for step in 1..=text.len().max(1) {
                let mut reader = ClosedQuotes::new(text.as_bytes());
                let mut buffer = vec![0; step];
                let mut read = 0;
                let outcome = loop {
                    match reader.read(&mut buffer) {
                        Ok(0) => break true,
                        Ok(count) => read += count,
                        Err(error) => break error.kind() != ErrorKind::UnexpectedEof,
                    }
                };
                assert_eq!((read, outcome), (text.len(), is_closed), "{text:?}, {step}");
            }
        }
    }
}
