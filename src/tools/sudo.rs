//! Probes elevation: running a program as root, through sudo or run0, without a password.
//!
//! The choice is the one that kas-container makes (`KAS_SUDO_CMD`, else the first of the two that
//! is installed): it starts the containers that this program stops.

use crate::tools::probe::Prober;
use crate::tools::refusal::EngineRefusal;

/// A way to become root that works without a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elevation {
    /// The value of `KAS_SUDO_CMD` with which kas-container does the same.
    pub(crate) word: &'static str,
    /// The words before a command.
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
