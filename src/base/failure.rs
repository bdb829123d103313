//! The failure of a command: a message, a hint and an exit code.

use std::fmt;

/// The kind of a failure; it decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// A fault of the tool itself.
    Internal,
    /// The words of the command line contradict each other.
    Usage,
    /// variants.toml, a kas file or a setting is wrong.
    Configuration,
    /// A tool, a permission or disk space is missing.
    Environment,
}

impl FailureKind {
    /// The exit code: 1, 2, 3 or 4.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            FailureKind::Internal => 1,
            FailureKind::Usage => 2,
            FailureKind::Configuration => 3,
            FailureKind::Environment => 4,
        }
    }
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind of the failure.
    pub kind: FailureKind,
    /// The failure and its cause, or a whole rendered report.
    pub message: String,
    /// The remedy, as a command if there is one.
    pub hint: Option<String>,
    /// Whether `message` is a rendered report, which is printed without `error:` and hint.
    pub rendered: bool,
}

impl Failure {
    /// A failure without a hint.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl fmt::Display) -> Failure {
        Failure {
            kind,
            message: message.to_string(),
            hint: None,
            rendered: false,
        }
    }

    /// A fault of the tool itself.
    #[must_use]
    pub fn internal(message: impl fmt::Display) -> Failure {
        Failure::new(FailureKind::Internal, message)
    }

    /// A failure of the host.
    #[must_use]
    pub fn environment(message: impl fmt::Display) -> Failure {
        Failure::new(FailureKind::Environment, message)
    }

    /// Faults of a file, rendered with their source lines.
    #[must_use]
    pub fn report(kind: FailureKind, report: String) -> Failure {
        Failure {
            kind,
            message: report,
            hint: None,
            rendered: true,
        }
    }

    /// This failure with another hint, or with none.
    #[must_use]
    pub fn hint(mut self, hint: Option<String>) -> Failure {
        self.hint = hint;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rendered {
            return f.write_str(self.message.trim_end());
        }
        write!(f, "error: {}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}
