//! Pressure stall information (`accounting/psi.rst` of the kernel's documentation): how much of the time
//! processes wait for memory. Knows nothing of what follows from it.

use std::fs;
use std::path::Path;

/// Of the last ten seconds the percentage in which some process waited for memory, by the machine or the
/// control group in `unified`, whichever is more.
pub(super) fn memory(root: &Path, unified: Option<&Path>) -> Option<f32> {
    let of_machine = read(&root.join("proc/pressure/memory"));
    let of_group = unified.and_then(|dir| read(&dir.join("memory.pressure")));
    of_machine.into_iter().chain(of_group).reduce(f32::max)
}

fn read(path: &Path) -> Option<f32> {
    // Where it is switched off, the file may be there and cannot be read.
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
    fn the_share_of_the_last_ten_seconds_is_read() {
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
