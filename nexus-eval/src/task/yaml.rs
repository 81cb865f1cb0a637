//! YAML as task files are written in it: the values of YAML 1.1, each with its place.

use crate::{Error, Result};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Bounds against files that are small and mean much: bytes, values with their aliases followed, nesting.
const MAX_BYTES: u64 = 1 << 20;
const MAX_VALUES: usize = 1 << 16;
const MAX_DEPTH: usize = 64;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Yaml,
}

/// A line of a file, counted from 1.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) path: Arc<Path>,
    pub(super) line: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Yaml {
    /// Null, a truth value, a number or a text.
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Place {
    pub(super) fn error(&self, why: impl Into<String>) -> Error {
        Error::Data { path: self.path.to_path_buf(), line: self.line, why: why.into() }
    }
}

impl Node {
    /// The value without its places.
    pub(super) fn json(&self) -> Value {
        match &self.value {
            Yaml::Scalar(value) => value.clone(),
            Yaml::List(items) => items.iter().map(Self::json).collect(),
            Yaml::Map(entries) => Value::Object(
                entries.iter().map(|(k, v)| (k.clone(), v.json())).collect::<Map<_, _>>(),
            ),
        }
    }

    fn count(&self) -> usize {
        1 + match &self.value {
            Yaml::Scalar(_) => 0,
            Yaml::List(items) => items.iter().map(Self::count).sum(),
            Yaml::Map(entries) => entries.iter().map(|(_, node)| node.count()).sum(),
        }
    }
}

/// Reads the one document of a file.
///
/// Plain scalars mean what they mean to PyYAML, which lm-evaluation-harness reads its tasks with: `yes`, `no`, `on` and
/// `off` are truth values, `1e-5` is a text. Deviations: a date is a text; a number in base 60, a key that occurs twice
/// and any tag but those of YAML itself are refused.
pub(super) fn read(path: &Path) -> Result<Node> {
    let size = std::fs::metadata(path).map_err(Error::io("read", path))?.len();
    if size > MAX_BYTES {
        return Err(Error::format(
            path,
            format!("{size} bytes are no task file; at most {MAX_BYTES} are read"),
        ));
    }
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    parse(&text, path)
}

pub(super) fn parse(text: &str, path: &Path) -> Result<Node> {
    let path: Arc<Path> = path.into();
    let mut builder = Builder {
        events: Parser::new_from_str(text),
        place: Place { path, line: 1 },
        anchors: HashMap::new(),
        values: 0,
    };
    let mut document = None;
    loop {
        match builder.next()? {
            Event::StreamEnd => break,
            Event::DocumentStart(_) if document.is_some() => {
                return Err(builder.place.error("a second document begins here; keep one"));
            }
            Event::DocumentStart(_) => {
                let first = builder.next()?;
                document = Some(builder.node(first, 0)?);
            }
            _ => {}
        }
    }
    document.ok_or_else(|| builder.place.error("the file is empty"))
}

struct Builder<'a> {
    events: Parser<'a, StrInput<'a>>,
    /// Where the last event began.
    place: Place,
    anchors: HashMap<usize, Node>,
    values: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<Event<'a>> {
        match self.events.next() {
            None => Ok(Event::StreamEnd),
            Some(Ok((event, Span { start, .. }))) => {
                self.place.line = start.line().max(1);
                Ok(event)
            }
            Some(Err(why)) => {
                self.place.line = why.marker().line().max(1);
                Err(self.place.error(format!("not YAML: {}", why.info())))
            }
        }
    }

    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<Node> {
        let place = self.place.clone();
        self.values += 1;
        if self.values > MAX_VALUES || depth > MAX_DEPTH {
            return Err(place.error("too many values, or nested too deep, for a task file"));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (Yaml::Scalar(scalar(&text, style, tag.as_deref(), &place)?), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_deref(), &["seq"], &place)?;
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break,
                        event => items.push(self.node(event, depth + 1)?),
                    }
                }
                (Yaml::List(items), anchor)
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_deref(), &["map"], &place)?;
                (Yaml::Map(self.entries(depth + 1)?), anchor)
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let node = node.ok_or_else(|| place.error("an alias of what contains it"))?;
                self.values += node.count();
                return Ok(node);
            }
            _ => return Err(place.error("not YAML: a value is expected")),
        };
        let node = Node { place, value };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<(String, Node)>> {
        let (mut entries, mut merged): (Vec<(String, Node)>, Vec<Node>) = Default::default();
        loop {
            let event = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let merge = matches!(&event, Event::Scalar(key, ScalarStyle::Plain, ..) if key == "<<");
            let key = self.node(event, depth)?;
            let value = self.next()?;
            let value = self.node(value, depth)?;
            let Yaml::Scalar(Value::String(name)) = key.value else {
                return Err(key.place.error("a key must be a text; put it in quotes"));
            };
            if merge {
                merged.push(value);
            } else if entries.iter().any(|(other, _)| *other == name) {
                return Err(key.place.error(format!("the key {name:?} occurs twice")));
            } else {
                // An error about a key names the line of the key.
                entries.push((name, Node { place: key.place, value: value.value }));
            }
        }
        for node in merged {
            let maps = match node.value {
                Yaml::List(items) => items,
                _ => vec![node],
            };
            for map in maps {
                let Yaml::Map(more) = map.value else {
                    return Err(map.place.error("`<<` takes a mapping, or a list of them"));
                };
                for (name, value) in more {
                    if entries.iter().all(|(other, _)| *other != name) {
                        entries.push((name, value));
                    }
                }
            }
        }
        Ok(entries)
    }
}

fn check_tag(tag: Option<&Tag>, allowed: &[&str], place: &Place) -> Result<()> {
    match tag {
        Some(tag) if tag.handle == "!" && tag.suffix == "function" => Err(place.error(
            "`!function` names a function of Python, which is not run here; write a template or a field in its place, or \
             prepare the data with it beforehand",
        )),
        Some(tag) if !(tag.is_yaml_core_schema() && allowed.contains(&tag.suffix.as_str())) => {
            Err(place.error(format!("the tag `{tag}` has no meaning here")))
        }
        _ => Ok(()),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, place: &Place) -> Result<Value> {
    check_tag(tag, &["str", "null", "bool", "int", "float"], place)?;
    if style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.suffix == "str") {
        return Ok(text.into());
    }
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => true.into(),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => false.into(),
        _ => match number(text) {
            Some(Number::Int(value)) => value.into(),
            Some(Number::Float(value)) if value.is_finite() => value.into(),
            Some(Number::Float(_)) => return Err(place.error("a finite number is expected")),
            Some(Number::Base60) => {
                let why = format!("{text} is a number in base 60 to YAML 1.1; put it in quotes");
                return Err(place.error(why));
            }
            None => text.into(),
        },
    })
}

enum Number {
    Int(i64),
    Float(f64),
    Base60,
}

/// A number by the patterns of YAML 1.1 as PyYAML has them; anything else is a text.
fn number(text: &str) -> Option<Number> {
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (if text.starts_with('-') { "-" } else { "" }, rest),
        None => ("", text),
    };
    let plain = digits.replace('_', "");
    let all = |text: &str, of: fn(&u8) -> bool| !text.is_empty() && text.bytes().all(|b| of(&b));
    let integer = |digits: &str, radix| {
        i64::from_str_radix(&format!("{sign}{digits}"), radix).ok().map(Number::Int)
    };
    if let Some(hex) = plain.strip_prefix("0x") {
        return all(hex, u8::is_ascii_hexdigit).then(|| integer(hex, 16))?;
    }
    if let Some(binary) = plain.strip_prefix("0b") {
        return all(binary, |b| matches!(b, b'0' | b'1')).then(|| integer(binary, 2))?;
    }
    if !digits.starts_with('_') && all(&plain, u8::is_ascii_digit) {
        return match plain.strip_prefix('0').filter(|rest| !rest.is_empty()) {
            // `08` is a text.
            Some(octal) => integer(octal, 8),
            None => integer(&plain, 10),
        };
    }
    let lower = digits.to_ascii_lowercase();
    if lower == ".inf" || (lower == ".nan" && sign.is_empty()) {
        return Some(Number::Float(f64::INFINITY));
    }
    let groups: Vec<&str> = digits.split(':').collect();
    if groups.len() > 1 && groups.iter().all(|group| all(group, |b| b.is_ascii_digit())) {
        return Some(Number::Base60);
    }
    // A dot is needed, and a sign in the exponent.
    let (mantissa, exponent) = match lower.split_once('e') {
        Some((mantissa, exponent)) => (mantissa.to_owned(), Some(exponent)),
        None => (lower.clone(), None),
    };
    let (whole, fraction) = mantissa.split_once('.')?;
    let loose = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let begins = match whole.as_bytes().first() {
        Some(first) => first.is_ascii_digit(),
        None => digits.len() == text.len() && fraction.as_bytes().first()?.is_ascii_digit(),
    };
    let exponent = exponent
        .is_none_or(|e| e.strip_prefix(['-', '+']).is_some_and(|e| all(e, u8::is_ascii_digit)));
    (begins && loose(whole) && loose(fraction) && exponent)
        .then(|| format!("{sign}{}", lower.replace('_', "")).parse().ok().map(Number::Float))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn json(text: &str) -> Value {
        parse(text, Path::new("t.yaml")).unwrap().json()
    }

    fn error(text: &str) -> String {
        parse(text, Path::new("t.yaml")).unwrap_err().to_string()
    }

    #[test]
    fn scalars_mean_what_they_mean_to_pyyaml() {
        // The right sides are yaml.safe_load's of PyYAML 6.0.
        for (text, value) in [
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("y", json!("y")),
            ("~", json!(null)),
            ("1_000", json!(1000)),
            ("-12", json!(-12)),
            ("010", json!(8)),
            ("08", json!("08")),
            ("0x1F", json!(31)),
            ("0b11", json!(3)),
            ("1e-5", json!("1e-5")),
            ("1.0e-5", json!(1e-5)),
            ("1.5e3", json!("1.5e3")),
            (".5", json!(0.5)),
            ("1.", json!(1.0)),
            (".", json!(".")),
            ("-.5", json!("-.5")),
            ("._5", json!("._5")),
            ("1._5", json!(1.5)),
            ("1_0.5", json!(10.5)),
            ("-1.5e+3", json!(-1500.0)),
            ("00", json!(0)),
            ("_1", json!("_1")),
            ("1:a", json!("1:a")),
            ("0.0", json!(0.0)),
            ("'no'", json!("no")),
            ("!!str 12", json!("12")),
            ("- 1\n- [a, {b: c}]", json!([1, ["a", {"b": "c"}]])),
        ] {
            assert_eq!(json(text), value, "{text}");
        }
    }

    #[test]
    fn block_texts_anchors_and_merges() {
        let text = "a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}\nc: |\n  one\n  two\nd: >-\n  one\n  two\ne: \"\\n\\n\"\n";
        let expected = json!({
            "a": {"k": 1, "l": 2}, "b": {"l": 3, "k": 1}, "c": "one\ntwo\n", "d": "one two", "e": "\n\n",
        });
        assert_eq!(json(text), expected);
    }

    #[test]
    fn what_is_refused_names_its_line() {
        for (text, line, why) in [
            ("a: 1\nprocess_docs: !function utils.process\n", 2, "`!function`"),
            ("a: 1\nb: 2\na: 3\n", 3, "occurs twice"),
            ("a: 1\n--- \nb: 2\n", 2, "second document"),
            ("a: [1\nb: 2\n", 2, "not YAML"),
            ("a: 12:30\n", 1, "base 60"),
            ("a: 1\n1: b\n", 2, "must be a text"),
            ("a: .inf\n", 1, "finite"),
            ("a: !!python/object:os.system x\n", 1, "no meaning"),
            ("", 1, "empty"),
        ] {
            let error = error(text);
            assert!(
                error.starts_with(&format!("t.yaml:{line}: ")) && error.contains(why),
                "{error}"
            );
        }
    }

    #[test]
    fn aliases_of_aliases_are_bounded() {
        let mut text = "a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8]\n".to_string();
        for i in 1..12 {
            let list = vec![format!("*a{}", i - 1); 8].join(", ");
            text += &format!("a{i}: &a{i} [{list}]\n");
        }
        assert!(error(&text).contains("too many values"));
        assert!(error(&"[".repeat(100)).contains("nested too deep"));
        assert!(parse(&"[".repeat(100_000), Path::new("t.yaml")).is_err());
    }
}
