//! kas's own schema for kas files, printed by the kas that builds: the one in the container's image, or the one that
//! is installed.
//!
//! Knows nothing of what a schema means.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::settings::Environment;
use crate::tools::container::STATE_LABEL;
use crate::tools::engine::Engine;
use crate::tools::probe::{Answer, ProbeError, Prober};

/// Prints a [`FoundKasSchema`] as JSON. Every version of kas that has a schema has it under this name.
const PRINT: &str = "import json, kas, kas.configschema as c; \
print(json.dumps({'kas_version': kas.__version__, 'schema': json.dumps(c.CONFIGSCHEMA)}))";

/// Runs a Python program with the interpreter of the `kas` in `PATH`: the first line of its script names it.
const WITH_KAS_PYTHON: &str =
    "kas=$(command -v kas) && python=$(head -n 1 \"$kas\") && exec ${python#??} -c \"$0\"";

/// kas's schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundKasSchema {
    /// The version of the kas that it belongs to.
    pub kas_version: String,
    /// The schema, JSON.
    pub schema: String,
}

/// A kas that can print its schema.
#[derive(Debug, Clone, Copy)]
pub enum KasOfSchema<'a> {
    /// The one in a container image.
    Image {
        /// The engine.
        engine: &'a Engine,
        /// The image's id.
        id: &'a str,
        /// The value of [`STATE_LABEL`] for the container.
        label: &'a str,
    },
    /// The one whose script this is.
    Installed(&'a Path),
}

impl FoundKasSchema {
    /// Asks kas for its schema. Takes a second or two with a container.
    ///
    /// # Errors
    /// When kas gives no answer, or one that is not a schema.
    pub fn ask(
        kas: KasOfSchema<'_>,
        environment: &Environment,
    ) -> Result<FoundKasSchema, ProbeError> {
        let prober = Prober::new(environment);
        let (shown, answer) = match kas {
            KasOfSchema::Image { engine, id, label } => {
                let label = format!("{STATE_LABEL}={label}");
                let words = [
                    "run",
                    "--rm",
                    "--network",
                    "none",
                    "--label",
                    &label,
                    "--entrypoint",
                    "sh",
                    id,
                    "-c",
                    WITH_KAS_PYTHON,
                    PRINT,
                ];
                (
                    "kas in the container image",
                    ask(prober, &engine.command(&words))?,
                )
            }
            KasOfSchema::Installed(script) => {
                let python = interpreter(script).ok_or_else(|| ProbeError::NotRun {
                    command: script.display().to_string(),
                    reason: "it is not a Python script".to_owned(),
                })?;
                let words = [
                    python.to_string_lossy().into_owned(),
                    "-c".into(),
                    PRINT.into(),
                ];
                ("kas", ask(prober, &words)?)
            }
        };
        let unusable = |reason: String| ProbeError::NotRun {
            command: shown.to_owned(),
            reason,
        };
        if !answer.ok {
            return Err(unusable(answer.complaint()));
        }
        serde_json::from_str(&answer.stdout).map_err(|error| unusable(error.to_string()))
    }
}

fn ask(prober: Prober<'_>, words: &[String]) -> Result<Answer, ProbeError> {
    let (program, arguments) = words
        .split_first()
        .unwrap_or((const { &String::new() }, &[]));
    let program = prober
        .find(program)
        .unwrap_or_else(|| PathBuf::from(program));
    prober.ask(&program, arguments)
}

/// The interpreter that the first line of a script names.
fn interpreter(script: &Path) -> Option<PathBuf> {
    let text = std::fs::read(script).ok()?;
    let line = text.split(|&byte| byte == b'\n').next()?;
    let line = std::str::from_utf8(line.strip_prefix(b"#!")?).ok()?;
    Some(PathBuf::from(line.split_whitespace().next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_is_on_the_first_line_of_a_script() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("kas");
        let of = |text: &str| {
            std::fs::write(&script, text).unwrap();
            interpreter(&script)
        };

        assert_eq!(of("#!/v/bin/python -E\nx"), Some("/v/bin/python".into()));
        assert_eq!(of("#!/v/bin/python\nx"), Some("/v/bin/python".into()));
        assert_eq!(of("\x7fELF"), None);
        assert_eq!(of("#!"), None);
        assert_eq!(interpreter(&dir.path().join("none")), None);
    }
}
