//! "Did you mean": the known word that is nearest to an unknown one.

/// The nearest of `known`, where one is near enough to have been meant.
///
/// Optimal string alignment distance, so that two swapped letters count once; at most a third of
/// the word may differ. `_` and `-` are taken for the same.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.replace('_', "-").to_lowercase();
    let word = plain(word);
    known
        .map(|candidate| (strsim::osa_distance(&word, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
