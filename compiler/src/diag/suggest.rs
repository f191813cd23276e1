//! Did you mean: the closest known name to a wrong one.

/// The known name that is closest to `wrong`, if one is close enough to be worth saying.
///
/// Ties go to the name that comes first; candidates of very different length are not measured.
pub fn closest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = wrong.chars().count();
    // One slip in a short word, about one in three characters of a long one.
    let allowed = (length / 3).clamp(1, 4);
    let folded = fold(wrong);
    let mut best: Option<(usize, &str)> = None;
    for name in known {
        if name.chars().count().abs_diff(length) > allowed || name == wrong {
            continue;
        }
        let distance = strsim::damerau_levenshtein(&folded, &fold(name));
        let better = best.is_none_or(|(least, first)| (distance, name) < (least, first));
        if distance <= allowed && better {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

/// Case and the choice between `_` and `-` are the most common slips, and cost nothing.
fn fold(name: &str) -> String {
    name.to_lowercase().replace('_', "-")
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
}
