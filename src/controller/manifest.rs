//! Reading manifests: YAML files with one LoadBalancer or several. Everything that is wrong is said with the file, the
//! path of the field, its value and the rule; unknown fields are wrong, too, for a typo should not pass in silence.

mod explain;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::LoadBalancer;
use crate::controller::template;
use crate::model::FleetId;

pub(super) use explain::mismatch;

/// Why a manifest can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The file can't be read.
    #[error("{}: can't be read: {message}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's words.
        message: String,
    },
    /// The file is no YAML.
    #[error("{}: not YAML: {message}", .file.display())]
    NotYaml {
        /// The file.
        file: PathBuf,
        /// The parser's words, with line and column.
        message: String,
    },
    /// The file holds no document.
    #[error("{}: holds no LoadBalancer; declare one, or remove the file to stop what it declared", .file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// Two documents declare one LoadBalancer.
    #[error("{}: metadata.name: {name}: declared in {} already; choose another name or remove one", .file.display(), .first.display())]
    DeclaredTwice {
        /// The file.
        file: PathBuf,
        /// Where it was declared first.
        first: PathBuf,
        /// The LoadBalancer's name.
        name: String,
    },
    /// A document is no LoadBalancer of ours.
    #[error("{}: {place}{message}", .file.display())]
    Document {
        /// The file.
        file: PathBuf,
        /// Which document, where the file has several.
        place: Place,
        /// Path, value and rule.
        message: String,
    },
}

/// Which of a file's documents, counted from 1; says nothing where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    number: usize,
    of: usize,
}

/// Whose the resource is: its namespace, `default` where none is given, and its name.
#[must_use]
pub fn identity(resource: &LoadBalancer) -> FleetId {
    let metadata = &resource.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or(FleetId::DEFAULT_NAMESPACE);
    FleetId::new(namespace, metadata.name.as_deref().unwrap_or_default())
}

/// Reads the LoadBalancers of one file.
///
/// # Errors
/// The file can't be read, is no YAML, or holds something other than valid LoadBalancers.
pub fn read(file: &Path) -> Result<Vec<LoadBalancer>, ManifestError> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| ManifestError::Read { file: file.to_owned(), message: error.to_string() })?;
    parse(file, &text)
}

/// Reads the LoadBalancers of a text; `file` is for the messages.
///
/// # Errors
/// As for [`read`].
pub fn parse(file: &Path, text: &str) -> Result<Vec<LoadBalancer>, ManifestError> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| ManifestError::NotYaml {
        file: file.to_owned(),
        message: explain::syntax(&error.to_string()),
    })?;
    let documents: Vec<Value> = documents.into_iter().filter(|document| !document.is_null()).collect();
    let of = documents.len();
    let convert = |(index, document)| {
        load_balancer(document).map_err(|message| ManifestError::Document {
            file: file.to_owned(),
            place: Place { number: index + 1, of },
            message,
        })
    };
    documents.into_iter().enumerate().map(convert).collect()
}

fn load_balancer(mut document: Value) -> Result<LoadBalancer, String> {
    let (api_version, kind) = (LoadBalancer::api_version(&()), LoadBalancer::kind(&()));
    let Some(fields) = document.as_object_mut() else {
        return Err(format!("no LoadBalancer: begin it with `apiVersion: {api_version}` and `kind: {kind}`"));
    };
    // Checked here; the resource's type knows them without reading them.
    for (field, wanted) in [("apiVersion", api_version), ("kind", kind)] {
        match fields.remove(field) {
            Some(Value::String(found)) if *found == *wanted => {}
            found => {
                let found = found.as_ref().map_or_else(|| "missing".to_owned(), explain::value);
                return Err(format!("{field}: {found}: use {wanted}"));
            }
        }
    }
    // Unknown fields first: a misspelt one is why another is missing.
    let mut unknown = Vec::new();
    let mut wrong = Vec::new();
    let resource: Option<LoadBalancer> = typed(&document, "", &mut unknown, &mut wrong);
    // The resource's type takes any template; here a typo in it should not pass in silence either.
    if let Some(resource) = &resource {
        let _: Option<PodTemplateSpec> = typed(&resource.spec.template.0, template::PATH, &mut unknown, &mut wrong);
    }
    let unknown = unknown.iter().map(|path| explain::unknown(&document, path));
    let wrong: Vec<String> = unknown.chain(wrong).collect();
    resource.filter(|_| wrong.is_empty()).ok_or_else(|| wrong.join("; "))
}

/// Reads what stands at `place` in the resource; notes the paths of fields that nobody reads, and what is of a wrong type.
fn typed<T: DeserializeOwned>(
    value: &Value,
    place: &str,
    unknown: &mut Vec<String>,
    wrong: &mut Vec<String>,
) -> Option<T> {
    let separator = if place.is_empty() { "" } else { "." };
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(format!("{place}{separator}{path}"));
    let read = serde_path_to_error::deserialize(serde_ignored::Deserializer::new(value, &mut note));
    read.map_err(|error| wrong.push(mismatch(value, place, &error).to_string())).ok()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.of > 1 { write!(f, "document {}: ", self.number) } else { Ok(()) }
    }
}
