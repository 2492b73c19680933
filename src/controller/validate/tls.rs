//! `spec.listener.tls` and `spec.replicaTls`: where certificates and authorities are.

use crate::api::{ListenerTlsSpec, MinTlsVersion, ReplicaTlsSpec};
use crate::controller::validate::Checker;
use crate::model::{CertificateFiles, ListenerTls, ReplicaTls, TlsVersion};

const PATH: &str = "spec.listener.tls";

/// What a listener wants of TLS.
#[must_use]
pub(in crate::controller) fn listener_tls(spec: &ListenerTlsSpec) -> ListenerTls {
    let ListenerTlsSpec { secret_name, certificate_file, key_file, min_version } = spec;
    let files = certificate_file.as_ref().zip(key_file.as_ref());
    ListenerTls {
        secret: secret_name.clone(),
        files: files.map(|(certificate, key)| CertificateFiles { certificate: certificate.clone(), key: key.clone() }),
        min_version: match min_version {
            MinTlsVersion::Tls12 => TlsVersion::Tls12,
            MinTlsVersion::Tls13 => TlsVersion::Tls13,
        },
    }
}

/// The same, and what is wrong with it.
pub(super) fn checked(spec: &ListenerTlsSpec, check: &mut Checker) -> ListenerTls {
    let ListenerTlsSpec { secret_name, certificate_file, key_file, min_version: _ } = spec;
    if let Some(name) = secret_name
        && !is_secret_name(name)
    {
        check.fail(&format!("{PATH}.secretName"), name, "use the name of a Secret such as web-tls");
    }
    for (field, file) in [("certificateFile", certificate_file), ("keyFile", key_file)] {
        if let Some(file) = file {
            let path = format!("{PATH}.{field}");
            check.length(&path, file, 4_096);
            if file.is_empty() {
                check.fail(&path, file, "name the file");
            }
        }
    }
    if certificate_file.is_some() != key_file.is_some() {
        check.fail(PATH, "", "a certificate needs its key: name both certificateFile and keyFile, or neither");
    }
    if secret_name.is_none() && certificate_file.is_none() && key_file.is_none() {
        check.fail(
            PATH,
            "",
            "say where the certificate is: in secretName, or without a cluster in certificateFile and keyFile",
        );
    }
    listener_tls(spec)
}

/// Whom replicas have to prove to be, as far as it can be.
pub(super) fn replicas(spec: &ReplicaTlsSpec, check: &mut Checker) -> ReplicaTls {
    let ReplicaTlsSpec { hostname, ca_secret_name } = spec;
    if !super::is_hostname(hostname) || hostname.contains(['*', '_']) {
        let rule = "use a host name such as web.shop.internal, without port";
        check.fail("spec.replicaTls.hostname", hostname, rule);
    }
    if !is_secret_name(ca_secret_name) {
        check.fail("spec.replicaTls.caSecretName", ca_secret_name, "use the name of a Secret such as web-ca");
    }
    ReplicaTls { hostname: hostname.clone(), authorities: ca_secret_name.clone() }
}

/// A DNS name in lower case (RFC 1123), as the API server wants it for Secrets.
fn is_secret_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(super::is_label)
}
