//! Where credentials are looked for, and what happens where that fails.

use std::collections::HashMap;

use reqsign_core::StaticEnv;

use super::server::{Reply, Request, Server};
use crate::config::S3Settings;
use crate::store::aws::Signer;
use crate::store::s3::S3;
use crate::store::{Expected, Put, Store};

/// A service that hands credentials out, and the bucket too.
async fn service() -> Server {
    Server::start(|request: &Request| {
        let handed = |name: &str| {
            format!(
                "{{\"Code\": \"Success\", \"AccessKeyId\": \"{name}\", \"SecretAccessKey\": \"secret\", \
                 \"Token\": \"session\", \"Expiration\": \"2099-01-01T00:00:00Z\"}}"
            )
        };
        match (&*request.method, &*request.path) {
            ("PUT", "/latest/api/token") => Reply::new(200, "imds"),
            ("GET", "/latest/meta-data/iam/security-credentials/") => Reply::new(200, "role"),
            ("GET", "/latest/meta-data/iam/security-credentials/role")
                if request.field("x-aws-ec2-metadata-token") == Some("imds") =>
            {
                Reply::new(200, handed("INSTANCE"))
            }
            ("GET", "/container") if request.field("authorization") == Some("pod") => {
                Reply::new(200, handed("CONTAINER"))
            }
            ("PUT", _) if request.path.starts_with("/registry/") => {
                Reply::new(200, "").field("ETag", "\"1\"")
            }
            _ => Reply::new(403, "{}"),
        }
    })
    .await
}

/// Whose signature a write has in this environment, or why it has none.
async fn signed(server: &Server, profile: Option<&str>, envs: &[(&str, &str)]) -> String {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment = StaticEnv {
        home_dir: None,
        envs: envs.iter().map(own).collect::<HashMap<_, _>>(),
    };
    let settings = S3Settings {
        bucket: "registry".to_owned(),
        prefix: "shardlet".to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(server.url.parse().unwrap()),
        path_style: true,
        ca: None,
        profile: None,
    };
    let signer = Signer::within(environment, "s3", &settings.region, profile);
    let store = S3::signed_by(signer, &settings).unwrap();
    let key = "view".parse().unwrap();
    match store.put(&key, &Expected::Absent, b"{}").await {
        Put::Done(_) => {
            let asked = server.last();
            let authorization = asked.field("authorization").unwrap();
            let scope = authorization.split_once("Credential=").unwrap().1;
            scope.split_once('/').unwrap().0.to_owned()
        }
        Put::Unknown(why) => why.to_string(),
        Put::Conflict => panic!("nothing was there"),
    }
}

#[tokio::test]
async fn the_first_place_that_is_set_up_counts() {
    let server = service().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    let lines = "[default]\naws_access_key_id = FILE\naws_secret_access_key = secret\n\
                 [store]\naws_access_key_id = STORE\naws_secret_access_key = secret\n";
    std::fs::write(&file, lines).unwrap();
    let container = format!("{}/container", server.url);
    let instance = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*server.url);
    let from_container = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*container),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod"),
    ];
    let from_file = ("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap());
    let from_environment = [
        ("AWS_ACCESS_KEY_ID", "ENVIRONMENT"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ];

    let mut envs = vec![instance];
    assert_eq!(signed(&server, None, &envs).await, "INSTANCE");
    envs.extend(from_container);
    assert_eq!(signed(&server, None, &envs).await, "CONTAINER");
    envs.push(from_file);
    assert_eq!(signed(&server, None, &envs).await, "FILE");
    assert_eq!(signed(&server, Some("store"), &envs).await, "STORE");
    envs.extend(from_environment);
    assert_eq!(signed(&server, None, &envs).await, "ENVIRONMENT");
}

#[tokio::test]
async fn a_place_that_is_set_up_and_fails_is_not_passed_over() {
    let server = service().await;
    let container = format!("{}/container", server.url);
    let envs = [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*server.url),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*container),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "secret-of-another"),
    ];
    let why = signed(&server, None, &envs).await;
    assert!(why.starts_with("no credentials: container: "), "{why}");
    assert!(!why.contains("secret"), "{why}");

    let token = [
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/a"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*server.url),
    ];
    let why = signed(&server, None, &token).await;
    assert!(why.starts_with("no credentials: web identity: "), "{why}");
}

#[tokio::test]
async fn without_credentials_all_places_are_named() {
    let server = service().await;
    let disabled = [("AWS_EC2_METADATA_DISABLED", "true")];
    let why = signed(&server, None, &disabled).await;
    assert_eq!(
        why,
        "no credentials: none in the environment, in the profile's files, by a web identity or from the container's \
         service"
    );
    let nobody = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")];
    let why = signed(&server, None, &nobody).await;
    assert!(why.contains("and the instance has none to give: "), "{why}");
}
