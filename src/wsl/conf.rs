//! `/etc/wsl.conf`, as far as it tells where WSL mounts drives and with which options. Pure.
//!
//! Source: learn.microsoft.com, "Advanced settings configuration in WSL", section `[automount]`.

use std::path::PathBuf;

/// How WSL mounts drives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Automount {
    /// Whether it does by itself.
    pub enabled: bool,
    /// Below which directory.
    pub root: PathBuf,
    /// With which options of drvfs.
    pub options: Vec<String>,
}

impl Default for Automount {
    fn default() -> Self {
        Self {
            enabled: true,
            root: PathBuf::from("/mnt/"),
            options: Vec::new(),
        }
    }
}

impl Automount {
    /// Reads the text of the file; what is not understood is passed over, as WSL does.
    #[must_use]
    pub fn read(text: &str) -> Self {
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
    fn defaults_and_values() {
        assert_eq!(Automount::read(""), Automount::default());
        let text = "[boot]\nsystemd=true\n[Automount]\nEnabled = FALSE # not now\nroot = /win/\n\
                    options = \"metadata,uid=1000, umask=22\"\n[network]\nroot=/no\n";
        let read = Automount::read(text);
        assert!(!read.enabled);
        assert_eq!(read.root, PathBuf::from("/win/"));
        assert_eq!(read.options, ["metadata", "uid=1000", "umask=22"]);
    }

    #[test]
    fn what_is_no_absolute_root_is_none() {
        assert_eq!(
            Automount::read("[automount]\nroot = relative\nwhat\n=\n"),
            Automount::default()
        );
    }
}
