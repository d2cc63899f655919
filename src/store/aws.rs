//! Signatures of AWS (version 4), which S3 and what speaks like it ask for, and the credentials that they are made with.
//!
//! Credentials come from where AWS's own tools look: the environment, the profile's files, a web identity, the
//! container's service, the instance's. The first place that is set up counts: another one would be another identity.
//! They are fetched anew long before they end, beside the calls, so that a slow service of theirs costs no lease.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqsign_aws_v4::{
    AssumeRoleWithWebIdentityCredentialProvider, Credential, ECSCredentialProvider,
    EnvCredentialProvider, IMDSv2CredentialProvider, ProfileCredentialProvider, RequestSigner,
};
use reqsign_core::{
    Context, Env, Error, FileRead, HttpSend, OsEnv, ProvideCredentialDyn, SignRequest,
    SigningCredential,
};
use tokio::time::Instant;

use super::endpoint::{Endpoint, sha256};
use super::{CALL, Trouble, TroubleKind};
use crate::config::ServiceUrl;
use crate::shard::text::printable;
use crate::upstream::{Answer, Question};

/// So long before they end, credentials are fetched anew; in the middle of their life, if that is shorter.
const EARLY: Duration = Duration::from_secs(600);
/// Those that do not say when they end: somebody may have replaced them where they lie.
const UNDATED: Duration = Duration::from_secs(300);
/// After a failure to fetch them.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a service that hands them out may take, each time that it is asked.
const FETCH: Duration = Duration::from_secs(5);
/// The last to be asked, and the only one that is asked without having been set up.
const INSTANCE: &str = "instance";

type Source = Arc<dyn ProvideCredentialDyn<Credential = Credential>>;

/// Signs requests to one service.
#[derive(Debug)]
pub(super) struct Signer {
    request: RequestSigner,
    context: Context,
    purse: Arc<Purse>,
}

/// The credentials in use.
#[derive(Debug)]
struct Purse {
    context: Context,
    /// In the order in which they are looked at, with what people call them.
    sources: Vec<(&'static str, Source)>,
    held: Mutex<Held>,
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Held {
    credential: Option<Credential>,
    /// When they are fetched next; none at the beginning.
    due: Option<Instant>,
    error: String,
}

impl Signer {
    /// With the credentials of this process; `profile` is the one of the files, if it is not the usual.
    pub(super) fn new(service: &str, region: &str, profile: Option<&str>) -> Self {
        Self::within(OsEnv, service, region, profile)
    }

    /// With the credentials that this environment leads to.
    pub(super) fn within(
        environment: impl Env,
        service: &str,
        region: &str,
        profile: Option<&str>,
    ) -> Self {
        let context = Context::new()
            .with_env(environment)
            .with_file_read(Files)
            .with_http_send(Fetch);
        let mut files = ProfileCredentialProvider::new();
        if let Some(profile) = profile {
            files = files.with_profile(profile);
        }
        let identity = AssumeRoleWithWebIdentityCredentialProvider::new()
            .with_region(region.to_owned())
            .with_role_session_name("shardlet".to_owned())
            .with_regional_sts_endpoint();
        let sources: Vec<(&'static str, Source)> = vec![
            ("environment", Arc::new(EnvCredentialProvider::new())),
            ("profile", Arc::new(files)),
            ("web identity", Arc::new(identity)),
            ("container", Arc::new(ECSCredentialProvider::new())),
            (INSTANCE, Arc::new(IMDSv2CredentialProvider::new())),
        ];
        let purse = Purse {
            context: context.clone(),
            sources,
            held: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        };
        Self {
            request: RequestSigner::new(service, region),
            context,
            purse: Arc::new(purse),
        }
    }

    /// Asks once, with a signature, within [`CALL`]. `fields` are in lower case.
    pub(super) async fn ask(
        &self,
        endpoint: &Endpoint,
        request: (&'static str, &str),
        fields: &[(&'static str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer, Trouble> {
        let asking = async {
            let question = self.sign(endpoint, request, fields, body).await?;
            endpoint.ask(&question, CALL).await
        };
        let asked = tokio::time::timeout(CALL, asking).await;
        let slow = || {
            let what = format!("{}: no answer in time", endpoint.authority());
            Trouble::new(TroubleKind::Slow, what)
        };
        asked.unwrap_or_else(|_| Err(slow()))
    }

    async fn sign(
        &self,
        endpoint: &Endpoint,
        (method, path_and_query): (&'static str, &str),
        fields: &[(&'static str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Question, Trouble> {
        let credential = self.purse.credential().await?;
        let target = endpoint.target(path_and_query);
        let (scheme, authority) = (endpoint.scheme(), endpoint.authority());
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{scheme}://{authority}{target}"))
            .header("x-amz-content-sha256", sha256(body.unwrap_or_default()));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let odd = |error: &dyn std::fmt::Display| {
            Trouble::new(
                TroubleKind::Odd,
                format!("a request that cannot be signed: {error}"),
            )
        };
        let (mut parts, ()) = request.body(()).map_err(|error| odd(&error))?.into_parts();
        let signed = self
            .request
            .sign_request(&self.context, &mut parts, Some(&credential), None);
        signed.await.map_err(|error| odd(&error))?;
        let mut question = Question::new(method, &target, authority);
        for (name, value) in &parts.headers {
            let value = value.to_str().map_err(|error| odd(&error))?;
            if name != http::header::HOST {
                question = question.field(name.as_str(), value);
            }
        }
        Ok(match body {
            Some(body) => question.body(body),
            None => question,
        })
    }
}

impl Purse {
    async fn credential(self: &Arc<Self>) -> Result<Credential, Trouble> {
        let (held, is_due) = self.look();
        let fetched = is_due.then(|| {
            let purse = self.clone();
            // In a task of its own: it goes on when the call that began it has run out of time.
            tokio::spawn(async move { purse.fetch().await })
        });
        if let Some(credential) = held {
            return Ok(credential);
        }
        if let Some(fetched) = fetched {
            // It does not panic, and what it has found out is read in the next line.
            let _ = fetched.await;
        }
        let (held, _) = self.look();
        held.ok_or_else(|| {
            let why = format!("no credentials: {}", self.held().error);
            Trouble::new(TroubleKind::Refused, why)
        })
    }

    /// Those that can be used, and whether it is time to fetch others.
    fn look(&self) -> (Option<Credential>, bool) {
        let held = self.held();
        let is_due = held.due.is_none_or(|due| due <= Instant::now());
        let usable = held.credential.clone().filter(|credential| {
            let ends = credential.expires_in;
            ends.is_none_or(|ends| ends.as_system_time() > SystemTime::now() + CALL)
        });
        (usable, is_due)
    }

    /// One at a time: whoever comes second finds that it is no longer due.
    async fn fetch(&self) {
        let _turn = self.fetching.lock().await;
        if !self.look().1 {
            return;
        }
        let found = self.find().await;
        let mut held = self.held();
        match found {
            Ok(credential) => {
                held.due = Some(Instant::now() + keeps(&credential, SystemTime::now()));
                held.credential = Some(credential);
                held.error.clear();
            }
            Err(why) => {
                held.due = Some(Instant::now() + AGAIN);
                if held.credential.is_some() {
                    tracing::warn!(
                        "the store's credentials are not renewed ({why}): those in use may end"
                    );
                }
                held.error = why;
            }
        }
    }

    async fn find(&self) -> Result<Credential, String> {
        let mut instance = String::new();
        for (name, source) in &self.sources {
            match source.provide_credential_dyn(&self.context).await {
                Ok(Some(credential)) if credential.is_valid() => return Ok(credential),
                Ok(Some(_)) => return Err(format!("those of the {name} have ended")),
                Ok(None) => {}
                Err(error) => {
                    let why = printable(&error.to_string());
                    // The others fail only where they are set up, and then the next one is not who we should be.
                    if *name != INSTANCE {
                        return Err(format!("{name}: {why}"));
                    }
                    instance = format!(", and the instance has none to give: {why}");
                }
            }
        }
        Err(format!(
            "none in the environment, in the profile's files, by a web identity or from the container's service{instance}"
        ))
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A service in a region. The regions of other partitions have hosts of their own: people name those.
pub(super) fn url(service: &str, region: &str) -> Result<ServiceUrl, String> {
    let end = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://{service}.{region}.amazonaws.com{end}").parse()
}

/// How long no others are fetched.
fn keeps(credential: &Credential, now: SystemTime) -> Duration {
    let Some(ends) = credential.expires_in else {
        return UNDATED;
    };
    let left = ends.as_system_time().duration_since(now);
    let left = left.unwrap_or_default();
    (left / 2).max(left.saturating_sub(EARLY)).max(AGAIN)
}

/// Reads the files that credentials lie in.
#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        let read = tokio::fs::read(path).await;
        read.map_err(|error| Error::config_invalid(format!("{path}: {error}")))
    }
}

/// Asks the services that hand credentials out.
#[derive(Debug)]
struct Fetch;

impl HttpSend for Fetch {
    async fn http_send(
        &self,
        request: http::Request<Bytes>,
    ) -> reqsign_core::Result<http::Response<Bytes>> {
        let odd = |error: String| Error::unexpected(error);
        let (parts, body) = request.into_parts();
        let (uri, method) = (&parts.uri, parts.method.as_str());
        let url = format!(
            "{}://{}",
            uri.scheme_str().unwrap_or_default(),
            uri.authority().map_or("", |authority| authority.as_str())
        );
        let endpoint = Endpoint::open(&url.parse().map_err(odd)?, None).map_err(odd)?;
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let mut question = Question::new(method, target, endpoint.authority());
        for (name, value) in &parts.headers {
            let is_ours = [http::header::HOST, http::header::CONTENT_LENGTH].contains(name);
            let value = value
                .to_str()
                .map_err(|_| odd(format!("the field {name} is no text")))?;
            if !is_ours {
                question = question.field(name.as_str(), value);
            }
        }
        if method != "GET" {
            question = question.body(&body);
        }
        let answer = endpoint.ask(&question, FETCH).await;
        let answer = answer.map_err(|trouble| odd(trouble.to_string()))?;
        let mut response = http::Response::new(Bytes::from(answer.body));
        *response.status_mut() = answer.status;
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqsign_core::time::Timestamp;
    use reqsign_core::{ProvideCredential, StaticEnv};

    fn credential(left: Option<Duration>) -> Credential {
        Credential {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: None,
            expires_in: left.map(|left| Timestamp::now() + left),
        }
    }

    #[test]
    fn they_are_renewed_long_before_they_end() {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        for (left, kept) in [
            (None, minutes(5)),
            (Some(minutes(360)), minutes(350)),
            (Some(minutes(60)), minutes(50)),
            (Some(minutes(15)), Duration::from_secs(450)),
            (Some(minutes(2)), minutes(1)),
            (Some(Duration::ZERO), AGAIN),
        ] {
            let credential = credential(left);
            let keeps = keeps(&credential, SystemTime::now());
            // Time goes on in between.
            let off = kept.abs_diff(keeps);
            assert!(off < Duration::from_secs(5), "{left:?}: {keeps:?}");
        }
    }

    /// A service that does not answer.
    #[derive(Debug)]
    struct Hangs;

    impl ProvideCredential for Hangs {
        type Credential = Credential;

        async fn provide_credential(
            &self,
            _: &Context,
        ) -> reqsign_core::Result<Option<Credential>> {
            std::future::pending().await
        }
    }

    fn purse(held: Option<Credential>) -> Arc<Purse> {
        let held = Held {
            credential: held,
            due: Some(Instant::now()),
            error: String::new(),
        };
        Arc::new(Purse {
            context: Context::new().with_env(StaticEnv::default()),
            sources: vec![("container", Arc::new(Hangs))],
            held: Mutex::new(held),
            fetching: tokio::sync::Mutex::default(),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn those_in_use_serve_while_others_are_fetched() {
        let second = Duration::from_secs(1);
        let good = purse(Some(credential(Some(Duration::from_secs(60)))));
        let used = tokio::time::timeout(second, good.credential()).await;
        assert_eq!(used.unwrap().unwrap().access_key_id, "AKIDEXAMPLE");

        for held in [None, Some(credential(Some(Duration::ZERO)))] {
            let bad = purse(held);
            let used = tokio::time::timeout(second, bad.credential()).await;
            assert!(used.is_err());
        }
    }
}
