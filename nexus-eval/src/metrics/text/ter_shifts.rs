//! The search for shifts of TER: phrases of the hypothesis are moved as long as that makes it more like the reference.

use super::ter_alignment::BeamDistance;

/// The longest phrase that is shifted.
const MAX_SHIFT_SIZE: usize = 10;

/// The farthest that a phrase is shifted.
const MAX_SHIFT_DISTANCE: usize = 50;

/// After so many shifts have been tried, for all rounds together, the search ends.
const MAX_CANDIDATES: usize = 1000;

/// The least edits found, shifts among them, that make the reference of the hypothesis.
pub(super) fn edits(hypothesis: &[u32], reference: &[u32]) -> u64 {
    if reference.is_empty() {
        return hypothesis.len() as u64;
    }
    let mut distances = BeamDistance::new(reference);
    let mut words = hypothesis.to_vec();
    let (mut shifts, mut candidates) = (0, 0);
    loop {
        let distance = distances.distance(&words);
        let best = best_shift(&words, reference, distance, &mut distances, &mut candidates);
        match best {
            // Like sacrebleu, drops what the round found in which the search gave up.
            Some(shifted) if candidates < MAX_CANDIDATES => words = shifted,
            _ => return shifts + u64::from(distance),
        }
        shifts += 1;
    }
}

/// The words after the shift that takes most off the distance; of equal ones that of the longest phrase, then of the first, then to
/// the first place. `None` when no shift takes anything off.
fn best_shift(
    words: &[u32],
    reference: &[u32],
    distance: u32,
    distances: &mut BeamDistance<'_>,
    candidates: &mut usize,
) -> Option<Vec<u32>> {
    let alignment = distances.alignment();
    let mut best = None;
    let mut shifted = Vec::with_capacity(words.len());
    for (start, target, length) in common_phrases(words, reference) {
        let wrong = |errors: &[bool], from: usize| errors[from..from + length].contains(&true);
        // A word's own place, counted from 1.
        let aligned = alignment.after[target];
        if !wrong(&alignment.hypothesis_error, start)
            || !wrong(&alignment.reference_error, target)
            || (start + 1..=start + length).contains(&aligned)
        {
            continue;
        }
        // Before the word that is aligned with the target's predecessor, and behind those of the target's words.
        let before = target.checked_sub(1).map_or(0, |previous| alignment.after[previous]);
        let behind = alignment.after[target..target + length - 1 + 1].iter().copied();
        let mut last = None;
        for place in std::iter::once(before).chain(behind) {
            if last.replace(place) == Some(place) {
                continue;
            }
            shift(words, start, length, place, &mut shifted);
            let gain = i64::from(distance) - i64::from(distances.distance(&shifted));
            *candidates += 1;
            let rank = (gain, length, std::cmp::Reverse(start), std::cmp::Reverse(place));
            if best.as_ref().is_none_or(|(found, _)| rank > *found) {
                best = Some((rank, shifted.clone()));
            }
        }
        if *candidates >= MAX_CANDIDATES {
            break;
        }
    }
    best.filter(|(rank, _)| rank.0 > 0).map(|(_, shifted)| shifted)
}

/// The phrases that both have, as places in the words and in the reference and the length, of every length up to the longest.
fn common_phrases<'a>(
    words: &'a [u32],
    reference: &'a [u32],
) -> impl Iterator<Item = (usize, usize, usize)> + 'a {
    (0..words.len()).flat_map(move |start| {
        let from = start.saturating_sub(MAX_SHIFT_DISTANCE);
        let to = reference.len().min(start + MAX_SHIFT_DISTANCE + 1);
        (from..to.max(from)).flat_map(move |target| {
            let pairs = words[start..].iter().zip(&reference[target..]).take(MAX_SHIFT_SIZE);
            let longest = pairs.take_while(|(a, b)| a == b).count();
            (1..=longest).map(move |length| (start, target, length))
        })
    })
}

/// Writes the words with a phrase moved to before the word at `place`; to a place inside of the phrase, it moves that much farther
/// behind.
fn shift(words: &[u32], start: usize, length: usize, place: usize, shifted: &mut Vec<u32>) {
    let end = start + length;
    let phrase = &words[start..end];
    shifted.clear();
    if place < start {
        for part in [&words[..place], phrase, &words[place..start], &words[end..]] {
            shifted.extend(part);
        }
    } else {
        let place = if place > end { place } else { words.len().min(place + length) };
        for part in [&words[..start], &words[end..place.max(end)], phrase, &words[place.max(end)..]] {
            shifted.extend(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_by_hand() {
        let shifted = |start, length, place| {
            let mut shifted = Vec::new();
            shift(&[1, 2, 3, 4, 5], start, length, place, &mut shifted);
            shifted
        };
        assert_eq!(shifted(2, 2, 0), [3, 4, 1, 2, 5]);
        assert_eq!(shifted(0, 2, 4), [3, 4, 1, 2, 5]);
        assert_eq!(shifted(0, 2, 5), [3, 4, 5, 1, 2]);
        assert_eq!(shifted(1, 2, 2), [1, 4, 2, 3, 5]);
        assert_eq!(shifted(3, 2, 5), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_moved_phrase_is_one_edit() {
        assert_eq!(edits(&[3, 4, 1, 2], &[1, 2, 3, 4]), 1);
        assert_eq!(edits(&[1, 2, 9], &[1, 2, 3, 4]), 2);
        assert_eq!(edits(&[1, 2], &[]), 2);
        assert_eq!(edits(&[], &[1, 2]), 2);
    }
}
