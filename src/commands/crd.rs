//! `ringhold crd`: the definition of the resource, for `kubectl apply --server-side -f -`.

use std::io::Write;

use anyhow::Context;

use crate::api;

/// Prints it as YAML.
pub(super) fn print(output: &mut impl Write) -> anyhow::Result<()> {
    output.write_all(api::definition()?.as_bytes()).context("can't write the definition")
}
