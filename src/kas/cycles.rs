//! Includes that lead back to the file that has them. Knows nothing of files.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Every include that was followed: by the file that has it, the one included, and where it stands.
pub(super) type Followed = BTreeMap<String, Vec<(String, Range<usize>)>>;

/// The includes that close a circle: the file that has it, the one included, where it stands. kas would
/// follow them for ever.
pub(super) fn closing(followed: &Followed) -> Vec<(String, String, Range<usize>)> {
    let mut walker = Walker {
        followed,
        path: Vec::new(),
        done: BTreeSet::new(),
        closing: Vec::new(),
    };
    for file in followed.keys() {
        walker.walk(file);
    }
    walker.closing
}

struct Walker<'f> {
    followed: &'f Followed,
    path: Vec<&'f str>,
    done: BTreeSet<&'f str>,
    closing: Vec<(String, String, Range<usize>)>,
}

impl<'f> Walker<'f> {
    fn walk(&mut self, file: &'f str) {
        if self.done.contains(file) {
            return;
        }
        self.path.push(file);
        for (to, span) in self.followed.get(file).into_iter().flatten() {
            if self.path.contains(&to.as_str()) {
                let found = (file.to_owned(), to.clone(), span.clone());
                self.closing.push(found);
            } else {
                self.walk(to);
            }
        }
        self.path.pop();
        self.done.insert(file);
    }
}
