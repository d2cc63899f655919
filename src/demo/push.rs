//! Pushing and pulling an image, request by request as docker does it (OCI distribution
//! specification, "Push" and "Pull").

use http::StatusCode;

use super::DemoError;
use super::client::{Client, Response};
use super::image::{Blob, Image, MANIFEST_TYPE};

/// Layer and config first: a registry may refuse a manifest whose blobs it does not have.
pub(super) async fn push(
    registry: &mut Client,
    repository: &str,
    tag: &str,
    image: &Image,
) -> Result<(), DemoError> {
    for blob in [&image.layer, &image.config] {
        push_blob(registry, repository, blob).await?;
    }
    let target = format!("/v2/{repository}/manifests/{tag}");
    let kind = Some(("content-type", MANIFEST_TYPE));
    let answer = registry
        .send("PUT", &target, kind, &image.manifest.bytes)
        .await?;
    expect(&answer, StatusCode::CREATED, "PUT", &target)
}

/// In three steps: open an upload, send the content, name the digest.
async fn push_blob(registry: &mut Client, repository: &str, blob: &Blob) -> Result<(), DemoError> {
    let target = format!("/v2/{repository}/blobs/uploads/");
    let answer = registry.send("POST", &target, None, &[]).await?;
    expect(&answer, StatusCode::ACCEPTED, "POST", &target)?;
    let upload = location(answer, "POST", &target)?;

    let kind = Some(("content-type", "application/octet-stream"));
    let answer = registry.send("PATCH", &upload, kind, &blob.bytes).await?;
    expect(&answer, StatusCode::ACCEPTED, "PATCH", &upload)?;
    let upload = location(answer, "PATCH", &upload)?;

    let separator = if upload.contains('?') { '&' } else { '?' };
    let target = format!("{upload}{separator}digest={}", blob.digest);
    let answer = registry.send("PUT", &target, None, &[]).await?;
    expect(&answer, StatusCode::CREATED, "PUT", &target)
}

/// Fetches everything and compares it with what was pushed.
pub(super) async fn pull(
    registry: &mut Client,
    repository: &str,
    tag: &str,
    image: &Image,
) -> Result<(), DemoError> {
    let target = format!("/v2/{repository}/manifests/{tag}");
    pull_blob(
        registry,
        &target,
        Some(("accept", MANIFEST_TYPE)),
        &image.manifest,
    )
    .await?;
    for blob in [&image.config, &image.layer] {
        let target = format!("/v2/{repository}/blobs/{}", blob.digest);
        pull_blob(registry, &target, None, blob).await?;
    }
    Ok(())
}

async fn pull_blob(
    registry: &mut Client,
    target: &str,
    header: Option<(&'static str, &str)>,
    pushed: &Blob,
) -> Result<(), DemoError> {
    let answer = registry.send("GET", target, header, &[]).await?;
    expect(&answer, StatusCode::OK, "GET", target)?;
    let pulled = Blob::new(answer.body.to_vec());
    if pulled != *pushed {
        let fault = format!(
            "{} came back, and {} was pushed",
            pulled.digest, pushed.digest
        );
        return Err(DemoError::Client {
            request: format!("GET {target}"),
            fault,
        });
    }
    Ok(())
}

fn expect(
    answer: &Response,
    status: StatusCode,
    method: &str,
    target: &str,
) -> Result<(), DemoError> {
    if answer.status == status {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&answer.body);
    Err(DemoError::Client {
        request: format!("{method} {target}"),
        fault: format!("{} instead of {status}: {}", answer.status, said.trim()),
    })
}

fn location(answer: Response, method: &str, target: &str) -> Result<String, DemoError> {
    answer.location.ok_or_else(|| DemoError::Client {
        request: format!("{method} {target}"),
        fault: "no Location in the answer".into(),
    })
}
