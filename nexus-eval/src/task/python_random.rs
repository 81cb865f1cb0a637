//! Python's `random.Random`: few-shot examples and bootstrap samples are to be those of lm-evaluation-harness.

/// The Mersenne Twister MT19937 as Python seeds and reads it (Matsumoto & Nishimura 1998, ACM TOMACS 8(1); CPython 3.11,
/// `Modules/_randommodule.c` and `Lib/random.py`).
#[derive(Clone)]
pub(super) struct PythonRandom {
    state: [u32; N],
    index: usize,
}

const N: usize = 624;
const M: usize = 397;

impl PythonRandom {
    /// `random.Random(seed)` for a seed that is an integer.
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Self::from_word(19_650_218);
        let key = [seed as u32, (seed >> 32) as u32];
        let key = if key[1] == 0 { &key[..1] } else { &key[..] };
        let state = &mut random.state;
        let mix = |state: &[u32; N], i: usize, factor: u32| {
            state[i] ^ (state[i - 1] ^ (state[i - 1] >> 30)).wrapping_mul(factor)
        };
        let (mut i, mut j) = (1, 0);
        let step = |state: &mut [u32; N], i: &mut usize| {
            *i += 1;
            if *i >= N {
                state[0] = state[N - 1];
                *i = 1;
            }
        };
        for _ in 0..N {
            let mixed = mix(state, i, 1_664_525);
            state[i] = mixed.wrapping_add(key[j]).wrapping_add(j as u32);
            step(state, &mut i);
            j = (j + 1) % key.len();
        }
        for _ in 1..N {
            state[i] = mix(state, i, 1_566_083_941).wrapping_sub(i as u32);
            step(state, &mut i);
        }
        state[0] = 0x8000_0000;
        random
    }

    fn from_word(word: u32) -> Self {
        let mut state = [word; N];
        for i in 1..N {
            let last = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i as u32);
        }
        Self { state, index: N }
    }

    fn word(&mut self) -> u32 {
        if self.index >= N {
            for i in 0..N {
                let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + M) % N] ^ (y >> 1) ^ odd;
            }
            self.index = 0;
        }
        let mut y = self.state[self.index];
        self.index += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// `random()`: a number in `[0, 1)` of 53 bits.
    fn unit(&mut self) -> f64 {
        let (high, low) = (self.word() >> 5, self.word() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }

    /// `_randbelow(n)` for n from 1 to 2^32 - 1.
    fn below(&mut self, n: usize) -> usize {
        let bits = (usize::BITS - n.leading_zeros()).clamp(1, 32);
        loop {
            let value = (self.word() >> (32 - bits)) as usize;
            if value < n {
                return value;
            }
        }
    }

    /// The places that `sample(population, k)` takes of a population of n; `None` when k > n.
    pub(super) fn sample(&mut self, n: usize, k: usize) -> Option<Vec<usize>> {
        if k > n {
            return None;
        }
        let mut taken = Vec::with_capacity(k);
        if n <= set_size(k) {
            let mut pool: Vec<usize> = (0..n).collect();
            for i in 0..k {
                let j = self.below(n - i);
                taken.push(pool[j]);
                pool[j] = pool[n - i - 1];
            }
        } else {
            let mut seen = std::collections::HashSet::with_capacity(k);
            while taken.len() < k {
                let j = self.below(n);
                if seen.insert(j) {
                    taken.push(j);
                }
            }
        }
        Some(taken)
    }

    /// One place of `choices(population, k=..)` of a population of n.
    pub(super) fn choice(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n.saturating_sub(1))
    }
}

/// The size up to which a list is copied: that of a set of k, by CPython's estimate.
fn set_size(k: usize) -> usize {
    match k {
        0..=5 => 21,
        _ => {
            let exponent = ((k * 3) as f64).ln() / 4f64.ln();
            21usize.saturating_add(4usize.saturating_pow(exponent.ceil() as u32))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against values of CPython 3.11 in `tests/golden/tasks/random.json`.
    #[test]
    fn samples_and_choices_are_those_of_python() {
        let text = include_str!("../../tests/golden/tasks/random.json");
        let golden: serde_json::Value = serde_json::from_str(text).unwrap();
        for case in golden["sample"].as_array().unwrap() {
            let number = |key: &str| case[key].as_u64().unwrap() as usize;
            let mut random = PythonRandom::new(number("seed") as u64);
            for draw in case["draws"].as_array().unwrap() {
                let draw: Vec<usize> = serde_json::from_value(draw.clone()).unwrap();
                assert_eq!(random.sample(number("n"), number("k")), Some(draw), "{case}");
            }
        }
        for case in golden["choices"].as_array().unwrap() {
            let mut random = PythonRandom::new(case["seed"].as_u64().unwrap());
            let n = case["n"].as_u64().unwrap() as usize;
            for place in case["places"].as_array().unwrap() {
                assert_eq!(random.choice(n) as u64, place.as_u64().unwrap());
            }
        }
    }

    #[test]
    fn more_than_there_are_cannot_be_sampled() {
        assert_eq!(PythonRandom::new(1).sample(3, 4), None);
        assert_eq!(PythonRandom::new(1).sample(0, 0), Some(vec![]));
    }
}
