//! Versions as tools print them. Pure.

use std::fmt;

use serde::{Serialize, Serializer};

/// The leading numbers of a version. Suffixes such as `-rc1` and `+ds1` are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number, 0 where there is none.
    pub patch: u32,
}

impl Version {
    /// A version without a third number.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self {
            major,
            minor,
            patch: 0,
        }
    }

    /// The first version in a line such as `podman version 4.3.1` or `nix-store (Nix) 2.8.0`.
    #[must_use]
    pub fn find(line: &str) -> Option<Self> {
        line.split_whitespace().find_map(Self::parse)
    }

    fn parse(word: &str) -> Option<Self> {
        let word = word.strip_prefix('v').unwrap_or(word);
        let mut numbers = word.split('.').map(|part| {
            let end = part
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(part.len());
            part[..end].parse::<u32>().ok()
        });
        Some(Self {
            major: numbers.next()??,
            minor: numbers.next()??,
            patch: numbers.next().flatten().unwrap_or(0),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.patch {
            0 => format!("{}.{}", self.major, self.minor),
            patch => format!("{}.{}.{patch}", self.major, self.minor),
        };
        f.pad(&text)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_tools_print() {
        for (line, shown) in [
            ("kas-container 5.5", "5.5"),
            ("podman version 4.3.1", "4.3.1"),
            ("Docker version 28.2.2, build e6534b4", "28.2.2"),
            ("nix-store (Nix) 2.8.0", "2.8"),
            ("runc version 1.1.5+ds1", "1.1.5"),
            ("kas 5.5 (configuration format version 23, …)", "5.5"),
            ("nix-store (Nix) 2.32.0pre20251012_abcdef", "2.32"),
            ("GPT fdisk (sgdisk) version 1.0.9", "1.0.9"),
        ] {
            assert_eq!(Version::find(line).unwrap().to_string(), shown);
        }
        assert_eq!(Version::find("no version here"), None);
        assert!(Version::new(5, 10) > Version::new(5, 4));
    }
}
