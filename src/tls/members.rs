//! Who may connect to the peer listener: only a certificate that the cluster's authority signed and,
//! where members are listed in files, that names one of them.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use x509_parser::extensions::GeneralName;

use super::Authority;
use crate::shard::{Host, Member, MemberId, Members};

/// Verifies the client certificates of the peer listener. Authority and members can be swapped
/// while connections are open; a connection keeps the verdict of its own handshake.
pub(crate) struct MemberVerifier {
    /// Whether every certificate of the authority is a member's: where members come and go by a store,
    /// who has just come is known there before it is known here.
    lets_all_in: bool,
    current: ArcSwap<Trusted>,
    knock: OnceLock<Knock>,
}

/// Told of members of lists before the one in force that come with a good certificate: they are
/// turned away, and alive.
pub(crate) type Knock = Box<dyn Fn(&MemberId) + Send + Sync>;

#[derive(Debug)]
struct Trusted {
    chain: Arc<dyn ClientCertVerifier>,
    names: HashMap<Name, MemberId>,
    /// The names of members of earlier lists, the last ones first to be kept.
    former: HashMap<Name, MemberId>,
}

/// So many names of former members are known.
const FORMER_NAMES: usize = 2 * Members::MAX;

impl MemberVerifier {
    /// # Errors
    /// An authority without a usable trust anchor.
    pub(crate) fn new(
        authority: &Authority,
        members: &Members,
        lets_all_in: bool,
    ) -> Result<Self, String> {
        Ok(Self {
            lets_all_in,
            current: ArcSwap::from_pointee(Trusted::new(authority, members, None)?),
            knock: OnceLock::new(),
        })
    }

    /// Tells of former members from now on.
    pub(crate) fn on_knock(&self, knock: Knock) {
        // Set once, at the start.
        let _ = self.knock.set(knock);
    }

    /// Takes another authority or member list from the next handshake on.
    ///
    /// # Errors
    /// As [`MemberVerifier::new`]; then nothing changes.
    pub(crate) fn replace(&self, authority: &Authority, members: &Members) -> Result<(), String> {
        let before = self.current.load();
        let next = Trusted::new(authority, members, Some(&before))?;
        self.current.store(Arc::new(next));
        Ok(())
    }
}

impl Trusted {
    fn new(
        authority: &Authority,
        members: &Members,
        before: Option<&Self>,
    ) -> Result<Self, String> {
        let chain =
            WebPkiClientVerifier::builder_with_provider(authority.roots(), super::provider())
                .build()
                .map_err(|error| error.to_string())?;
        let names = member_names(members);
        let known = before
            .iter()
            .flat_map(|before| before.names.iter().chain(&before.former));
        let former = known.filter(|(name, _)| !names.contains_key(name));
        let former = former.take(FORMER_NAMES);
        let former = former
            .map(|(name, id)| (name.clone(), id.clone()))
            .collect();
        Ok(Self {
            chain,
            names,
            former,
        })
    }
}

impl fmt::Debug for MemberVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.current.load();
        f.debug_struct("MemberVerifier")
            .field("current", &current)
            .finish_non_exhaustive()
    }
}

/// Every name by which a member's certificate may name it: its id and the host of its address.
fn member_names(members: &Members) -> HashMap<Name, MemberId> {
    let named = members
        .iter()
        .flat_map(|(_, member)| names_of(member).map(|name| (name, member.id.clone())));
    named.collect()
}

/// A member's id, and the host of its address.
pub(super) fn names_of(member: &Member) -> [Name; 2] {
    let host = match &member.address.host {
        Host::Name(name) => Name::Dns(name.to_ascii_lowercase()),
        Host::Ip(ip) => Name::Ip(*ip),
    };
    [Name::Dns(member.id.to_string()), host]
}

/// A subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Name {
    Dns(String),
    Ip(IpAddr),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// The names of a certificate, as they are written: a wildcard is no member's name, or any
/// certificate of the company for `*.example` would open the peer listener.
pub(super) fn certificate_names(certificate: &CertificateDer<'_>) -> Vec<Name> {
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
        if self.lets_all_in || names.iter().any(|name| trusted.names.contains_key(name)) {
            Ok(verified)
        } else {
            let former = names.iter().find_map(|name| trusted.former.get(name));
            if let (Some(former), Some(knock)) = (former, self.knock.get()) {
                knock(former);
            }
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
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use std::sync::Mutex;

    type Issuer = CertifiedIssuer<'static, KeyPair>;

    fn authority() -> (Issuer, Authority) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.crt");
        std::fs::write(&file, issuer.pem()).unwrap();
        (issuer, Authority::load(&file).unwrap())
    }

    fn members(ids: &[String]) -> Members {
        let member = |id: &String| Member {
            id: id.parse().unwrap(),
            address: format!("{id}.host:5443").parse().unwrap(),
            weight: Default::default(),
        };
        Members::new(ids.iter().map(member).collect(), &ids[0].parse().unwrap()).unwrap()
    }

    fn list(ids: &[&str]) -> Members {
        members(&ids.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn certificate(issuer: &Issuer, name: &str) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.signed_by(&key, issuer).unwrap().der().clone()
    }

    /// A verifier that remembers who knocks.
    fn listening(
        authority: &Authority,
        first: &Members,
    ) -> (MemberVerifier, Arc<Mutex<Vec<String>>>) {
        let verifier = MemberVerifier::new(authority, first, false).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let known = heard.clone();
        verifier.on_knock(Box::new(move |member| {
            known.lock().unwrap().push(member.to_string());
        }));
        (verifier, heard)
    }

    #[test]
    fn where_members_come_and_go_every_certificate_of_the_authority_is_let_in() {
        let (issuer, authority) = authority();
        let (stranger, _) = super::tests::authority();
        let verifier = MemberVerifier::new(&authority, &list(&["zot-1"]), true).unwrap();
        let lets_in = |issuer, name| {
            let shown = certificate(issuer, name);
            let verified = verifier.verify_client_cert(&shown, &[], UnixTime::now());
            verified.is_ok()
        };
        assert!(lets_in(&issuer, "zot-1") && lets_in(&issuer, "zot-9"));
        assert!(!lets_in(&stranger, "zot-1"));
    }

    #[test]
    fn a_former_member_is_turned_away_and_heard() {
        let (issuer, authority) = authority();
        let (verifier, heard) = listening(&authority, &list(&["zot-1", "zot-2"]));
        let lets_in = |name: &str| {
            let shown = certificate(&issuer, name);
            verifier
                .verify_client_cert(&shown, &[], UnixTime::now())
                .is_ok()
        };
        let knocks = || std::mem::take(&mut *heard.lock().unwrap());
        assert!(lets_in("zot-2") && !lets_in("zot-9"));
        assert!(knocks().is_empty());

        // As often as the list changes, by either of its names.
        for other in ["zot-3", "zot-4"] {
            verifier
                .replace(&authority, &list(&["zot-1", other]))
                .unwrap();
            assert!(!lets_in("zot-2") && !lets_in("ZOT-2.host"));
            assert_eq!(knocks(), ["zot-2", "zot-2"]);
        }
        assert!(lets_in("zot-1") && lets_in("zot-4") && !lets_in("zot-9"));
        assert!(knocks().is_empty(), "neither a member nor a stranger");
        assert!(!lets_in("zot-3"));
        assert_eq!(knocks(), ["zot-3"]);

        // Nobody speaks for it with a certificate by somebody else.
        let (stranger, _) = self::authority();
        let forged = certificate(&stranger, "zot-2");
        assert!(
            verifier
                .verify_client_cert(&forged, &[], UnixTime::now())
                .is_err()
        );
        assert!(knocks().is_empty());

        verifier
            .replace(&authority, &list(&["zot-1", "zot-2"]))
            .unwrap();
        assert!(lets_in("zot-2"));
        assert!(knocks().is_empty());
    }

    #[test]
    fn so_many_former_names_are_known_the_last_ones_first() {
        let (_, authority) = authority();
        let many = |round: usize| -> Vec<String> {
            let ids = (1..Members::MAX).map(|at| format!("r{round}-{at}"));
            std::iter::once("zot-1".to_owned()).chain(ids).collect()
        };
        let verifier = MemberVerifier::new(&authority, &members(&many(0)), false).unwrap();
        for round in 1..4 {
            verifier
                .replace(&authority, &members(&many(round)))
                .unwrap();
        }
        let known = verifier.current.load();
        assert_eq!(known.former.len(), FORMER_NAMES);
        // Those of the last list come first.
        let last = format!("r2-{}", Members::MAX - 1);
        assert!(known.former.contains_key(&Name::Dns(last)));
    }

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
