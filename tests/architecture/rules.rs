//! The rules. Each finding has a key, which debt.txt may list, and the places that it was found at.

use std::collections::{BTreeMap, BTreeSet};

use crate::page::{Reach, Rooms};
use crate::resolve::Target;
use crate::source::{How, Mention, ModPath, SourceTree};

/// Findings by key.
pub type Findings = BTreeMap<String, Vec<String>>;

/// A file longer than this has more than one idea.
const MAX_LINES: usize = 600;
const MAX_PARAMETERS: usize = 5;

/// Paths of other crates that reach out of the process, or read its clock.
const EFFECTS: &[&str] = &[
    "tokio",
    "std::fs",
    "std::process",
    "std::net",
    "std::os::unix::net",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::env::args",
    "std::env::args_os",
    "std::env::current_dir",
    "std::env::current_exe",
    "std::env::set_current_dir",
    "std::env::temp_dir",
    "std::env::var",
    "std::env::var_os",
    "std::env::vars",
    "std::env::vars_os",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "rustix",
    "rusqlite",
    "tempfile",
    "which",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
];

const PRINTING: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];

/// Methods of `std::path::Path` that look at the disk.
const LOOKING: &[&str] = &[
    "exists",
    "try_exists",
    "is_file",
    "is_dir",
    "is_symlink",
    "metadata",
    "symlink_metadata",
    "read_dir",
    "read_link",
    "canonicalize",
];

const ENVIRONMENT: &[&str] = &[
    "std::env::var",
    "std::env::var_os",
    "std::env::vars",
    "std::env::vars_os",
    "std::env::set_var",
    "std::env::remove_var",
];

/// The one file with `unsafe`, and the one room that reads the environment.
const UNSAFE: &str = "store/hashing/sha_ni.rs";
const READS_ENVIRONMENT: &str = "settings";

/// What the rules go by.
pub struct Law<'a> {
    pub rooms: &'a Rooms,
    /// Paths of pure files; `room/**` names all of a room.
    pub pure: &'a [String],
}

impl Law<'_> {
    /// Everything that is wrong with a tree.
    pub fn judge(&self, tree: &SourceTree) -> Findings {
        let mut judge = Judge {
            law: self,
            tree,
            found: Findings::new(),
        };
        judge.files();
        for (path, module) in &tree.modules {
            for mention in &module.mentions {
                judge.mention(path, module.file, mention, mention.test || module.test);
            }
            if !module.test {
                judge.shape(module.file, &module.functions, &module.unsafe_lines);
            }
        }
        judge.types();
        judge.found
    }

    fn is_pure(&self, file: &str) -> bool {
        self.pure.iter().any(|entry| matches(entry, file))
    }
}

/// Whether an entry of the list of pure files covers a file.
pub fn matches(entry: &str, file: &str) -> bool {
    match entry.strip_suffix("**") {
        Some(dir) => file.starts_with(dir),
        None => entry == file,
    }
}

/// The room of a file, none for `lib.rs`.
pub fn room_of(file: &str) -> Option<&str> {
    let room = file.split('/').next()?.trim_end_matches(".rs");
    (room != "lib" && room != "main").then_some(room)
}

struct Judge<'a> {
    law: &'a Law<'a>,
    tree: &'a SourceTree,
    found: Findings,
}

impl Judge<'_> {
    fn add(&mut self, key: String, place: String) {
        let places = self.found.entry(key).or_default();
        if !places.contains(&place) {
            places.push(place);
        }
    }

    fn files(&mut self) {
        let tree = self.tree;
        for file in &tree.files {
            if file.lines > MAX_LINES {
                self.add(
                    format!("lines {}", file.path),
                    format!("{} lines, at most {MAX_LINES}", file.lines),
                );
            }
        }
        for entry in self.law.pure {
            if !tree.files.iter().any(|file| matches(entry, &file.path)) {
                self.add(
                    format!("pure {entry}"),
                    "pure.txt names it, and there is no such file".to_owned(),
                );
            }
        }
    }

    fn shape(
        &mut self,
        file: usize,
        functions: &[crate::source::Function],
        unsafe_lines: &[usize],
    ) {
        let path = &self.tree.files[file].path;
        for function in functions
            .iter()
            .filter(|function| function.parameters > MAX_PARAMETERS)
        {
            let (name, line, count) = (&function.name, function.line, function.parameters);
            let place = format!("{path}:{line}: {count} parameters, at most {MAX_PARAMETERS}");
            self.add(format!("parameters {path} {name}"), place);
        }
        if path != UNSAFE {
            for line in unsafe_lines {
                self.add(format!("unsafe {path}"), format!("{path}:{line}"));
            }
        }
    }

    fn types(&mut self) {
        let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for module in self.tree.modules.values() {
            for (name, line) in &module.types {
                let place = format!("{}:{line}", self.tree.files[module.file].path);
                places.entry(name).or_default().push(place);
            }
        }
        for (name, places) in places.into_iter().filter(|(_, places)| places.len() > 1) {
            for place in places {
                self.add(format!("type {name}"), place);
            }
        }
    }

    fn mention(&mut self, module: &ModPath, file: usize, mention: &Mention, test: bool) {
        let tree = self.tree;
        let path = &tree.files[file].path;
        let place = format!("{path}:{}: {}", mention.line, mention.path.join("::"));
        if mention.how == How::Method {
            if !test && self.law.is_pure(path) && LOOKING.contains(&mention.path[0].as_str()) {
                self.add(format!("pure {path}"), place);
            }
            return;
        }
        match tree.resolve(module, &mention.path) {
            Target::Crate { files, defined } => {
                for &target in &files {
                    self.arrow(file, target, target == defined, test, &place);
                }
                let target = &tree.files[defined].path;
                let is_pure = |file: &str| self.law.is_pure(file);
                // A re-export is no use: what comes through it is judged where it is imported.
                let uses = !test && mention.how != How::ReExport;
                if uses && is_pure(path) && defined != file && !is_pure(target) {
                    self.add(
                        format!("pure {path}"),
                        format!("{place} (in {target}, which is not pure)"),
                    );
                }
            }
            Target::External(full) => {
                let rooted = matches!(full[0].as_str(), "crate" | "self" | "super");
                if rooted && mention.how != How::Macro {
                    self.add(format!("unresolved {path}"), place);
                } else if !test {
                    self.external(path, mention, &full, place);
                }
            }
        }
    }

    fn external(&mut self, path: &str, mention: &Mention, full: &[String], place: String) {
        let joined = full.join("::");
        let reaches = |effects: &[&str]| {
            effects.iter().any(|effect| {
                is_below(&joined, effect) || (mention.how == How::Glob && is_below(effect, &joined))
            })
        };
        if room_of(path) != Some(READS_ENVIRONMENT) && reaches(ENVIRONMENT) {
            self.add(format!("environment {path}"), place.clone());
        }
        if !self.law.is_pure(path) {
            return;
        }
        // `use jiff::Timestamp` gives a name to `Timestamp::now`, which is an effect only where it is called.
        let prints = mention.how == How::Macro
            && full
                .last()
                .is_some_and(|name| PRINTING.contains(&name.as_str()));
        if prints || reaches(EFFECTS) {
            self.add(format!("pure {path}"), place);
        }
    }

    fn arrow(&mut self, from: usize, to: usize, defines: bool, test: bool, place: &str) {
        let (from, to) = (&self.tree.files[from].path, &self.tree.files[to].path);
        let (Some(from_room), Some(to_room)) = (room_of(from), room_of(to)) else {
            return;
        };
        if from_room == to_room {
            return;
        }
        let order = &self.law.rooms.order;
        let floor = |room: &str| order.iter().position(|other| other == room);
        let none = BTreeMap::new();
        let allowed = self.law.rooms.arrows.get(from_room).unwrap_or(&none);
        let (key, allowed) = if test {
            // A unit test may reach any room below its own.
            (
                format!("test {from_room} -> {to_room}"),
                floor(from_room) < floor(to_room),
            )
        } else {
            let allowed = match allowed.get(to_room) {
                Some(Reach::All) => true,
                Some(Reach::Pure) => !defines || self.law.is_pure(to),
                None => false,
            };
            (format!("arrow {from_room} -> {to_room}"), allowed)
        };
        if !allowed {
            self.add(key, place.to_owned());
        }
    }
}

fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Rooms that import each other, directly or around, by the arrows that really are there.
pub fn circles(tree: &SourceTree, but: &BTreeSet<(String, String)>) -> Vec<BTreeSet<String>> {
    let mut reach: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, module) in tree.modules.iter().filter(|(_, module)| !module.test) {
        for mention in module
            .mentions
            .iter()
            .filter(|mention| !mention.test && mention.how != How::Method)
        {
            let Target::Crate { files, .. } = tree.resolve(path, &mention.path) else {
                continue;
            };
            let Some(from) = room_of(&tree.files[module.file].path) else {
                continue;
            };
            for to in files
                .iter()
                .filter_map(|file| room_of(&tree.files[*file].path))
            {
                let arrow = (from.to_owned(), to.to_owned());
                if from != to && !but.contains(&arrow) {
                    reach.entry(arrow.0).or_default().insert(arrow.1);
                }
            }
        }
    }
    loop {
        let mut grown = reach.clone();
        for to in grown.values_mut() {
            let further: Vec<String> = to
                .iter()
                .filter_map(|room| reach.get(room))
                .flatten()
                .cloned()
                .collect();
            to.extend(further);
        }
        if grown == reach {
            break;
        }
        reach = grown;
    }
    let is_in =
        |from: &String, to: &String| reach.get(from).is_some_and(|rooms| rooms.contains(to));
    let mut circles: Vec<BTreeSet<String>> = reach
        .keys()
        .filter(|room| is_in(room, room))
        .map(|room| {
            reach
                .keys()
                .filter(|other| is_in(room, other) && is_in(other, room))
                .cloned()
                .collect()
        })
        .collect();
    circles.dedup();
    circles.sort();
    circles.dedup();
    circles
}
