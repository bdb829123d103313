//! Conditions: tables of tests on axes, machine and architectures that must all hold.
//! Knows nothing of what depends on them.

use super::catalog::{self, Catalog};
use super::document::{Test, Tests, Text};
use crate::model::arch::Arch;
use crate::model::faults::{Fault, Faults};
use crate::model::pattern::{Pattern, Patterns};
use crate::model::suggest;

/// A compiled condition.
#[derive(Debug, Default)]
pub struct Condition(Vec<Check>);

#[derive(Debug)]
enum Check {
    Axis(usize, Patterns),
    AxisIsSet(usize, bool),
    Machine(Patterns),
    Arch(Patterns),
    HostArch(Patterns),
    Native(bool),
}

/// What a condition is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The machine.
    pub machine: u32,
    /// The value of each axis, where it is set.
    pub axes: &'a [Option<u32>],
    /// The architecture of the machine that builds; `None` when nobody says.
    pub host: Option<Arch>,
}

impl Condition {
    /// Compiles a table of tests. `host` says whether it may ask about the building machine.
    ///
    /// Reports unknown keys, bad globs, and globs that nothing in the catalog matches.
    pub fn new(tests: &Tests, catalog: &Catalog, host: bool, faults: &mut Faults) -> Condition {
        let mut checks = Vec::new();
        for (key, test) in tests {
            checks.extend(check(key, test, catalog, host, faults));
        }
        Condition(checks)
    }

    /// Whether all tests hold. Without a known host nothing is native, and no `host-arch` matches.
    #[must_use]
    pub fn holds(&self, catalog: &Catalog, subject: Subject<'_>) -> bool {
        let machine = &catalog.machines[subject.machine as usize];
        self.0.iter().all(|check| match check {
            Check::Axis(axis, patterns) => patterns.take(value(catalog, subject, *axis)),
            Check::AxisIsSet(axis, wanted) => subject.axes[*axis].is_some() == *wanted,
            Check::Machine(patterns) => patterns.take(Some(&machine.name.value)),
            Check::Arch(patterns) => patterns.take(machine.arch.map(Arch::as_str)),
            Check::HostArch(patterns) => patterns.take(subject.host.map(Arch::as_str)),
            Check::Native(wanted) => {
                (machine.arch.is_some() && machine.arch == subject.host) == *wanted
            }
        })
    }
}

fn value<'c>(catalog: &'c Catalog, subject: Subject<'_>, axis: usize) -> Option<&'c str> {
    let number = subject.axes[axis]?;
    Some(&catalog.axes[axis].values[number as usize].name.value)
}

fn check(
    key: &Text,
    test: &Test,
    catalog: &Catalog,
    host: bool,
    faults: &mut Faults,
) -> Option<Check> {
    let architectures = Arch::ALL.map(Arch::as_str);
    match (key.value.as_str(), test) {
        ("machine", Test::Globs(globs)) => {
            let names: Vec<&str> = catalog.machine_names().collect();
            Some(Check::Machine(patterns(globs, "machine", &names, faults)))
        }
        ("arch", Test::Globs(globs)) => {
            let globs = debian_names(globs, faults);
            Some(Check::Arch(patterns(
                &globs,
                "arch",
                &architectures,
                faults,
            )))
        }
        ("host-arch", Test::Globs(globs)) if host => {
            let globs = debian_names(globs, faults);
            Some(Check::HostArch(patterns(
                &globs,
                "host-arch",
                &architectures,
                faults,
            )))
        }
        ("native", Test::Is(wanted)) if host => Some(Check::Native(*wanted)),
        // A test of the wrong type on these was reported by the structural check.
        ("machine" | "arch", _) => None,
        ("host-arch" | "native", _) if host => None,
        (name, test) => {
            let Some(axis) = catalog.axis(name) else {
                faults.push(unknown(key, catalog, host));
                return None;
            };
            Some(match test {
                Test::Is(wanted) => Check::AxisIsSet(axis, *wanted),
                Test::Globs(globs) => {
                    let names: Vec<&str> = catalog.axes[axis].names().collect();
                    Check::Axis(axis, patterns(globs, name, &names, faults))
                }
            })
        }
    }
}

fn unknown(key: &Text, catalog: &Catalog, host: bool) -> Fault {
    let fixed: &[&str] = if host {
        &["machine", "arch", "host-arch", "native"]
    } else {
        &["machine", "arch"]
    };
    Fault::at(
        key.span.clone(),
        format!("a condition on `{}`, which is no axis", key.value),
        "not an axis",
    )
    .hint(suggest::hint(
        &key.value,
        "conditions can be on",
        catalog.axis_names().chain(fixed.iter().copied()),
    ))
}

/// Globs of architectures with the kernel's names replaced by Debian's.
fn debian_names(globs: &[Text], faults: &mut Faults) -> Vec<Text> {
    let mut out = Vec::new();
    for glob in globs {
        let (negation, word) = match glob.value.strip_prefix('!') {
            Some(word) => ("!", word),
            None => ("", glob.value.as_str()),
        };
        match word.parse::<Arch>() {
            Ok(arch) => {
                let mut glob = glob.clone();
                glob.value = format!("{negation}{arch}");
                out.push(glob);
            }
            Err(_) if Pattern::new(word).is_ok_and(|glob| !glob.is_literal()) => {
                out.push(glob.clone());
            }
            Err(error) => faults.push(catalog::unknown_arch(glob, &error)),
        }
    }
    out
}

fn patterns(globs: &[Text], what: &str, names: &[&str], faults: &mut Faults) -> Patterns {
    let mut all = Patterns::default();
    for glob in globs {
        let word = glob.value.strip_prefix('!').unwrap_or(&glob.value);
        match Pattern::new(word) {
            Err(why) => faults.push(bad_glob(glob, &why)),
            Ok(pattern) if !names.iter().any(|name| pattern.matches(name)) => faults.push(
                Fault::at(
                    glob.span.clone(),
                    format!("`{word}` matches no value of `{what}`"),
                    "matches nothing",
                )
                .hint(suggest::hint(word, "the values are", names.iter().copied())),
            ),
            Ok(_) => {}
        }
        // The same text was just compiled or refused.
        let _ = all.add(&glob.value);
    }
    all
}

/// The fault for a text that is not a glob.
#[must_use]
pub fn bad_glob(glob: &Text, why: &str) -> Fault {
    Fault::at(
        glob.span.clone(),
        format!("`{}` is not a glob: {why}", glob.value),
        "cannot be matched",
    )
    .hint("globs have `*`, `?`, `[a-z]` and `{a,b}`; a `!` in front negates")
}
