//! A product that a caller adds to the tool: a type that implements `Product`, and one line.

use std::fs;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use isar_build_all::commands::Tool;
use isar_build_all::fs::PathError;
use isar_build_all::store::product::ProductInfo;
use isar_build_all::store::products::{Product, ProductJob, ProductMaker, ProductOutput};
use support::eventually;
use support::project::Project;

static SUM_INFO: ProductInfo = ProductInfo {
    word: "sum",
    suffix: ".sum",
    levels: None,
};

/// The sum of a file's bytes.
#[derive(Debug)]
struct Sum;

impl Product for Sum {
    fn info(&self) -> &'static ProductInfo {
        &SUM_INFO
    }

    fn start(
        &self,
        output: ProductOutput,
        _: &ProductJob<'_>,
    ) -> Result<Box<dyn ProductMaker>, PathError> {
        Ok(Box::new(SumMaker { output, sum: 0 }))
    }
}

struct SumMaker {
    output: ProductOutput,
    sum: u64,
}

impl ProductMaker for SumMaker {
    fn hole(&mut self, _: &[u8]) -> Result<(), PathError> {
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<(), PathError> {
        self.sum += data.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<ProductOutput, PathError> {
        let line = format!("{}\n", self.sum);
        let written = self.output.write_all(line.as_bytes());
        written.map_err(PathError::on("write", self.output.path()))?;
        Ok(self.output)
    }
}

fn tool() -> Tool {
    let mut tool = Tool::standard();
    tool.parts.products.push(&Sum);
    tool
}

const MATRIX: &str = r#"schema = 1
[axes]
role = ["base"]
[naming]
id = "{role}"
unique_name = "isar-{id}-{machine}{extension}"
deploy_name = "image-{machine}{extension}"
[artifacts]
wic = { extension = ".wic", format = "any", products = ["sum"] }
[machines.qemuarm64]
arch = "arm64"
artifacts = ["wic"]
[kas]
chain = ["kas/base.yml"]
[[variants]]
machine = "qemuarm64"
role = "base"
"#;

/// A project whose artifact has the product, with an output entry for `--hash-only`.
fn project() -> Project {
    let project = Project::new();
    project.write("variants.toml", MATRIX);
    project.write(
        "artifacts/qemuarm64/isar-base-qemuarm64.wic",
        "\u{1}\u{2}\u{3}",
    );
    project
}

fn call(tool: &Tool, project: &Project, words: &[&str]) -> ExitCode {
    let file = project.path().join("variants.toml");
    let file = ["--file", file.to_str().unwrap()];
    let words = [&["isar-build-all"], words, &file].concat();
    tool.main(words.into_iter().map(Into::into))
}

const SUM_FILE: &str = "artifacts/qemuarm64/isar-base-qemuarm64.wic.sum";

#[test]
fn an_added_product_is_named_in_the_matrix_made_and_recorded() {
    let project = project();
    let events = project.path().join("events.jsonl");
    let run = [
        "--hash-only",
        "--store",
        "local",
        "--events",
        events.to_str().unwrap(),
    ];

    assert_eq!(call(&tool(), &project, &run), ExitCode::SUCCESS);

    assert_eq!(project.read(SUM_FILE), "6\n");
    assert!(
        project
            .read("events.jsonl")
            .contains("isar-base-qemuarm64.wic.sum")
    );
    let made = fs::metadata(project.path().join(SUM_FILE)).unwrap();
    // Runs of one process are told apart by their second.
    let second = jiff::Timestamp::now().as_second();
    let is_later = || jiff::Timestamp::now().as_second() > second;
    assert!(eventually(Duration::from_secs(60), is_later));
    assert_eq!(call(&tool(), &project, &run), ExitCode::SUCCESS);
    let kept = fs::metadata(project.path().join(SUM_FILE)).unwrap();
    assert_eq!(made.modified().unwrap(), kept.modified().unwrap());
}

#[test]
fn a_matrix_with_an_unknown_product_is_refused_with_the_known_ones() {
    let project = project();

    let said = project.run(&["check"]);

    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("`sum` is not a known product"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("the products are: `zst`, `bmap`"),
        "{}",
        said.stderr
    );
    assert_eq!(call(&tool(), &project, &["--list"]), ExitCode::SUCCESS);
}

#[test]
fn recovery_removes_a_half_written_product() {
    let project = project();
    let run = ["--hash-only", "--store", "local"];
    assert_eq!(call(&tool(), &project, &run), ExitCode::SUCCESS);
    let part = format!("{SUM_FILE}.part");
    project.write(&part, "half");

    assert_eq!(call(&tool(), &project, &["recover"]), ExitCode::SUCCESS);

    assert!(!project.path().join(&part).exists());
    assert_eq!(project.read(SUM_FILE), "6\n");
}
