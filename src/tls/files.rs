//! PEM files to parsed key pairs and trust anchors, with errors that name the file and its fault.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// A certificate chain (leaf first) and its private key, known to belong together.
#[derive(Debug, Clone)]
pub struct KeyPair {
    certified: std::sync::Arc<CertifiedKey>,
    key_der: Vec<u8>,
    not_after: i64,
}

impl PartialEq for KeyPair {
    fn eq(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert && self.key_der == other.key_der
    }
}

impl KeyPair {
    /// Reads a PEM chain and a PEM key from disk.
    ///
    /// # Errors
    /// A file that cannot be read, holds no certificate or key, or a key that is not the leaf's.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, TlsFileError> {
        let chain = certificates(cert)?;
        let key_pem = read(key)?;
        let key_der = PrivateKeyDer::from_pem_slice(&key_pem)
            .map_err(|_| TlsFileError::new(key, "holds no private key in PEM form"))?;
        let not_after = not_after(&chain[0])
            .ok_or_else(|| TlsFileError::new(cert, "holds a certificate that is no valid X.509"))?;
        let secret = key_der.secret_der().to_vec();
        let certified =
            CertifiedKey::from_der(chain, key_der, &super::provider()).map_err(|error| {
                TlsFileError::new(key, format!("does not fit {}: {error}", cert.display()))
            })?;
        Ok(Self {
            certified: std::sync::Arc::new(certified),
            key_der: secret,
            not_after,
        })
    }

    /// The pair as rustls serves it.
    pub fn certified(&self) -> std::sync::Arc<CertifiedKey> {
        self.certified.clone()
    }

    /// The chain, leaf first, in DER.
    pub fn chain_der(&self) -> Vec<Vec<u8>> {
        self.certified
            .cert
            .iter()
            .map(|der| der.as_ref().to_vec())
            .collect()
    }

    /// The private key in DER. Never log it.
    pub fn key_der(&self) -> &[u8] {
        &self.key_der
    }

    /// When the leaf expires, in seconds since the Unix epoch.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }
}

/// The cluster's certificate authority: whoever it signed *and* names a member is let in.
#[derive(Debug, Clone)]
pub struct Authority {
    roots: std::sync::Arc<RootCertStore>,
    der: Vec<Vec<u8>>,
}

impl PartialEq for Authority {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Authority {
    /// Reads one or more PEM certificates as trust anchors.
    ///
    /// # Errors
    /// A file that cannot be read, holds no certificate, or one that is no trust anchor.
    pub fn load(path: &Path) -> Result<Self, TlsFileError> {
        let certificates = certificates(path)?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone()).map_err(|error| {
                TlsFileError::new(path, format!("is no usable authority: {error}"))
            })?;
        }
        let der = certificates
            .iter()
            .map(|der| der.as_ref().to_vec())
            .collect();
        Ok(Self {
            roots: std::sync::Arc::new(roots),
            der,
        })
    }

    /// The anchors as rustls verifies with them.
    pub fn roots(&self) -> std::sync::Arc<RootCertStore> {
        self.roots.clone()
    }

    /// The anchors in DER.
    pub fn der(&self) -> &[Vec<u8>] {
        &self.der
    }
}

/// Why a TLS file is of no use. Says the path and the fault, never any key material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFileError {
    path: PathBuf,
    fault: String,
}

impl TlsFileError {
    fn new(path: &Path, fault: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            fault: fault.into(),
        }
    }
}

impl std::fmt::Display for TlsFileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.path.display(), self.fault)
    }
}

impl std::error::Error for TlsFileError {}

fn read(path: &Path) -> Result<Vec<u8>, TlsFileError> {
    std::fs::read(path).map_err(|error| TlsFileError::new(path, format!("cannot be read: {error}")))
}

/// At least one certificate, or an error.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let pem = read(path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsFileError::new(path, format!("is no valid PEM: {error}")))?;
    if chain.is_empty() {
        return Err(TlsFileError::new(path, "holds no certificate in PEM form"));
    }
    // The framework parses the same bytes with the same crate, and panics where this fails.
    if chain
        .iter()
        .any(|der| x509_parser::parse_x509_certificate(der).is_err())
    {
        return Err(TlsFileError::new(
            path,
            "holds a certificate that is no valid X.509",
        ));
    }
    Ok(chain)
}

fn not_after(leaf: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
    Some(certificate.validity().not_after.timestamp())
}
