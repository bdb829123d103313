//! Reads `/etc/wsl.conf`: where and with which options WSL mounts Windows drives. Pure.
//!
//! Source: learn.microsoft.com, "Advanced settings configuration in WSL", section `[automount]`.

use std::path::PathBuf;

/// The `[automount]` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutomountConf {
    /// Whether WSL mounts drives when it starts.
    pub enabled: bool,
    /// The directory in which it mounts them.
    pub root: PathBuf,
    /// Options for drvfs.
    pub options: Vec<String>,
}

impl Default for AutomountConf {
    fn default() -> Self {
        Self {
            enabled: true,
            root: PathBuf::from("/mnt/"),
            options: Vec::new(),
        }
    }
}

impl AutomountConf {
    /// Parses the text of the file. Like WSL, ignores what it does not understand.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut automount = Self::default();
        let mut section = String::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').trim().to_ascii_lowercase();
            }
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let value = value.trim().trim_matches('"');
            match (
                section.as_str(),
                key.trim().to_ascii_lowercase().as_str(),
                value,
            ) {
                ("automount", "enabled", value) => {
                    automount.enabled =
                        !matches!(value.to_ascii_lowercase().as_str(), "false" | "0");
                }
                ("automount", "root", value) if value.starts_with('/') => {
                    automount.root = PathBuf::from(value);
                }
                ("automount", "options", value) => {
                    automount.options = value
                        .split(',')
                        .map(|option| option.trim().to_owned())
                        .filter(|option| !option.is_empty())
                        .collect();
                }
                _ => {}
            }
        }
        automount
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_automount_section_replace_the_defaults() {
        let text = "[boot]\nsystemd=true\n[Automount]\nEnabled = FALSE # not now\nroot = /win/\n\
                    options = \"metadata,uid=1000, umask=22\"\n[network]\nroot=/no\n";

        let read = AutomountConf::parse(text);

        assert!(!read.enabled);
        assert_eq!(read.root, PathBuf::from("/win/"));
        assert_eq!(read.options, ["metadata", "uid=1000", "umask=22"]);
    }

    #[test]
    fn a_relative_root_and_broken_lines_are_ignored() {
        for text in ["", "[automount]\nroot = relative\nwhat\n=\n"] {
            assert_eq!(AutomountConf::parse(text), AutomountConf::default());
        }
    }
}
