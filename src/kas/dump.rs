//! `kas dump`: what kas itself makes of a chain, and where that differs from this tool's reading.
//!
//! A dump has values of `env` and headers in the clear. It is compared and then dropped: neither it nor its reader
//! implements `Debug`, and a difference shows the values of harmless keys only.

use std::collections::BTreeSet;

use serde_json::Value;

/// The largest dump that is read, in bytes.
const MAX_DUMP: usize = 16 * 1024 * 1024;

/// The longest value in a difference, in characters.
const MAX_SHOWN: usize = 120;

/// Top-level keys of a chain whose values a difference may show.
const SHOWN: [&str; 9] = [
    "build_system",
    "defaults",
    "distro",
    "header",
    "machine",
    "overrides",
    "repos",
    "target",
    "task",
];

/// The report of `kas -l debug dump --format json`.
pub struct KasDump {
    /// The merged chain.
    pub config: Value,
    /// The kas files that kas read, as paths of the place where kas ran.
    pub files: BTreeSet<String>,
}

/// Collects the output of `kas dump`, line by line.
#[derive(Default)]
pub struct KasDumpReader {
    json: String,
    has_begun: bool,
    files: BTreeSet<String>,
}

impl KasDumpReader {
    /// A line of standard output. Before the dump, a container's entrypoint may print lines of its own.
    pub fn stdout(&mut self, line: &str) {
        self.has_begun |= line == "{";
        if self.has_begun && self.json.len() < MAX_DUMP {
            // Line ends are left out: JSON has them between tokens only, and a long line arrives in pieces.
            self.json.push_str(line);
        }
    }

    /// A message of kas's log.
    pub fn log(&mut self, message: &str) {
        let file = message.strip_prefix("config file ").and_then(|rest| {
            rest.strip_suffix(" (internal)")
                .or_else(|| rest.strip_suffix(" (external)"))
        });
        self.files.extend(file.map(str::to_owned));
    }

    /// The report; `None` where the output is not one.
    #[must_use]
    pub fn finish(self) -> Option<KasDump> {
        let config: Value = serde_json::from_str(&self.json).ok()?;
        config.is_object().then_some(KasDump {
            config,
            files: self.files,
        })
    }
}

/// The first key for which kas has another value than this tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDifference {
    /// The key, from the root: `repos.isar.commit`.
    key: String,
    /// The values of kas and of this tool, as text; `None` for a key that one of them does not have. Absent where the
    /// values may be secret.
    values: Option<(Option<String>, Option<String>)>,
}

impl std::fmt::Display for KeyDifference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = &self.key;
        match &self.values {
            None => write!(f, "`{key}` is not the same for kas and isar-build-all"),
            Some((Some(kas), Some(ours))) => {
                write!(f, "`{key}` is {kas} for kas and {ours} for isar-build-all")
            }
            Some((Some(kas), None)) => {
                write!(f, "`{key}` is {kas} for kas and missing for isar-build-all")
            }
            Some((None, ours)) => {
                let ours = ours.as_deref().unwrap_or_default();
                write!(
                    f,
                    "`{key}` is missing for kas and {ours} for isar-build-all"
                )
            }
        }
    }
}

/// The first difference between two merged chains, in kas's order; `None` where they are equal.
#[must_use]
pub fn first_difference(kas: &Value, ours: &Value) -> Option<KeyDifference> {
    let mut key = Vec::new();
    difference(kas, ours, &mut key)
}

fn difference<'v>(
    kas: &'v Value,
    ours: &'v Value,
    key: &mut Vec<&'v str>,
) -> Option<KeyDifference> {
    if kas == ours {
        return None;
    }
    let (Value::Object(theirs), Value::Object(own)) = (kas, ours) else {
        return Some(stated(key, Some(kas), Some(ours)));
    };
    for name in theirs.keys().chain(own.keys()) {
        key.push(name);
        let found = match (theirs.get(name), own.get(name)) {
            (Some(theirs), Some(own)) => difference(theirs, own, key),
            (theirs, own) => Some(stated(key, theirs, own)),
        };
        key.pop();
        if found.is_some() {
            return found;
        }
    }
    // Equal objects are equal values, so this is not reached; a caller must not take it for equality.
    Some(stated(key, Some(kas), Some(ours)))
}

fn stated(key: &[&str], kas: Option<&Value>, ours: Option<&Value>) -> KeyDifference {
    let is_shown = key.first().is_some_and(|first| SHOWN.contains(first));
    KeyDifference {
        key: match key {
            [] => "(all)".to_owned(),
            key => key.join("."),
        },
        values: is_shown.then(|| (kas.map(shown), ours.map(shown))),
    }
}

/// A value as a message shows it: on one line, not too long, and without the user and password of a URL.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "null".to_owned(),
        Value::Object(_) => return "a table".to_owned(),
        Value::String(text) => format!("`{}`", without_credentials(text)),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            format!("[{}]", items.join(", "))
        }
        other => format!("`{other}`"),
    };
    let line: String = text
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect();
    match line.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The text with everything before the last `@` of a URL's or `user:password@host` text's host masked, and without a
/// query.
fn without_credentials(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
    let rest = match rest.rsplit_once('@') {
        Some((_, host)) => format!("***@{host}"),
        None => rest.to_owned(),
    };
    scheme + &rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_report_begins_after_lines_of_the_entrypoint_and_may_come_in_pieces() {
        let mut reader = KasDumpReader::default();
        for line in [
            "groupmod: no changes",
            "{",
            "  \"machine\": \"a",
            "b\",",
            "  \"env\": {}",
            "}",
        ] {
            reader.stdout(line);
        }
        for message in [
            "config file /repo/kas/a (1).yml (internal)",
            "config file /work/isar/x.yml (external)",
            "config file /repo/kas/a (1).yml (internal)",
            "Repository isar checked out to main",
        ] {
            reader.log(message);
        }

        let dump = reader.finish().unwrap();

        assert_eq!(dump.config, json!({ "machine": "ab", "env": {} }));
        let files: Vec<&str> = dump.files.iter().map(String::as_str).collect();
        assert_eq!(files, ["/repo/kas/a (1).yml", "/work/isar/x.yml"]);
    }

    #[test]
    fn output_without_a_whole_object_is_no_report() {
        for lines in [&[][..], &["no JSON"], &["{", "  \"a\": 1,"], &["[", "]"]] {
            let mut reader = KasDumpReader::default();
            for line in lines {
                reader.stdout(line);
            }
            assert!(reader.finish().is_none(), "{lines:?}");
        }
    }

    #[test]
    fn the_first_difference_is_named_and_secrets_are_not() {
        let ours = json!({
            "machine": "m", "target": ["a"], "env": { "TOKEN": "hush" },
            "local_conf_header": { "a": "hush" },
            "repos": { "isar": { "url": "https://x/isar", "layers": { "meta": null } } },
        });
        assert_eq!(first_difference(&ours, &ours), None);
        let with = |change: &dyn Fn(&mut Value)| {
            let mut kas = ours.clone();
            change(&mut kas);
            first_difference(&kas, &ours).unwrap().to_string()
        };

        let said = [
            with(&|kas| kas["machine"] = json!("other\nline")),
            with(&|kas| kas["target"] = json!(["a", "b"])),
            with(&|kas| kas["task"] = json!("x")),
            with(&|kas| kas["env"]["TOKEN"] = json!("psst")),
            with(&|kas| kas["local_conf_header"]["a"] = json!("psst")),
            with(&|kas| kas["repos"]["isar"]["url"] = json!("https://me:psst@x/isar?token=psst")),
            with(&|kas| kas["repos"]["isar"]["commit"] = json!("b9")),
            with(&|kas| kas["repos"]["isar"]["layers"]["meta"] = json!(false)),
            with(&|kas| {
                drop(
                    kas["repos"]["isar"]
                        .as_object_mut()
                        .unwrap()
                        .remove("layers"),
                )
            }),
            with(&|kas| kas["repos"]["isar"] = Value::Null),
            first_difference(&json!([]), &ours).unwrap().to_string(),
        ];

        insta::assert_snapshot!(said.join("\n"), @"
        `machine` is `other line` for kas and `m` for isar-build-all
        `target` is [`a`, `b`] for kas and [`a`] for isar-build-all
        `task` is `x` for kas and missing for isar-build-all
        `env.TOKEN` is not the same for kas and isar-build-all
        `local_conf_header.a` is not the same for kas and isar-build-all
        `repos.isar.url` is `https://***@x/isar` for kas and `https://x/isar` for isar-build-all
        `repos.isar.commit` is `b9` for kas and missing for isar-build-all
        `repos.isar.layers.meta` is `false` for kas and null for isar-build-all
        `repos.isar.layers` is missing for kas and a table for isar-build-all
        `repos.isar` is null for kas and a table for isar-build-all
        `(all)` is not the same for kas and isar-build-all
        ");
        assert!(!said.join(" ").contains("psst") && !said.join(" ").contains("hush"));
    }
}
