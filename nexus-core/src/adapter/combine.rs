//! Several adapters made into one.

use super::config::Modules;
use super::detached::Adapter;
use super::svd;
use crate::model::{LowRank, LowRankSettings};
use crate::{Error, Result};
use burn::tensor::{Tensor, TensorData};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How adapters become one, as PEFT's `add_weighted_adapter` does it. `w` is the weight of an adapter, `s` its scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combination {
    /// `A = sum sqrt(|w s|) sign(w s) A_i`, `B = sum sqrt(|w s|) B_i`: of the same size, but with products of different
    /// adapters in it. All ranks must be equal.
    Linear,
    /// The factors side by side: exactly `sum w s A_i B_i`, of the sum of the ranks.
    Cat,
    /// The best approximation of `sum w s A_i B_i` of this rank, by default the largest of the adapters'.
    Svd {
        /// The rank of the result.
        rank: Option<usize>,
    },
}

impl Adapter {
    /// One adapter from several for the same base, each with its weight. Where an adapter has no part at a module, it
    /// adds nothing there.
    ///
    /// # Errors
    /// [`Error::Adapter`] when there is none, when their ranks do not fit, when two were made for weights of different
    /// shapes or store the same module in full, and for DoRA, whose magnitudes do not add up; [`Error::Config`] for a
    /// weight that is not finite.
    pub fn combine(adapters: &[(&Adapter, f64)], how: Combination) -> Result<Self> {
        let Some(((first, _), rest)) = adapters.split_first() else {
            return Err(Error::Adapter { why: "there is none to combine".into() });
        };
        let mut whole = first.whole.clone();
        for (adapter, _) in rest {
            for (path, stored) in &adapter.whole {
                if whole.insert(path.clone(), stored.clone()).is_some() {
                    let why = format!("two of them store {path} in full, which cannot be combined");
                    return Err(Error::Adapter { why });
                }
            }
        }
        let mut by_path: BTreeMap<&str, Vec<(&LowRank, f64)>> = BTreeMap::new();
        for (adapter, weight) in adapters {
            if !weight.is_finite() {
                return Err(Error::config("weight of an adapter", weight, "a finite number"));
            }
            for (path, part) in &adapter.parts {
                by_path.entry(path).or_default().push((part, *weight));
            }
        }
        for (path, parts) in &by_path {
            check(path, parts)?;
        }
        let ranks = || by_path.values().map(|parts| parts.iter().map(|(part, _)| rank(part)));
        let largest = ranks().flatten().max().unwrap_or(1);
        let rank = match how {
            Combination::Linear => {
                if ranks().flatten().any(|rank| rank != largest) {
                    let why = "a linear combination needs equal ranks; use Cat or Svd".into();
                    return Err(Error::Adapter { why });
                }
                largest
            }
            Combination::Cat => ranks().map(|ranks| ranks.sum()).max().unwrap_or(1),
            Combination::Svd { rank: Some(rank) } if rank == 0 || rank > 1 << 16 => {
                return Err(Error::config("rank", rank, "a rank from 1 to 65536"));
            }
            Combination::Svd { rank } => rank.unwrap_or(largest),
        };
        let mut parts = BTreeMap::new();
        for (path, given) in by_path {
            let (a, b) = match how {
                Combination::Linear => linear(&given),
                Combination::Cat => cat(&given, rank),
                Combination::Svd { .. } => truncated(&given, rank),
            };
            let dropout = given[0].0.settings().dropout;
            let salt = given[0].0.settings().salt;
            let settings = LowRankSettings { rank, alpha: rank as f64, scale: 1.0, dropout, salt };
            parts.insert(path.to_string(), LowRank::new(a, b, settings));
        }
        let modules = adapters.iter().flat_map(|(adapter, _)| adapter.modules.clone()).collect();
        Ok(Self { config: Arc::new(config(adapters, rank)), parts, whole, modules })
    }
}

/// What the adapters have in common, with every module that one of them selects.
fn config(adapters: &[(&Adapter, f64)], rank: usize) -> super::AdapterConfig {
    let mut config = adapters[0].0.config().clone();
    let mut names = BTreeSet::new();
    let mut exact = true;
    for (adapter, _) in adapters {
        match &adapter.config().target_modules {
            Some(Modules::Names(list)) => names.extend(list.iter().cloned()),
            _ => exact = false,
        }
        let saved = adapter.config().modules_to_save.iter().flatten();
        for name in saved {
            let all = config.modules_to_save.get_or_insert_default();
            if !all.contains(name) {
                all.push(name.clone());
            }
        }
        exact &= adapter.config().layers_to_transform.is_none();
        exact &= adapter.config().exclude_modules.is_none();
        config.stored_vocabulary.extend(adapter.config().stored_vocabulary.iter().cloned());
    }
    config.target_modules = Some(match exact {
        true => Modules::Names(names.into_iter().collect()),
        // What patterns and layers select is written out, by the names that files use.
        false => {
            let modules: BTreeSet<_> = adapters.iter().flat_map(|(a, _)| &a.modules).collect();
            Modules::Names(modules.into_iter().cloned().collect())
        }
    });
    config.r = rank;
    config.lora_alpha = rank as f64;
    config.use_rslora = false;
    config.exclude_modules = None;
    config.layers_to_transform = None;
    config.rank_pattern.clear();
    config.alpha_pattern.clear();
    config
}

fn rank(part: &LowRank) -> usize {
    part.settings().rank
}

fn check(path: &str, parts: &[(&LowRank, f64)]) -> Result<()> {
    let dims = parts[0].0.dims();
    for (part, _) in parts {
        if part.magnitude().is_some() {
            return Err(Error::Adapter { why: "adapters with DoRA cannot be combined".into() });
        }
        if part.dims() != dims {
            let why = format!(
                "{path}: made for weights of {dims:?} and of {:?}; they have different bases",
                part.dims()
            );
            return Err(Error::Adapter { why });
        }
    }
    Ok(())
}

fn linear(parts: &[(&LowRank, f64)]) -> (Tensor<2>, Tensor<2>) {
    let sum = |factor: &dyn Fn(&LowRank, f64) -> Tensor<2>| {
        let mut terms = parts.iter().map(|(part, weight)| factor(part, *weight));
        let first = terms.next().expect("every path has a part");
        terms.fold(first, |sum, term| sum + term)
    };
    let scaled = |part: &LowRank, weight: f64| weight * part.settings().scale;
    let sign = |x: f64| if x < 0.0 { -1.0 } else { 1.0 };
    let a = sum(&|part, weight| {
        let scaled = scaled(part, weight);
        part.a().without_autodiff() * (scaled.abs().sqrt() * sign(scaled))
    });
    let b = sum(&|part, weight| part.b().without_autodiff() * scaled(part, weight).abs().sqrt());
    (a, b)
}

fn cat(parts: &[(&LowRank, f64)], rank: usize) -> (Tensor<2>, Tensor<2>) {
    let [inputs, outputs] = parts[0].0.dims();
    let scaled = |(part, weight): &(&LowRank, f64)| {
        part.a().without_autodiff() * (weight * part.settings().scale)
    };
    let mut a: Vec<Tensor<2>> = parts.iter().map(scaled).collect();
    let mut b: Vec<Tensor<2>> = parts.iter().map(|(part, _)| part.b().without_autodiff()).collect();
    let device = a[0].device();
    let missing = rank - parts.iter().map(|(part, _)| self::rank(part)).sum::<usize>();
    if missing > 0 {
        a.push(Tensor::zeros([inputs, missing], &device));
        b.push(Tensor::zeros([missing, outputs], &device));
    }
    (Tensor::cat(a, 1), Tensor::cat(b, 0))
}

fn truncated(parts: &[(&LowRank, f64)], rank: usize) -> (Tensor<2>, Tensor<2>) {
    let [inputs, outputs] = parts[0].0.dims();
    let device = parts[0].0.a().without_autodiff().device();
    let inner = parts.iter().map(|(part, _)| self::rank(part)).sum();
    let (a, b) = cat(parts, inner);
    let rows = |x: Tensor<2>, length: usize| -> Vec<Vec<f64>> {
        let values: Vec<f64> = x.into_data().iter::<f64>().collect();
        values.chunks(length.max(1)).map(<[f64]>::to_vec).collect()
    };
    let (u, v) = svd::truncated(rows(a.transpose(), inputs), rows(b, outputs), rank);
    let flat = |rows: Vec<Vec<f64>>, length: usize| {
        let mut values: Vec<f32> = rows.into_iter().flatten().map(|x| x as f32).collect();
        // A product of a lower rank has nothing in its further columns.
        values.resize(rank * length, 0.0);
        Tensor::<2>::from_data(TensorData::new(values, [rank, length]), &device)
    };
    (flat(u, inputs).transpose(), flat(v, outputs))
}
