//! Who is connected with whom, and who has beaten whom.

use super::pairs::Pair;

/// The groups of players between which there is no outcome at all, each in ascending order, by their first member.
pub(super) fn components(players: usize, pairs: &[Pair]) -> Vec<Vec<usize>> {
    let mut links = vec![Vec::new(); players];
    for pair in pairs.iter().filter(|pair| pair.tally.total() > 0) {
        links[pair.a].push(pair.b);
        links[pair.b].push(pair.a);
    }
    let mut all: Vec<Vec<usize>> = Vec::new();
    let mut placed = vec![false; players];
    for player in 0..players {
        if placed[player] {
            continue;
        }
        let reached = reach(player, &links);
        let group: Vec<usize> = (0..players).filter(|&other| reached[other]).collect();
        group.iter().for_each(|&member| placed[member] = true);
        all.push(group);
    }
    all
}

/// A group of players none of whom lost (or drew) against anyone outside of it, if there is one that is not everybody.
///
/// Without one, each player can be reached from each other over a chain of wins, and the maximum of the likelihood
/// exists and is unique (Ford 1957, "Solution of a ranking problem from binary comparisons", Am. Math. Monthly 64).
pub(super) fn undefeated(players: usize, pairs: &[Pair]) -> Option<Vec<usize>> {
    let (mut beats, mut beaten_by) = (vec![Vec::new(); players], vec![Vec::new(); players]);
    let mut won = |winner: usize, loser: usize| {
        beats[winner].push(loser);
        beaten_by[loser].push(winner);
    };
    for pair in pairs {
        if pair.score_a() > 0.0 {
            won(pair.a, pair.b);
        }
        if pair.score_b() > 0.0 {
            won(pair.b, pair.a);
        }
    }
    // All are linked in both directions exactly if one player reaches all and is reached by all.
    let above = reach(0, &beaten_by);
    if above.iter().any(|reached| !reached) {
        return Some((0..players).filter(|&player| above[player]).collect());
    }
    let below = reach(0, &beats);
    let group: Vec<usize> = (0..players).filter(|&player| !below[player]).collect();
    (!group.is_empty()).then_some(group)
}

/// Everything that the links lead to from `start`, itself included.
fn reach(start: usize, links: &[Vec<usize>]) -> Vec<bool> {
    let mut reached = vec![false; links.len()];
    let mut open = vec![start];
    while let Some(player) = open.pop() {
        match reached.get_mut(player) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        open.extend(&links[player]);
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::super::pairs::Tally;
    use super::*;

    fn pair(a: usize, b: usize, wins: u64, losses: u64, ties: u64) -> Pair {
        Pair { a, b, tally: Tally { wins, losses, ties } }
    }

    #[test]
    fn components_by_hand() {
        let pairs = [pair(0, 2, 1, 0, 0), pair(1, 3, 0, 0, 1), pair(0, 1, 0, 0, 0)];
        assert_eq!(components(5, &pairs), vec![vec![0, 2], vec![1, 3], vec![4]]);
        assert!(components(0, &[]).is_empty());
    }

    #[test]
    fn undefeated_groups_by_hand() {
        // A circle of wins has none; a player above it is one; so is a circle above a player.
        let circle = [pair(0, 1, 1, 0, 0), pair(1, 2, 1, 0, 0), pair(0, 2, 0, 1, 0)];
        assert_eq!(undefeated(3, &circle), None);
        let mut above = circle.to_vec();
        above.push(pair(3, 1, 2, 0, 0));
        assert_eq!(undefeated(4, &above), Some(vec![3]));
        let mut below = circle.to_vec();
        below.push(pair(3, 1, 0, 2, 0));
        assert_eq!(undefeated(4, &below), Some(vec![0, 1, 2]));
        assert_eq!(undefeated(2, &[pair(0, 1, 0, 0, 3)]), None);
        assert!(undefeated(2, &[]).is_some());
    }
}
