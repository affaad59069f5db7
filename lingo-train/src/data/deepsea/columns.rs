//! Which of DeepSEA's 919 columns are learned, and what they are called.
//!
//! The published list of features (`feature_name` beside DeepSEA's positions, `predictor.names` in its releases and in
//! Kipoi's copy of the model) numbers them from 1: 125 of DNase I sensitivity, 690 of transcription factors, 104 of histone
//! marks. The last are named here as there, cell and mark. Among the others some names stand for several columns, so that
//! their numbers are their names.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// Columns of a file.
pub(super) const ALL: usize = 919;
const DNASE: Range<usize> = 0..125;
const TF: Range<usize> = 125..815;
const HISTONE: Range<usize> = 815..ALL;

/// Columns of DeepSEA's label table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Counted from 0, each once.
    numbers: Vec<usize>,
}

/// Why columns cannot be chosen.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnsError {
    /// Nothing is asked for.
    #[error("data.labels: is empty; {ACCEPTED}")]
    None,
    /// No column has this name or number.
    #[error("data.labels: DeepSEA's files have no column `{found}`; {ACCEPTED}")]
    Unknown {
        /// What is asked for.
        found: String,
    },
    /// A column is asked for twice.
    #[error("data.labels: asks for the column `{name}` twice; once is enough")]
    Twice {
        /// The column's name.
        name: String,
    },
}

const ACCEPTED: &str = "expected deepsea-all, deepsea-dnase, deepsea-tf or deepsea-histone, numbers of columns from 1 to 919, \
                        or names of histone marks such as K562|H3K4me3";

impl Columns {
    /// Those that `data.labels` asks for, in its order; all where it asks for none.
    ///
    /// # Errors
    /// If something is asked for that there is not, or twice.
    pub fn select(labels: Option<&[String]>) -> Result<Self, ColumnsError> {
        let Some(labels) = labels else {
            let numbers = (0..ALL).collect();
            return Ok(Self { numbers });
        };
        let (mut numbers, mut seen) = (Vec::new(), BTreeSet::new());
        for label in labels {
            let range = Self::find(label).ok_or_else(|| ColumnsError::Unknown {
                found: label.clone(),
            })?;
            for column in range {
                if !seen.insert(column) {
                    let name = name(column);
                    return Err(ColumnsError::Twice { name });
                }
                numbers.push(column);
            }
        }
        if numbers.is_empty() {
            return Err(ColumnsError::None);
        }
        Ok(Self { numbers })
    }

    /// Columns chosen.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether none is, which [`select`](Self::select) refuses.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Their names: a cell and a mark such as `K562|H3K4me3` of histone marks, else `column_` and the published number.
    pub fn names(&self) -> Arc<[String]> {
        self.numbers.iter().map(|column| name(*column)).collect()
    }

    /// Counted from 0.
    pub(super) fn numbers(&self) -> &[usize] {
        &self.numbers
    }

    fn find(label: &str) -> Option<Range<usize>> {
        let one = |column: usize| column..column + 1;
        match label {
            "deepsea-all" => Some(0..ALL),
            "deepsea-dnase" => Some(DNASE),
            "deepsea-tf" => Some(TF),
            "deepsea-histone" => Some(HISTONE),
            _ => match label.strip_prefix("column_").unwrap_or(label).parse() {
                Ok(number @ 1..=ALL) => Some(one(number - 1)),
                Ok(_) => None,
                Err(_) => HISTONE
                    .clone()
                    .zip(histone_marks())
                    .find(|(_, (cell, mark))| label.split_once('|') == Some((cell, mark)))
                    .map(|(column, _)| one(column)),
            },
        }
    }
}

fn name(column: usize) -> String {
    let histone = column.checked_sub(HISTONE.start);
    match histone.and_then(|mark| histone_marks().nth(mark)) {
        Some((cell, mark)) => format!("{cell}|{mark}"),
        None => format!("column_{}", column + 1),
    }
}

/// Cell and mark of the last 104 columns, in their order.
fn histone_marks() -> impl Iterator<Item = (&'static str, &'static str)> {
    CELLS
        .iter()
        .flat_map(|(cell, marks)| marks.split(' ').map(move |mark| (*cell, mark)))
}

const CELLS: [(&str, &str); 8] = [
    (
        "H1-hESC",
        "H2AK5ac H2AZ H2BK120ac H2BK12ac H2BK15ac H2BK20ac H2BK5ac H3K14ac H3K18ac H3K23ac H3K23me2 H3K27ac H3K27me3 \
         H3K36me3 H3K4ac H3K4me1 H3K4me2 H3K4me3 H3K56ac H3K79me1 H3K79me2 H3K9ac H3K9me3 H4K20me1 H4K5ac H4K8ac H4K91ac",
    ),
    ("K562", TWELVE),
    ("Monocytes-CD14+RO01746", ELEVEN),
    ("NH-A", ELEVEN),
    ("NHDF-Ad", ELEVEN),
    ("NHEK", TWELVE),
    ("NHLF", ELEVEN),
    (
        "Osteoblasts",
        "H2AZ H3K27ac H3K27me3 H3K36me3 H3K4me1 H3K4me2 H3K4me3 H3K79me2 H3K9me3",
    ),
];
const ELEVEN: &str =
    "H2AZ H3K27ac H3K27me3 H3K36me3 H3K4me1 H3K4me2 H3K4me3 H3K79me2 H3K9ac H3K9me3 H4K20me1";
const TWELVE: &str = "H2AZ H3K27ac H3K27me3 H3K36me3 H3K4me1 H3K4me2 H3K4me3 H3K79me2 H3K9ac H3K9me1 H3K9me3 H4K20me1";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn select(labels: &[&str]) -> Result<Columns, ColumnsError> {
        let labels: Vec<String> = labels.iter().map(|label| label.to_string()).collect();
        Columns::select(Some(&labels))
    }

    #[test]
    fn the_presets_are_the_published_parts() {
        for (preset, first, last, count) in [
            ("deepsea-dnase", "column_1", "column_125", 125),
            ("deepsea-tf", "column_126", "column_815", 690),
            (
                "deepsea-histone",
                "H1-hESC|H2AK5ac",
                "Osteoblasts|H3K9me3",
                104,
            ),
            ("deepsea-all", "column_1", "Osteoblasts|H3K9me3", 919),
        ] {
            let columns = select(&[preset]).unwrap();
            let names = columns.names();
            assert_eq!(
                (columns.len(), &*names[0], &*names[count - 1]),
                (count, first, last)
            );
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), count);
            let again = Columns::select(Some(&names)).unwrap();
            assert_eq!(again, columns, "names choose what they name");
        }
        assert_eq!(
            Columns::select(None).unwrap(),
            select(&["deepsea-all"]).unwrap()
        );
    }

    #[test]
    fn numbers_and_names_agree_with_the_published_list() {
        for (number, name) in [
            ("827", "H1-hESC|H3K27ac"),
            ("842", "H1-hESC|H4K91ac"),
            ("843", "K562|H2AZ"),
            ("852", "K562|H3K9me1"),
            ("861", "Monocytes-CD14+RO01746|H3K4me3"),
            ("876", "NH-A|H4K20me1"),
            ("878", "NHDF-Ad|H3K27ac"),
            ("899", "NHEK|H4K20me1"),
            ("905", "NHLF|H3K4me2"),
            ("918", "Osteoblasts|H3K79me2"),
        ] {
            assert_eq!(*select(&[number]).unwrap().names(), [name]);
            assert_eq!(select(&[name]), select(&[number]));
        }
    }

    #[test]
    fn columns_come_in_the_order_asked_for() {
        let columns = select(&["K562|H3K4me3", "7", "column_3"]).unwrap();
        assert_eq!(columns.numbers(), [848, 6, 2]);
    }

    #[test]
    fn what_there_is_not_and_what_comes_twice_is_refused() {
        for label in [
            "0",
            "920",
            "-1",
            "column_0",
            "K562|H3",
            "K562",
            "",
            "99999999999999999999",
        ] {
            let error = select(&[label]).unwrap_err().to_string();
            assert!(
                error.contains(&format!("no column `{label}`; expected deepsea-all")),
                "{error}"
            );
        }
        let twice = select(&["deepsea-histone", "849"]).unwrap_err().to_string();
        assert!(twice.contains("the column `K562|H3K4me3` twice"), "{twice}");
        assert_eq!(select(&[]), Err(ColumnsError::None));
    }
}
