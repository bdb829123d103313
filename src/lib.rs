//! isar-build-all: builds, captures and registers every image of an ISAR variant matrix.
//!
//! Data goes one way: `settings` and `variants.toml` become a [`matrix::Matrix`], the matrix a
//! [`plan::Plan`], the scheduler walks the plan, steps do the work, and every change of state
//! is a [`event::Event`] that reporters draw.
//!
//! A room imports only rooms below it; `docs/architecture.md` has the arrows.

// Blank lines keep rustfmt from sorting the rooms.

/// Subcommands, one a file: command line and a thin `run()`.
pub mod commands;

/// One run: prepare, execute, finish; scheduler, executor, publishing, locks, signals.
pub mod run;

/// Leftovers of a killed run, finished or taken back.
pub mod recovery;

/// The steps of a variant, one a file.
pub mod steps;

/// Reporters, one a file: bars, plain, JSON lines, GitHub, GitLab, summary.
pub mod report;

/// A loaded project: arguments, settings, matrix and kas files, with all their faults.
pub mod project;

/// Journal, build records, history, directories of runs.
pub mod state;

/// Input key, skip decision, and the proof that registered files are still there.
pub mod inputs;

/// Download and shared-state caches: stamps, locks, audit, pruning.
pub mod caches;

/// Keeps a build from hanging on a Windows drive.
pub mod wsl;

/// The reason why a silent build hangs.
pub mod watchdog;

/// Nodes, lanes, ready set, order, simulation, skips.
pub mod plan;

/// Kas files: what a chain reads, and what kas resolved it to.
pub mod kas;

/// Artifact-hashes.nix: parse, edit, replace.
pub mod hashes_file;

/// Variants.toml: axes, expansion, templates, names, schema, selection, faults with spans.
pub mod matrix;

/// Nix and local store: paths, archives, hashing, products.
pub mod store;

/// An artifact's content: its format and what is wrong with it.
pub mod inspect;

/// BitBake's output: console, event log, failing task, silence.
pub mod bitbake;

/// Finding and probing kas-container, engines and Nix.
pub mod tools;

/// The machine: cores, memory, pressure, control groups, WSL or CI.
pub mod host;

/// Running programs, the watcher, and what undoes them.
pub mod exec;

/// Events, outcomes, the sink that hands them to reporters, the clock.
pub mod event;

/// Files that appear at once, stamps, locks.
pub mod fs;

/// The table of settings, its layers and places.
pub mod settings;

/// Vocabulary of every room: architectures, base-32, source spans, suggestions, patterns.
pub mod base;
