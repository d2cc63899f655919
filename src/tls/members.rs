//! Who may connect to the peer listener: only a certificate that the cluster's authority signed
//! and that names a member of the view.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
};

use super::Authority;
use crate::shard::{Host, Members};

/// Verifies the client certificates of the peer listener. Authority and members can be swapped
/// while connections are open; a connection keeps the verdict of its own handshake.
#[derive(Debug)]
pub struct MemberVerifier {
    current: ArcSwap<Trusted>,
}

#[derive(Debug)]
struct Trusted {
    chain: Arc<dyn ClientCertVerifier>,
    names: Vec<ServerName<'static>>,
}

impl MemberVerifier {
    /// # Errors
    /// An authority without a usable trust anchor.
    pub fn new(authority: &Authority, members: &Members) -> Result<Self, String> {
        Ok(Self { current: ArcSwap::from_pointee(Trusted::new(authority, members)?) })
    }

    /// Takes another authority or member list from the next handshake on.
    ///
    /// # Errors
    /// As [`MemberVerifier::new`]; then nothing changes.
    pub fn replace(&self, authority: &Authority, members: &Members) -> Result<(), String> {
        self.current.store(Arc::new(Trusted::new(authority, members)?));
        Ok(())
    }
}

impl Trusted {
    fn new(authority: &Authority, members: &Members) -> Result<Self, String> {
        let chain = WebPkiClientVerifier::builder_with_provider(authority.roots(), super::provider())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { chain, names: member_names(members) })
    }
}

/// Every name by which a member's certificate may name it: its id and the host of its address.
fn member_names(members: &Members) -> Vec<ServerName<'static>> {
    let mut names = Vec::with_capacity(members.len() * 2);
    for (_, member) in members.iter() {
        names.extend(ServerName::try_from(member.id.to_string()));
        match &member.address.host {
            Host::Name(name) => names.extend(ServerName::try_from(name.to_string())),
            Host::Ip(ip) => names.push(ServerName::IpAddress((*ip).into())),
        }
    }
    names
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
        let verified = trusted.chain.verify_client_cert(end_entity, intermediates, now)?;
        let certificate = ParsedCertificate::try_from(end_entity)?;
        // The authority may sign other things too: only names of the view count.
        if trusted.names.iter().any(|name| verify_server_name(&certificate, name).is_ok()) {
            Ok(verified)
        } else {
            Err(Error::InvalidCertificate(CertificateError::NotValidForName))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current.load().chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current.load().chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current.load().chain.supported_verify_schemes()
    }
}
