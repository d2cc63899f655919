//! Certificates with their keys that peers would refuse, each for one reason.

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};

use super::authority::{Authority, Signed};

/// One that must not be taken into use.
pub struct BadPair {
    /// What is wrong, in two words.
    pub kind: &'static str,
    /// Which of the two files is to blame: `crt` or `key`.
    pub file: &'static str,
    /// A part of what must be said of it.
    pub reason: &'static str,
    certificate: String,
    key: String,
}

/// One of each kind, otherwise good for a member with these names.
pub fn all(authority: &Authority, names: &[String]) -> [BadPair; 8] {
    let signed = |change: fn(&mut CertificateParams)| authority.sign_changed(names, change);
    let named = |name: &str| authority.sign(&[name.to_owned()]);
    let good = authority.sign(names);
    let stranger = Authority::new("foreign authority").sign(names);
    let expired = signed(|params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 2);
    });
    let early = signed(|params| {
        params.not_before = date_time_ymd(2100, 1, 1);
        params.not_after = date_time_ymd(2101, 1, 1);
    });
    let server_only = signed(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let garbage = "-----BEGIN CERTIFICATE-----\nZ2FyYmFnZQ==\n-----END CERTIFICATE-----\n";
    [
        BadPair {
            key: named("other").key_pem(),
            ..BadPair::of("wrong key", "key", "is not the private key of ", &good)
        },
        BadPair::of("expired", "crt", "expired on 2020-02-02", &expired),
        BadPair::of(
            "server only",
            "crt",
            "lacks the extended key usage clientAuth",
            &server_only,
        ),
        BadPair::of(
            "wrong name",
            "crt",
            "its subject alternative names are somebody-else",
            &named("somebody-else"),
        ),
        BadPair::of(
            "wildcard",
            "crt",
            "the wildcard *.example counts for nothing between members",
            &named("*.example"),
        ),
        BadPair::of(
            "foreign authority",
            "crt",
            "is not signed by an authority of `cluster.tls.ca`",
            &stranger,
        ),
        BadPair::of(
            "not yet valid",
            "crt",
            "is not valid before 2100-01-01T00:00:00",
            &early,
        ),
        BadPair {
            certificate: garbage.to_owned(),
            ..BadPair::of(
                "garbage",
                "crt",
                "holds a certificate that is no valid X.509",
                &good,
            )
        },
    ]
}

impl BadPair {
    fn of(kind: &'static str, file: &'static str, reason: &'static str, signed: &Signed) -> Self {
        Self {
            kind,
            file,
            reason,
            certificate: signed.pem().to_owned(),
            key: signed.key_pem(),
        }
    }

    /// Writes `<name>.crt` and `<name>.key`.
    pub fn write(&self, folder: &std::path::Path, name: &str) {
        std::fs::write(folder.join(format!("{name}.crt")), &self.certificate).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), &self.key).unwrap();
    }
}
