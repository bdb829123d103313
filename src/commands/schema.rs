//! `schema`: the JSON Schema of variants.toml.

use std::process::ExitCode;

use crate::base::failure::Failure;
use crate::commands::output::{json, print};
use crate::commands::{Invocation, Subcommand};
use crate::matrix::schema::schema;
use crate::settings;
use crate::store::choice::words;

pub(super) struct SchemaCommand;

impl Subcommand for SchemaCommand {
    fn define(&self) -> clap::Command {
        clap::Command::new("schema").about("Print the JSON Schema of variants.toml")
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ExitCode, Failure> {
        print(&json(&schema(&settings::json_schema(&words(
            &call.tool.parts.backends,
        ))))?)
    }
}
