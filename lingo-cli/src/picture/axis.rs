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

    /// The same with more at both ends where it is narrower than `width`.
    pub fn at_least(self, width: f64) -> Self {
        let more = ((width - (self.high - self.low)) / 2.0).max(0.0);
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

/// The round counts that an axis has lines at whose logarithms reach so far: 1, 2 and 5 of each power of ten, or the powers
/// alone where there are many.
pub fn round_counts(axis: Range) -> Vec<f64> {
    let steps: &[f64] = match axis.high - axis.low > 3.0 {
        true => &[1.0],
        false => &[1.0, 2.0, 5.0],
    };
    let powers = axis.low.floor() as i32..=axis.high.ceil() as i32;
    powers
        .flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)))
        .filter(|count| axis.bounds().contains(&count.log10()))
        .collect()
}

/// A count in thousands, millions or billions.
pub fn parameters(count: f64) -> String {
    let (value, unit) = match count {
        1e9.. => (count / 1e9, "B"),
        1e6.. => (count / 1e6, "M"),
        1e3.. => (count / 1e3, "k"),
        _ => (count, ""),
    };
    // Two digits, without a zero at the end.
    let value = match value < 10.0 {
        true => (value * 10.0).round() / 10.0,
        false => value.round(),
    };
    format!("{value}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_short() {
        let written = [1.0, 950.0, 1234.0, 5e4, 2e6, 2.44e6, 135e6, 1.3e9].map(parameters);
        assert_eq!(
            written,
            ["1", "950", "1.2k", "50k", "2M", "2.4M", "135M", "1.3B"]
        );
    }

    #[test]
    fn lines_of_an_axis_stand_at_round_counts() {
        let written = |low: f64, high: f64| {
            let axis = Range {
                low: low.log10(),
                high: high.log10(),
            };
            let counts = round_counts(axis).into_iter();
            counts.map(parameters).collect::<Vec<_>>()
        };
        assert_eq!(
            written(9e4, 6e6),
            ["100k", "200k", "500k", "1M", "2M", "5M"]
        );
        assert_eq!(written(9e3, 2e7), ["10k", "100k", "1M", "10M"]);
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
