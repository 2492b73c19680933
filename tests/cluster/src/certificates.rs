//! An authority of our own, and what the API server identifies itself with.

use std::net::IpAddr;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// What lies in a control plane's folder under these names, and the authority's certificate besides.
pub(crate) const CA: &str = "ca.crt";
pub(crate) const CA_KEY: &str = "ca.key";
pub(crate) const SERVER: &str = "server.crt";
pub(crate) const SERVER_KEY: &str = "server.key";
/// Signs the tokens of service accounts.
pub(crate) const TOKEN_KEY: &str = "tokens.key";
pub(crate) const TOKEN_PUBLIC_KEY: &str = "tokens.pub";

/// The authority's certificate.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    pub(crate) pem: String,
    pub(crate) der: Vec<u8>,
}

/// Makes all files anew. The server's certificate holds for 127.0.0.1, its names in a cluster and these addresses.
pub(crate) fn write(folder: &Path, addresses: &[IpAddr]) -> anyhow::Result<Authority> {
    let authority_key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "ringhold-test-cluster");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let authority = params.self_signed(&authority_key)?;
    let issuer = Issuer::from_params(&params, &authority_key);

    let names = ["127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    let names = names.map(str::to_owned).into_iter().chain(addresses.iter().map(IpAddr::to_string));
    let mut params = CertificateParams::new(names.collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let server_key = KeyPair::generate()?;
    let server = params.signed_by(&server_key, &issuer)?;

    std::fs::write(folder.join(CA), authority.pem())?;
    std::fs::write(folder.join(CA_KEY), authority_key.serialize_pem())?;
    std::fs::write(folder.join(SERVER), server.pem())?;
    std::fs::write(folder.join(SERVER_KEY), server_key.serialize_pem())?;
    let token_key = KeyPair::generate()?;
    std::fs::write(folder.join(TOKEN_KEY), token_key.serialize_pem())?;
    std::fs::write(folder.join(TOKEN_PUBLIC_KEY), token_key.public_key_pem())?;
    Ok(Authority { pem: authority.pem(), der: authority.der().to_vec() })
}
