//! How a program is run as root without a password: sudo, or run0.
//!
//! Knows nothing of what is run. The choice is kas-container's (`KAS_SUDO_CMD`, else the first of the two
//! that is there), because it runs the container and we stop it.

use super::probe::Prober;
use super::refusal::EngineRefusal;

/// A way to become root that works now and without asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elevation {
    /// What `KAS_SUDO_CMD` must be for kas-container to take the same.
    pub(crate) word: &'static str,
    /// What goes before the program.
    pub(crate) prefix: Vec<String>,
}

impl Elevation {
    pub(crate) fn probe(prober: Prober<'_>) -> Result<Self, EngineRefusal> {
        let asked_for = prober.environment.text("KAS_SUDO_CMD");
        let word = match asked_for {
            Some("sudo") => "sudo",
            Some("run0") => "run0",
            Some(word) => return Err(EngineRefusal::SudoUnsupported { word: word.into() }),
            None if prober.find("sudo").is_some() => "sudo",
            None => "run0",
        };
        let program = prober.find(word).ok_or(EngineRefusal::NoSudo)?;
        let options: &[&str] = match word {
            "sudo" => &["-n", "--preserve-env"],
            _ => &["--background=", "--no-ask-password"],
        };
        let mut test = options.to_vec();
        test.push("true");
        let answer = prober.ask(&program, &test)?;
        if !answer.ok {
            let why = answer.complaint();
            return Err(if why.contains("preserve the environment") {
                EngineRefusal::SudoDropsEnvironment
            } else {
                EngineRefusal::SudoAsks { word, why }
            });
        }
        let mut prefix = vec![program.display().to_string()];
        prefix.extend(options.iter().map(|&option| option.to_owned()));
        Ok(Self { word, prefix })
    }
}
