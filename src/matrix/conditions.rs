//! Conditions: tables of tests on axes, machine and architectures, all of which must hold.
//!
//! `when` of a kas chain entry and `exclude` of a `[[variants]]` entry are conditions.

use crate::base::arch::Arch;
use crate::base::fault::{Fault, Faults};
use crate::base::pattern::{Pattern, Patterns};
use crate::base::suggest;
use crate::matrix::catalog;
use crate::matrix::catalog::Catalog;
use crate::matrix::document::{ConditionTest, ConditionTests, Text};

/// A compiled condition.
#[derive(Debug, Default)]
pub struct Condition(Vec<CompiledTest>);

#[derive(Debug)]
enum CompiledTest {
    Axis(usize, Patterns),
    AxisIsSet(usize, bool),
    Machine(Patterns),
    Arch(Patterns),
    HostArch(Patterns),
    Native(bool),
}

/// The subject of a condition.
#[derive(Debug, Clone, Copy)]
pub struct ConditionSubject<'a> {
    /// The number of the machine.
    pub machine: u32,
    /// For each axis, the number of its value; `None`: unset.
    pub axes: &'a [Option<u32>],
    /// The architecture of the build host, if known.
    pub host: Option<Arch>,
}

impl Condition {
    /// Compiles a table of tests. With `host`, it may test the build host (`host-arch`, `native`).
    ///
    /// Reports unknown keys, invalid globs, and globs that match nothing in the catalog.
    pub fn new(
        tests: &ConditionTests,
        catalog: &Catalog,
        host: bool,
        faults: &mut Faults,
    ) -> Condition {
        let mut checks = Vec::new();
        for (key, test) in tests {
            checks.extend(check(key, test, catalog, host, faults));
        }
        Condition(checks)
    }

    /// Whether all tests hold. With an unknown host, no machine is native and no `host-arch`
    /// matches.
    #[must_use]
    pub fn holds(&self, catalog: &Catalog, subject: ConditionSubject<'_>) -> bool {
        let machine = &catalog.machines[subject.machine as usize];
        self.0.iter().all(|check| match check {
            CompiledTest::Axis(axis, patterns) => patterns.matches(value(catalog, subject, *axis)),
            CompiledTest::AxisIsSet(axis, wanted) => subject.axes[*axis].is_some() == *wanted,
            CompiledTest::Machine(patterns) => patterns.matches(Some(&machine.name.value)),
            CompiledTest::Arch(patterns) => patterns.matches(machine.arch.map(Arch::as_str)),
            CompiledTest::HostArch(patterns) => patterns.matches(subject.host.map(Arch::as_str)),
            CompiledTest::Native(wanted) => {
                (machine.arch.is_some() && machine.arch == subject.host) == *wanted
            }
        })
    }
}

fn value<'c>(catalog: &'c Catalog, subject: ConditionSubject<'_>, axis: usize) -> Option<&'c str> {
    let number = subject.axes[axis]?;
    Some(&catalog.axes[axis].values[number as usize].name.value)
}

fn check(
    key: &Text,
    test: &ConditionTest,
    catalog: &Catalog,
    host: bool,
    faults: &mut Faults,
) -> Option<CompiledTest> {
    let architectures = Arch::ALL.map(Arch::as_str);
    match (key.value.as_str(), test) {
        ("machine", ConditionTest::Globs(globs)) => {
            let names: Vec<&str> = catalog.machine_names().collect();
            Some(CompiledTest::Machine(patterns(
                globs, "machine", &names, faults,
            )))
        }
        ("arch", ConditionTest::Globs(globs)) => {
            let globs = debian_names(globs, faults);
            Some(CompiledTest::Arch(patterns(
                &globs,
                "arch",
                &architectures,
                faults,
            )))
        }
        ("host-arch", ConditionTest::Globs(globs)) if host => {
            let globs = debian_names(globs, faults);
            Some(CompiledTest::HostArch(patterns(
                &globs,
                "host-arch",
                &architectures,
                faults,
            )))
        }
        ("native", ConditionTest::Is(wanted)) if host => Some(CompiledTest::Native(*wanted)),
        // The structural check has reported tests of a wrong type on these.
        ("machine" | "arch", _) => None,
        ("host-arch" | "native", _) if host => None,
        (name, test) => {
            let Some(axis) = catalog.axis(name) else {
                faults.push(unknown(key, catalog, host));
                return None;
            };
            Some(match test {
                ConditionTest::Is(wanted) => CompiledTest::AxisIsSet(axis, *wanted),
                ConditionTest::Globs(globs) => {
                    let names: Vec<&str> = catalog.axes[axis].names().collect();
                    CompiledTest::Axis(axis, patterns(globs, name, &names, faults))
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
        format!("condition on `{}`, which is not an axis", key.value),
        "not an axis",
    )
    .hint(suggest::hint(
        &key.value,
        "conditions can test",
        catalog.axis_names().chain(fixed.iter().copied()),
    ))
}

/// Globs of architectures, with the names of the kernel (`x86_64`) replaced by those of Debian.
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
        // `Pattern::new` above has reported what `add` would return.
        let _ = all.add(&glob.value);
    }
    all
}

/// The fault of an invalid glob.
#[must_use]
pub fn bad_glob(glob: &Text, why: &str) -> Fault {
    Fault::at(
        glob.span.clone(),
        format!("`{}` is not a glob: {why}", glob.value),
        "invalid glob",
    )
    .hint("a glob can contain `*`, `?`, `[a-z]` and `{a,b}`; a leading `!` negates it")
}
