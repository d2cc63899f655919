//! The demo's own certificate authority: one certificate for each member, for mTLS between them.
//!
//! The authority's key lives in memory only, so that kept files cannot be used to make further
//! members.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, Error, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, SanType,
};

/// Enough to look around, too little to go into production by accident.
const VALID_FOR: Duration = Duration::from_secs(30 * DAY);
/// Clocks of containers and their hosts differ.
const VALID_BEFORE: Duration = Duration::from_secs(DAY);
/// Seconds.
const DAY: u64 = 24 * 60 * 60;

/// Signs members' certificates.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its private key, both PEM.
pub(super) struct Signed {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new() -> Result<Self, Error> {
        let mut params = params("shardlet demo authority");
        // It signs members and nothing below them.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self {
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)?,
        })
    }

    /// Its certificate, PEM.
    pub(super) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for the member `id` at `address`. Members call and are called, so it serves
    /// for both ends of a connection.
    pub(super) fn sign(&self, id: &str, address: IpAddr) -> Result<Signed, Error> {
        let mut params = params(id);
        params.subject_alt_names = vec![
            SanType::DnsName(id.try_into()?),
            SanType::IpAddress(address),
        ];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Signed {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let now = SystemTime::now();
    params.not_before = (now - VALID_BEFORE).into();
    params.not_after = (now + VALID_FOR).into();
    params
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use x509_parser::extensions::GeneralName;
    use x509_parser::pem::parse_x509_pem;

    #[test]
    fn a_members_certificate_names_it_and_serves_both_ends() {
        let authority = Authority::new().unwrap();
        let signed = authority
            .sign("member-1", Ipv4Addr::LOCALHOST.into())
            .unwrap();
        let (_, pem) = parse_x509_pem(signed.certificate.as_bytes()).unwrap();
        let certificate = pem.parse_x509().unwrap();

        let names = certificate.subject_alternative_name().unwrap().unwrap();
        assert_eq!(
            names.value.general_names,
            [
                GeneralName::DNSName("member-1"),
                GeneralName::IPAddress(&[127, 0, 0, 1])
            ]
        );
        let usage = certificate.extended_key_usage().unwrap().unwrap();
        assert!(usage.value.server_auth && usage.value.client_auth && !usage.value.any);
        assert!(!certificate.is_ca());
        let left = certificate.validity().time_to_expiration().unwrap();
        assert!(left.whole_days() >= 29 && left.whole_days() <= 30);
    }

    #[test]
    fn the_authority_signs_members_and_nothing_below_them() {
        let authority = Authority::new().unwrap();
        let (_, pem) = parse_x509_pem(authority.pem().as_bytes()).unwrap();
        let certificate = pem.parse_x509().unwrap();
        let constraints = certificate.basic_constraints().unwrap().unwrap().value;
        assert!(constraints.ca);
        assert_eq!(constraints.path_len_constraint, Some(0));
    }

    #[test]
    fn members_have_keys_of_their_own() {
        let authority = Authority::new().unwrap();
        let sign = |id| authority.sign(id, Ipv4Addr::LOCALHOST.into()).unwrap();
        let (one, two) = (sign("member-1"), sign("member-2"));
        assert!(one.key.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_ne!(one.key, two.key);
    }
}
