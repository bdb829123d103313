//! What an inspection found. Knows nothing of formats.

use globset::GlobSet;

use crate::base::arch::Arch;
use crate::inspect::format::Format;
use crate::inspect::machine;
use crate::inspect::machine::Machine;

/// What a block map is called.
pub(super) const BLOCK_MAP: &str = "block map";

/// Findings of one gate that are told one by one; the others are counted.
const TOLD: u64 = 5;

/// Which kind of proof is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gate {
    /// Every program is for the machine.
    Architecture,
    /// The file is whole.
    Shape,
}

/// Something that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which gate it fails.
    pub gate: Gate,
    /// What is wrong: a sentence without the file's name.
    pub why: String,
}

/// What is to be held against a file.
#[derive(Clone)]
pub struct Rules {
    /// The machine's architecture.
    pub arch: Arch,
    /// Paths inside a file system or archive where foreign programs belong.
    pub foreign: GlobSet,
    /// Asked often; true ends the inspection.
    pub stop: crate::inspect::Stop,
}

/// What was found in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What the file is, as `GPT disk image`; empty where no format was recognised.
    pub what: String,
    /// The format that `what` is in words; none where none was recognised.
    pub format: Option<Format>,
    /// Whether it is compressed as a whole.
    pub packed: bool,
    /// What is wrong with it; the first few of each gate, then how many more.
    pub findings: Vec<Finding>,
    /// Programs for the machine.
    pub programs: u64,
    /// Programs for others that belong where they are.
    pub foreign_allowed: u64,
    /// Parts that hold something that we do not know how to read.
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

    /// Whether it is of a format that programs are in.
    #[must_use]
    pub fn holds_programs(&self) -> bool {
        !["", BLOCK_MAP].contains(&self.what.as_str())
    }
}

/// Looks at programs, one after the other.
pub(super) struct Looking<'a> {
    rules: &'a Rules,
    /// What comes of it.
    pub(super) report: Report,
    /// Where we are, as ` in partition 2`; empty for the file itself.
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

    /// Says what the file is.
    pub(super) fn is(&mut self, format: Format, what: impl Into<String>) {
        self.report.what = what.into();
        self.report.format = Some(format);
    }

    /// Something is wrong with the file's shape.
    pub(super) fn shape(&mut self, why: impl Into<String>) {
        self.report.findings.push(Finding {
            gate: Gate::Shape,
            why: why.into(),
        });
    }

    /// Looks at the first bytes of the file at `path` inside.
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

    /// Says that something is for another machine.
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
                why: format!("{} more are foreign", self.report.foreign - TOLD),
            });
        }
        self.report
    }

    pub(super) fn arch(&self) -> Arch {
        self.rules.arch
    }
}

/// The path inside, as it is in the file system: from the root, without a leading `.`.
pub(super) fn rooted(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    format!("/{}", path.trim_start_matches('/'))
}
