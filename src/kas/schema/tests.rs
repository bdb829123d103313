use super::*;
use crate::kas::yaml::{self, KasFileFormat};

/// A schema with the shapes that kas's has.
const SCHEMA: &str = r##"{
    "type": "object",
    "required": ["header"],
    "additionalProperties": false,
    "properties": {
        "header": {
            "type": "object",
            "required": ["version"],
            "additionalProperties": false,
            "properties": {
                "version": {"anyOf": [{"const": "0.10"}, {"type": "integer", "minimum": 1, "maximum": 23}]}
            }
        },
        "build_system": {"enum": ["oe", "isar"]},
        "env": {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
        "repos": {
            "type": "object",
            "additionalProperties": {
                "anyOf": [
                    {
                        "type": "object",
                        "additionalProperties": false,
                        "properties": {
                            "branch": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                            "layers": {
                                "type": "object",
                                "additionalProperties": {"anyOf": [{"type": "null"}, {"const": "disabled"}]}
                            }
                        }
                    },
                    {"type": "null"}
                ]
            }
        }
    }
}"##;

/// Each fault as `underlined text: message (hint)`.
fn faults(text: &str) -> Vec<String> {
    let schema = KasSchema::parse("5.5", SCHEMA).unwrap();
    let file = yaml::load(text, KasFileFormat::Yaml).unwrap();
    let shown = |fault: Fault| {
        let at = fault.span.map_or("", |span| &text[span]);
        let hint = fault
            .hint
            .map_or(String::new(), |hint| format!(" ({hint})"));
        format!("{at}: {}{hint}", fault.message)
    };
    schema.faults(&file).into_iter().map(shown).collect()
}

#[test]
fn a_file_that_the_schema_admits_has_no_faults() {
    let text =
        "header: {version: 14}\nrepos: {a: null, b: {branch: null, layers: {x: disabled}}}\n";

    assert_eq!(faults(text), [""; 0]);
}

#[test]
fn an_unknown_key_is_underlined_and_the_nearest_one_named() {
    let text =
        "header:\n  version: 14\n  include: []\nrepos:\n  a:\n    brnach: x\nbuildsystem: isar\n";

    assert_eq!(
        faults(text),
        [
            "include: kas 5.5 does not know the key `include` in `header` (it knows: `version`)",
            "brnach: kas 5.5 does not know the key `brnach` in `repos.a` (did you mean `branch`?)",
            "buildsystem: kas 5.5 does not know the key `buildsystem` at the top of a file \
             (did you mean `build_system`?)",
        ]
    );
}

#[test]
fn a_value_of_another_type_is_named_without_the_value() {
    let text =
        "header: {version: 14}\nenv:\n  TOKEN: 12345\n  LIST: [secret]\nbuild_system: issar\n";

    assert_eq!(
        faults(text),
        [
            "TOKEN: `env.TOKEN` is a number; kas 5.5 expects text or nothing (quote it)",
            "LIST: `env.LIST` is a list; kas 5.5 expects text or nothing",
            "build_system: `build_system` has a value that kas 5.5 does not know (did you mean `isar`?)",
        ]
    );
}

#[test]
fn versions_that_kas_does_not_read_are_named_with_those_that_it_reads() {
    assert_eq!(
        faults("header: {version: 99}"),
        ["version: kas 5.5 does not read files of version 99 (it reads versions 1 to 23)"]
    );
    assert_eq!(
        faults("header: {version: '14'}"),
        [
            "version: `header.version` is text; kas expects a number (write `version: 23`, without quotes)"
        ]
    );
    assert_eq!(
        faults("header: {version: '0.10'}"),
        ["'0.10': kas 5.5 fails on version `0.10` (write `version: 1`)"]
    );
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(
        faults("env: {}"),
        [": the file needs `header` (kas reads files of version 1 to 23)"]
    );
    assert_eq!(faults("header: {}"), ["header: `header` needs `version`"]);
    assert_eq!(
        faults("- a\n"),
        [": the file is a list; kas 5.5 expects a mapping"]
    );
}

#[test]
fn a_value_that_fits_no_alternative_is_a_fault_of_its_key() {
    let text = "header: {version: 14}\nrepos: {a: {layers: {x: off}}, b: 3}\n";

    assert_eq!(
        faults(text),
        [
            "x: `repos.a.layers.x` has a value that kas 5.5 does not know here",
            "b: `repos.b` has a value that kas 5.5 does not know here",
        ]
    );
}

#[test]
fn a_text_that_is_no_schema_is_an_error() {
    assert!(KasSchema::parse("5.5", "{").is_err());
    assert!(KasSchema::parse("5.5", r#"{"type": 3}"#).is_err());
}
