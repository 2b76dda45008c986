//! What a migration says of itself: `report.json` and `manifest.ndjson`, read as any other program would.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::Value;

/// The report and its manifest.
#[derive(Clone, Debug)]
pub struct Papers {
    /// `report.json`.
    pub report: Value,
    /// The lines of `manifest.ndjson`.
    pub lines: Vec<Line>,
}

/// A line of the manifest: what it says of one source message.
#[derive(Clone, Debug)]
pub struct Line(pub Value);

impl Papers {
    /// Reads both from the folder of a report.
    ///
    /// # Errors
    /// If one is missing or is no JSON.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let report = std::fs::read(folder.join("report.json"))?;
        let manifest = std::fs::read_to_string(folder.join("manifest.ndjson"))?;
        let lines = manifest.lines().map(|line| Ok(Line(serde_json::from_str(line)?)));
        Ok(Self { report: serde_json::from_slice(&report)?, lines: lines.collect::<io::Result<_>>()? })
    }

    /// A number of the report by its path, as `/totals/listed`.
    #[must_use]
    pub fn number(&self, pointer: &str) -> Option<u64> {
        self.report.pointer(pointer).and_then(Value::as_u64)
    }

    /// The wire name of each mailbox by name and side: `source` or `target`.
    pub(super) fn wire_names(&self, side: &str) -> BTreeMap<String, Vec<String>> {
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for mailbox in self.mailboxes() {
            let (name, wire) = (&mailbox[format!("{side}_name")], &mailbox[format!("{side}_wire")]);
            if let (Some(name), Some(wire)) = (name.as_str(), wire.as_str()) {
                names.entry(name.to_owned()).or_default().push(wire.to_owned());
            }
        }
        names
    }

    pub(super) fn mailboxes(&self) -> impl Iterator<Item = &Value> {
        self.report["mailboxes"].as_array().into_iter().flatten()
    }
}

impl Line {
    /// Mailbox, UIDVALIDITY and UID on a side; `None` where there is nothing.
    pub(super) fn place(&self, side: &str) -> Option<(&str, u64, u64)> {
        let place = self.0.get(side)?;
        Some((place["mailbox"].as_str()?, place["uidvalidity"].as_u64()?, place["uid"].as_u64()?))
    }

    /// A text at the top level.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0[key].as_str()
    }

    /// The kind of the exception.
    pub(super) fn reason(&self) -> Option<&str> {
        self.0["reason"]["kind"].as_str()
    }

    /// The flags read back where the line says that they differ.
    pub(super) fn flags_read_back(&self) -> Option<Vec<&str>> {
        Some(self.0["flags"]["read_back"].as_array()?.iter().filter_map(Value::as_str).collect())
    }
}
