//! Takes the two variables of a file in, from either format: finds them by name, holds them to their shapes, and keeps what is
//! wanted of them.

use std::path::Path;

use super::columns::{ALL, Columns};
use super::error::MatError;
use super::one_hot::{self, Fault};
use super::spool::Spool;

/// Deflate, which both formats compress with, makes at most so many bytes of one.
const MOST_BYTES_OF_ONE: u64 = 1032;

/// What a variable holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sequences,
    Labels,
}

impl Kind {
    /// Told by the end of a variable's name.
    pub(super) fn of(name: &str) -> Option<Self> {
        if name.ends_with("xdata") {
            Some(Self::Sequences)
        } else {
            name.ends_with("data").then_some(Self::Labels)
        }
    }

    /// Values of a sample in a row: one for each base of a position, or one label.
    pub(super) fn width(self) -> usize {
        match self {
            Self::Sequences => 4,
            Self::Labels => 1,
        }
    }
}

/// One of the two variables of a file.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    kind: Kind,
    /// Positions or columns.
    pub(super) rows: usize,
    pub(super) samples: usize,
}

impl Variable {
    /// Holds `dims`, samples first, to what they should be, for a file of `file_bytes`.
    pub(super) fn new(
        name: &str,
        kind: Kind,
        dims: &[u64],
        file_bytes: u64,
    ) -> Result<Self, MatError> {
        let shape = |expected| MatError::Shape {
            name: name.to_owned(),
            found: dims.to_vec(),
            expected,
        };
        let (samples, rows) = match (kind, dims) {
            (Kind::Sequences, [samples @ 1..=u64::MAX, 4, positions @ 1..=u64::MAX]) => {
                (*samples, *positions)
            }
            (Kind::Sequences, _) => {
                return Err(shape("[samples, 4, positions], of which none is 0"));
            }
            (Kind::Labels, [samples @ 1..=u64::MAX, columns]) if *columns == ALL as u64 => {
                (*samples, *columns)
            }
            (Kind::Labels, _) => return Err(shape("[samples, 919], with at least one sample")),
        };
        let claimed = dims
            .iter()
            .try_fold(1_u64, |all, dim| all.checked_mul(*dim));
        let most = file_bytes.saturating_mul(MOST_BYTES_OF_ONE);
        match (claimed, usize::try_from(rows), usize::try_from(samples)) {
            (Some(claimed), Ok(rows), Ok(samples)) if claimed <= most => Ok(Self {
                name: name.to_owned(),
                kind,
                rows,
                samples,
            }),
            _ => Err(MatError::Claims {
                name: name.to_owned(),
                claimed: claimed.unwrap_or(u64::MAX),
            }),
        }
    }

    pub(super) fn width(&self) -> usize {
        self.kind.width()
    }
}

/// What has been taken in of a file.
#[derive(Debug)]
pub(super) struct Intake<'a> {
    columns: &'a Columns,
    /// Where it is unpacked.
    dir: &'a Path,
    sequences: Option<Filled>,
    labels: Option<Filled>,
    /// Names of all variables that the file has.
    seen: Vec<String>,
}

#[derive(Debug)]
struct Filled {
    name: String,
    spool: Spool,
}

impl<'a> Intake<'a> {
    pub(super) fn new(columns: &'a Columns, dir: &'a Path) -> Self {
        Self {
            dir,
            columns,
            sequences: None,
            labels: None,
            seen: Vec::new(),
        }
    }

    /// What a variable of this name holds, if it is one of the two.
    pub(super) fn notice(&mut self, name: &str) -> Option<Kind> {
        self.seen.push(name.to_owned());
        Kind::of(name)
    }

    /// Makes room for a variable.
    pub(super) fn begin(&mut self, variable: Variable) -> Result<Filling, MatError> {
        let (what, known) = match variable.kind {
            Kind::Sequences => ("sequences", &self.sequences),
            Kind::Labels => ("labels", &self.labels),
        };
        if let Some(first) = known {
            return Err(MatError::Twice {
                what,
                first: first.name.clone(),
                second: variable.name,
            });
        }
        let (kept, rows) = match variable.kind {
            Kind::Sequences => (None, variable.rows),
            Kind::Labels => {
                let numbers = self.columns.numbers();
                let mut kept = vec![None; variable.rows];
                for (place, column) in numbers.iter().enumerate() {
                    kept[*column] = Some(place);
                }
                (Some(kept), numbers.len())
            }
        };
        Ok(Filling {
            spool: Spool::new(self.dir, rows, variable.samples)?,
            variable,
            kept,
            letters: Vec::new(),
        })
    }

    /// Keeps a variable that is complete.
    pub(super) fn end(&mut self, filling: Filling) {
        let filled = Some(Filled {
            name: filling.variable.name,
            spool: filling.spool,
        });
        match filling.variable.kind {
            Kind::Sequences => self.sequences = filled,
            Kind::Labels => self.labels = filled,
        }
    }

    /// Sequences and labels, once the whole file has been read.
    pub(super) fn finish(self) -> Result<(Spool, Spool), MatError> {
        let missing = |ending| MatError::Missing {
            ending,
            found: self.seen.clone(),
        };
        let sequences = self.sequences.ok_or_else(|| missing("xdata"))?.spool;
        let labels = self.labels.ok_or_else(|| missing("data"))?.spool;
        if sequences.samples() != labels.samples() {
            return Err(MatError::Samples {
                sequences: sequences.samples(),
                labels: labels.samples(),
            });
        }
        Ok((sequences, labels))
    }
}

/// A variable that is being taken in.
#[derive(Debug)]
pub(super) struct Filling {
    pub(super) variable: Variable,
    spool: Spool,
    /// Where each of the variable's rows is kept, if it is; `None` where each keeps its place.
    kept: Option<Vec<Option<usize>>>,
    letters: Vec<u8>,
}

impl Filling {
    /// Whether this row of the variable is asked for.
    pub(super) fn wants(&self, row: usize) -> bool {
        self.place(row).is_some()
    }

    fn place(&self, row: usize) -> Option<usize> {
        self.kept.as_ref().map_or(Some(row), |kept| kept[row])
    }

    /// Takes a row's values of some samples from `start` on: those of the first base or the label, then of the next base.
    pub(super) fn put(&mut self, row: usize, start: usize, values: &[u8]) -> Result<(), MatError> {
        let Some(place) = self.place(row) else {
            return Ok(());
        };
        let values = match self.variable.kind {
            Kind::Labels => one_hot::marks(values)
                .map(|()| values)
                .map_err(Fault::Value),
            Kind::Sequences => {
                self.letters.clear();
                one_hot::letters(values, &mut self.letters).map(|()| &*self.letters)
            }
        };
        match values {
            Ok(values) => self.spool.write(place, start, values),
            Err(fault) => Err(self.variable.complain(row, start, fault)),
        }
    }
}

impl Variable {
    fn complain(&self, row: usize, start: usize, fault: Fault) -> MatError {
        let name = self.name.clone();
        match fault {
            Fault::Value(at) => MatError::Value {
                name,
                sample: start + at,
                place: match self.kind {
                    Kind::Sequences => "position",
                    Kind::Labels => "column",
                },
                number: row + 1,
            },
            Fault::Several(at) => MatError::Bases {
                name,
                sample: start + at,
                position: row + 1,
            },
        }
    }
}
