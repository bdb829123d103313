//! BitBake's output and recipes: its console, the failing task, silences, the downloads of recipes.

pub mod console;
pub mod silence;
pub mod src_uri;
