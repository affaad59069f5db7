//! Where a table has its labels, and what its cells say.

use std::path::Path;

use csv::StringRecord;

use super::label::{Label, Objective};
use super::record::DataError;
use super::table::column;

/// The largest class, and the most labels, that can be meant: the head has a row for each, so that a stray number would be
/// costly.
const MOST_OUTPUTS: usize = 65_536;

/// What is asked of a table's labels.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// Nothing: they are not looked at.
    Nothing,
    /// What they are: those of these names, or else the column `label`.
    Any(Option<&'a [String]>),
    /// That each record has one of this kind.
    Of(&'a Objective),
}

impl Wanted<'_> {
    /// Whether it is a training split that they are wanted of.
    pub(crate) fn is_of_training(self) -> bool {
        matches!(self, Self::Any(_))
    }
}

/// The columns that hold the labels of a table.
#[derive(Debug)]
pub(super) enum Answers<'a> {
    /// None is looked at.
    Nowhere,
    /// One; its first cell tells what it holds.
    Undecided(usize),
    /// One, of a number below that of the classes, where that is known.
    Class(usize, Option<usize>),
    /// One, of lists; the names of what they list, where there are any, and how many that are.
    List(usize, Option<&'a [String]>, Option<usize>),
    /// One for each name.
    Columns(Vec<usize>, &'a [String]),
}

impl<'a> Answers<'a> {
    /// Looks for them in a header.
    pub(super) fn find(
        path: &Path,
        header: &StringRecord,
        wanted: Wanted<'a>,
    ) -> Result<Self, DataError> {
        let missing = |column: &str| DataError::Column {
            path: path.to_owned(),
            column: column.to_owned(),
            found: header.iter().map(String::from).collect(),
        };
        let single = || column(path, header, "label", str::eq_ignore_ascii_case);
        let needed = || single()?.ok_or_else(|| missing("label"));
        let names: &[String] = match wanted {
            Wanted::Nothing => return Ok(Self::Nowhere),
            Wanted::Any(None) => return Ok(Self::Undecided(needed()?)),
            Wanted::Of(Objective::Classes(classes)) => {
                return Ok(Self::Class(needed()?, Some(*classes)));
            }
            Wanted::Any(Some(names)) => names,
            Wanted::Of(Objective::Labels(names)) => names,
        };
        let mut columns = Vec::with_capacity(names.len());
        let mut absent = None;
        for name in names {
            match column(path, header, name, str::eq)? {
                Some(column) => columns.push(column),
                None => absent = absent.or(Some(name)),
            }
        }
        let Some(name) = absent else {
            return Ok(Self::Columns(columns, names));
        };
        match single()? {
            Some(single) if columns.is_empty() => {
                Ok(Self::List(single, Some(names), Some(names.len())))
            }
            _ => Err(missing(name)),
        }
    }

    /// What the row that stands on `line` says.
    pub(super) fn read(
        &mut self,
        path: &Path,
        line: u64,
        row: &StringRecord,
    ) -> Result<Option<Label>, DataError> {
        if let Self::Undecided(column) = *self {
            *self = match row[column].starts_with('[') {
                true => Self::List(column, None, None),
                false => Self::Class(column, None),
            };
        }
        let cell = Cell { path, line };
        match self {
            Self::Nowhere | Self::Undecided(_) => Ok(None),
            Self::Class(column, classes) => {
                let class = cell.class(&row[*column], *classes)?;
                Ok(Some(Label::Class(class)))
            }
            Self::List(column, names, count) => {
                let marks = cell.list(&row[*column], *names)?;
                let expected = *count.get_or_insert(marks.len());
                if marks.len() != expected {
                    return Err(DataError::LabelCount {
                        path: path.to_owned(),
                        line,
                        found: marks.len(),
                        expected,
                    });
                }
                Ok(Some(Label::Marks(marks)))
            }
            Self::Columns(columns, names) => {
                let cells = columns.iter().zip(*names);
                let marks = cells.map(|(column, name)| cell.mark(&row[*column], || name.clone()));
                Ok(Some(Label::Marks(marks.collect::<Result<_, _>>()?)))
            }
        }
    }
}

/// A place to complain of.
#[derive(Clone, Copy)]
struct Cell<'a> {
    path: &'a Path,
    line: u64,
}

impl Cell<'_> {
    fn class(self, text: &str, classes: Option<usize>) -> Result<usize, DataError> {
        let wrong = |expected: String| Err(self.wrong(text, expected));
        let highest = classes.unwrap_or(MOST_OUTPUTS).saturating_sub(1);
        match (text.parse::<usize>(), classes) {
            (Ok(class), _) if class <= highest => Ok(class),
            (Ok(_), Some(classes)) => {
                wrong(format!("one of the {classes} classes, 0 to {highest}"))
            }
            (Ok(_), None) | (Err(_), Some(_)) => {
                wrong(format!("a whole number from 0 to {highest}"))
            }
            (Err(_), None) => wrong("a whole number, 0 or above".into()),
        }
    }

    /// `[0, 1, 0]` or `[0 1 0]`.
    fn list(self, text: &str, names: Option<&[String]>) -> Result<Box<[Option<bool>]>, DataError> {
        let inside = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        let inside = inside.map(str::trim).filter(|inside| !inside.is_empty());
        let Some(inside) = inside else {
            return Err(self.wrong(text, "a list of 0 and 1 such as [0, 1, 0]".into()));
        };
        let items: Vec<&str> = match inside.contains(',') {
            true => inside.split(',').collect(),
            false => inside.split_whitespace().collect(),
        };
        if items.len() > MOST_OUTPUTS {
            return Err(self.wrong("[...]", format!("at most {MOST_OUTPUTS} labels")));
        }
        let name = |at: usize| match names.and_then(|names| names.get(at)) {
            Some(name) => name.clone(),
            None => format!("label_{at}"),
        };
        let items = items.into_iter().enumerate();
        items
            .map(|(at, item)| self.mark(item.trim(), || name(at)))
            .collect()
    }

    /// Whether a label holds, as people and libraries write it.
    fn mark(self, text: &str, name: impl FnOnce() -> String) -> Result<Option<bool>, DataError> {
        match text {
            // As nearly all are, in tables of millions of cells.
            "0" => return Ok(Some(false)),
            "1" => return Ok(Some(true)),
            "" => return Ok(None),
            _ => {}
        }
        let text = text.to_ascii_lowercase();
        match (text.as_str(), text.parse::<f64>()) {
            ("na" | "nan" | "null" | "none", _) => Ok(None),
            ("false", _) | (_, Ok(0.0)) => Ok(Some(false)),
            ("true", _) | (_, Ok(1.0)) => Ok(Some(true)),
            _ => Err(DataError::Mark {
                path: self.path.to_owned(),
                line: self.line,
                label: name(),
                found: text,
            }),
        }
    }

    fn wrong(self, found: &str, expected: String) -> DataError {
        DataError::Label {
            path: self.path.to_owned(),
            line: self.line,
            found: found.to_owned(),
            expected,
        }
    }
}
