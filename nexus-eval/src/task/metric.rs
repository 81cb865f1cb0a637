//! The measures of a task: `metric_list`.

use super::keys::Keys;
use super::output_type::OutputType;
use super::regex::Pattern;
use super::text_metric::{TEXT_METRICS, TextMetric, TextScore};
use crate::Result;

/// A measure of a task; [`TaskConfig`](super::TaskConfig) lists them.
#[derive(Clone, Debug)]
pub(super) struct Metric {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) higher_is_better: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Acc,
    AccNorm,
    AccBytes,
    AccMutualInfo,
    Greedy,
    Perplexity,
    WordPerplexity,
    BytePerplexity,
    BitsPerByte,
    ExactMatch(Normal),
    Text(TextMetric),
    F1,
    Matthews,
    Brier,
    MacroF1,
}

/// Every name that is not in [`TEXT_METRICS`].
const NAMES: [&str; 13] = [
    "acc",
    "acc_norm",
    "acc_bytes",
    "acc_mutual_info",
    "f1",
    "mcc",
    "brier_score",
    "exact_match",
    "perplexity",
    "word_perplexity",
    "byte_perplexity",
    "bits_per_byte",
    "macro_f1",
];

/// How texts are made equal before `exact_match` compares them.
#[derive(Clone, Debug, Default)]
pub(super) struct Normal {
    ignore: Vec<Pattern>,
    case: bool,
    punctuation: bool,
    numbers: bool,
}

impl Metric {
    pub(super) fn read_all(list: Option<Vec<Keys>>, kind: OutputType) -> Result<Vec<Self>> {
        let Some(list) = list else {
            let of = |name: &&str| Self::known(name, kind, Normal::default());
            return Ok(Self::defaults(kind).iter().filter_map(of).collect());
        };
        let mut metrics: Vec<Self> = Vec::new();
        for keys in list {
            let place = keys.place.clone();
            let metric = Self::read(keys, kind)?;
            if metrics.iter().any(|other| other.name == metric.name) {
                return Err(place.error(format!("the metric {:?} occurs twice", metric.name)));
            }
            metrics.push(metric);
        }
        Ok(metrics)
    }

    fn defaults(kind: OutputType) -> &'static [&'static str] {
        match kind {
            OutputType::MultipleChoice => &["acc", "acc_norm"],
            OutputType::LogLikelihood => &["perplexity", "acc"],
            OutputType::LogLikelihoodRolling => {
                &["word_perplexity", "byte_perplexity", "bits_per_byte"]
            }
            OutputType::GenerateUntil => &["exact_match"],
            OutputType::Classification => &["acc", "macro_f1"],
        }
    }

    fn read(mut keys: Keys, kind: OutputType) -> Result<Self> {
        let place = keys.place.clone();
        let name = keys.needed_text("metric")?;
        let mut normal = Normal::default();
        if kind == OutputType::GenerateUntil && name == "exact_match" {
            let patterns = keys.texts("regexes_to_ignore")?.unwrap_or_default();
            normal = Normal {
                ignore: patterns.iter().map(|p| Pattern::new(p, &place)).collect::<Result<_>>()?,
                case: keys.flag("ignore_case")?.unwrap_or(false),
                punctuation: keys.flag("ignore_punctuation")?.unwrap_or(false),
                numbers: keys.flag("ignore_numbers")?.unwrap_or(false),
            };
        }
        let Some(mut metric) = Self::known(&name, kind, normal) else {
            return Err(place.error(Self::unknown(&name, kind)));
        };
        // Which implementation a measure of texts has is settled here.
        keys.flag("hf_evaluate")?;
        let own = metric.aggregation();
        if let Some(found) = keys.text("aggregation")?.filter(|found| found != own) {
            return Err(place.error(format!("{name} is aggregated by {own:?}, not {found:?}")));
        }
        metric.higher_is_better = keys.flag("higher_is_better")?.unwrap_or(metric.higher_is_better);
        keys.finish(&format!("the metric {name:?}"))?;
        Ok(metric)
    }

    /// Why an output type does not have a measure, and what it has.
    fn unknown(name: &str, kind: OutputType) -> String {
        let has = |name: &str, kind| Self::known(name, kind, Normal::default()).is_some();
        let names = NAMES.into_iter().chain(TEXT_METRICS.iter().map(|metric| metric.name));
        let own: Vec<&str> = names.filter(|name| has(name, kind)).collect();
        let others: Vec<&str> =
            OutputType::all().filter(|other| has(name, *other)).map(OutputType::name).collect();
        let elsewhere = match others.is_empty() {
            true => String::new(),
            false => format!(" (only {})", others.join(", ")),
        };
        let (kind, own) = (kind.name(), own.join(", "));
        format!("metric_list: {kind} has no metric {name:?}{elsewhere}; it has {own}")
    }

    pub(super) fn known(name: &str, output: OutputType, normal: Normal) -> Option<Self> {
        use OutputType::{
            Classification, GenerateUntil, LogLikelihood, LogLikelihoodRolling, MultipleChoice,
        };
        let kind = match (name, output) {
            ("acc", MultipleChoice | LogLikelihood | Classification) => Kind::Acc,
            ("acc_norm", MultipleChoice) => Kind::AccNorm,
            ("acc_bytes", MultipleChoice) => Kind::AccBytes,
            ("acc_mutual_info", MultipleChoice) => Kind::AccMutualInfo,
            ("f1", MultipleChoice) => Kind::F1,
            ("mcc", MultipleChoice) => Kind::Matthews,
            ("brier_score", MultipleChoice) => Kind::Brier,
            ("exact_match", MultipleChoice) => Kind::Greedy,
            ("perplexity", LogLikelihood) => Kind::Perplexity,
            ("word_perplexity", LogLikelihoodRolling) => Kind::WordPerplexity,
            ("byte_perplexity", LogLikelihoodRolling) => Kind::BytePerplexity,
            ("bits_per_byte", LogLikelihoodRolling) => Kind::BitsPerByte,
            ("exact_match", GenerateUntil) => Kind::ExactMatch(normal),
            ("macro_f1", Classification) => Kind::MacroF1,
            (_, GenerateUntil) => {
                Kind::Text(*TEXT_METRICS.iter().find(|metric| metric.name == name)?)
            }
            _ => return None,
        };
        let higher_is_better = match &kind {
            Kind::Perplexity
            | Kind::WordPerplexity
            | Kind::BytePerplexity
            | Kind::BitsPerByte
            | Kind::Brier => false,
            Kind::Text(metric) => metric.higher_is_better,
            _ => true,
        };
        Some(Self { name: name.into(), kind, higher_is_better })
    }

    /// The harness's name of how the values of documents become one.
    pub(super) fn aggregation(&self) -> &str {
        match &self.kind {
            Kind::Perplexity => "perplexity",
            Kind::WordPerplexity | Kind::BytePerplexity => "weighted_perplexity",
            Kind::BitsPerByte => "bits_per_byte",
            Kind::Matthews => "matthews_corrcoef",
            Kind::Text(TextMetric { score: TextScore::Corpus(_), .. })
            | Kind::F1
            | Kind::Brier
            | Kind::MacroF1 => &self.name,
            _ => "mean",
        }
    }
}

impl Normal {
    /// The text as it is compared.
    pub(super) fn of(&self, text: &str) -> Result<String> {
        let mut text = self.ignore.iter().try_fold(text.to_owned(), |t, p| p.remove_from(&t))?;
        if self.case {
            text = text.to_lowercase();
        }
        text.retain(|c| {
            !(self.punctuation && c.is_ascii_punctuation() || self.numbers && c.is_ascii_digit())
        });
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_made_equal_as_the_options_say() {
        let normal = Normal { case: true, punctuation: true, numbers: true, ignore: vec![] };
        assert_eq!(normal.of("U.S.A. 51 É").unwrap(), "usa  é");
        assert_eq!(Normal::default().of(" U.S. 5").unwrap(), " U.S. 5");
    }
}
