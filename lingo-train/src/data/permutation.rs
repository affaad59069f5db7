//! A random order that takes no memory: element number i of it is computed from i alone.

/// A random permutation of `0..len`: the swap-or-not shuffle (Hoang, Morris and Rogaway 2012). A round pairs the elements by
/// a sum of its own and swaps each pair or not, as a coin for the pair falls. The same key gives the same order on every
/// platform.
#[derive(Clone, Copy, Debug)]
pub struct Permutation {
    len: u64,
    rounds: u64,
    key: u64,
}

impl Permutation {
    /// The order of `len` elements that belongs to `key`.
    pub fn new(len: usize, key: u64) -> Self {
        let len = len as u64;
        let bits = u64::BITS - len.leading_zeros();
        Self {
            len,
            // Six a bit, as its authors advise, and some more for few elements.
            rounds: 16 + 6 * u64::from(bits),
            key,
        }
    }

    /// The element at `position`.
    ///
    /// # Panics
    /// If the position is not below the length.
    pub fn at(&self, position: usize) -> usize {
        let mut element = position as u64;
        assert!(element < self.len, "a position below {}", self.len);
        for round in 0..self.rounds {
            let of_round = mix(self.key ^ round);
            // Uniform below the length, as near as 64 bits come.
            let sum = ((u128::from(of_round) * u128::from(self.len)) >> 64) as u64;
            let partner = match sum.checked_sub(element) {
                Some(partner) => partner,
                None => sum + self.len - element,
            };
            let pair = element.max(partner);
            if mix(of_round ^ ((pair << 1) | 1)) & 1 == 1 {
                element = partner;
            }
        }
        element as usize
    }
}

/// A seed's own key for one of its purposes.
pub fn key(seed: u64, purpose: u64, number: u64) -> u64 {
    mix(mix(mix(seed) ^ purpose) ^ number)
}

/// SplitMix64 (Steele, Lea, Flood 2014): its step, then its finaliser.
fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(len: usize, key: u64) -> Vec<usize> {
        let permutation = Permutation::new(len, key);
        (0..len).map(|position| permutation.at(position)).collect()
    }

    #[test]
    fn every_element_comes_once() {
        for len in (0..300).chain([1 << 12, (1 << 12) + 1, 99_991]) {
            let mut all = order(len, len as u64);
            all.sort_unstable();
            assert_eq!(all, (0..len).collect::<Vec<_>>());
        }
    }

    #[test]
    fn keys_give_orders_of_their_own() {
        assert_eq!(order(1000, 1), order(1000, 1));
        assert_ne!(order(1000, 1), order(1000, 2));
    }

    #[test]
    fn every_element_is_equally_likely_at_every_position() {
        let len = 10;
        let draws = 20_000;
        let mut counts = vec![0f64; len * len];
        for draw in 0..draws {
            for (position, element) in order(len, key(7, 0, draw)).into_iter().enumerate() {
                counts[position * len + element] += 1.0;
            }
        }
        // 81 degrees of freedom; the quantile for 1 in a million is 153.
        let expected = draws as f64 / len as f64;
        let chi2: f64 = counts
            .iter()
            .map(|count| (count - expected).powi(2) / expected)
            .sum();
        assert!(chi2 < 153.0, "{chi2}");
    }

    #[test]
    fn of_few_elements_every_order_is_equally_likely() {
        let (len, draws) = (5, 60_000);
        let mut counts = std::collections::HashMap::new();
        for draw in 0..draws {
            *counts.entry(order(len, key(3, 0, draw))).or_insert(0f64) += 1.0;
        }
        assert_eq!(counts.len(), 120);
        // 119 degrees of freedom; the quantile for 1 in a million is 204.
        let expected = draws as f64 / 120.0;
        let chi2: f64 = counts
            .values()
            .map(|count| (count - expected).powi(2) / expected)
            .sum();
        assert!(chi2 < 204.0, "{chi2}");
    }

    #[test]
    fn neighbours_are_not_neighbours_afterwards() {
        let order = order(4000, 3);
        let rises = order.windows(2).filter(|pair| pair[0] < pair[1]).count();
        // Of 3999 pairs half, with a standard deviation of √(4001 / 12) = 18.
        assert!((1908..2091).contains(&rises), "{rises}");
        let adjacent = order
            .windows(2)
            .filter(|pair| pair[0].abs_diff(pair[1]) == 1);
        assert!(adjacent.count() < 12);
    }
}
