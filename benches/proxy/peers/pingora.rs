//! Pingora, as the program in `benches/proxy/pingora`.

use super::{Arguments, Front, Key, Setup};

/// Kept beside its lock file; `prepare.sh` builds what that names.
pub(super) const VERSION: &str = "0.9.1";

pub(super) fn prepare(setup: &Setup<'_>) -> Arguments {
    let Setup { folder: _, port, admin: _, replicas, front, key, workers, is_bounded: _, certificate } = setup;
    let replicas: Vec<String> = replicas.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let key = match key {
        Key::Header => "X-Key",
        Key::Path => "path",
    };
    let mut arguments: Arguments =
        vec![workers.to_string().into(), format!("127.0.0.1:{port}").into(), key.into(), replicas.join(",").into()];
    match front {
        Front::Http1 => {}
        Front::Http2 => arguments.push("h2c".into()),
        Front::Tls => {
            arguments.extend([&certificate.certificate, &certificate.private_key].map(Into::into));
        }
    }
    arguments
}
