//! Retention of run directories: the newest are kept. A run with nothing to do creates no directory, and so pushes no
//! other out.

use std::fs;
use std::io;

use crate::fs::PathError;
use crate::state::StateDir;

/// Removes the directories of all runs except the newest `keep` and those in `unfinished`. The caller holds the run
/// lock and has not created its own run's directory yet. Directories that are not named like a run stay.
///
/// # Errors
/// When a directory cannot be read or removed; some are then removed and some not.
pub fn prune(state: &StateDir, keep: usize, unfinished: &[String]) -> Result<(), PathError> {
    let runs = state.runs();
    let entries = match fs::read_dir(&runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(PathError::on("read", &runs)(error)),
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_run(name) && !unfinished.contains(name))
        .collect();
    // A name begins with the time, so this sorts by time.
    names.sort();
    for name in &names[..names.len().saturating_sub(keep)] {
        let run = runs.join(name);
        fs::remove_dir_all(&run).map_err(PathError::on("remove", &run))?;
    }
    Ok(())
}

/// Whether a name is a run id, as `20261122T031409Z-1f3a`.
fn is_run(name: &str) -> bool {
    let Some((time, process)) = name.split_once("Z-") else {
        return false;
    };
    let shape: String = time
        .chars()
        .map(|character| {
            if character.is_ascii_digit() {
                '0'
            } else {
                character
            }
        })
        .collect();
    shape == "00000000T000000"
        && !process.is_empty()
        && process.chars().all(|digit| digit.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(state: &StateDir) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(state.runs())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn prune_keeps_the_newest_and_unfinished_runs() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path().join("state"));
        prune(&state, 2, &[]).unwrap();
        state.create().unwrap();
        let run = |minute: u32| format!("20261125T10{minute:02}00Z-a{minute}");
        for minute in 0..20 {
            state.run(&run(minute)).create([]).unwrap();
        }
        fs::create_dir(state.runs().join("mine")).unwrap();
        prune(&state, 2, &[run(0), run(7)]).unwrap();
        assert_eq!(kept(&state)[..4], [run(0), run(7), run(18), run(19)]);
        assert_eq!(kept(&state)[4..], ["mine"]);
    }

    #[test]
    fn only_run_ids_count_as_runs() {
        assert!(is_run("20261122T031409Z-1f3a"));
        for other in [
            "mine",
            "20261122T031409Z-",
            "20261122T031409Z-xyz",
            "2026Z-1",
        ] {
            assert!(!is_run(other), "{other}");
        }
    }
}
