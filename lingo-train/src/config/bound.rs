//! Bounds of the numbers in a run file.

/// What a number must satisfy, besides being finite.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    /// Greater than the value.
    Above(f64),
    /// The value or greater.
    AtLeast(f64),
    /// From the first to the second, both included.
    Within(f64, f64),
    /// From the first, included, to the second, excluded.
    FromBelow(f64, f64),
}

impl Bound {
    /// Whether a number satisfies it.
    pub(super) fn holds(self, x: f64) -> bool {
        x.is_finite()
            && match self {
                Bound::Above(low) => x > low,
                Bound::AtLeast(low) => x >= low,
                Bound::Within(low, high) => (low..=high).contains(&x),
                Bound::FromBelow(low, high) => (low..high).contains(&x),
            }
    }

    /// The bound in words.
    pub(super) fn accepted(self) -> String {
        match self {
            Bound::Above(low) => format!("a finite number above {low}"),
            Bound::AtLeast(low) => format!("a finite number, {low} or above"),
            Bound::Within(low, high) => format!("a number from {low} to {high}"),
            Bound::FromBelow(low, high) => format!("a number from {low} to below {high}"),
        }
    }
}
