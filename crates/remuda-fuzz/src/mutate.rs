//! Inputs from seeds, without an engine: the same sequence for the same number.

use fastrand::Rng;

/// Longest input that is made.
const MAX: usize = 4096;
/// Bytes at which parsers turn: zeros, ones, bounds of lengths, brackets, quotes, separators.
const TELLING: &[u8] = b"\x00\x01\x02\x04\x10\x7f\x80\xa1\xff[]{}\"\\;,=:./%-_ \n";

/// Makes inputs.
#[derive(Debug)]
pub struct Mutator {
    random: Rng,
    pool: Vec<Vec<u8>>,
}

impl Mutator {
    /// Begins with these inputs.
    pub fn new(seed: u64, pool: Vec<Vec<u8>>) -> Self {
        Self { random: Rng::with_seed(seed), pool }
    }

    /// The next input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.random.choice(&self.pool).cloned().unwrap_or_default();
        for _ in 0..self.random.u8(1..=6) {
            self.change(&mut input);
        }
        input.truncate(MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let random = &mut self.random;
        let at = random.usize(..=input.len());
        match random.u8(..9) {
            0 => input.insert(at, random.u8(..)),
            1 => input.insert(at, *random.choice(TELLING).expect("not empty")),
            2 => input.truncate(at),
            3 if at < input.len() => input[at] ^= 1 << random.u8(..8),
            4 if at < input.len() => input[at] = *random.choice(TELLING).expect("not empty"),
            5 if at < input.len() => drop(input.remove(at)),
            6 => {
                // A part of itself again, perhaps many times: nesting and lengths.
                let part: Vec<u8> = input[at..].iter().take(random.usize(1..64)).copied().collect();
                for _ in 0..random.u8(1..32) {
                    if input.len() + part.len() <= MAX {
                        input.splice(at..at, part.iter().copied());
                    }
                }
            }
            7 => {
                // The end of another one.
                let other = random.choice(&self.pool).cloned().unwrap_or_default();
                let from = random.usize(..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                // A number in the way of postcard, or big-endian.
                let number = random.u64(..) >> random.u8(..64);
                let bytes = if random.bool() {
                    postcard::to_stdvec(&number).expect("a number")
                } else {
                    number.to_be_bytes()[4..].to_vec()
                };
                let end = (at + bytes.len()).min(input.len());
                input.splice(at..end, bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_makes_the_same_inputs() {
        let make = |seed| {
            let mut mutator = Mutator::new(seed, vec![b"abc".to_vec(), vec![0; 100]]);
            (0..200).map(|_| mutator.next_input()).collect::<Vec<_>>()
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
        assert!(make(3).iter().all(|input| input.len() <= MAX));
    }
}
