use super::*;

fn json(text: &str) -> serde_json::Value {
    load(text, KasFileFormat::Yaml).expect(text).to_json()
}

fn refused(text: &str) -> String {
    match load(text, KasFileFormat::Yaml) {
        Ok(node) => panic!("{text:?} is read as {node:?}"),
        Err(fault) => fault.label,
    }
}

/// Each line: a plain word, and what Python's `json.dumps(yaml.safe_load(word))` prints.
#[test]
fn plain_words_have_the_types_of_yaml_1_1() {
    for (word, expected) in [
        ("yes", "true"),
        ("Off", "false"),
        ("nO", r#""nO""#),
        ("y", r#""y""#),
        ("~", "null"),
        ("Null", "null"),
        ("012", "10"),
        ("08", r#""08""#),
        ("0o7", r#""0o7""#),
        ("0x1F", "31"),
        ("0b11", "3"),
        ("1_000", "1000"),
        ("+1", "1"),
        ("-190:20", "-11420"),
        ("1:30", "90"),
        ("1:60", r#""1:60""#),
        ("1e3", r#""1e3""#),
        ("1.5e+3", "1500.0"),
        (".5", "0.5"),
        ("-.5", r#""-.5""#),
        ("1.", "1.0"),
        ("é", r#""é""#),
    ] {
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        assert_eq!(json(&format!("a: {word}"))["a"], expected, "{word}");
    }
}

#[test]
fn dates_are_opaque_and_the_calendar_counts() {
    assert_eq!(json("a: 2026-12-01")["a"], "2026-12-01");
    assert_eq!(json("a: 2026-1-2")["a"], "2026-1-2");
    assert_eq!(refused("a: 2026-02-30"), "no such day in the calendar");
}

#[test]
fn the_last_of_equal_keys_counts_at_the_place_of_the_first() {
    let node = load("a: 1\nb: 2\na: 3\n", KasFileFormat::Yaml).unwrap();

    let keys: Vec<&str> = node
        .entries()
        .iter()
        .map(|entry| entry.key.as_str())
        .collect();

    assert_eq!(keys, ["a", "b"]);
    assert_eq!(node.get("a").unwrap().value, YamlValue::Int(3));
}

#[test]
fn python_takes_true_and_one_for_one_key() {
    assert_eq!(json("yes: a\n1: b\n").to_string(), r#"{"true":"b"}"#);
}

#[test]
fn aliases_share_and_merge_keys_give_way_to_own_keys() {
    let text =
        "x: &x {url: a, path: b}\ny: &y {url: c}\nz: {<<: *x, path: own}\nw: {<<: [*x, *y]}\n";

    let value = json(text);

    assert_eq!(value["z"]["url"], "a");
    assert_eq!(value["z"]["path"], "own");
    // PyYAML: of two merged mappings the later one counts.
    assert_eq!(value["w"]["url"], "c");
}

#[test]
fn quoted_text_continues_at_the_column_of_its_key() {
    assert_eq!(json("k: \"a\nb\"\n")["k"], "a b");
    assert_eq!(json("k: \"\\/\\u00e9\\x41\"\n")["k"], "/éA");
}

#[test]
fn a_block_text_at_the_end_needs_no_line_break() {
    for (text, expected) in [
        ("a: |\n  x", "x"),
        ("a: |\n  x\n", "x\n"),
        ("a: |-\n  x", "x"),
        ("a: |+\n  x\n\n", "x\n\n"),
        ("a: >\n  x\n  y", "x y"),
        ("a: |\n  x\n ", "x\n"),
    ] {
        assert_eq!(json(text)["a"], expected, "{text:?}");
    }
}

#[test]
fn texts_that_kas_refuses_are_refused() {
    for (text, why) in [
        ("a:\tb\n", "a tab"),
        ("a: b\t# c\n", "a tab"),
        ("a: *x\n", "no anchor `x` before it"),
        ("a: &x 1\nb: &x 2\n", "the anchor `x` is defined twice"),
        ("a: 1\n---\nb: 2\n", "a second document"),
        ("a: !other b\n", "kas has no value for this tag"),
        ("[a, b]: c\n", "a key that is not a single word"),
        ("<<: a\n", "`<<` merges a mapping or a list of them"),
    ] {
        assert_eq!(refused(text), why, "{text:?}");
    }
}

#[test]
fn a_tab_in_quotes_or_a_comment_is_text() {
    assert_eq!(json("a: \"b\tc\" #\td\n")["a"], "b\tc");
    assert_eq!(json("a: |\n  b\tc\n")["a"], "b\tc\n");
}

#[test]
fn aliases_cannot_expand_without_bound() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }

    assert_eq!(refused(&text), "its aliases expand to too many values");
}

#[test]
fn deep_nesting_is_refused_and_not_a_crash() {
    let text = format!("a: {}", "[".repeat(5_000));

    assert!(load(&text, KasFileFormat::Yaml).is_err());
}

#[test]
fn spans_are_bytes_behind_letters_of_several() {
    let text = "ä: ö\nb: ccc\n";

    let node = load(text, KasFileFormat::Yaml).unwrap();

    let entry = node.entry("b").unwrap();
    assert_eq!(&text[entry.key_span.clone()], "b");
    assert_eq!(&text[entry.node.span.clone()], "ccc");
}

#[test]
fn json_files_take_the_last_of_equal_keys() {
    let node = load(r#"{"a": 1, "a": {"b": "\/"}}"#, KasFileFormat::Json).unwrap();

    assert_eq!(node.to_json().to_string(), r#"{"a":{"b":"/"}}"#);
}

#[test]
fn the_name_decides_the_format() {
    assert_eq!(KasFileFormat::of("kas/a.yml"), Some(KasFileFormat::Yaml));
    assert_eq!(KasFileFormat::of("a.b.yaml"), Some(KasFileFormat::Yaml));
    assert_eq!(KasFileFormat::of("a.json"), Some(KasFileFormat::Json));
    for name in ["a.txt", "a", ".yml", "kas.d/a", "a.YML"] {
        assert_eq!(KasFileFormat::of(name), None, "{name}");
    }
}
