//! Several adapters on one model, a row of a batch each its own.

use super::detached::{Adapter, each_site};
use crate::model::{LowRank, LowRankSettings, Model};
use crate::{Error, Result};
use burn::tensor::Tensor;
use std::collections::BTreeMap;
use std::ops::Range;

/// A model that carries several adapters side by side. Which of them a sequence uses is said with every pass
/// ([`Pass::with_adapters`](crate::model::Pass::with_adapters), or
/// [`generate_batch_with_adapters`](crate::generate::generate_batch_with_adapters)) by its number in `adapters`, so that one batch serves many
/// of them with one product of the base.
///
/// Factors are copied, the base is not. The result is for inference: it has no adapter that could be saved or merged.
///
/// # Errors
/// [`Error::Adapter`] when the base has an adapter already, when one was made for another base, and for what cannot
/// differ between the rows of a batch: DoRA, modules stored in full, adapters of an embedding or a head.
pub fn mix<M: Model>(base: M, adapters: &[&Adapter]) -> Result<M> {
    if base.adapter().is_some() {
        let why = "the model has one already; merge it or take it off first".into();
        return Err(Error::Adapter { why });
    }
    let mut by_path: BTreeMap<&str, Vec<(usize, &LowRank)>> = BTreeMap::new();
    for (number, adapter) in adapters.iter().enumerate() {
        let refused = |what: &str| {
            let why = format!("number {number} of the batch has {what}; serve it alone");
            Err(Error::Adapter { why })
        };
        if !adapter.whole.is_empty() {
            return refused("modules stored in full");
        }
        for (path, part) in &adapter.parts {
            if part.magnitude().is_some() {
                return refused("DoRA");
            }
            if ["embedding", "head", "classes", "masked.transform"].contains(&path.as_str()) {
                return refused("a part on the embedding or the head");
            }
            by_path.entry(path).or_default().push((number, part));
        }
    }
    let mut model = base.no_grad();
    each_site(&mut model, |site| {
        let Some(parts) = by_path.remove(site.path.as_str()) else { return Ok(()) };
        if let Some((number, part)) =
            parts.iter().find(|(_, part)| part.dims() != site.target.dims())
        {
            let why = format!(
                "number {number} of the batch: {}: made for a weight of {:?}, the model has {:?}",
                site.module,
                part.dims(),
                site.target.dims()
            );
            return Err(Error::Adapter { why });
        }
        site.target.attach(side_by_side(&parts, adapters.len()));
        Ok(())
    })?;
    match by_path.keys().next() {
        None => Ok(model),
        Some(path) => Err(Error::Adapter {
            why: format!("{path} is not in this model; the adapter has another base"),
        }),
    }
}

/// Refuses numbers of adapters that a model of [`mix`] does not have.
pub(crate) fn check_numbers<M: Model>(model: &M, rows: &[Option<usize>]) -> Result<()> {
    let mut count = 0;
    // A clone shares its tensors.
    each_site(&mut model.clone(), |site| {
        count = count.max(site.target.adapter().and_then(LowRank::share_count).unwrap_or(0));
        Ok(())
    })?;
    match rows.iter().flatten().find(|number| **number >= count) {
        None => Ok(()),
        Some(number) => {
            let why =
                format!("there is no number {number}; the model mixes {count}, counted from 0");
            Err(Error::Adapter { why })
        }
    }
}

/// `A = [A_1, A_2, ...]` and `B = [s_1 B_1; s_2 B_2; ...]`.
fn side_by_side(parts: &[(usize, &LowRank)], adapters: usize) -> LowRank {
    let mut shares: Vec<Range<usize>> = vec![0..0; adapters];
    let (mut a, mut b, mut rank) = (Vec::new(), Vec::new(), 0);
    for (number, part) in parts {
        let settings = part.settings();
        a.push(part.a().without_autodiff());
        b.push(part.b().without_autodiff() * settings.scale);
        shares[*number] = rank..rank + settings.rank;
        rank += settings.rank;
    }
    let settings = LowRankSettings { rank, alpha: rank as f64, scale: 1.0, dropout: 0.0, salt: 0 };
    LowRank::new(Tensor::cat(a, 1), Tensor::cat(b, 0), settings).with_shares(shares)
}
