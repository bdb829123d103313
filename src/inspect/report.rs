//! The report of an inspection.

use globset::GlobSet;

use crate::base::arch::Arch;
use crate::inspect::format::Format;
use crate::inspect::machine;
use crate::inspect::machine::Machine;

/// The name of a block map in reports.
pub(super) const BLOCK_MAP: &str = "block map";

/// Findings of a gate that are listed; further ones are counted.
const TOLD: u64 = 5;

/// The gate that a finding fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gate {
    /// Every program must be for the machine.
    Architecture,
    /// The file must be complete.
    Shape,
}

/// A fault of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The gate.
    pub gate: Gate,
    /// The fault: a sentence without the file's name.
    pub why: String,
}

/// The requirements of an inspection.
#[derive(Clone)]
pub struct Rules {
    /// The machine's architecture.
    pub arch: Arch,
    /// Paths inside a file system or archive that may contain foreign programs.
    pub foreign: GlobSet,
    /// Called often; true ends the inspection.
    pub stop: crate::inspect::StopCheck,
}

/// The result of an inspection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The format in words, such as `GPT disk image`; empty if unknown.
    pub what: String,
    /// The format of `what`; `None` if unknown.
    pub format: Option<Format>,
    /// Whether it is compressed as a whole.
    pub packed: bool,
    /// The faults: the first few of each gate, then the number of further ones.
    pub findings: Vec<Finding>,
    /// Programs for the machine.
    pub programs: u64,
    /// Foreign programs in allowed places.
    pub foreign_allowed: u64,
    /// Parts with content that cannot be read here.
    pub unread: Vec<String>,
    foreign: u64,
}

impl Report {
    /// Whether the file is of this format.
    #[must_use]
    pub fn is(&self, format: Format) -> bool {
        match format {
            Format::Any => true,
            Format::Compressed => self.packed,
            format => self.format == Some(format),
        }
    }

    /// Whether its format can contain programs.
    #[must_use]
    pub fn holds_programs(&self) -> bool {
        !["", BLOCK_MAP].contains(&self.what.as_str())
    }
}

/// An inspection in progress.
pub(super) struct Looking<'a> {
    rules: &'a Rules,
    /// The report so far.
    pub(super) report: Report,
    /// The present place, such as ` in partition 2`; empty for the file itself.
    pub(super) place: String,
}

impl<'a> Looking<'a> {
    pub(super) fn new(rules: &'a Rules) -> Looking<'a> {
        Looking {
            rules,
            report: Report::default(),
            place: String::new(),
        }
    }

    /// Sets the format.
    pub(super) fn is(&mut self, format: Format, what: impl Into<String>) {
        self.report.what = what.into();
        self.report.format = Some(format);
    }

    /// Adds a fault of shape.
    pub(super) fn shape(&mut self, why: impl Into<String>) {
        self.report.findings.push(Finding {
            gate: Gate::Shape,
            why: why.into(),
        });
    }

    /// Checks the first bytes of the file at `path` inside.
    pub(super) fn program(&mut self, path: &str, head: &[u8]) {
        let Some(machine) = machine::of(head) else {
            return;
        };
        match machine {
            Machine::Any => {}
            Machine::Of(arch) if arch == self.rules.arch => self.report.programs += 1,
            _ if self.rules.foreign.is_match(path) => self.report.foreign_allowed += 1,
            machine => self.foreign(&format!("{path}{}", self.place), &machine),
        }
    }

    /// Adds a program for another machine.
    pub(super) fn foreign(&mut self, what: &str, machine: &Machine) {
        self.report.foreign += 1;
        if self.report.foreign <= TOLD {
            let ours = self.rules.arch;
            self.report.findings.push(Finding {
                gate: Gate::Architecture,
                why: format!("{what} is for {machine}, the machine is {ours}"),
            });
        }
    }

    /// The report.
    pub(super) fn finish(mut self) -> Report {
        if self.report.foreign > TOLD {
            self.report.findings.push(Finding {
                gate: Gate::Architecture,
                why: match self.report.foreign - TOLD {
                    1 => "1 more is foreign".to_owned(),
                    more => format!("{more} more are foreign"),
                },
            });
        }
        self.report
    }

    pub(super) fn arch(&self) -> Arch {
        self.rules.arch
    }
}

/// The path from the root of the file system, without a leading `.`.
pub(super) fn rooted(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    format!("/{}", path.trim_start_matches('/'))
}
