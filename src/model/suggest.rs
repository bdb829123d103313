//! "Did you mean": the nearest of the words that would have been right, and lists of them.
//! Knows nothing of what the words stand for.

use strsim::damerau_levenshtein;

/// How many words a list in a hint shows before it says how many more there are.
const SHOWN: usize = 12;

/// The candidate that `word` was probably meant to be, if one is near enough.
///
/// Near is a third of the longer word, counted in edits (Damerau-Levenshtein, case ignored); a
/// candidate that begins with the word is near as well.
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

/// Words in a row: `` `a`, `b`, `c` ``; long lists are cut.
pub fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    let quoted: Vec<String> = words
        .iter()
        .take(SHOWN)
        .map(|word| format!("`{word}`"))
        .collect();
    if words.len() > SHOWN {
        return format!("{} and {} more", quoted.join(", "), words.len() - SHOWN);
    }
    if quoted.is_empty() {
        return "none".to_owned();
    }
    quoted.join(", ")
}

/// The hint for a wrong word: the nearest right one, else all that would be right.
pub fn hint<'a>(word: &str, what: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    match nearest(word, candidates.iter().copied()) {
        Some(right) => format!("did you mean `{right}`?"),
        None if candidates.is_empty() => format!("there is no {what} yet"),
        None => format!("{what}: {}", list(candidates)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let words = ["profile", "node", "swupdate"];
        assert_eq!(nearest("profil", words), Some("profile"));
        assert_eq!(nearest("Node", words), Some("node"));
        assert_eq!(nearest("swup", words), Some("swupdate"));
        assert_eq!(nearest("machine", words), None);
    }

    #[test]
    fn lists_are_cut() {
        assert_eq!(list([]), "none");
        assert_eq!(list(["a"]), "`a`");
        assert_eq!(list(["a", "b", "c"]), "`a`, `b`, `c`");
        assert!(list(vec!["x"; 20]).ends_with("and 8 more"));
    }
}
