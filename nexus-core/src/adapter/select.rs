//! Which modules an adapter configuration means, by PEFT's rules.

use super::config::{AdapterConfig, Modules};
use crate::model::LowRankSettings;
use crate::{Error, Result};
use regex::{Regex, RegexBuilder};

/// The most bytes of one compiled pattern, and of all patterns of a field together: a short pattern that repeats a class
/// of characters compiles to many times its length.
const MAX_PATTERN_BYTES: usize = 1 << 20;
const MAX_PATTERNS_BYTES: usize = 64 << 20;

/// A checked configuration with its patterns compiled.
pub(super) struct Selection<'a> {
    config: &'a AdapterConfig,
    target: Matcher,
    exclude: Option<Matcher>,
    ranks: Vec<(Regex, usize)>,
    alphas: Vec<(Regex, f64)>,
}

enum Matcher {
    AllLinear,
    Names(Vec<String>),
    Pattern(Regex),
}

impl Matcher {
    fn new(field: &str, modules: &Modules) -> Result<Self> {
        Ok(match modules {
            Modules::Names(names) if names.is_empty() => {
                return Err(Error::config(field, "[]", "at least one name"));
            }
            Modules::Names(names) => Self::Names(names.clone()),
            Modules::Pattern(pattern) if pattern == "all-linear" => Self::AllLinear,
            Modules::Pattern(pattern) => {
                Self::Pattern(regex(field, &format!("^(?:{pattern})$"), MAX_PATTERN_BYTES)?)
            }
        })
    }

    fn matches(&self, module: &str) -> bool {
        match self {
            // PEFT leaves the output layer out.
            Self::AllLinear => !["lm_head", "score", "classifier"].contains(&module),
            Self::Names(names) => names.iter().any(|name| ends_with_name(module, name)),
            Self::Pattern(pattern) => pattern.is_match(module),
        }
    }
}

impl<'a> Selection<'a> {
    pub(super) fn new(config: &'a AdapterConfig) -> Result<Self> {
        config.check()?;
        let target = config.target_modules.as_ref().ok_or_else(|| {
            Error::config("target_modules", "null", "a list, a pattern, or \"all-linear\"")
        })?;
        let patterns = config.rank_pattern.len().max(config.alpha_pattern.len()).max(1);
        let limit = MAX_PATTERN_BYTES.min(MAX_PATTERNS_BYTES / patterns);
        let suffix =
            |field: &str, pattern: &str| regex(field, &format!(r"^(?:.*\.)?(?:{pattern})$"), limit);
        Ok(Self {
            config,
            target: Matcher::new("target_modules", target)?,
            exclude: config
                .exclude_modules
                .as_ref()
                .map(|modules| Matcher::new("exclude_modules", modules))
                .transpose()?,
            ranks: config
                .rank_pattern
                .iter()
                .map(|(pattern, &rank)| Ok((suffix("rank_pattern", pattern)?, rank)))
                .collect::<Result<_>>()?,
            alphas: config
                .alpha_pattern
                .iter()
                .map(|(pattern, &alpha)| Ok((suffix("alpha_pattern", pattern)?, alpha)))
                .collect::<Result<_>>()?,
        })
    }

    /// Whether the module gets an adapter. `module` is a Hugging Face path; a `table` is not linear.
    pub(super) fn targets(&self, module: &str, table: bool) -> bool {
        if table && matches!(self.target, Matcher::AllLinear) {
            return false;
        }
        let block = || module.split('.').find_map(|part| part.parse::<usize>().ok());
        let excluded = self.exclude.as_ref().is_some_and(|exclude| exclude.matches(module));
        let layer = self
            .config
            .layers_to_transform
            .as_ref()
            .is_none_or(|layers| block().is_some_and(|index| layers.contains(index)));
        self.target.matches(module) && !excluded && layer
    }

    /// Whether the module is trained and saved whole.
    pub(super) fn saves(&self, module: &str) -> bool {
        let names = self.config.modules_to_save.iter().flatten();
        // PEFT compares bare endings ("classifier" means "pre_classifier" too), and takes what is inside a module with it.
        let ends = || module.match_indices('.').map(|(dot, _)| &module[..dot]).chain([module]);
        names.into_iter().any(|name| ends().any(|outer| outer.ends_with(name.as_str())))
    }

    /// Whether the parameter at one of our paths is one of the vocabulary's that are stored in full.
    pub(super) fn stores(&self, path: &str) -> bool {
        self.config.stored_vocabulary.contains(path)
    }

    /// Rank, alpha, scale and dropout of the module's adapter.
    pub(super) fn settings(&self, module: &str, dropout: f64, salt: u64) -> LowRankSettings {
        let find = |name: &str, regex: &Regex| regex.is_match(name);
        let rank = self.ranks.iter().find(|(regex, _)| find(module, regex));
        let rank = rank.map_or(self.config.r, |(_, rank)| *rank);
        let alpha = self.alphas.iter().find(|(regex, _)| find(module, regex));
        let alpha = alpha.map_or(self.config.lora_alpha, |(_, alpha)| *alpha);
        let divisor = if self.config.use_rslora { (rank as f64).sqrt() } else { rank as f64 };
        LowRankSettings { rank, alpha, scale: alpha / divisor, dropout, salt }
    }
}

fn ends_with_name(module: &str, name: &str) -> bool {
    module == name || module.strip_suffix(name).is_some_and(|head| head.ends_with('.'))
}

fn regex(field: &str, pattern: &str, limit: usize) -> Result<Regex> {
    RegexBuilder::new(pattern).size_limit(limit).build().map_err(|why| {
        Error::config(field, pattern, format!("a regular expression without look-around ({why})"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(target: Modules) -> AdapterConfig {
        AdapterConfig { target_modules: Some(target), ..AdapterConfig::default() }
    }

    #[test]
    fn names_match_whole_endings_only() {
        let config = config(Modules::Names(vec!["q_proj".into(), "mlp.up_proj".into()]));
        let selection = Selection::new(&config).unwrap();
        assert!(selection.targets("model.layers.0.self_attn.q_proj", false));
        assert!(selection.targets("model.layers.1.mlp.up_proj", false));
        assert!(!selection.targets("model.layers.0.self_attn.eq_proj", false));
        assert!(!selection.targets("model.layers.0.self_attn.k_proj", false));
    }

    #[test]
    fn a_pattern_matches_the_whole_path() {
        let config = config(Modules::Pattern(r".*\.0\.self_attn\.[qv]_proj".into()));
        let selection = Selection::new(&config).unwrap();
        assert!(selection.targets("model.layers.0.self_attn.v_proj", false));
        assert!(!selection.targets("model.layers.1.self_attn.v_proj", false));
        assert!(!selection.targets("model.layers.0.self_attn.v_proj.more", false));
    }

    #[test]
    fn all_linear_leaves_the_head_out() {
        let config = AdapterConfig::default();
        let selection = Selection::new(&config).unwrap();
        assert!(selection.targets("model.layers.0.mlp.down_proj", false));
        assert!(!selection.targets("lm_head", false));
        assert!(!selection.targets("model.embed_tokens", true));
    }

    #[test]
    fn patterns_and_rslora_set_the_scale() {
        let mut config = AdapterConfig { use_rslora: true, ..AdapterConfig::default() };
        config.rank_pattern.insert("q_proj".into(), 4);
        config.alpha_pattern.insert(r"layers\.1\.self_attn\.q_proj".into(), 32.0);
        let selection = Selection::new(&config).unwrap();
        let scale = |module: &str| {
            let settings = selection.settings(module, 0.0, 0);
            (settings.rank, settings.alpha, settings.scale)
        };
        assert_eq!(scale("model.layers.1.self_attn.q_proj"), (4, 32.0, 16.0));
        assert_eq!(scale("model.layers.0.self_attn.q_proj"), (4, 8.0, 4.0));
        assert_eq!(scale("model.layers.0.mlp.up_proj").0, 8);
    }

    #[test]
    fn a_pattern_with_look_ahead_is_refused_with_its_reason() {
        let config = config(Modules::Pattern("(?!x)y".into()));
        let error = Selection::new(&config).err().unwrap().to_string();
        assert!(error.contains("target_modules") && error.contains("look-around"), "{error}");
    }
}
