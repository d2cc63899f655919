//! Who may connect to the peer listener: only a certificate that the cluster's authority signed
//! and that names a member of the view.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use x509_parser::extensions::GeneralName;

use super::Authority;
use crate::shard::{Host, Members};

/// Verifies the client certificates of the peer listener. Authority and members can be swapped
/// while connections are open; a connection keeps the verdict of its own handshake.
#[derive(Debug)]
pub(crate) struct MemberVerifier {
    current: ArcSwap<Trusted>,
}

#[derive(Debug)]
struct Trusted {
    chain: Arc<dyn ClientCertVerifier>,
    names: HashSet<Name>,
}

impl MemberVerifier {
    /// # Errors
    /// An authority without a usable trust anchor.
    pub(crate) fn new(authority: &Authority, members: &Members) -> Result<Self, String> {
        Ok(Self {
            current: ArcSwap::from_pointee(Trusted::new(authority, members)?),
        })
    }

    /// Takes another authority or member list from the next handshake on.
    ///
    /// # Errors
    /// As [`MemberVerifier::new`]; then nothing changes.
    pub(crate) fn replace(&self, authority: &Authority, members: &Members) -> Result<(), String> {
        self.current
            .store(Arc::new(Trusted::new(authority, members)?));
        Ok(())
    }
}

impl Trusted {
    fn new(authority: &Authority, members: &Members) -> Result<Self, String> {
        let chain =
            WebPkiClientVerifier::builder_with_provider(authority.roots(), super::provider())
                .build()
                .map_err(|error| error.to_string())?;
        Ok(Self {
            chain,
            names: member_names(members),
        })
    }
}

/// Every name by which a member's certificate may name it: its id and the host of its address.
fn member_names(members: &Members) -> HashSet<Name> {
    let named = members.iter().flat_map(|(_, member)| {
        let host = match &member.address.host {
            Host::Name(name) => Name::Dns(name.to_ascii_lowercase()),
            Host::Ip(ip) => Name::Ip(*ip),
        };
        [Name::Dns(member.id.to_string()), host]
    });
    named.collect()
}

/// A subject alternative name.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Name {
    Dns(String),
    Ip(IpAddr),
}

/// The names of a certificate, as they are written: a wildcard is no member's name, or any
/// certificate of the company for `*.example` would open the peer listener.
fn certificate_names(certificate: &CertificateDer<'_>) -> Vec<Name> {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "other kinds of names name no member"
    )]
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(Name::Dns(name.to_ascii_lowercase())),
        GeneralName::IPAddress(octets) => match octets.len() {
            4 => <[u8; 4]>::try_from(*octets)
                .ok()
                .map(|octets| Name::Ip(octets.into())),
            16 => <[u8; 16]>::try_from(*octets)
                .ok()
                .map(|octets| Name::Ip(octets.into())),
            _ => None,
        },
        _ => None,
    };
    names.value.general_names.iter().filter_map(name).collect()
}

impl ClientCertVerifier for MemberVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hints: a member has one certificate, and strangers need not learn our authority's name.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let trusted = self.current.load();
        let verified = trusted
            .chain
            .verify_client_cert(end_entity, intermediates, now)?;
        // The authority may sign other things too: only names of the view count.
        let names = certificate_names(end_entity);
        if names.iter().any(|name| trusted.names.contains(name)) {
            Ok(verified)
        } else {
            // The peer is told apart from one whose certificate is not valid: `access_denied`.
            Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            ))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current
            .load()
            .chain
            .verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current
            .load()
            .chain
            .verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current.load().chain.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_as_they_are_written() {
        let names = ["*.svc", "ZOT-1.svc", "127.0.0.1"].map(str::to_owned);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(names)
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let written = certificate_names(certificate.der());
        let expected = [
            Name::Dns("*.svc".into()),
            Name::Dns("zot-1.svc".into()),
            Name::Ip(IpAddr::from([127, 0, 0, 1])),
        ];
        assert_eq!(written, expected);
        assert!(!written.contains(&Name::Dns("zot-2.svc".into())));
        assert!(certificate_names(&CertificateDer::from(vec![0; 8])).is_empty());
    }
}
