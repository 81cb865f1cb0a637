//! The rotary fields of a `config.json`, in the present form (`rope_parameters`) and in the older one
//! (`rope_theta` and `rope_scaling`).

use super::super::rotary::{RotaryConfig, RotaryScaling};
use super::ConfigReader;
use crate::{Error, Result};

pub(super) fn config(json: &ConfigReader, max_positions: usize) -> Result<RotaryConfig> {
    // Where both are present, transformers lets a non-empty rope_scaling win.
    let fields = match json.object("rope_scaling")?.filter(|fields| !fields.is_empty()) {
        Some(fields) => Some(fields),
        None => json.object("rope_parameters")?,
    };
    let outer_theta = json.number("rope_theta", 10_000.0)?;
    let Some(fields) = fields else {
        return Ok(RotaryConfig { theta: outer_theta, scaling: RotaryScaling::Default });
    };
    if fields.number("partial_rotary_factor", 1.0)? != 1.0 {
        return Err(fields.wrong("partial_rotary_factor", "1"));
    }
    let theta = fields.number("rope_theta", outer_theta)?;
    // The oldest files say "type".
    let kind = match fields.optional_text("rope_type")? {
        Some(kind) => kind,
        None => fields.optional_text("type")?.unwrap_or("default"),
    };
    let factor = |default: Option<f64>| {
        let value = fields.number("factor", default.unwrap_or(f64::NAN))?;
        match value >= 1.0 {
            true => Ok(value),
            false => Err(fields.wrong("factor", "a number >= 1")),
        }
    };
    let trained_length = || -> Result<usize> {
        let field = "original_max_position_embeddings";
        let length = match json.optional_size(field)? {
            Some(length) => length,
            None => fields.optional_size(field)?.unwrap_or(max_positions),
        };
        match length {
            0 => Err(Error::config("original_max_position_embeddings", 0, "at least 1")),
            length => Ok(length),
        }
    };
    let scaling = match kind {
        "default" => RotaryScaling::Default,
        "linear" => RotaryScaling::Linear { factor: factor(None)? },
        "dynamic" => {
            RotaryScaling::Dynamic { factor: factor(None)?, trained_length: max_positions }
        }
        "yarn" => {
            let trained_length = trained_length()?;
            // Where the file says both, the stretch is what it takes to reach the stated length.
            let implied = max_positions as f64 / trained_length as f64;
            let factor = factor(Some(implied))?;
            RotaryScaling::Yarn {
                factor,
                trained_length,
                beta_fast: fields.number("beta_fast", 32.0)?,
                beta_slow: fields.number("beta_slow", 1.0)?,
                attention_factor: attention_factor(&fields, factor)?,
                truncate: fields.flag("truncate", true)?,
            }
        }
        "llama3" => RotaryScaling::Llama3 {
            factor: factor(None)?,
            low: fields.number("low_freq_factor", 1.0)?,
            high: fields.number("high_freq_factor", 4.0)?,
            trained_length: trained_length()?,
        },
        _ => {
            let allowed = "one of default, linear, dynamic, yarn, llama3";
            return Err(fields.wrong("rope_type", allowed));
        }
    };
    Ok(RotaryConfig { theta, scaling })
}

/// YaRN's attention factor: stated, or `0.1 ln(factor) + 1` (arXiv:2309.00071, section 3.4), or the ratio of the
/// two `mscale` forms that DeepSeek's files use.
fn attention_factor(fields: &ConfigReader, factor: f64) -> Result<f64> {
    let mscale = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
    let stated = fields.number("attention_factor", f64::NAN)?;
    if !stated.is_nan() {
        return Ok(stated);
    }
    let one = fields.number("mscale", 0.0)?;
    let all = fields.number("mscale_all_dim", 0.0)?;
    Ok(if one != 0.0 && all != 0.0 { mscale(one) / mscale(all) } else { mscale(1.0) })
}
