//! Where Kubernetes' own programs lie.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::leave_out::leave_out;

/// The version that `prepare.sh` prepares.
const KUBERNETES: &str = include_str!("../version");
/// What a control plane can't do without.
const NEEDED: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"];

/// A folder with Kubernetes' programs, all that are needed.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
}

/// Kubernetes' programs are not there. Its text says the way out.
#[derive(Clone, Debug)]
pub struct Missing {
    searched: Vec<PathBuf>,
}

/// What a test that needs a cluster begins with. Where Kubernetes' programs are missing, the test is left out.
///
/// # Panics
/// The programs are missing and `CI` is `true`: see [`leave_out`].
#[must_use]
pub fn binaries_or_skip() -> Option<Binaries> {
    Binaries::locate().inspect_err(leave_out).ok()
}

// === impl Binaries ===

impl Binaries {
    /// Looks into `$KUBEBUILDER_ASSETS`, then where `make test-cluster` puts them.
    ///
    /// # Errors
    /// They are in neither.
    pub fn locate() -> Result<Self, Missing> {
        let assets = env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let searched: Vec<_> = assets.into_iter().chain(prepared()).collect();
        let found = searched.iter().find(|folder| NEEDED.iter().all(|name| folder.join(name).exists())).cloned();
        found.map(|folder| Self { folder }).ok_or(Missing { searched })
    }

    /// The path of a program: `kubectl`, `kubelet`, `helm` …, which may be one that is not there.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder that holds them.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// The same place as in `prepare.sh`.
fn prepared() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    set("RINGHOLD_TEST_CLUSTER").or_else(|| Some(cache()?.join("ringhold/test-cluster").join(KUBERNETES.trim())))
}

// === impl Missing ===

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let searched: Vec<_> = self.searched.iter().map(|folder| folder.display().to_string()).collect();
        let (needed, searched) = (NEEDED.join(", "), searched.join(" or "));
        write!(f, "Kubernetes' own programs ({needed}) are not in {searched}: run `make test-cluster` once")
    }
}

impl std::error::Error for Missing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_the_way_out() {
        let missing = Missing { searched: vec!["/a".into(), "/b".into()] };
        let text = "Kubernetes' own programs (etcd, kube-apiserver, kube-controller-manager, kubectl) are not in \
                    /a or /b: run `make test-cluster` once";
        assert_eq!(missing.to_string(), text);
    }
}
