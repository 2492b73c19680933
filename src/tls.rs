//! TLS: certificates and authorities that have been read and checked, and what is made of them for listeners and for
//! connections to replicas.
//!
//! One provider of cryptography serves the whole process, and every configuration names it: none is installed as the
//! process's default. Private keys are parsed once, at the edge, and live in rustls' own type from then on; nothing here
//! can print one.

mod certificate;
mod client;
mod server;

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem;

pub use certificate::{Certificate, CertificateError, Part};
pub use client::{Authorities, AuthoritiesError, ClientTls};
pub use server::ServerTls;

/// What a client needs for handshakes.
pub use rustls::ClientConfig;

/// TLS can't be set up.
pub type TlsError = rustls::Error;

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

/// What all configurations compute with.
fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

/// What is wrong with a text in PEM form. In our own words, for those of the parser repeat lines of the text, and where a
/// key has lost its line ends that is the whole key.
fn damage(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line",
        pem::Error::IllegalSectionStart { .. } => {
            "a BEGIN line does not end where it should; have line ends been lost?"
        }
        pem::Error::Base64Decode(_) => "a section is not in base64",
        pem::Error::NoItemsFound => "it has no section of that kind",
        _ => "it can't be read",
    }
}
