//! Why a command did not do what it was asked: a message, a hint, an exit code.

use std::fmt;

/// What kind of thing went wrong; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A fault of ours.
    Internal,
    /// The words of the command line do not fit together.
    Usage,
    /// variants.toml, a kas file or a setting is wrong.
    Configuration,
    /// A tool, a permission or disk space is missing.
    Environment,
}

impl Kind {
    /// 1, 2, 3 or 4.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Internal => 1,
            Kind::Usage => 2,
            Kind::Configuration => 3,
            Kind::Environment => 4,
        }
    }
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of thing.
    pub kind: Kind,
    /// What failed and why. A rendered report with source lines stands as it is.
    pub message: String,
    /// What to do, as a command where there is one.
    pub hint: Option<String>,
    /// Whether `message` is a rendered report that needs no `error:` before it.
    pub rendered: bool,
}

impl Failure {
    /// A failure of some kind.
    #[must_use]
    pub fn new(kind: Kind, message: impl fmt::Display) -> Failure {
        Failure {
            kind,
            message: message.to_string(),
            hint: None,
            rendered: false,
        }
    }

    /// A fault of ours.
    #[must_use]
    pub fn internal(message: impl fmt::Display) -> Failure {
        Failure::new(Kind::Internal, message)
    }

    /// Something that the host lacks.
    #[must_use]
    pub fn environment(message: impl fmt::Display) -> Failure {
        Failure::new(Kind::Environment, message)
    }

    /// Faults of a file, rendered with their places.
    #[must_use]
    pub fn report(kind: Kind, report: String) -> Failure {
        Failure {
            kind,
            message: report,
            hint: None,
            rendered: true,
        }
    }

    /// The same with a hint, where there is one.
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
