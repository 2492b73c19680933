//! What lies in the checkout besides Rust.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder, sorted; hidden ones and what is built are left out.
pub(crate) fn files_below(folder: &str) -> Vec<String> {
    let mut files = Vec::new();
    let mut entries: Vec<_> = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().into_string().unwrap();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        if name.starts_with('.') || path == "target" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

/// What git knows; `None` where there is no git.
pub(crate) fn tracked_files() -> Option<Vec<String>> {
    if !root().join(".git").exists() {
        return None;
    }
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().ok()?;
    let names = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| names.split_terminator('\0').map(str::to_owned).collect())
}

/// Names of all dependencies, as code writes them.
pub(crate) fn dependencies() -> BTreeSet<String> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut section = "";
    let mut names = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section.ends_with("dependencies]") && section != "[workspace.dependencies]" {
            let name = line.split(['=', '.', ' ']).next().unwrap();
            names.extend((!name.is_empty() && !name.starts_with('#')).then(|| name.replace('-', "_")));
        }
    }
    assert!(names.contains("tokio"), "Cargo.toml's dependencies are not where this test looks for them");
    names
}

pub(crate) fn documents() -> Vec<String> {
    let files = tracked_files().unwrap_or_else(|| files_below(""));
    files.into_iter().filter(|file| file.ends_with(".md") && root().join(file).exists()).collect()
}

/// The relative links of a Markdown text: `[…](here)`, `[…]: here` and `src="here"`; code is left out.
pub(crate) fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut is_code = false;
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        if is_code {
            continue;
        }
        let line: String = line.split('`').step_by(2).collect();
        let starts = [("](", ')'), ("src=\"", '"'), ("href=\"", '"')];
        for (start, end) in starts {
            links.extend(
                line.split(start).skip(1).filter_map(|rest| rest.split_once(end)).map(|(link, _)| link.to_owned()),
            );
        }
        let reference = line.split_once("]: ").filter(|(name, _)| name.starts_with('[') && !name.starts_with("[^"));
        links.extend(reference.map(|(_, link)| link.to_owned()));
    }
    let without_title = links.iter().filter_map(|link| link.split_whitespace().next());
    without_title.filter(|link| !link.contains("://") && !link.starts_with("mailto:")).map(str::to_owned).collect()
}
