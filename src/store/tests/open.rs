//! What settings come to: a place that messages name, or why there is none.

use crate::config::{DynamoDbSettings, KubernetesSettings, S3Settings, ServiceUrl, StoreSettings};
use crate::store::{Expected, Put, open};

fn s3(endpoint: Option<&str>, path_style: bool) -> StoreSettings {
    StoreSettings::S3(S3Settings {
        bucket: "registry".to_owned(),
        prefix: "shardlet".to_owned(),
        region: "eu-central-1".to_owned(),
        endpoint: endpoint.map(|url| url.parse().unwrap()),
        path_style,
        ca: None,
        profile: Some("secret-profile".to_owned()),
    })
}

fn dynamodb(endpoint: Option<&str>) -> StoreSettings {
    StoreSettings::DynamoDb(DynamoDbSettings {
        table: "shardlet".to_owned(),
        fleet: "registry".to_owned(),
        region: "eu-central-1".to_owned(),
        endpoint: endpoint.map(|url| url.parse().unwrap()),
        ca: None,
        profile: None,
    })
}

fn kubernetes(namespace: Option<&str>) -> StoreSettings {
    StoreSettings::Kubernetes(KubernetesSettings {
        fleet: "registry".to_owned(),
        namespace: namespace.map(str::to_owned),
    })
}

#[test]
fn a_place_is_named_for_people() {
    for (settings, place) in [
        (s3(None, false), "s3://registry/shardlet at eu-central-1"),
        (
            s3(Some("http://minio:9000/base/"), true),
            "s3://registry/shardlet at http://minio:9000/base",
        ),
        (
            dynamodb(None),
            "dynamodb table shardlet (registry) at eu-central-1",
        ),
        (
            dynamodb(Some("https://db:443")),
            "dynamodb table shardlet (registry) at https://db",
        ),
        (
            kubernetes(None),
            "kubernetes leases registry in the pod's namespace",
        ),
        (
            kubernetes(Some("prod")),
            "kubernetes leases registry in prod",
        ),
    ] {
        assert_eq!(settings.to_string(), place);
    }
}

#[tokio::test]
async fn who_names_one_memory_agrees_over_it() {
    let opened = |name: &str| open(&StoreSettings::Memory(name.to_owned())).unwrap();
    let (one, same, other) = (opened("a"), opened("a"), opened("b"));
    let key = "view".parse().unwrap();
    let put = one.put(&key, &Expected::Absent, b"1").await;
    assert!(matches!(put, Put::Done(_)));
    assert_eq!(same.get(&key).await.unwrap().unwrap().value, "1");
    assert_eq!(other.get(&key).await.unwrap(), None);
}

#[tokio::test]
async fn a_store_that_cannot_be_asked_says_what_to_mend() {
    let refused = |settings| open(&settings).map(drop).unwrap_err().to_string();
    if cfg!(feature = "kubernetes") {
        assert_eq!(
            refused(kubernetes(Some("prod"))),
            "the store kubernetes leases registry in prod cannot be used: KUBERNETES_SERVICE_HOST is not set, so this \
             is no pod of Kubernetes: run in one, or name another store"
        );
    }
    if cfg!(not(feature = "dynamodb")) {
        assert_eq!(
            refused(dynamodb(None)),
            "the store dynamodb table shardlet (registry) at eu-central-1 cannot be used: this build is without it: \
             take a release, or build with the feature `dynamodb`"
        );
    }
    if cfg!(feature = "s3") {
        open(&s3(None, false)).unwrap();
        let by_address = s3(Some("http://127.0.0.1:9000"), false);
        assert!(refused(by_address).contains("registry.127.0.0.1: the host is neither"));
    }
}

#[test]
fn urls_of_services_are_read_or_refused() {
    for (text, authority, path) in [
        ("http://store", "store", ""),
        ("http://store:80", "store", ""),
        ("http://store:443/", "store:443", ""),
        ("https://store:443/base/", "store", "/base"),
        ("http://[::1]:9000/v1/s3", "[::1]:9000", "/v1/s3"),
        ("HTTPS://Store", "store", ""),
    ] {
        let url: ServiceUrl = text.parse().unwrap();
        assert_eq!((&*url.authority(), &*url.path), (authority, path), "{text}");
        assert_eq!(url.to_string().parse::<ServiceUrl>(), Ok(url));
    }
    for (text, error) in [
        ("127.0.0.1:9000", "write http://HOST:PORT or https://HOST"),
        ("store", "write http://HOST:PORT or https://HOST"),
        ("ftp://c", "write http://HOST:PORT or https://HOST"),
        ("http://a:b@c", "credentials do not belong into a URL"),
        ("http://c/?d", "nothing belongs behind its path"),
        ("http://c/#d", "nothing belongs behind its path"),
        ("http://c:0", "the port is not a number from 1 to 65535"),
        ("http://", "it is no URL"),
        (
            "http://a..b",
            "the host is neither a DNS name nor an IP address",
        ),
    ] {
        assert_eq!(text.parse::<ServiceUrl>(), Err(error.to_owned()), "{text}");
    }
}
