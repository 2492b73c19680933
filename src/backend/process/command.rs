//! From a container of the template to the command line that a process needs.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::backend::BackendError;
use crate::model::{Container, NewReplica};

/// Everything that a start needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CommandLine {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) working_dir: Option<PathBuf>,
}

// === impl CommandLine ===

impl CommandLine {
    /// The container's command with its own address, port, ordinal and name in the environment.
    pub(super) fn new(container: &Container, new: &NewReplica, port: u16) -> Result<Self, BackendError> {
        let mut env = container.env.clone();
        env.entry("HOST".to_owned()).or_insert_with(|| Ipv4Addr::LOCALHOST.to_string());
        env.insert("PORT".to_owned(), port.to_string());
        env.insert("RINGHOLD_ORDINAL".to_owned(), new.ordinal.to_string());
        env.insert("RINGHOLD_NAME".to_owned(), new.name.to_string());
        let mut words = container.command.iter().chain(&container.args).map(|word| expand(word, &env));
        let program = words.next().unwrap_or_default();
        let args = words.collect();
        let working_dir = container.working_dir.as_ref().map(PathBuf::from);
        if let Some(folder) = working_dir.as_deref().filter(|folder| !folder.is_dir()) {
            return Err(no_folder(folder));
        }
        let program = find(&program, working_dir.as_deref(), std::env::var_os("PATH").as_deref())?;
        Ok(Self { program, args, env, working_dir })
    }
}

/// Replaces `$(NAME)` by the variable's value, as Kubernetes does: `$$` is a dollar sign, and a name that is not set
/// stays as it is.
fn expand(word: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(dollar) = rest.find('$') {
        let (before, after) = rest.split_at(dollar);
        out.push_str(before);
        let name = after.strip_prefix("$(").and_then(|tail| tail.split_once(')'));
        rest = match name {
            Some((name, tail)) if env.contains_key(name) => {
                out.push_str(&env[name]);
                tail
            }
            _ => {
                out.push('$');
                after.strip_prefix("$$").unwrap_or(&after[1..])
            }
        };
    }
    out.push_str(rest);
    out
}

/// The file to run: a path as it is, a bare name from PATH.
fn find(program: &str, working_dir: Option<&Path>, path: Option<&OsStr>) -> Result<PathBuf, BackendError> {
    let is_executable = |file: &PathBuf| {
        file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        let file = working_dir.unwrap_or(Path::new("")).join(program);
        if is_executable(&file) {
            // Links stay: many a program goes by the name that it was called by, such as Python in a virtual environment.
            return Ok(std::path::absolute(&file).unwrap_or(file));
        }
        return Err(not_found(&format!("`{program}` is not an executable file; give the path of one")));
    }
    std::env::split_paths(path.unwrap_or_default()).map(|folder| folder.join(program)).find(is_executable).ok_or_else(
        || not_found(&format!("`{program}` is in no folder of PATH; install it, or give its path with a `/` in it")),
    )
}

fn no_folder(folder: &Path) -> BackendError {
    let path = "spec.template.spec.containers[0].workingDir";
    let message = format!("{path}: {}: no such folder; create it or name another", folder.display());
    BackendError::Rejected { reason: "WorkingDirNotFound", message }
}

fn not_found(what: &str) -> BackendError {
    let message = format!("spec.template.spec.containers[0].command: {what}");
    BackendError::Rejected { reason: "CommandNotFound", message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_expand_as_in_kubernetes() {
        let env = BTreeMap::from([("PORT".to_owned(), "80".to_owned()), ("EMPTY".to_owned(), String::new())]);
        let cases = [
            ("--port=$(PORT)", "--port=80"),
            ("$(PORT)$(PORT)", "8080"),
            ("[$(EMPTY)]", "[]"),
            ("$(MISSING)", "$(MISSING)"),
            ("$$(PORT)", "$(PORT)"),
            ("costs 5$", "costs 5$"),
            ("$PORT $(open", "$PORT $(open"),
        ];
        for (word, expanded) in cases {
            assert_eq!(expand(word, &env), expanded, "{word}");
        }
    }

    #[test]
    fn a_link_to_a_program_is_run_as_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/bin/sh", &link).unwrap();
        assert_eq!(find("./link", Some(folder.path()), None).unwrap(), folder.path().join("link"));
        assert_eq!(find(link.to_str().unwrap(), None, None).unwrap(), link);
    }

    #[test]
    fn a_program_that_does_not_exist_is_refused_with_the_way_out() {
        let error = find("no-such-program", None, Some(OsStr::new("/usr/bin:/bin"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "spec.template.spec.containers[0].command: `no-such-program` is in no folder of PATH; install it, or give \
             its path with a `/` in it"
        );
        let error = find("./missing", None, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "spec.template.spec.containers[0].command: `./missing` is not an executable file; give the path of one"
        );
    }
}
