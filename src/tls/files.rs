//! PEM files to parsed key pairs and trust anchors, with errors that name the file and its fault.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, RootCertStore};

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
    /// Files that cannot be read, hold no certificate or key, or a key that is not the leaf's.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, TlsFaults> {
        let key_read = read(key).and_then(|pem| {
            PrivateKeyDer::from_pem_slice(&pem)
                .map_err(|_| TlsFault::new(key, "holds no private key in PEM form"))
        });
        let (chain, key_der) = match (certificates(cert), key_read) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => {
                let faults = chain.err().into_iter().chain(key.err());
                return Err(TlsFaults(faults.collect()));
            }
        };
        let not_after = not_after(&chain[0])
            .ok_or_else(|| TlsFault::new(cert, "holds a certificate that is no valid X.509"))?;
        let secret = key_der.secret_der().to_vec();
        let certified = CertifiedKey::from_der(chain, key_der, &super::provider());
        let certified = certified.map_err(|error| {
            let cert_name = cert.display();
            if let Error::InconsistentKeys(_) = error {
                TlsFault::new(key, format!("is not the private key of {cert_name}"))
            } else if let Error::InvalidCertificate(_) = error {
                TlsFault::new(cert, format!("cannot be used: {error}"))
            } else {
                TlsFault::new(key, format!("cannot be used with {cert_name}: {error}"))
            }
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

    /// The certificate itself, in DER.
    pub fn leaf_der(&self) -> Option<&[u8]> {
        self.certified.cert.first().map(AsRef::as_ref)
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
    pub fn load(path: &Path) -> Result<Self, TlsFault> {
        let certificates = certificates(path)?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots
                .add(certificate.clone())
                .map_err(|error| TlsFault::new(path, format!("is no usable authority: {error}")))?;
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

    /// When the first of them expires, in seconds since the Unix epoch.
    pub fn not_after(&self) -> Option<i64> {
        let ends = self.der.iter().map(|der| not_after(&der.as_slice().into()));
        ends.min().flatten()
    }
}

/// Why a TLS file is of no use. Says the path and the fault, never any key material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFault {
    path: PathBuf,
    fault: String,
    missing: bool,
}

/// All that is wrong with some TLS files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFaults(pub Vec<TlsFault>);

impl TlsFault {
    /// `fault` goes on after the name of the file.
    pub fn new(path: &Path, fault: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            fault: fault.into(),
            missing: false,
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with it.
    pub fn fault(&self) -> &str {
        &self.fault
    }

    /// Whether nothing is known of what it holds, since it cannot be read.
    pub fn is_missing(&self) -> bool {
        self.missing
    }
}

impl std::fmt::Display for TlsFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.path.display(), self.fault)
    }
}

impl std::error::Error for TlsFault {}

impl std::fmt::Display for TlsFaults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&each.join("; "))
    }
}

impl std::error::Error for TlsFaults {}

impl From<TlsFault> for TlsFaults {
    fn from(fault: TlsFault) -> Self {
        Self(vec![fault])
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsFault> {
    std::fs::read(path).map_err(|error| TlsFault {
        missing: true,
        ..TlsFault::new(path, format!("cannot be read: {error}"))
    })
}

/// At least one certificate, or an error.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let pem = read(path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsFault::new(path, format!("is no valid PEM: {error}")))?;
    if chain.is_empty() {
        return Err(TlsFault::new(path, "holds no certificate in PEM form"));
    }
    // The framework parses the same bytes with the same crate, and panics where this fails.
    if chain
        .iter()
        .any(|der| x509_parser::parse_x509_certificate(der).is_err())
    {
        return Err(TlsFault::new(
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
