//! A subcommand that a caller adds to the tool.

use std::process::ExitCode;

use clap::Args;
use isar_build_all::base::failure::Failure;
use isar_build_all::commands::{Invocation, Subcommand, Tool};

#[derive(Args)]
struct EchoArgs {
    code: u8,
}

/// Exits with the code that it is given.
struct Echo;

impl Subcommand for Echo {
    fn define(&self) -> clap::Command {
        EchoArgs::augment_args(clap::Command::new("echo").about("Exit with CODE"))
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ExitCode, Failure> {
        let EchoArgs { code } = call.args()?;
        Ok(ExitCode::from(code))
    }
}

#[test]
fn an_added_subcommand_is_parsed_listed_and_run() {
    let mut tool = Tool::standard();
    tool.commands.push(&Echo);

    let code = tool.main(["isar-build-all", "echo", "7"].map(Into::into));

    assert_eq!(code, ExitCode::from(7));
    assert!(
        tool.command()
            .render_help()
            .to_string()
            .contains("Exit with CODE")
    );
}
