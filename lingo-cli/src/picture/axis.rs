//! How far axes reach, and how their numbers are written.

use std::ops::Range as Bounds;

/// What an axis shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub low: f64,
    pub high: f64,
}

impl Range {
    /// From the smallest to the largest value; around zero where there is none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<f64> = values
            .into_iter()
            .filter(|value| value.is_finite())
            .collect();
        match values.is_empty() {
            true => Self {
                low: 0.0,
                high: 0.0,
            },
            false => Self {
                low: values.iter().copied().fold(f64::INFINITY, f64::min),
                high: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            },
        }
    }

    /// The same with a share of its width more at both ends; some width at least.
    pub fn widened(self, share: f64) -> Self {
        let more = match share * (self.high - self.low) {
            none if none <= 0.0 => 0.1,
            more => more,
        };
        Self {
            low: self.low - more,
            high: self.high + more,
        }
    }

    /// For the plot.
    pub fn bounds(self) -> Bounds<f64> {
        self.low..self.high
    }
}

/// A count in thousands, millions or billions.
pub fn parameters(count: f64) -> String {
    let (value, unit) = match count {
        1e9.. => (count / 1e9, "B"),
        1e6.. => (count / 1e6, "M"),
        1e3.. => (count / 1e3, "k"),
        _ => (count, ""),
    };
    let digits = if value < 10.0 && !unit.is_empty() {
        1
    } else {
        0
    };
    format!("{value:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_short() {
        let written = [1.0, 950.0, 1234.0, 56_789.0, 2.44e6, 135e6, 1.3e9].map(parameters);
        assert_eq!(written, ["1", "950", "1.2k", "57k", "2.4M", "135M", "1.3B"]);
    }

    #[test]
    fn an_axis_has_some_width_whatever_it_shows() {
        let range = |values: &[f64]| Range::of(values.iter().copied()).widened(0.1);
        assert_eq!(
            range(&[1.0, 3.0, f64::NAN]),
            Range {
                low: 0.8,
                high: 3.2
            }
        );
        assert!(range(&[]).bounds().contains(&0.0));
        let one = range(&[0.5]);
        assert!(one.low < 0.5 && one.high > 0.5);
    }
}
