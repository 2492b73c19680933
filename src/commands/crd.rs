//! `ringhold crd`: the definition of the resource, for `kubectl apply -f -`.

use std::io::Write;

use anyhow::Context;
use kube::CustomResourceExt;

use crate::api::LoadBalancer;

/// Prints it as YAML.
pub(super) fn print(output: &mut impl Write) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(output, &LoadBalancer::crd()).context("can't write the definition")
}
