//! BitBake's words: its console, the failing task, silences, what recipes fetch.

pub mod console;
pub mod silence;
pub mod src_uri;
