//! Memory pressure: the share of time in which processes waited for memory. The format is the
//! kernel's `accounting/psi.rst`.

use std::fs;
use std::path::Path;

/// Percentage of the last ten seconds in which some process waited for memory: of the whole
/// machine, or of the control group whose directory is `unified`, whichever is higher. None where
/// the kernel does not report it.
pub(crate) fn memory(root: &Path, unified: Option<&Path>) -> Option<f32> {
    let of_machine = read(&root.join("proc/pressure/memory"));
    let of_group = unified.and_then(|dir| read(&dir.join("memory.pressure")));
    of_machine.into_iter().chain(of_group).reduce(f32::max)
}

fn read(path: &Path) -> Option<f32> {
    // Where the kernel has pressure information switched off, the file can exist and not be
    // readable.
    some_avg10(&fs::read_to_string(path).ok()?)
}

/// `some avg10=0.25 avg60=…`
fn some_avg10(text: &str) -> Option<f32> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let number = some
        .split(' ')
        .find_map(|word| word.strip_prefix("avg10="))?;
    number
        .parse()
        .ok()
        .filter(|number: &f32| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_the_average_of_the_last_ten_seconds() {
        let text = "some avg10=12.50 avg60=6.19 avg300=2.63 total=16356483\nfull avg10=2.05 avg60=1.00 avg300=0.52 total=4109460\n";
        assert_eq!(some_avg10(text), Some(12.5));
        for text in [
            "",
            "full avg10=1.00",
            "some avg60=1.00",
            "some avg10=x",
            "some avg10=inf",
        ] {
            assert_eq!(some_avg10(text), None, "{text}");
        }
    }
}
