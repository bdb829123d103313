//! Maps paths of the container to paths of the host.

/// Directories of the host and their places in the container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mounts(Vec<(String, String)>);

impl Mounts {
    /// Pairs of container and host path, both absolute.
    #[must_use]
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Mounts {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        // The longest match comes first, because a mount can be inside of another.
        pairs.sort_by_key(|(container, _)| std::cmp::Reverse(container.len()));
        Mounts(pairs)
    }

    /// The host path of a container path; `None` if no mount contains it.
    #[must_use]
    pub fn host(&self, path: &str) -> Option<String> {
        let path = normalised(path)?;
        self.0.iter().find_map(|(container, host)| {
            let rest = path.strip_prefix(container.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{host}{rest}"))
        })
    }
}

/// The path without `.` and `..`: BitBake prints paths like `/build/../work/…`. `None` for a relative path.
fn normalised(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.strip_prefix('/')?.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_counts_and_dots_are_resolved() {
        let mounts = Mounts::new([
            ("/work".to_owned(), "/home/me/w".to_owned()),
            ("/work/build".to_owned(), "/big/b".to_owned()),
        ]);
        for (inside, outside) in [
            ("/work/isar/x", Some("/home/me/w/isar/x")),
            ("/work/build/tmp/log", Some("/big/b/tmp/log")),
            ("/work/build/../isar/./x", Some("/home/me/w/isar/x")),
            ("/work", Some("/home/me/w")),
            ("/workshop/x", None),
            ("/../../etc", None),
            ("tmp/log", None),
        ] {
            assert_eq!(mounts.host(inside).as_deref(), outside, "{inside}");
        }
    }
}
