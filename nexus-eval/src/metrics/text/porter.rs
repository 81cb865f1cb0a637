//! The Porter stemmer with the extensions of NLTK.

use std::borrow::Cow;

/// Words with a stem of their own.
const IRREGULAR: [(&str, &str); 16] = [
    ("sky", "sky"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("innings", "inning"),
    ("inning", "inning"),
    ("outings", "outing"),
    ("outing", "outing"),
    ("cannings", "canning"),
    ("canning", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
    ("exceed", "exceed"),
    ("succeed", "succeed"),
];

/// The stem of an English word by Porter's algorithm (Porter 1980, Program 14(3), 130-137) in the form that NLTK's
/// `PorterStemmer` has by default (its mode `NLTK_EXTENSIONS`): 16 irregular forms; no change of words of one or two letters;
/// `-ies` and `-ied` of four-letter words become `-ie`; `-y` becomes `-i` only after a consonant; rules for `-bli`, `-fulli` and
/// `-logi`. It is neither Porter's original nor Snowball's English stemmer.
///
/// The word is put into lower case first. A word with a character outside ASCII is not English and has no other change.
pub fn porter_stem(word: &str) -> String {
    let word = word.to_lowercase();
    match word.is_ascii() {
        true => stem(&word).into_owned(),
        false => word,
    }
}

/// The stem of a word of lower-case ASCII characters.
pub(super) fn stem(word: &str) -> Cow<'_, str> {
    if let Some((_, stem)) = IRREGULAR.iter().find(|(form, _)| *form == word) {
        return Cow::Borrowed(stem);
    }
    if word.len() <= 2 {
        return Cow::Borrowed(word);
    }
    let mut word = word.to_string();
    for step in [step1a, step1b, step1c, step2, step3, step4, step5a, step5b] {
        step(&mut word);
    }
    Cow::Owned(word)
}

/// By letter: whether it is a consonant. A y is one at the beginning and after a vowel.
fn consonants(stem: &str) -> impl Iterator<Item = bool> {
    stem.bytes().scan(true, |after_vowel, letter| {
        let consonant = match letter {
            b'a' | b'e' | b'i' | b'o' | b'u' => false,
            b'y' => *after_vowel,
            _ => true,
        };
        *after_vowel = !consonant;
        Some(consonant)
    })
}

/// How often a consonant follows a vowel: m in `[C](VC)^m[V]`.
fn measure(stem: &str) -> usize {
    let mut after_vowel = false;
    let follows = |consonant: &bool| std::mem::replace(&mut after_vowel, !consonant) && *consonant;
    consonants(stem).filter(follows).count()
}

/// `*v*`
fn has_vowel(stem: &str) -> bool {
    consonants(stem).any(|consonant| !consonant)
}

/// `*d`: ends with two of the same consonant.
fn ends_with_double(stem: &str) -> bool {
    matches!(stem.as_bytes(), [.., a, b] if a == b) && consonants(stem).last() == Some(true)
}

/// `*o`: ends with consonant, vowel and a consonant other than w, x and y; or is a vowel and a consonant.
fn ends_with_short_syllable(stem: &str) -> bool {
    let kinds = || consonants(stem).skip(stem.len().saturating_sub(3));
    match stem.len() {
        0 | 1 => false,
        2 => kinds().eq([false, true]),
        _ => kinds().eq([true, false, true]) && !stem.ends_with(['w', 'x', 'y']),
    }
}

fn replace(word: &mut String, suffix: &str, replacement: &str) {
    word.truncate(word.len().saturating_sub(suffix.len()));
    word.push_str(replacement);
}

/// Applies the first rule whose suffix the word has, if `condition` holds for what is before it.
fn apply(word: &mut String, rules: &[(&str, &str)], condition: impl Fn(&str, &str) -> bool) {
    for (suffix, replacement) in rules {
        if let Some(stem) = word.strip_suffix(suffix) {
            if condition(stem, suffix) {
                replace(word, suffix, replacement);
            }
            return;
        }
    }
}

fn step1a(word: &mut String) {
    if word.len() == 4 && word.ends_with("ies") {
        return replace(word, "ies", "ie");
    }
    let rules = [("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")];
    apply(word, &rules, |_, _| true);
}

fn step1b(word: &mut String) {
    if word.ends_with("ied") {
        return replace(word, "ied", if word.len() == 4 { "ie" } else { "i" });
    }
    if word.ends_with("eed") {
        return apply(word, &[("eed", "ee")], |stem, _| measure(stem) > 0);
    }
    let removable = |suffix: &&str| word.strip_suffix(*suffix).is_some_and(has_vowel);
    let Some(suffix) = ["ed", "ing"].into_iter().find(removable) else { return };
    replace(word, suffix, "");
    if ["at", "bl", "iz"].iter().any(|end| word.ends_with(end)) {
        word.push('e');
    } else if ends_with_double(word) {
        if !word.ends_with(['l', 's', 'z']) {
            word.pop();
        }
    } else if measure(word) == 1 && ends_with_short_syllable(word) {
        word.push('e');
    }
}

fn step1c(word: &mut String) {
    let condition =
        |stem: &str, _: &str| stem.len() > 1 && consonants(stem).last() == Some(true);
    apply(word, &[("y", "i")], condition);
}

const STEP2: [(&str, &str); 22] = [
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
    ("fulli", "ful"),
    ("logi", "log"),
];

fn step2(word: &mut String) {
    // What is left of -alli may have another suffix of this step.
    while word.strip_suffix("alli").is_some_and(|stem| measure(stem) > 0) {
        replace(word, "alli", "al");
    }
    apply(word, &STEP2, |stem, suffix| {
        // The l of -logi counts as part of the stem, so that short ones like geo- do too.
        let vowel_and_l = suffix == "logi" && consonants(stem).last() == Some(false);
        measure(stem) > 0 || vowel_and_l
    });
}

fn step3(word: &mut String) {
    let rules = [
        ("icate", "ic"),
        ("ative", ""),
        ("alize", "al"),
        ("iciti", "ic"),
        ("ical", "ic"),
        ("ful", ""),
        ("ness", ""),
    ];
    apply(word, &rules, |stem, _| measure(stem) > 0);
}

const STEP4: [(&str, &str); 19] = [
    ("al", ""),
    ("ance", ""),
    ("ence", ""),
    ("er", ""),
    ("ic", ""),
    ("able", ""),
    ("ible", ""),
    ("ant", ""),
    ("ement", ""),
    ("ment", ""),
    ("ent", ""),
    ("ion", ""),
    ("ou", ""),
    ("ism", ""),
    ("ate", ""),
    ("iti", ""),
    ("ous", ""),
    ("ive", ""),
    ("ize", ""),
];

fn step4(word: &mut String) {
    apply(word, &STEP4, |stem, suffix| {
        measure(stem) > 1 && (suffix != "ion" || stem.ends_with(['s', 't']))
    });
}

fn step5a(word: &mut String) {
    apply(word, &[("e", "")], |stem, _| match measure(stem) {
        0 => false,
        1 => !ends_with_short_syllable(stem),
        _ => true,
    });
}

fn step5b(word: &mut String) {
    // The condition counts the first l.
    if word.ends_with("ll") && measure(&word[..word.len() - 1]) > 1 {
        word.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paper_and_where_nltk_differs() {
        for (word, expected) in [
            ("caresses", "caress"),
            ("ponies", "poni"),
            ("agreed", "agre"),
            ("hopping", "hop"),
            ("filing", "file"),
            ("relational", "relat"),
            ("vietnamization", "vietnam"),
            ("controlling", "control"),
            // NLTK's own.
            ("dies", "die"),
            ("died", "die"),
            ("enjoy", "enjoy"),
            ("spy", "spi"),
            ("skies", "sky"),
            ("geologies", "geolog"),
            ("Running", "run"),
            ("naïves", "naïves"),
            ("", ""),
            ("is", "is"),
        ] {
            assert_eq!(porter_stem(word), expected, "{word}");
        }
    }
}
