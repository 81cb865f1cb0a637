//! JSON of unknown origin: what it takes in memory is bounded before it is parsed, and no key may occur twice.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::marker::PhantomData;

/// The most values of a `config.json` and its like. A value takes up to 300 bytes in memory and two in the file; published
/// files have up to 60,000.
pub(crate) const MAX_CONFIG_VALUES: usize = 1 << 18;

/// Refuses a text of more than `limit` values, brackets counted; a text that is not JSON may pass.
pub(crate) fn check_values(text: &[u8], limit: usize) -> Result<(), String> {
    let (mut values, mut in_string, mut escaped) = (1usize, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' | b'[' | b'{' if !in_string => values += 1,
            _ => {}
        }
    }
    match values > limit {
        true => Err(format!("it holds {values} values, at most {limit} are read")),
        false => Ok(()),
    }
}

/// The object of a `config.json` and its like.
pub(crate) fn object(text: &[u8]) -> Result<Map<String, Value>, String> {
    check_values(text, MAX_CONFIG_VALUES)?;
    let Unique(object) = serde_json::from_slice(text).map_err(|why| why.to_string())?;
    Ok(object)
}

/// A map, read from an object whose keys must differ; plain maps keep the last of equal keys without a word.
pub(crate) struct Unique<M>(pub(crate) M);

/// A map that [`Unique`] can fill.
pub(crate) trait Keyed: Default {
    /// What stands under a key.
    type Value;

    /// Adds an entry, or gives the key back that was there already.
    fn add(&mut self, key: String, value: Self::Value) -> Result<(), String>;
}

impl Keyed for Map<String, Value> {
    type Value = Value;

    fn add(&mut self, key: String, value: Value) -> Result<(), String> {
        match self.entry(key) {
            Entry::Vacant(place) => place.insert(value),
            Entry::Occupied(place) => return Err(place.key().clone()),
        };
        Ok(())
    }
}

impl<V> Keyed for BTreeMap<String, V> {
    type Value = V;

    fn add(&mut self, key: String, value: V) -> Result<(), String> {
        match self.entry(key) {
            btree_map::Entry::Vacant(place) => place.insert(value),
            btree_map::Entry::Occupied(place) => return Err(place.key().clone()),
        };
        Ok(())
    }
}

impl<'de, M: Keyed<Value: Deserialize<'de>>> Deserialize<'de> for Unique<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData)).map(Unique)
    }
}

struct Entries<M>(PhantomData<M>);

impl<'de, M: Keyed<Value: Deserialize<'de>>> Visitor<'de> for Entries<M> {
    type Value = M;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<M, A::Error> {
        let mut map = M::default();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value()?;
            map.add(key, value).map_err(|key| {
                let name: String = key.chars().take(60).collect();
                A::Error::custom(format!("the key {name:?} occurs twice"))
            })?;
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_texts() {
        let text = br#"{"a,[{": [1, "\",", {}]}"#;
        assert!(check_values(text, 6).is_ok());
        assert!(check_values(text, 5).is_err());
    }

    #[test]
    fn a_key_that_occurs_twice_is_named() {
        assert_eq!(object(br#"{"a": 1, "b": 2}"#).unwrap().len(), 2);
        let error = object(br#"{"a": 1, "a": 2}"#).unwrap_err();
        assert!(error.contains("\"a\" occurs twice"), "{error}");
    }
}
