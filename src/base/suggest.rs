//! Hints for a wrong word: "did you mean", or a list of the valid words.

use strsim::damerau_levenshtein;

/// The most words that a list in a hint shows; it ends with the number of the others.
const MAX_LISTED: usize = 12;

/// The candidate that `word` most probably means, if one is near enough.
///
/// A candidate is near if the number of edits (Damerau-Levenshtein, case ignored) is at most a third
/// of the length of the longer word, or if it starts with `word`.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| !candidate.is_empty())
        .filter_map(|candidate| {
            let other = candidate.to_lowercase();
            let longer = lower.chars().count().max(other.chars().count());
            let edits = damerau_levenshtein(&lower, &other);
            if edits <= (longer / 3).max(1) {
                Some((edits, candidate))
            } else if lower.chars().count() >= 2 && other.starts_with(&lower) {
                Some((longer, candidate))
            } else {
                None
            }
        })
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// A list of words, `` `a`, `b`, `c` ``, shortened after [`MAX_LISTED`].
pub fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    let quoted: Vec<String> = words
        .iter()
        .take(MAX_LISTED)
        .map(|word| format!("`{word}`"))
        .collect();
    if words.len() > MAX_LISTED {
        return format!(
            "{} and {} more",
            quoted.join(", "),
            words.len() - MAX_LISTED
        );
    }
    if quoted.is_empty() {
        return "none".to_owned();
    }
    quoted.join(", ")
}

/// The hint for a wrong word: the nearest candidate, else `what` and all candidates, as in
/// `` the axes are: `role`, `node` ``.
pub fn hint<'a>(word: &str, what: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    match nearest(word, candidates.iter().copied()) {
        Some(right) => format!("did you mean `{right}`?"),
        None => format!("{what}: {}", list(candidates)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_typos_and_prefixes_only() {
        let words = ["profile", "node", "swupdate"];
        assert_eq!(nearest("profil", words), Some("profile"));
        assert_eq!(nearest("Node", words), Some("node"));
        assert_eq!(nearest("swup", words), Some("swupdate"));
        assert_eq!(nearest("machine", words), None);
    }

    #[test]
    fn long_lists_are_shortened() {
        assert_eq!(list([]), "none");
        assert_eq!(list(["a"]), "`a`");
        assert_eq!(list(["a", "b", "c"]), "`a`, `b`, `c`");
        assert!(list(vec!["x"; 20]).ends_with("and 8 more"));
    }
}
