//! What a path in a module stands for: the files that it passes, or the path of another crate.

use std::collections::BTreeSet;

use crate::source::{ModPath, SourceTree};

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    Crate {
        /// Files on the way and at the end: a re-export names two.
        files: BTreeSet<usize>,
        /// The file that defines it.
        defined: usize,
    },
    /// The full path, which starts with the name of another crate.
    External(Vec<String>),
}

/// Longer chains of re-exports are circles.
const MAX_HOPS: usize = 20;

impl SourceTree {
    /// Resolves a path that stands in `module`.
    pub fn resolve(&self, module: &ModPath, path: &[String]) -> Target {
        self.follow(module, path, MAX_HOPS)
            .unwrap_or_else(|| Target::External(path.to_vec()))
    }

    fn follow(&self, module: &ModPath, path: &[String], hops: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" | "isar_build_all" => self.lookup(&Vec::new(), rest, BTreeSet::new(), hops),
            "self" => self.lookup(module, rest, BTreeSet::new(), hops),
            "super" => {
                let mut module = module.clone();
                let mut rest = path;
                while let Some(("super", after)) = rest
                    .split_first()
                    .map(|(first, rest)| (first.as_str(), rest))
                {
                    module.pop();
                    rest = after;
                }
                self.lookup(&module, rest, BTreeSet::new(), hops)
            }
            _ => match self.lookup(module, path, BTreeSet::new(), hops) {
                Some(target) => Some(target),
                None => Some(Target::External(path.to_vec())),
            },
        }
    }

    /// Walks `path` from `module` on; none where the module has no such name.
    fn lookup(
        &self,
        module: &ModPath,
        path: &[String],
        mut passed: BTreeSet<usize>,
        hops: usize,
    ) -> Option<Target> {
        let here = self.modules.get(module)?;
        let Some((first, rest)) = path.split_first() else {
            passed.insert(here.file);
            return Some(Target::Crate {
                files: passed,
                defined: here.file,
            });
        };
        let hops = hops.checked_sub(1)?;
        if here.children.iter().any(|(child, _)| child == first) {
            let child = module.iter().cloned().chain([first.clone()]).collect();
            return self.lookup(&child, rest, passed, hops);
        }
        if here.items.contains(first) {
            passed.insert(here.file);
            return Some(Target::Crate {
                files: passed,
                defined: here.file,
            });
        }
        if let Some(bound) = here.bindings.get(first) {
            // `use clap;` binds what it names.
            if bound.first() == Some(first) && bound.len() == 1 {
                return Some(Target::External(path.to_vec()));
            }
            let path: Vec<String> = bound.iter().chain(rest).cloned().collect();
            return Some(self.passing(here.file, self.follow(module, &path, hops)?, passed));
        }
        for glob in &here.globs {
            let path: Vec<String> = glob.iter().chain(path).cloned().collect();
            if let Some(found @ Target::Crate { .. }) = self.follow(module, &path, hops) {
                return Some(self.passing(here.file, found, passed));
            }
        }
        here.words.contains(first).then(|| {
            passed.insert(here.file);
            Target::Crate {
                files: passed,
                defined: here.file,
            }
        })
    }

    fn passing(&self, file: usize, target: Target, passed: BTreeSet<usize>) -> Target {
        match target {
            Target::Crate { mut files, defined } => {
                files.extend(passed);
                files.insert(file);
                Target::Crate { files, defined }
            }
            external @ Target::External(_) => external,
        }
    }
}
