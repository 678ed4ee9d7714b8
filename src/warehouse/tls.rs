//! TLS towards Postgres. `require` and `prefer` encrypt without checking the certificate, as every
//! Postgres client does; `verify-full` checks it and the host name.

use crate::error::{Context, Error, Kind, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Whose certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Any: protects from listeners, not from an impostor.
    Anybody,
    /// Those the machine trusts.
    Machine,
    /// Those in a PEM file.
    File(String),
}

/// Makes the TLS side of connections; reads certificate files.
pub fn connector(trust: &Trust) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .context(Kind::Internal, || "set up TLS")?;
    let config = match trust {
        Trust::Anybody => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(provider))),
        Trust::Machine => {
            builder.with_root_certificates(roots(rustls_native_certs::load_native_certs(), "the machine")?)
        }
        Trust::File(path) => {
            let loaded = rustls_native_certs::load_certs_from_paths(Some(Path::new(path)), None);
            builder.with_root_certificates(roots(loaded, path)?)
        }
    };
    Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
}

/// Whether a connection failed because the server's certificate is not believed.
pub fn distrusts(error: &tokio_postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        let tls = error.downcast_ref::<rustls::Error>().or_else(|| inner?.downcast_ref());
        if matches!(tls, Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn roots(loaded: rustls_native_certs::CertificateResult, place: &str) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let error = Error::config(format!("`{place}` has no certificates to check the warehouse's by"))
        .hint("name a PEM file in warehouse.url with ?sslmode=verify-full&sslrootcert=FILE");
    Err(match loaded.errors.into_iter().next() {
        Some(cause) => error.caused_by(cause),
        None => error,
    })
}

/// Believes every certificate, yet still checks that the peer holds its key.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
