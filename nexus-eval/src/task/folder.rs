//! Task files by the names that stand in them.

use super::config::included;
use super::yaml::{Node, Yaml};
use crate::{Error, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The names of tasks and groups that the YAML files of a folder describe.
pub(super) struct Folder {
    path: PathBuf,
    named: Vec<(String, bool, PathBuf)>,
    /// Files that cannot be read, and why.
    unread: Vec<String>,
}

impl Folder {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).map_err(Error::io("read", path))? {
            files.push(entry.map_err(Error::io("read", path))?.path());
        }
        files.retain(|file| file.extension().is_some_and(|e| e == "yaml") && file.is_file());
        files.sort();
        let mut folder = Self { path: path.into(), named: Vec::new(), unread: Vec::new() };
        for file in files {
            match included(&file, &mut Vec::new()) {
                Ok(node) => {
                    let named = name(&node, "group").map(|name| (name, true));
                    let named = named.or_else(|| Some((name(&node, "task")?, false)));
                    folder.named.extend(named.map(|(name, is_group)| (name, is_group, file)));
                }
                Err(why) => folder.unread.push(why.to_string()),
            }
        }
        Ok(folder)
    }

    /// The file of a task or group, and whether it is a group.
    pub(super) fn find(&self, name: &str) -> Result<(&Path, bool), String> {
        let mut found = self.named.iter().filter(|(other, ..)| other == name);
        let folder = self.path.display();
        match (found.next(), found.next()) {
            (Some((_, is_group, file)), None) => Ok((file, *is_group)),
            (Some((.., one)), Some((.., other))) => Err(format!(
                "{name:?} is described by both {} and {}; rename one",
                one.display(),
                other.display()
            )),
            (None, _) => {
                let unread = match self.unread.is_empty() {
                    true => String::new(),
                    false => format!("; these cannot be read: {}", self.unread.join("; ")),
                };
                Err(format!("no .yaml file of {folder} describes {name:?}{unread}"))
            }
        }
    }
}

/// The text of a key of a mapping.
pub(super) fn name(node: &Node, key: &str) -> Option<String> {
    let Yaml::Map(entries) = &node.value else { return None };
    match &entries.iter().find(|(name, _)| name == key)?.1.value {
        Yaml::Scalar(Value::String(text)) => Some(text.clone()),
        _ => None,
    }
}
