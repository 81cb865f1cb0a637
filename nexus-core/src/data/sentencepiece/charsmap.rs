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
