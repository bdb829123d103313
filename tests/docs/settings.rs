//! `docs/settings.md` says what the table of settings says.

use std::fs;
use std::path::PathBuf;

use isar_build_all::settings;

fn path() -> PathBuf {
    support::root().join("docs/settings.md")
}

#[test]
fn the_committed_text_is_current() {
    if fs::read_to_string(path()).unwrap_or_default() != settings::markdown() {
        let new = path().with_extension("md.new");
        fs::write(&new, settings::markdown()).unwrap();
        panic!(
            "docs/settings.md is not current; look at {} and move it there",
            new.display()
        );
    }
}

#[test]
fn every_setting_has_its_variables_a_default_and_a_meaning() {
    let text = settings::markdown();
    for setting in settings::SETTINGS {
        let begin = format!("| `{}` | ", setting.key);
        let row = text.lines().find(|line| line.starts_with(&begin)).unwrap();
        let cells: Vec<&str> = row.split(" | ").collect();
        assert_eq!(cells.len(), 4, "{row}");
        assert!(cells.iter().all(|cell| !cell.trim().is_empty()), "{row}");
        for variable in setting.variables() {
            assert!(cells[3].contains(&format!("`{variable}`")), "{row}");
        }
    }
}
