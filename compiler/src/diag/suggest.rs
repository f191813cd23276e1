//! Did you mean: the closest known name to a wrong one.

use std::collections::{HashMap, HashSet};

/// How many names [`Guesses`] may be compared with in one run: a tenth of a second or so. A project
/// of 1,000 names gets 5,000 guesses, one of 10,000 names the first 500.
const COMPARISONS: usize = 5_000_000;

/// The known name that is closest to `wrong`, if one is close enough to be worth saying.
///
/// Ties go to the name that comes first; candidates of very different length are not measured.
pub fn closest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut search = Search::new(wrong);
    let mut folded = Vec::new();
    for name in known {
        if name != wrong && search.is_in_reach(name.chars().count()) {
            folded.clear();
            folded.extend(fold(name));
            search.measure(name, &folded);
        }
    }
    search.best.map(|(_, name)| name)
}

/// Guesses among many names, each wrong name looked up once, and not without end.
#[derive(Debug)]
pub struct Guesses<'a> {
    /// The names of each kind that was asked for more than once, folded for good.
    known: HashMap<&'static str, Vec<(&'a str, Vec<char>)>>,
    asked: HashSet<&'static str>,
    said: HashMap<(&'static str, String), Option<&'a str>>,
    left: usize,
}

impl Default for Guesses<'_> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            asked: HashSet::new(),
            said: HashMap::new(),
            left: COMPARISONS,
        }
    }
}

impl<'a> Guesses<'a> {
    /// The closest of the names of one kind; nothing once too many names were compared.
    pub fn closest(
        &mut self,
        kind: &'static str,
        wrong: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> Option<&'a str> {
        if let Some(said) = self.said.get(&(kind, wrong.to_owned())) {
            return *said;
        }
        // To fold all of them for good is worth it from the second guess on.
        let best = if self.asked.insert(kind) {
            closest(wrong, known)
        } else {
            let with_folded = |name: &'a str| (name, fold(name).collect());
            let kept = self.known.entry(kind);
            let kept = kept.or_insert_with(|| known.map(with_folded).collect());
            self.left = self.left.checked_sub(kept.len())?;
            closest_folded(wrong, kept)
        };
        self.said.insert((kind, wrong.to_owned()), best);
        best
    }
}

/// The same as [`closest`], where each name comes with itself folded.
fn closest_folded<'a>(wrong: &str, known: &[(&'a str, Vec<char>)]) -> Option<&'a str> {
    let mut search = Search::new(wrong);
    for (name, folded) in known.iter().filter(|(name, _)| *name != wrong) {
        if search.is_in_reach(folded.len()) {
            search.measure(name, folded);
        }
    }
    search.best.map(|(_, name)| name)
}

struct Search<'a> {
    wrong: Vec<char>,
    allowed: usize,
    best: Option<(usize, &'a str)>,
    rows: [Vec<usize>; 3],
}

impl<'a> Search<'a> {
    fn new(wrong: &str) -> Self {
        let wrong: Vec<char> = fold(wrong).collect();
        // One slip in a short word, about one in three characters of a long one.
        let allowed = (wrong.len() / 3).clamp(1, 4);
        Self {
            wrong,
            allowed,
            best: None,
            rows: [const { Vec::new() }; 3],
        }
    }

    fn is_in_reach(&self, length: usize) -> bool {
        length.abs_diff(self.wrong.len()) <= self.allowed
    }

    fn measure(&mut self, name: &'a str, folded: &[char]) {
        let most = match self.best {
            // The same distance counts for a name that comes first.
            Some((least, first)) if name < first => least,
            Some((0, _)) => return,
            Some((least, _)) => least - 1,
            None => self.allowed,
        };
        if let Some(distance) = distance(&self.wrong, folded, most, &mut self.rows) {
            self.best = Some((distance, name));
        }
    }
}

/// Case and the choice between `_` and `-` are the most common slips, and cost nothing.
fn fold(name: &str) -> impl Iterator<Item = char> {
    let lower = name.chars().flat_map(char::to_lowercase);
    lower.map(|c| if c == '_' { '-' } else { c })
}

/// How many characters have to be added, removed, replaced or swapped with their neighbour; `None`
/// for more than `most`.
fn distance(
    one: &[char],
    other: &[char],
    most: usize,
    rows: &mut [Vec<usize>; 3],
) -> Option<usize> {
    let start = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (one, other) = (one.get(start..)?, other.get(start..)?);
    let backwards = one.iter().rev().zip(other.iter().rev());
    let end = backwards.take_while(|(a, b)| a == b).count();
    let (one, other) = (one.get(..one.len() - end)?, other.get(..other.len() - end)?);
    let [before, last, row] = rows;
    last.clear();
    last.extend(0..=other.len());
    let mut above: Option<char> = None;
    for (at, &a) in one.iter().enumerate() {
        row.clear();
        row.push(at + 1);
        let mut least = at + 1;
        let mut left: Option<char> = None;
        for (column, &b) in other.iter().enumerate() {
            let of =
                |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
            let replaced = of(last, column) + usize::from(a != b);
            let mut cost = replaced
                .min(of(last, column + 1) + 1)
                .min(of(row, column) + 1);
            if above == Some(b) && left == Some(a) {
                cost = cost.min(of(before, column - 1) + 1);
            }
            row.push(cost);
            least = least.min(cost);
            left = Some(b);
        }
        // A swap may go on from the row before, one cheaper than this one.
        if least > most.saturating_add(1) {
            return None;
        }
        above = Some(a);
        std::mem::swap(before, last);
        std::mem::swap(last, row);
    }
    last.last().copied().filter(|it| *it <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_names_are_suggested_and_far_ones_are_not() {
        let known = ["audiences", "algorithms", "issuer", "in", "notBefore"];
        assert_eq!(closest("audience", known), Some("audiences"));
        assert_eq!(closest("not_before", known), Some("notBefore"));
        assert_eq!(closest("notbefore", known), Some("notBefore"));
        assert_eq!(closest("isuser", known), Some("issuer"));
        assert_eq!(closest("colour", known), None);
        assert_eq!(closest("im", known), Some("in"));
    }

    #[test]
    fn ties_go_to_the_first_name() {
        assert_eq!(closest("cat", ["hat", "bat"]), Some("bat"));
    }

    #[test]
    fn the_distance_is_that_of_the_reference() {
        let names = [
            "", "a", "ab", "ba", "abc", "acb", "cab", "role-1", "role-12", "rloe-1", "roles",
            "orle", "reader", "raeder", "raedre", "deraer", "payments", "paymetns", "paments",
        ];
        let letters = |it: &str| it.chars().collect::<Vec<char>>();
        for one in names {
            for other in names {
                let real = strsim::osa_distance(one, other);
                for most in 0..9 {
                    let rows = &mut [const { Vec::new() }; 3];
                    let found = distance(&letters(one), &letters(other), most, rows);
                    assert_eq!(
                        found,
                        (real <= most).then_some(real),
                        "{one} {other} {most}"
                    );
                }
            }
        }
    }

    #[test]
    fn guesses_are_those_of_a_single_search_until_there_were_too_many() {
        let names: Vec<String> = (0..2000).map(|at| format!("role-{at:04}")).collect();
        let known = || names.iter().map(String::as_str);
        let mut guesses = Guesses {
            left: 10 * names.len(),
            ..Guesses::default()
        };
        for wrong in [
            "rule-0007",
            "role_0008",
            "role-00010",
            "nothing",
            "rule-0007",
        ] {
            assert_eq!(
                guesses.closest("roles", wrong, known()),
                closest(wrong, known())
            );
        }
        let mut guess = |at: usize| guesses.closest("roles", &format!("rule-{at:05}"), known());
        assert_eq!((0..20).filter(|at| guess(*at).is_some()).count(), 7);
        assert_eq!(
            guesses.closest("roles", "rule-0007", known()),
            Some("role-0007")
        );
    }
}
