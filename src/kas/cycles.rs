//! Include cycles: finds the includes that lead back to a file that includes them, which kas would follow for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// An include, or the lock file that belongs to a file.
pub(super) struct IncludeEdge {
    /// The included file.
    pub(super) to: String,
    /// The place of the include in the including file; `None` for a lock file.
    pub(super) span: Option<Range<usize>>,
}

/// All includes, by the including file.
pub(super) type IncludeGraph = BTreeMap<String, Vec<IncludeEdge>>;

/// An include that closes a cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClosingInclude {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) span: Range<usize>,
}

/// A file on the path from the start of the walk to the present file.
struct PathFile<'g> {
    file: &'g str,
    /// The edge that leads to it; `None` for the start.
    entered: Option<&'g IncludeEdge>,
    /// The number of its edges that were followed.
    followed: usize,
}

/// The includes that close a cycle, each once.
///
/// A depth-first walk: an edge to a file on the present path closes a cycle. A lock file is read without an include
/// in any file, so where a lock file closes a cycle, the last include before it is returned.
pub(super) fn closing(graph: &IncludeGraph) -> Vec<ClosingInclude> {
    let mut found: Vec<ClosingInclude> = Vec::new();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for start in graph.keys() {
        let mut path = vec![PathFile {
            file: start,
            entered: None,
            followed: 0,
        }];
        let mut on_path = BTreeSet::from([start.as_str()]);
        while let Some(present) = path.last_mut() {
            let edges = graph.get(present.file).map_or(&[][..], Vec::as_slice);
            let Some(edge) = edges.get(present.followed) else {
                done.insert(present.file);
                on_path.remove(present.file);
                path.pop();
                continue;
            };
            present.followed += 1;
            if done.contains(edge.to.as_str()) {
                continue;
            }
            if on_path.insert(&edge.to) {
                path.push(PathFile {
                    file: &edge.to,
                    entered: Some(edge),
                    followed: 0,
                });
            } else {
                let include = last_include(&path, edge);
                found.extend(include.filter(|include| !found.contains(include)));
            }
        }
    }
    found
}

/// `edge` from the end of `path`, or the last edge before it that is an include.
fn last_include(path: &[PathFile<'_>], edge: &IncludeEdge) -> Option<ClosingInclude> {
    let mut from = path.len();
    let mut edge = edge;
    loop {
        from = from.checked_sub(1)?;
        if let Some(span) = &edge.span {
            return Some(ClosingInclude {
                from: path[from].file.to_owned(),
                to: edge.to.clone(),
                span: span.clone(),
            });
        }
        edge = path[from].entered?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Edges `from -> to`; one with `~>` is a lock file.
    fn graph(edges: &[&str]) -> IncludeGraph {
        let mut graph = IncludeGraph::new();
        for (at, edge) in edges.iter().enumerate() {
            let (from, kind, to) = {
                let mut words = edge.split(' ');
                let mut word = || words.next().unwrap();
                (word(), word(), word())
            };
            graph.entry(from.into()).or_default().push(IncludeEdge {
                to: to.into(),
                span: (kind == "->").then_some(at..at + 1),
            });
        }
        graph
    }

    fn found(edges: &[&str]) -> Vec<String> {
        closing(&graph(edges))
            .into_iter()
            .map(|include| format!("{} -> {}", include.from, include.to))
            .collect()
    }

    #[test]
    fn a_file_that_two_files_include_closes_no_cycle() {
        assert!(found(&["a -> b", "a -> c", "b -> d", "c -> d", "a ~> d"]).is_empty());
    }

    #[test]
    fn each_cycle_has_one_closing_include() {
        assert_eq!(found(&["a -> a"]), ["a -> a"]);
        assert_eq!(
            found(&["a -> b", "b -> c", "c -> a", "c -> b"]),
            ["c -> a", "c -> b"]
        );
    }

    #[test]
    fn a_lock_file_that_closes_a_cycle_is_refused_at_the_include_before_it() {
        assert_eq!(found(&["x ~> x.lock", "x.lock -> x"]), ["x.lock -> x"]);
        assert_eq!(found(&["a.lock -> b", "b -> a", "a ~> a.lock"]), ["b -> a"]);
    }

    #[test]
    fn a_long_chain_of_includes_needs_no_stack() {
        let mut graph = IncludeGraph::new();
        for file in 0..20_000_usize {
            let edge = IncludeEdge {
                to: (file + 1).to_string(),
                span: Some(0..1),
            };
            graph.insert(file.to_string(), vec![edge]);
        }
        assert!(closing(&graph).is_empty());
    }
}
