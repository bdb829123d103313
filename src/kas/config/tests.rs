use std::collections::BTreeMap;

use super::*;
use crate::kas::yaml::{self, KasFileFormat};

/// Files in memory, below `/p`; a directory is cloned when a file is in it.
struct Files(BTreeMap<PathBuf, &'static str>);

impl KasSource for Files {
    fn read(&mut self, path: &Path) -> Option<Result<Arc<YamlNode>, Fault>> {
        let format = KasFileFormat::of(path.to_str()?)?;
        Some(yaml::load(self.0.get(path)?, format))
    }

    fn has_file(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    fn real(&self, path: &Path) -> PathBuf {
        let mut real = PathBuf::new();
        for part in path {
            match part.to_str() {
                Some("..") => drop(real.pop()),
                Some(".") => {}
                _ => real.push(part),
            }
        }
        real
    }

    fn checkout(&self, repo: &KasRepo) -> Option<PathBuf> {
        let is_there = self.0.keys().any(|file| file.starts_with(&repo.path));
        is_there.then(|| repo.path.clone())
    }
}

fn config(top: &[&str], files: &[(&str, &'static str)]) -> Result<KasConfig, Box<ChainFault>> {
    let files = files
        .iter()
        .map(|(name, text)| (Path::new("/p").join(name), *text));
    let places = KasPlaces {
        root: "/p".into(),
        work_dir: "/p/work".into(),
        in_container: false,
    };
    let top: Vec<PathBuf> = top.iter().map(|name| Path::new("/p").join(name)).collect();
    load(&top, &places, &mut Files(files.collect()))
}

fn names(config: &KasConfig) -> Vec<String> {
    let below = |file: &ChainFile| file.path.strip_prefix("/p").unwrap().display().to_string();
    config.files.iter().map(below).collect()
}

#[test]
fn a_file_that_two_others_include_is_merged_at_both_places() {
    let config = config(
        &["lean.yml", "machine.yml"],
        &[
            (
                "base.yml",
                "header: {version: 14}\nmachine: base\ndistro: base\n",
            ),
            (
                "lean.yml",
                "header: {version: 15, includes: [base.yml]}\nmachine: lean\ndistro: lean\n",
            ),
            (
                "machine.yml",
                "header: {version: 14, includes: [base.yml]}\ndistro: machine\n",
            ),
        ],
    )
    .unwrap();

    assert_eq!(
        names(&config),
        ["base.yml", "lean.yml", "base.yml", "machine.yml"]
    );
    assert_eq!(
        config.dump().to_string(),
        r#"{"header":{"version":15},"machine":"base","distro":"machine"}"#
    );
}

#[test]
fn a_lock_file_comes_before_the_includes_of_its_file() {
    let config = config(
        &["a.yml"],
        &[
            ("a.yml", "header: {version: 14, includes: [b.yml]}\n"),
            (
                "a.lock.yml",
                "header: {version: 14}\noverrides: {repos: {x: {commit: locked}}}\n",
            ),
            (
                "b.yml",
                "header: {version: 14}\noverrides: {repos: {x: {branch: b}}}\n",
            ),
        ],
    )
    .unwrap();

    assert_eq!(names(&config), ["a.lock.yml", "b.yml", "a.yml"]);
    assert!(config.files[0].is_lock);
    let expected = serde_json::json!({"repos": {"x": {"commit": "locked", "branch": "b"}}});
    assert_eq!(config.dump()["overrides"], expected);
}

#[test]
fn null_replaces_at_every_depth() {
    let base = "header: {version: 14}\nrepos: {x: {url: u, commit: c}, y: {url: u, commit: c}}\n";
    let config = config(
        &["a.yml", "b.yml"],
        &[
            ("a.yml", base),
            (
                "b.yml",
                "header: {version: 14}\nrepos: {x: {url: null, commit: null}, y: null}\n",
            ),
        ],
    )
    .unwrap();

    let repos = config.repos().unwrap();

    assert_eq!(repos[0].pin, KasPin::Local);
    assert_eq!(repos[1].pin, KasPin::Local);
    assert_eq!(repos[1].path, Path::new("/p"));
}

#[test]
fn an_override_of_null_unpins() {
    let config = config(
        &["a.yml"],
        &[(
            "a.yml",
            "header: {version: 14}\nrepos: {x: {url: u, commit: c, branch: next}}\n\
             overrides: {repos: {x: {commit: null}}}\n",
        )],
    )
    .unwrap();

    assert_eq!(
        config.repos().unwrap()[0].pin,
        KasPin::Branch("next".into())
    );
}

#[test]
fn an_explicit_null_removes_a_default() {
    let text = "header: {version: 14}\ndefaults: {repos: {branch: main}}\n\
                repos: {x: {url: u, branch: null, tag: v1}, y: {url: u}}\n";

    let config = config(&["a.yml"], &[("a.yml", text)]).unwrap();

    let repos = config.repos().unwrap();
    assert_eq!(repos[0].pin, KasPin::Tag("v1".into()));
    assert_eq!(repos[1].pin, KasPin::Branch("main".into()));
}

#[test]
fn every_word_for_disabled_takes_a_layer_out() {
    let text = "header: {version: 14}\nrepos:\n  x:\n    layers:\n      used:\n      high: {prio: 5}\n\
                \x20     a: disabled\n      b: excluded\n      c: n\n      d: no\n      e: 0\n      f: false\n      g: '0'\n";

    let config = config(&["a.yml"], &[("a.yml", text)]).unwrap();

    let layers = config.repos().unwrap().remove(0).layers;
    let used: Vec<(&str, i64)> = layers
        .iter()
        .map(|layer| (layer.name.as_str(), layer.priority))
        .collect();
    assert_eq!(used, [("used", 0), ("high", 5)]);
}

#[test]
fn a_clone_is_in_the_directory_of_its_name() {
    let text = "header: {version: 14, includes: [{repo: x, file: x.yml}]}\n\
                repos: {x: {url: u, commit: c, name: other}}\n";

    let config = config(
        &["a.yml"],
        &[
            ("a.yml", text),
            (
                "work/other/x.yml",
                "header: {version: 14, includes: [y.yml]}\nmachine: x\n",
            ),
            (
                "work/other/x.lock.yml",
                "header: {version: 14}\ndistro: lock\n",
            ),
            ("work/other/y.yml", "header: {version: 14}\n"),
        ],
    )
    .unwrap();

    let expected = [
        "work/other/x.lock.yml",
        "work/other/y.yml",
        "work/other/x.yml",
        "a.yml",
    ];
    assert_eq!(names(&config), expected);
    assert!(config.missing_repos.is_empty());
}

#[test]
fn what_is_not_cloned_yet_is_missing() {
    let text = "header: {version: 14, includes: [{repo: x, file: x.yml}]}\nrepos: {x: {url: u, commit: c}}\n";

    let config = config(&["a.yml"], &[("a.yml", text)]).unwrap();

    assert_eq!(config.missing_repos, ["x"]);
}

#[test]
fn a_circle_of_includes_and_lock_files_ends() {
    for files in [
        &[("a.yml", "header: {version: 14, includes: [a.yml]}\n")][..],
        &[
            ("a.yml", "header: {version: 14, includes: [a.lock.yml]}\n"),
            ("a.lock.yml", "header: {version: 14, includes: [a.yml]}\n"),
        ],
    ] {
        let fault = config(&["a.yml"], files).unwrap_err().fault;

        assert!(
            fault.message.ends_with("leads back to this file"),
            "{}",
            fault.message
        );
    }
}

#[test]
fn repeated_includes_cannot_grow_without_bound() {
    let mut files = vec![("f0.yml".to_owned(), "header: {version: 14}\n".to_owned())];
    for level in 1..30 {
        let below = level - 1;
        let text = format!("header: {{version: 14, includes: [f{below}.yml, f{below}.yml]}}\n");
        files.push((format!("f{level}.yml"), text));
    }
    let files: Vec<(&str, &'static str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), &*text.clone().leak()))
        .collect();

    let fault = config(&["f29.yml"], &files).unwrap_err().fault;

    assert!(
        fault.message.starts_with("the chain comes to more than"),
        "{}",
        fault.message
    );
}

#[test]
fn includes_outside_of_the_repository_are_refused() {
    let text = "header: {version: 14, includes: [../b.yml]}\n";

    let fault = config(&["a.yml"], &[("a.yml", text)]).unwrap_err().fault;

    assert_eq!(
        fault.message,
        "the include `../b.yml` is outside of the repository"
    );
}

#[test]
fn refused_repositories_say_why() {
    for (entry, why) in [
        ("{url: u}", "it has a URL, and no commit, tag or branch"),
        (
            "{url: u, refspec: r, branch: b}",
            "it mixes the old `refspec` with commit, tag or branch",
        ),
        (
            "{url: u, tag: t, branch: b}",
            "it has both a tag and a branch",
        ),
        (
            "{url: u, commit: c, signed: true}",
            "it must be signed, and `allowed_signers` is empty",
        ),
    ] {
        let text = format!("header: {{version: 14}}\nrepos: {{x: {entry}}}\n").leak();

        let fault = config(&["a.yml"], &[("a.yml", text)])
            .unwrap()
            .repos()
            .unwrap_err();

        assert_eq!(fault.why, why);
    }
}
