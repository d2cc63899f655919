//! Whether those who are shown a certificate would take it.
//!
//! What peers say is found by the very checks that they make themselves, so that the two cannot differ.
//! Pure: the time comes in.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::UnixTime;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, Error};
use x509_parser::certificate::X509Certificate;

use super::members::{Name, certificate_names, names_of};
use super::{Authority, KeyPair};
use crate::observe::human;
use crate::shard::Member;
use crate::shard::text::printable;

/// A certificate is near its end for so long before it, in seconds.
const NEAR_END: i64 = 14 * 24 * 60 * 60;
/// Most names of a certificate that a message lists.
const MAX_LISTED: usize = 8;

/// What is wrong with a certificate, and what is only odd. Each goes on after the name of its file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) faults: Vec<String>,
    /// Faults that come and go with time alone: it has expired, or is not valid yet.
    pub(crate) lapsed: Vec<String>,
    pub(crate) remarks: Vec<String>,
}

/// A certificate for clients. Whom they trust, and by which name they call, is theirs to know.
pub(crate) fn for_clients(pair: &KeyPair, now: UnixTime) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(leaf) = leaf(pair) else {
        return verdict;
    };
    verdict.lapsed.extend(lapsed(pair, now));
    if let Ok(Some(purposes)) = leaf.extended_key_usage()
        && !purposes.value.server_auth
        && !purposes.value.any
    {
        let remark = "is not for TLS servers (extended key usage): most clients refuse it";
        verdict.remarks.push(remark.to_owned());
    }
    verdict.remarks.extend(near_end(validity(&leaf).1, now));
    verdict
}

/// A member's certificate, which it shows both to those that it calls and to those that call it.
/// `whose` are the members that it may be.
pub(crate) fn for_peers(
    pair: &KeyPair,
    authority: &Authority,
    whose: &[Member],
    now: UnixTime,
) -> Verdict {
    let mut verdict = Verdict::default();
    let certified = pair.certified();
    let (Some(leaf), Some((shown, intermediates))) = (leaf(pair), certified.cert.split_first())
    else {
        return verdict;
    };
    let provider = super::provider();
    let roots = authority.roots();
    let by_listeners =
        WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
    let by_listeners = by_listeners
        .map_err(|error| Error::General(error.to_string()))
        .and_then(|verifier| verifier.verify_client_cert(shown, intermediates, now));
    let by_callers = ParsedCertificate::try_from(shown).and_then(|shown| {
        let algorithms = provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&shown, &roots, intermediates, now, algorithms)
    });
    for (error, missing) in [
        (by_listeners.err(), "clientAuth"),
        (by_callers.err(), "serverAuth"),
    ] {
        let Some(error) = error else { continue };
        let fault = refusal(&error, &leaf, missing, now);
        let faults = if is_of_time(&error) {
            &mut verdict.lapsed
        } else {
            &mut verdict.faults
        };
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }
    check_names(&certificate_names(shown), whose, &mut verdict);
    verdict.remarks.extend(near_end(validity(&leaf).1, now));
    verdict
}

/// That a certificate has expired, or is not valid yet.
pub(crate) fn lapsed(pair: &KeyPair, now: UnixTime) -> Option<String> {
    let (not_before, not_after) = validity(&leaf(pair)?);
    if not_after < seconds(now) {
        return Some(expired(not_after));
    }
    (seconds(now) < not_before).then(|| not_yet(not_before))
}

fn is_of_time(error: &Error) -> bool {
    use CertificateError as Fault;
    matches!(
        error,
        Error::InvalidCertificate(
            Fault::Expired
                | Fault::ExpiredContext { .. }
                | Fault::NotValidYet
                | Fault::NotValidYetContext { .. }
        )
    )
}

/// That a certificate will end soon, or has ended.
pub(crate) fn near_end(not_after: i64, now: UnixTime) -> Option<String> {
    let left = not_after - seconds(now);
    if left < 0 {
        return Some(expired(not_after));
    }
    (left < NEAR_END).then(|| {
        let left = human::duration(u64::try_from(left).unwrap_or(0));
        format!("expires on {}, in {left}: renew it", human::day(not_after))
    })
}

fn expired(not_after: i64) -> String {
    format!("expired on {}", human::day(not_after))
}

fn not_yet(not_before: i64) -> String {
    let since = Duration::from_secs(u64::try_from(not_before).unwrap_or(0));
    let at = human::rfc3339(SystemTime::UNIX_EPOCH + since);
    format!("is not valid before {at}: is this machine's clock right?")
}

/// The certificate itself, without what comes with it.
fn leaf(pair: &KeyPair) -> Option<X509Certificate<'_>> {
    let (_, leaf) = x509_parser::parse_x509_certificate(pair.leaf_der()?).ok()?;
    Some(leaf)
}

fn validity(leaf: &X509Certificate<'_>) -> (i64, i64) {
    let validity = leaf.validity();
    (
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    )
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// Why peers would refuse it.
fn refusal(error: &Error, leaf: &X509Certificate<'_>, missing: &str, now: UnixTime) -> String {
    use CertificateError as Fault;
    let (not_before, not_after) = validity(leaf);
    let Error::InvalidCertificate(fault) = error else {
        return format!("would be refused by peers: {error}");
    };
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "there are many, none of them usual"
    )]
    match fault {
        Fault::Expired | Fault::ExpiredContext { .. } if not_after < seconds(now) => {
            expired(not_after)
        }
        Fault::Expired | Fault::ExpiredContext { .. } => {
            "comes with an intermediate certificate that has expired".to_owned()
        }
        Fault::NotValidYet | Fault::NotValidYetContext { .. } if seconds(now) < not_before => {
            not_yet(not_before)
        }
        Fault::UnknownIssuer | Fault::BadSignature => {
            "is not signed by an authority of `cluster.tls.ca`, directly or by what comes with it"
                .to_owned()
        }
        Fault::InvalidPurpose | Fault::InvalidPurposeContext { .. } => {
            format!(
                "lacks the extended key usage {missing}: members need both clientAuth and serverAuth"
            )
        }
        other => format!("would be refused by peers: {other}"),
    }
}

/// A member goes by its id or the host of its address, as they are written.
fn check_names(names: &[Name], whose: &[Member], verdict: &mut Verdict) {
    let own: Vec<Name> = whose.iter().flat_map(names_of).collect();
    let is_wildcard = |name: &&Name| matches!(name, Name::Dns(name) if name.starts_with("*."));
    let wildcard = names.iter().find(is_wildcard);
    let named = own.is_empty() || names.iter().any(|name| own.contains(name));
    match (named, wildcard) {
        (true, None) => {}
        (true, Some(wildcard)) => verdict.remarks.push(format!(
            "also has the wildcard {wildcard}: whoever holds it can stand for other members"
        )),
        (false, Some(wildcard)) => verdict.faults.push(format!(
            "does not name {}: the wildcard {wildcard} counts for nothing between members",
            expected(whose)
        )),
        (false, None) => verdict.faults.push(format!(
            "does not name {}: its subject alternative names are {}",
            expected(whose),
            listed(names.iter())
        )),
    }
}

fn expected(whose: &[Member]) -> String {
    let [member] = whose else {
        return "any of the members".to_owned();
    };
    // Usually the host is the id.
    let both: BTreeSet<String> = names_of(member).iter().map(ToString::to_string).collect();
    both.into_iter().collect::<Vec<_>>().join(" or ")
}

fn listed<'n>(names: impl ExactSizeIterator<Item = &'n Name>) -> String {
    let more = names.len().saturating_sub(MAX_LISTED);
    let mut shown: Vec<String> = names
        .take(MAX_LISTED)
        .map(|name| printable(&name.to_string()))
        .collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    if shown.is_empty() {
        return "none".to_owned();
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
        IsCa, date_time_ymd,
    };

    type Issuer = CertifiedIssuer<'static, rcgen::KeyPair>;

    fn issuer(
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
        by: Option<&Issuer>,
    ) -> Issuer {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = rcgen::KeyPair::generate().unwrap();
        match by {
            None => CertifiedIssuer::self_signed(params, key).unwrap(),
            Some(by) => CertifiedIssuer::signed_by(params, key, by).unwrap(),
        }
    }

    /// A pair by `issuer`, with a chain behind it.
    fn pair(
        issuer: &Issuer,
        names: &[&str],
        chain: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> KeyPair {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (cert, key_file) = (folder.path().join("a.crt"), folder.path().join("a.key"));
        std::fs::write(&cert, certificate.pem() + chain).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        KeyPair::load(&cert, &key_file).unwrap()
    }

    fn authority(issuer: &Issuer) -> Authority {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.crt");
        std::fs::write(&file, issuer.pem()).unwrap();
        Authority::load(&file).unwrap()
    }

    fn member(id: &str, address: &str) -> Member {
        Member {
            id: id.parse().unwrap(),
            address: address.parse().unwrap(),
            weight: Default::default(),
        }
    }

    fn at(year: i32, month: u8, day: u8) -> UnixTime {
        let seconds = date_time_ymd(year, month, day).unix_timestamp();
        UnixTime::since_unix_epoch(Duration::from_secs(seconds.try_into().unwrap()))
    }

    #[test]
    fn the_clock_decides() {
        let root = issuer("root", |_| (), None);
        let pair = pair(&root, &["zot-1"], "", |params| {
            params.not_before = date_time_ymd(2030, 1, 1);
            params.not_after = date_time_ymd(2030, 3, 1);
        });
        let expired = "expired on 2030-03-01";
        for (now, fault, remark) in [
            (
                at(2029, 12, 31),
                "is not valid before 2030-01-01T00:00:00.000Z: is this machine's clock right?",
                "",
            ),
            (at(2030, 1, 1), "", ""),
            (at(2030, 2, 14), "", ""),
            (
                at(2030, 2, 16),
                "",
                "expires on 2030-03-01, in 13d 0h: renew it",
            ),
            (at(2030, 3, 1), "", "expires on 2030-03-01, in 0s: renew it"),
            (at(2030, 3, 2), expired, expired),
        ] {
            let whose = [member("zot-1", "10.0.0.1:5443")];
            for verdict in [
                for_clients(&pair, now),
                for_peers(&pair, &authority(&root), &whose, now),
            ] {
                assert_eq!(verdict.lapsed.join(", "), fault, "{now:?}");
                assert_eq!(verdict.faults, [""; 0], "{now:?}");
                assert_eq!(verdict.remarks.join(", "), remark, "{now:?}");
            }
        }
    }

    #[test]
    fn members_need_both_usages_or_none() {
        use ExtendedKeyUsagePurpose::{ClientAuth, CodeSigning, ServerAuth};
        let root = issuer("root", |_| (), None);
        let whose = [member("zot-1", "10.0.0.1:5443")];
        for (usages, missing) in [
            (vec![], [].as_slice()),
            (vec![ClientAuth, ServerAuth], &[]),
            (vec![ServerAuth], &["clientAuth"]),
            (vec![ClientAuth], &["serverAuth"]),
            (vec![CodeSigning], &["clientAuth", "serverAuth"]),
        ] {
            let pair = pair(&root, &["zot-1"], "", |params| {
                params.extended_key_usages = usages
            });
            let verdict = for_peers(&pair, &authority(&root), &whose, at(2030, 1, 1));
            let lacks = |purpose: &&str| {
                format!(
                    "lacks the extended key usage {purpose}: members need both clientAuth and serverAuth"
                )
            };
            assert_eq!(
                verdict.faults,
                missing.iter().map(lacks).collect::<Vec<_>>()
            );
            let remarks = for_clients(&pair, at(2030, 1, 1)).remarks;
            assert_eq!(remarks.len(), usize::from(missing.contains(&"serverAuth")));
        }
    }

    #[test]
    fn a_member_goes_by_its_id_or_its_host() {
        let root = issuer("root", |_| (), None);
        let by_name = member("zot-1", "zot-1.example:5443");
        let by_ip = member("zot-1", "10.0.0.1:5443");
        let verdict = |names: &[&str], whose: &[Member]| {
            for_peers(
                &pair(&root, names, "", |_| ()),
                &authority(&root),
                whose,
                at(2030, 1, 1),
            )
        };
        for (names, whose) in [
            (&["zot-1"][..], &by_name),
            (&["ZOT-1.example"], &by_name),
            (&["zot-2", "10.0.0.1"], &by_ip),
        ] {
            assert_eq!(
                verdict(names, std::slice::from_ref(whose)),
                Verdict::default(),
                "{names:?}"
            );
        }
        for (names, whose, fault) in [
            (
                &["zot-2", "10.0.0.2"][..],
                &by_ip,
                "does not name 10.0.0.1 or zot-1: its subject alternative names are zot-2, 10.0.0.2",
            ),
            (
                &[],
                &by_ip,
                "does not name 10.0.0.1 or zot-1: its subject alternative names are none",
            ),
            (
                &["*.example"],
                &by_name,
                "does not name zot-1 or zot-1.example: the wildcard *.example counts for nothing between members",
            ),
        ] {
            assert_eq!(verdict(names, std::slice::from_ref(whose)).faults, [fault]);
        }
        let both = verdict(&["zot-1", "*.example"], &[by_name]);
        let remark =
            "also has the wildcard *.example: whoever holds it can stand for other members";
        assert_eq!(
            (both.faults.len(), both.remarks),
            (0, vec![remark.to_owned()])
        );
        // Where nobody knows whose it is.
        let all = [member("a", "a:1"), member("b", "b:1")];
        assert_eq!(verdict(&["b"], &all), Verdict::default());
        let fault = "does not name any of the members: its subject alternative names are c";
        assert_eq!(verdict(&["c"], &all).faults, [fault]);
    }

    #[test]
    fn the_chain_ends_at_the_authority() {
        let (root, other) = (issuer("root", |_| (), None), issuer("other", |_| (), None));
        let between = issuer("between", |_| (), Some(&root));
        let old = issuer(
            "old",
            |params| params.not_after = date_time_ymd(2020, 1, 1),
            Some(&root),
        );
        let whose = [member("zot-1", "10.0.0.1:5443")];
        let foreign =
            "is not signed by an authority of `cluster.tls.ca`, directly or by what comes with it";
        let expired = "comes with an intermediate certificate that has expired";
        for (signer, chain, trusted, fault) in [
            (&root, String::new(), &root, ""),
            (&between, between.pem(), &root, ""),
            (&between, String::new(), &root, foreign),
            (&old, old.pem(), &root, expired),
            (&other, String::new(), &root, foreign),
            (&other, other.pem(), &root, foreign),
            // The same name, another key.
            (&issuer("root", |_| (), None), String::new(), &root, foreign),
        ] {
            let pair = pair(signer, &["zot-1"], &chain, |_| ());
            let verdict = for_peers(&pair, &authority(trusted), &whose, at(2030, 1, 1));
            let all = [verdict.lapsed, verdict.faults].concat();
            assert_eq!(all.join(", "), fault);
        }
    }
}
