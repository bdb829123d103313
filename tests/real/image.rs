//! Reads files out of a disk image without mounting it.

use std::path::Path;
use std::process::Command;

use crate::project::output;

/// The text of a file in the root file system of an image: the last ext4 partition of its GPT.
pub(crate) fn read(image: &Path, file: &str) -> String {
    let table = output(Command::new("sfdisk").arg("--json").arg(image));
    let table: serde_json::Value = serde_json::from_str(&table).unwrap();
    assert_eq!(table["partitiontable"]["label"], "gpt");
    let sector = table["partitiontable"]["sectorsize"]
        .as_u64()
        .unwrap_or(512);
    let partitions = table["partitiontable"]["partitions"].as_array().unwrap();
    let last = partitions.last().unwrap();
    let offset = last["start"].as_u64().unwrap() * sector;
    output(
        Command::new("debugfs")
            .args(["-R", &format!("cat {file}")])
            .arg(format!("{}?offset={offset}", image.display())),
    )
}
