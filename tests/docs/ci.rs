//! What the pipelines in docs/ci name is there: options, machines, architectures, files, each other.

use std::collections::BTreeMap;

use clap::FromArgMatches;
use isar_build_all::commands::Tool;
use isar_build_all::project::arguments::Arguments;
use saphyr::{LoadableYamlNode, Yaml};

const GITHUB: &str = "docs/ci/build-images.github.yml";
const GITLAB: &str = "docs/ci/build-images.gitlab-ci.yml";

/// What a job leaves that the repository does not hold before: what we write, and what the job makes.
const MADE: [&str; 6] = [
    "events.jsonl",
    ".isar-build-all/runs/",
    "artifact-hashes.nix",
    "artifacts/",
    ".cache/",
    "tool/",
];

fn read(path: &str) -> String {
    std::fs::read_to_string(support::root().join(path)).unwrap()
}

fn yaml(text: &str) -> Yaml<'_> {
    Yaml::load_from_str(text).unwrap().remove(0)
}

fn text<'a>(node: &'a Yaml<'_>, key: &str) -> Option<&'a str> {
    node.as_mapping_get(key)?.as_str()
}

fn items<'a, 'i>(node: &'a Yaml<'i>, key: &str) -> &'a [Yaml<'i>] {
    node.as_mapping_get(key)
        .and_then(Yaml::as_sequence)
        .map_or(&[], |sequence| sequence)
}

/// The machines of variants.toml and their architectures.
fn machines() -> BTreeMap<String, String> {
    let matrix: toml::Table = read("variants.toml").parse().unwrap();
    matrix["machines"]
        .as_table()
        .unwrap()
        .iter()
        .map(|(name, machine)| (name.clone(), machine["arch"].as_str().unwrap().to_owned()))
        .collect()
}

/// The calls of isar-build-all in a script, as words; `replace` stands for what the CI system would.
fn calls(script: &str, replace: &[(&str, &str)]) -> Vec<Vec<String>> {
    let mut script = script.replace("\\\n", " ");
    for (from, to) in replace {
        script = script.replace(from, to);
    }
    script
        .lines()
        .map(str::split_whitespace)
        .map(|words| words.map(|word| word.trim_matches('"').to_owned()))
        .map(Iterator::collect::<Vec<String>>)
        .filter(|words| {
            words
                .first()
                .is_some_and(|word| word.rsplit('/').next() == Some("isar-build-all"))
        })
        .collect()
}

fn assert_is_taken(call: &[String], machine: &str) {
    assert!(
        call.iter().all(|word| !word.contains('$')),
        "nothing is left to be filled in: {call:?}"
    );
    let command = Tool::standard().command();
    let matches = command
        .try_get_matches_from(call)
        .unwrap_or_else(|error| panic!("{call:?}: {error}"));
    let arguments = Arguments::from_arg_matches(&matches).unwrap();
    assert_eq!(arguments.select.machines, [machine]);
}

fn assert_is_there(path: &str) {
    let is_made = MADE
        .iter()
        .any(|made| path == *made || (made.ends_with('/') && path.starts_with(made)));
    let root = support::root();
    assert!(
        is_made || root.join(path.trim_end_matches("/**")).exists(),
        "{path} is named by a job and nobody has it"
    );
}

#[test]
fn the_github_workflow_names_nothing_that_is_not_there() {
    let source = read(GITHUB);
    let workflow = yaml(&source);
    let job = &workflow["jobs"]["build"];
    let entries = items(&job["strategy"]["matrix"], "include");
    let mut covered = BTreeMap::new();
    for entry in entries {
        let machine = text(entry, "machine").unwrap();
        let arch = text(entry, "arch").unwrap();
        let runner = match arch {
            "amd64" => "ubuntu-24.04",
            _ => "ubuntu-24.04-arm",
        };
        assert_eq!(
            text(entry, "runner"),
            Some(runner),
            "{machine} is built natively"
        );
        covered.insert(machine.to_owned(), arch.to_owned());

        let replace = [
            ("${{ matrix.machine }}", machine),
            ("${{ matrix.arch }}", arch),
        ];
        let steps = items(job, "steps");
        let all: Vec<Vec<String>> = steps
            .iter()
            .filter_map(|step| text(step, "run"))
            .flat_map(|script| calls(script, &replace))
            .collect();
        assert_eq!(all.len(), 1, "one call builds and registers");
        assert_is_taken(&all[0], machine);
        for step in steps {
            let Some(with) = step.as_mapping_get("with") else {
                continue;
            };
            for path in text(with, "path").unwrap_or("").lines() {
                let path = path.replace("${{ matrix.arch }}", arch);
                if !path.starts_with('~') {
                    assert_is_there(&path);
                }
            }
            if let Some(key) = text(with, "key") {
                assert!(
                    key.contains("${{ matrix.arch }}"),
                    "{key} holds the architecture"
                );
            }
        }
    }
    assert_eq!(covered, machines(), "every machine is built, as what it is");
    let hashed = source.split("hashFiles(").skip(1);
    for arguments in hashed.map(|rest| rest.split(')').next().unwrap()) {
        for path in arguments.split(',') {
            assert_is_there(path.trim().trim_matches('\''));
        }
    }
    let uploads = items(job, "steps")
        .iter()
        .filter(|step| text(step, "uses").is_some_and(|uses| uses.contains("upload-artifact")))
        .find(|step| {
            step["with"]["path"]
                .as_str()
                .unwrap()
                .contains("events.jsonl")
        })
        .unwrap();
    assert_eq!(text(uploads, "if"), Some("always()"));
}

#[test]
fn what_a_github_step_refers_to_is_defined() {
    let source = read(GITHUB);
    let workflow = yaml(&source);
    let job = &workflow["jobs"]["build"];
    let entry = &items(&job["strategy"]["matrix"], "include")[0];
    let ids: Vec<&str> = items(job, "steps")
        .iter()
        .filter_map(|step| text(step, "id"))
        .collect();
    for expression in source.split("${{ ").skip(1) {
        let expression = expression.split(" }}").next().unwrap();
        match expression.split_once('.') {
            Some(("matrix", name)) => assert!(text(entry, name).is_some(), "{expression}"),
            Some(("env", name)) => assert!(text(&workflow["env"], name).is_some(), "{expression}"),
            Some(("vars" | "github", _)) => {}
            _ => assert!(expression.starts_with("hashFiles("), "{expression}"),
        }
    }
    for reference in source
        .split("steps.")
        .skip(1)
        .filter(|rest| rest.contains(".outputs"))
    {
        let id = reference.split('.').next().unwrap();
        assert!(ids.contains(&id), "step {id}");
    }
}

#[test]
fn the_gitlab_pipeline_names_nothing_that_is_not_there() {
    let source = read(GITLAB);
    let pipeline = yaml(&source);
    let jobs: Vec<(&str, &Yaml<'_>)> = pipeline
        .as_mapping()
        .unwrap()
        .iter()
        .filter_map(|(name, job)| Some((name.as_str()?, job)))
        .filter(|(name, job)| !name.starts_with('.') && job.as_mapping_get("extends").is_some())
        .collect();
    let stages: Vec<&str> = items(&pipeline, "stages")
        .iter()
        .filter_map(Yaml::as_str)
        .collect();
    let mut covered = BTreeMap::new();
    for (name, job) in &jobs {
        let template = &pipeline[text(job, "extends").unwrap()];
        assert!(stages.contains(&text(template, "stage").unwrap()), "{name}");
        for needed in items(job, "needs").iter().filter_map(Yaml::as_str) {
            assert!(
                jobs.iter().any(|(other, _)| *other == needed),
                "{name} needs {needed}"
            );
        }
        let variables = &job["variables"];
        let arch = text(variables, "ARCH").unwrap();
        assert!(
            items(job, "tags")
                .iter()
                .all(|tag| tag.as_str().unwrap().ends_with(arch)),
            "{name} is built natively"
        );
        assert!(text(&template["cache"], "key").unwrap().contains("$ARCH"));
        for paths in ["cache", "artifacts"] {
            for path in items(&template[paths], "paths")
                .iter()
                .filter_map(Yaml::as_str)
            {
                assert_is_there(&path.replace("$ARCH", arch));
            }
        }
        let Some(machine) = text(variables, "MACHINE") else {
            continue;
        };
        covered.insert(machine.to_owned(), arch.to_owned());
        let all: Vec<Vec<String>> = items(template, "script")
            .iter()
            .filter_map(Yaml::as_str)
            .flat_map(|script| calls(script, &[("$MACHINE", machine)]))
            .collect();
        assert_eq!(all.len(), 1, "one call builds and registers");
        assert_is_taken(&all[0], machine);
        assert!(text(template, "image").unwrap().contains("/kas-isar:"));
    }
    assert_eq!(covered, machines(), "every machine is built, as what it is");
}

#[test]
fn the_binary_knows_every_option_that_the_pages_name() {
    let help = std::process::Command::new(support::tool())
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for page in ["docs/ci/github.md", "docs/ci/gitlab.md", GITHUB, GITLAB] {
        let page = read(page);
        let ours = page
            .lines()
            .filter_map(|line| line.split_once("isar-build-all --").map(|(_, rest)| rest))
            .flat_map(|rest| {
                format!("--{rest}")
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .filter(|word| word.starts_with("--"));
        for option in ours {
            let option = option.trim_end_matches(['`', '.', ',']);
            assert!(help.contains(option), "{option} is no option");
        }
    }
}

#[test]
fn pages_link_to_files_that_exist() {
    for page in ["docs/ci/github.md", "docs/ci/gitlab.md"] {
        for link in read(page).split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            let path = support::root().join("docs/ci").join(link);
            assert!(path.exists(), "{page} links to {link}");
        }
    }
}
