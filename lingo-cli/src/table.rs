//! Tables in Markdown, aligned so that they can be read as they stand.

use std::fmt;

/// Columns of cells; of equal length.
#[derive(Default)]
pub struct Table(Vec<Column>);

struct Column {
    cells: Vec<String>,
    is_number: bool,
}

impl Table {
    /// Adds a column of words.
    pub fn text(&mut self, title: &str, cells: impl Iterator<Item = String>) {
        self.column(title, cells, false);
    }

    /// Adds a column of numbers.
    pub fn numbers(&mut self, title: &str, cells: impl Iterator<Item = String>) {
        self.column(title, cells, true);
    }

    fn column(&mut self, title: &str, cells: impl Iterator<Item = String>, is_number: bool) {
        let cells = std::iter::once(title.to_owned()).chain(cells);
        // A bar would end the cell.
        let cells = cells.map(|cell| cell.replace('|', "\\|")).collect();
        self.0.push(Column { cells, is_number });
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, row: usize) -> fmt::Result {
        for Column { cells, is_number } in &self.0 {
            let (cell, width) = (cells[row].as_str(), width(cells));
            match is_number {
                true => write!(f, "| {cell:>width$} ")?,
                false => write!(f, "| {cell:<width$} ")?,
            }
        }
        write!(f, "|")
    }
}

/// Letters of the longest cell; a rule of Markdown has three.
fn width(cells: &[String]) -> usize {
    let longest = cells.iter().map(|cell| cell.chars().count()).max();
    longest.unwrap_or(0).max(3)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.0.first().map_or(0, |column| column.cells.len());
        if rows == 0 {
            return Ok(());
        }
        self.line(f, 0)?;
        writeln!(f)?;
        for Column { cells, is_number } in &self.0 {
            let dashes = "-".repeat(width(cells) - usize::from(*is_number));
            write!(f, "| {dashes}{} ", if *is_number { ":" } else { "" })?;
        }
        write!(f, "|")?;
        for row in 1..rows {
            writeln!(f)?;
            self.line(f, row)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let mut table = Table::default();
        table.text("method", ["a|b", "é"].map(String::from).into_iter());
        table.numbers("s", ["1", "1000"].map(String::from).into_iter());
        let expected = "\
| method |    s |
| ------ | ---: |
| a\\|b   |    1 |
| é      | 1000 |";
        assert_eq!(table.to_string(), expected);
        assert_eq!(Table::default().to_string(), "");
    }
}
