//! Target `kas`: any kas files are refused, or merged to an end; a file that was read means the same as JSON.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use isar_build_all::base::fault::Fault;
use isar_build_all::kas::config::{KasPlaces, KasRepo, KasSource, load};
use isar_build_all::kas::yaml::{self, KasFileFormat, YamlNode};

/// The line between two files: `%%% NAME`.
const NEXT: &str = "%%% ";

/// The files of a chain in memory. The first one is `a.yml`.
struct Files<'t>(HashMap<PathBuf, &'t str>);

impl KasSource for Files<'_> {
    fn read(&mut self, path: &Path) -> Option<Result<Arc<YamlNode>, Fault>> {
        let format = KasFileFormat::of(&path.to_string_lossy())?;
        self.0.get(path).map(|text| yaml::load(text, format))
    }

    fn has_file(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    fn real(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }

    fn checkout(&self, _: &KasRepo) -> Option<PathBuf> {
        None
    }
}

/// Reads any text as files that are separated by lines with their names.
pub fn kas(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut files = HashMap::new();
    for (index, part) in text.split(NEXT).enumerate() {
        let (name, text) = match index {
            0 => ("a.yml", part),
            _ => part.split_once('\n').unwrap_or((part, "")),
        };
        files.insert(Path::new("/p").join(name), text);
    }
    for text in files.values() {
        same_as_json(text);
    }
    let places = KasPlaces {
        root: "/p".into(),
        work_dir: "/p/work".into(),
        in_container: true,
    };
    let top = [PathBuf::from("/p/a.yml")];
    if let Ok(config) = load(&top, &places, &mut Files(files)) {
        assert!(config.dump().is_object());
        let _ = config.repos();
    }
}

fn same_as_json(text: &str) {
    let Ok(node) = yaml::load(text, KasFileFormat::Yaml) else {
        return;
    };
    let json = node.to_json();
    let again = yaml::load(&json.to_string(), KasFileFormat::Json).expect("JSON is read");
    assert_eq!(again.to_json(), json);
}
