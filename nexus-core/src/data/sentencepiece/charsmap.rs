//! The compiled character map of a SentencePiece normalizer.
//!
//! Its bytes are the size of a double-array trie (u32), the trie (u32 each; Aoe 1989, in the layout
//! of Darts-clone) and the replacements, each ended by a zero byte. What looks texts up in it does
//! not check its indices, so the trie is checked as a whole before it is used.

use serde_json::{Value, json};
use tokenizers::normalizers::Precompiled;

/// The longest replacement of the published maps has 33 bytes; a bound keeps texts from growing.
const MAX_REPLACEMENT_BYTES: usize = 256;

/// The `Precompiled` normalizer of a `tokenizer.json`.
pub(super) fn normalizer(bytes: &[u8]) -> Result<Value, String> {
    check(bytes).ok_or("its compiled character map is damaged")?;
    let map = Precompiled::from(bytes).map_err(|e| e.to_string())?;
    Ok(json!(map))
}

/// Refuses a `tokenizer.json`'s normalizer with a map whose trie claims more bytes than the map has: its reader allocates
/// 8 bytes for each 4 that are claimed.
pub(in crate::data) fn check_stored(normalizer: &Value) -> Result<(), String> {
    match normalizer {
        Value::Object(fields) => {
            if let Some(Value::String(map)) = fields.get("precompiled_charsmap")
                && claimed_size(map).is_none_or(|size| size > map.len())
            {
                return Err("its compiled character map is damaged".into());
            }
            fields.values().try_for_each(check_stored)
        }
        Value::Array(list) => list.iter().try_for_each(check_stored),
        _ => Ok(()),
    }
}

/// The size of the trie by the first four bytes of a map in base64.
fn claimed_size(map: &str) -> Option<usize> {
    let mut bits = 0u64;
    for &letter in map.as_bytes().get(..6)? {
        let digit = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u64::from(digit);
    }
    usize::try_from(((bits >> 4) as u32).swap_bytes()).ok()
}

/// `Some` where no look-up can leave the trie or the replacements.
fn check(bytes: &[u8]) -> Option<()> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    let (trie, replacements) =
        rest.split_at_checked(usize::try_from(u32::from_le_bytes(*size)).ok()?)?;
    let replacements = std::str::from_utf8(replacements).ok()?;
    let (units, []) = trie.as_chunks::<4>() else { return None };
    let unit = |index: usize| Some(u32::from_le_bytes(*units.get(index)?));
    // Children are found by an exclusive or with one byte, which stays within a block of 256.
    if units.is_empty() || units.len() % 256 != 0 {
        return None;
    }
    for index in 0..units.len() {
        let node = unit(index)?;
        // The highest bit marks a value, which is never followed (the root always is).
        if node >> 31 == 1 && index > 0 {
            continue;
        }
        let offset = (node >> 10) << ((node & (1 << 9)) >> 6);
        let value = unit(index ^ usize::try_from(offset).ok()?)?;
        if (node >> 8) & 1 == 1 {
            let start = usize::try_from(value & !(1 << 31)).ok()?;
            let replacement = replacements.get(start..)?.bytes().take_while(|&b| b != 0);
            if replacement.take(MAX_REPLACEMENT_BYTES + 1).count() > MAX_REPLACEMENT_BYTES {
                return None;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_stored_map_is_read() {
        // The bytes 4, 3, 2, 1 in base64.
        assert_eq!(claimed_size("BAMCAQ=="), Some(0x0102_0304));
        assert_eq!(claimed_size("/////w=="), Some(u32::MAX as usize));
        assert_eq!(claimed_size("AAAA"), None);
    }
}
