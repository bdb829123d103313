//! Debian's kernel as `scripts/setup --tests` unpacked it, and the order in which its modules go in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use support::environment;

/// What the machine needs: its bus, and 9p over it.
const WANTED: [&str; 3] = ["virtio_pci", "9pnet_virtio", "9p"];

pub(crate) struct Kernel {
    pub(crate) image: PathBuf,
    /// Name and file, each after those that it needs.
    pub(crate) modules: Vec<(String, PathBuf)>,
}

impl Kernel {
    pub(crate) fn find() -> Kernel {
        let cache = PathBuf::from(environment("HOME")).join(".cache/isar-build-all/vm");
        let image = fs::read_dir(cache.join("boot"))
            .unwrap_or_else(|error| {
                panic!("{}: {error}; run scripts/setup --tests", cache.display())
            })
            .map(|entry| entry.unwrap().path())
            .find(|path| path.to_string_lossy().contains("vmlinuz"))
            .expect("a kernel in the cache");
        let mut files = BTreeMap::new();
        collect(&cache.join("lib/modules"), &mut files);
        let mut modules = Vec::new();
        for name in WANTED {
            add(name, &files, &mut modules);
        }
        Kernel { image, modules }
    }
}

fn collect(dir: &Path, files: &mut BTreeMap<String, PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if let Some(name) = path.to_str().unwrap().strip_suffix(".ko") {
            let name = name.rsplit('/').next().unwrap().to_owned();
            files.insert(name, path);
        }
    }
}

fn add(name: &str, files: &BTreeMap<String, PathBuf>, modules: &mut Vec<(String, PathBuf)>) {
    if modules.iter().any(|(there, _)| there == name) {
        return;
    }
    let file = files.get(name).unwrap_or_else(|| {
        panic!("no module {name}; remove the cache and run scripts/setup --tests")
    });
    for needed in needs(&fs::read(file).unwrap()) {
        add(&needed, files, modules);
    }
    modules.push((name.to_owned(), file.clone()));
}

/// The modules that a module says it depends on: a string `depends=a,b` among its information.
fn needs(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let start = module
        .windows(key.len())
        .position(|window| window == key)
        .expect("a module says what it needs")
        + key.len();
    let end = start + module[start..].iter().position(|&byte| byte == 0).unwrap();
    String::from_utf8_lossy(&module[start..end])
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}
