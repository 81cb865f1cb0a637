//! Searches over a made-up model, whose every sequence can be tried.

use super::beam::{BeamConfig, EarlyStopping, beam_search};
use super::config::GenerationConfig;
use super::run::{Finish, Generation, Row, sample_rows};
use super::sample::{Sampler, SamplingConfig};
use super::step::Steps;
use crate::Result;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;

const VOCABULARY: usize = 5;
const EOS: u32 = 0;
const LIMIT: usize = 4;

/// Logits that follow from the tokens so far and a seed.
struct MadeUp {
    seed: u64,
    rows: Vec<Vec<u32>>,
}

impl MadeUp {
    fn logits(&self, seen: &[u32]) -> Vec<f32> {
        let place = seen.iter().fold(1, |place, &id| place * 7 + u64::from(id));
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(place);
        (0..VOCABULARY).map(|_| (rng.next_u32() % 4096) as f32 / 1024.0).collect()
    }
}

impl Steps for MadeUp {
    fn first(&mut self) -> Result<Vec<f32>> {
        Ok(self.rows.iter().flat_map(|row| self.logits(row)).collect())
    }

    fn next(&mut self, rows: &[usize], tokens: &[u32]) -> Result<Vec<f32>> {
        let pairs = rows.iter().zip(tokens);
        self.rows = pairs
            .map(|(&row, &token)| self.rows[row].iter().copied().chain([token]).collect())
            .collect();
        self.first()
    }
}

fn config() -> GenerationConfig {
    GenerationConfig { eos: vec![EOS], max_new_tokens: LIMIT, ..GenerationConfig::default() }
}

fn search(seed: u64, prompts: &[&[u32]], beams: &BeamConfig) -> Vec<Vec<Generation>> {
    let rows = prompts.iter().map(|prompt| prompt.to_vec()).collect();
    let limits = vec![LIMIT; prompts.len()];
    beam_search(&mut MadeUp { seed, rows }, prompts, &limits, &config(), beams).unwrap()
}

/// Every sequence behind `prompt` with its sum of log-probabilities and its length.
fn every(model: &MadeUp, prompt: &[u32]) -> Vec<(Vec<u32>, f64, usize)> {
    let mut done = Vec::new();
    let mut open = vec![(Vec::new(), 0.0)];
    for length in 1..=LIMIT {
        for (ids, sum) in std::mem::take(&mut open) {
            let logits = model.logits(&[prompt, &ids].concat());
            let total: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
            for (id, logit) in (0..).zip(logits) {
                let sum = sum + f64::from(logit) - total.ln();
                let longer = [ids.as_slice(), &[id]].concat();
                match (id, length) {
                    (EOS, _) => done.push((ids.clone(), sum, length)),
                    (_, LIMIT) => done.push((longer, sum, length)),
                    _ => open.push((longer, sum)),
                }
            }
        }
    }
    done
}

#[test]
fn with_beams_for_every_sequence_the_search_is_exhaustive() {
    for (seed, length_penalty) in [(1, 1.0), (2, 0.0), (3, -1.0), (4, 2.0), (5, 0.5)] {
        let prompt: &[u32] = &[3, 1];
        let beams = BeamConfig {
            num_beams: 400,
            num_return_sequences: 400,
            length_penalty,
            early_stopping: EarlyStopping::Never,
            ..BeamConfig::default()
        };
        let found = search(seed, &[prompt], &beams).remove(0);
        let model = MadeUp { seed, rows: Vec::new() };
        let mut all = every(&model, prompt);
        let score = |sum: f64, length: usize| sum / (length as f64).powf(length_penalty);
        all.sort_by(|a, b| score(b.1, b.2).total_cmp(&score(a.1, a.2)));
        assert_eq!(found.len(), all.len());
        for (found, (ids, sum, length)) in found.iter().zip(&all) {
            assert!((found.score.unwrap() - score(*sum, *length)).abs() < 1e-9);
            let finish = if ids.len() < *length { Finish::Eos } else { Finish::Length };
            assert_eq!((&found.ids, found.finish), (ids, finish));
        }
        // A search that is less wide finds the best one too, as long as it cuts nothing off on the way.
        let narrower = BeamConfig { num_beams: 64, num_return_sequences: 1, ..beams };
        assert_eq!(search(seed, &[prompt], &narrower)[0][0].ids, found[0].ids);
    }
}

#[test]
fn one_beam_is_greedy() {
    for seed in 0..50 {
        let prompts: [&[u32]; 2] = [&[1], &[2, 4, 4]];
        let beams = BeamConfig { num_beams: 1, ..BeamConfig::default() };
        let found = search(seed, &prompts, &beams);
        let row = |(index, prompt): (usize, &&[u32])| Row {
            index,
            seen: prompt.to_vec(),
            prompt: prompt.len(),
            limit: LIMIT,
            sampler: Sampler::new(SamplingConfig::default()).unwrap(),
        };
        let rows = prompts.iter().enumerate().map(row).collect();
        let mut steps = MadeUp { seed, rows: prompts.iter().map(|p| p.to_vec()).collect() };
        let go_on = |_, _| Ok(ControlFlow::Continue(()));
        let greedy = sample_rows(&mut steps, rows, &config(), go_on).unwrap();
        for (found, greedy) in found.iter().zip(&greedy) {
            assert_eq!((&found[0].ids, found[0].finish), (&greedy.ids, greedy.finish));
        }
    }
}

#[test]
fn results_are_sorted_distinct_and_do_not_depend_on_the_batch() {
    let prompts: [&[u32]; 3] = [&[1], &[2, 4, 4], &[3, 3]];
    for seed in 0..30 {
        for early_stopping in
            [EarlyStopping::WhenFull, EarlyStopping::Estimate, EarlyStopping::Never]
        {
            for num_beams in [1, 2, 3, 7] {
                let beams = BeamConfig {
                    num_beams,
                    num_return_sequences: num_beams,
                    early_stopping,
                    length_penalty: (seed % 5) as f64 - 2.0,
                    ..BeamConfig::default()
                };
                let together = search(seed, &prompts, &beams);
                for (prompt, found) in prompts.iter().zip(&together) {
                    assert_eq!(found.len(), num_beams);
                    assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
                    for (i, one) in found.iter().enumerate() {
                        let same = |other: &Generation| {
                            (&other.ids, other.finish) == (&one.ids, one.finish)
                        };
                        assert!(!found[..i].iter().any(same));
                        assert!(one.ids.len() <= LIMIT);
                    }
                    assert_eq!(&search(seed, &[prompt], &beams)[0], found);
                }
            }
        }
    }
}

#[test]
fn what_leaves_no_token_ends_or_is_refused() {
    let run = |config: &GenerationConfig, seed| {
        let mut steps = MadeUp { seed, rows: vec![vec![1]] };
        beam_search(&mut steps, &[&[1]], &[20], config, &BeamConfig::default())
    };
    // Four tokens are left after the prompt: the end comes at the latest behind the other three.
    let once = GenerationConfig { no_repeat_ngram_size: Some(1), ..config() };
    let found = run(&once, 1).unwrap().remove(0).remove(0);
    assert!(found.finish == Finish::Eos && found.ids.len() <= 3);
    let endless = GenerationConfig { eos: Vec::new(), ..once };
    assert!(run(&endless, 1).unwrap_err().to_string().contains("no token is allowed"));
    struct Damaged;
    impl Steps for Damaged {
        fn first(&mut self) -> Result<Vec<f32>> {
            Ok(vec![f32::NAN; VOCABULARY])
        }
        fn next(&mut self, _: &[usize], _: &[u32]) -> Result<Vec<f32>> {
            self.first()
        }
    }
    let damaged = beam_search(&mut Damaged, &[&[1]], &[9], &config(), &BeamConfig::default());
    assert!(damaged.is_err());
}
