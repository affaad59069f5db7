//! Four rows of 0 and 1 become one of letters.

/// The rows' order in DeepSEA's files.
const ROWS: [u8; 4] = *b"AGCT";

/// The letter of each combination of rows that are 1, the first row in the lowest bit; 0 where there are several.
const LETTERS: [u8; 16] = {
    let mut letters = [0; 16];
    letters[0] = b'N';
    let mut row = 0;
    while row < ROWS.len() {
        letters[1 << row] = ROWS[row];
        row += 1;
    }
    letters
};

/// What is wrong with the sample at this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A value is neither 0 nor 1.
    Value(usize),
    /// Several rows are 1.
    Several(usize),
}

/// Appends the letters of a position: `rows` has a byte a sample for A, then G, C and T. No 1 at all is N.
pub(super) fn letters(rows: &[u8], letters: &mut Vec<u8>) -> Result<(), Fault> {
    let samples = rows.len() / ROWS.len();
    marks(rows).map_err(|at| Fault::Value(at % samples))?;
    let (ag, ct) = rows.split_at(2 * samples);
    let ((a, g), (c, t)) = (ag.split_at(samples), ct.split_at(samples));
    let start = letters.len();
    let combined = (0..samples).map(|at| a[at] | g[at] << 1 | c[at] << 2 | t[at] << 3);
    letters.extend(combined.map(|code| LETTERS[usize::from(code & 15)]));
    match letters[start..].iter().position(|letter| *letter == 0) {
        Some(at) => Err(Fault::Several(at)),
        None => Ok(()),
    }
}

/// Checks that all are 0 or 1; else the place of the first that is not.
pub(super) fn marks(values: &[u8]) -> Result<(), usize> {
    // All at once first: this is fast, and nearly always enough.
    match values.iter().fold(0, |all, value| all | value) {
        0 | 1 => Ok(()),
        _ => match values.iter().position(|value| *value > 1) {
            Some(at) => Err(at),
            None => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_a_g_c_t_and_none_is_n() {
        let rows = [
            [1, 0, 0, 0, 0], // A
            [0, 1, 0, 0, 0], // G
            [0, 0, 1, 0, 0], // C
            [0, 0, 0, 1, 0], // T
        ]
        .concat();
        let mut found = b"N".to_vec();
        assert_eq!(letters(&rows, &mut found), Ok(()));
        assert_eq!(found, b"NAGCTN");
    }

    #[test]
    fn several_and_other_values_are_faults_with_their_place() {
        let mut found = Vec::new();
        let several = [0, 1, 0, 0, 0, 0, 0, 1]; // two samples
        assert_eq!(letters(&several, &mut found), Err(Fault::Several(1)));
        let other = [0, 0, 0, 0, 2, 0, 0, 0];
        assert_eq!(letters(&other, &mut found), Err(Fault::Value(0)));
        assert_eq!(marks(&[0, 1, 255, 7]), Err(2));
    }
}
