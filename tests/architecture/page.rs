//! The rooms and their arrows as docs/architecture.md has them: a table, and a picture of the same.

use std::collections::{BTreeMap, BTreeSet};

/// The table of rooms, top floor first.
#[derive(Debug)]
pub struct Rooms {
    pub order: Vec<String>,
    /// What each room may import.
    pub arrows: BTreeMap<String, BTreeMap<String, Reach>>,
}

/// How much of a room another one may import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    All,
    /// Its pure files; written with a star.
    Pure,
}

impl Rooms {
    /// Reads the table below the heading "Rooms": `| room | subject | imports |`.
    pub fn read(page: &str) -> Rooms {
        let rows: Vec<[&str; 3]> = section(page, "Rooms")
            .unwrap()
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| {
                let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
                cells
                    .try_into()
                    .unwrap_or_else(|_| panic!("three columns: {line}"))
            })
            .collect();
        let name = |cell: &str| cell.trim_matches('`').trim_end_matches('/').to_owned();
        let order: Vec<String> = rows.iter().map(|[room, ..]| name(room)).collect();
        let mut arrows = BTreeMap::new();
        for ([_, _, imports], room) in rows.iter().zip(&order) {
            arrows.insert(room.clone(), read_imports(imports, room, &order));
        }
        Rooms { order, arrows }
    }

    /// The first arrow of the table that does not lead down.
    pub fn upward(&self) -> Option<(String, String)> {
        let floor = |room: &String| self.order.iter().position(|other| other == room);
        let pairs = self
            .arrows
            .iter()
            .flat_map(|(from, to)| to.keys().map(move |to| (from, to)));
        let mut up = pairs.filter(|(from, to)| floor(to).is_none() || floor(to) <= floor(from));
        up.next().map(|(from, to)| (from.clone(), to.clone()))
    }

    /// The arrows without those that follow from others (the transitive reduction), as lines of Mermaid.
    pub fn picture(&self) -> Vec<String> {
        let mut below: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut lines = Vec::new();
        for room in self.order.iter().rev() {
            let direct: Vec<&str> = self.arrows[room].keys().map(String::as_str).collect();
            let through: BTreeSet<&str> = direct
                .iter()
                .flat_map(|to| below[to].iter().copied())
                .collect();
            let shown = direct.iter().filter(|to| !through.contains(*to));
            let mut shown: Vec<&str> = shown.copied().collect();
            shown.sort_by_key(|to| self.order.iter().position(|room| room == to));
            if !shown.is_empty() {
                lines.push(format!("{room} --> {}", shown.join(" & ")));
            }
            below.insert(room, through.into_iter().chain(direct).collect());
        }
        lines.reverse();
        lines
    }
}

/// `everything`, `everything but a, b`, a dash, or a list; a star limits an arrow to pure files.
fn read_imports(cell: &str, room: &str, order: &[String]) -> BTreeMap<String, Reach> {
    let list = |text: &str| -> BTreeMap<String, Reach> {
        let words = text.split(", ").filter(|word| *word != "–");
        words
            .map(|word| {
                let reach = if word.ends_with('*') {
                    Reach::Pure
                } else {
                    Reach::All
                };
                (
                    word.trim_end_matches('*').trim_matches('`').to_owned(),
                    reach,
                )
            })
            .collect()
    };
    let Some(rest) = cell.strip_prefix("everything") else {
        return list(cell);
    };
    let but = list(rest.strip_prefix(" but ").unwrap_or("–"));
    let own = order.iter().position(|other| other == room).unwrap();
    let below = order[own + 1..]
        .iter()
        .filter(|other| !but.contains_key(*other));
    below.map(|other| (other.clone(), Reach::All)).collect()
}

/// The text under a heading of the second level.
pub fn section<'a>(page: &'a str, heading: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(&format!("\n## {heading}\n"))?;
    Some(
        rest.split_once("\n## ")
            .map_or(rest, |(section, _)| section),
    )
}

/// The arrows of the Mermaid block of a section.
pub fn mermaid(section: &str) -> Vec<&str> {
    let (_, block) = section.split_once("```mermaid\n").expect("a Mermaid block");
    let (block, _) = block
        .split_once("\n```")
        .expect("the end of the Mermaid block");
    block
        .lines()
        .map(str::trim)
        .filter(|line| line.contains("-->"))
        .collect()
}

/// Everything in backquotes that looks like a source file or directory.
pub fn named_files(text: &str) -> Vec<&str> {
    let spans = text.split('`').skip(1).step_by(2);
    spans
        .filter(|span| !span.contains(' ') && (span.ends_with(".rs") || span.ends_with('/')))
        .collect()
}
