//! Which numbers below a bound are in a set.

/// A set of numbers below a bound, such as the contacts of a run that have their record.
#[derive(Clone, Debug)]
pub struct Bits {
    words: Vec<u64>,
    bound: u32,
}

impl Bits {
    /// An empty set, for numbers below this one.
    pub fn new(bound: u32) -> Self {
        Self { words: vec![0; (bound as usize).div_ceil(64)], bound }
    }

    /// Whether a number is in the set.
    pub fn has(&self, number: u32) -> bool {
        let word = self.words.get(number as usize / 64);
        word.is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Puts a number into the set. Whether that changed anything: it does not when the number is in
    /// the set already, or not below the bound.
    pub fn set(&mut self, number: u32) -> bool {
        if number >= self.bound {
            return false;
        }
        let word = &mut self.words[number as usize / 64];
        let bit = 1 << (number % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_below_the_bound_comes_into_the_set_once() {
        for bound in [0, 1, 63, 64, 65, 200] {
            let mut bits = Bits::new(bound);
            for number in (0..bound).rev() {
                assert!(!bits.has(number), "{number} of {bound}");
                assert!(bits.set(number), "{number} of {bound}");
                assert!(!bits.set(number), "{number} of {bound}");
            }
            assert!((0..bound).all(|number| bits.has(number)), "{bound}");
            for beyond in [bound, bound + 1, bound + 64, u32::MAX] {
                assert!(!bits.set(beyond) && !bits.has(beyond), "{beyond} of {bound}");
            }
        }
    }
}
