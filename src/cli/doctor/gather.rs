//! All that `doctor` asks: the sidecar, its replica, its peers, this machine. Nothing is written unless that is
//! wanted.

mod clock;
mod leases;
mod peers;
mod reach;
mod store;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;

use super::facts::{Certificate, Facts, ReplicaFile};
use super::finding::NotChecked;
use crate::cli::ask::{Admin, reachable};
use crate::cli::plan::catalog;
use crate::config::Config;
use crate::operate::Status;
use crate::shard::View;
use crate::tls::{Lapsed, TlsFiles, TlsMaterial};
use crate::upstream::{Credentials, Place, Route, Trust, Upstreams};

/// How long anybody may take to answer one question.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked beyond the configuration.
pub(super) struct Wanted<'a> {
    pub(super) admin: Admin,
    pub(super) write: bool,
    pub(super) credentials: Option<&'a Path>,
}

/// What questions are asked with.
struct Questions {
    view: View,
    upstreams: Upstreams,
}

/// Asks everybody.
///
/// # Errors
/// Where nothing could be asked at all, why.
pub(super) fn facts<'c>(
    config: &'c Config,
    sidecar: Result<Status, String>,
    replicas: Vec<ReplicaFile>,
    wanted: &Wanted<'_>,
) -> Result<Facts<'c>, String> {
    let members = config.view.members();
    let local = members.get(members.local()).id.to_string();
    if wanted.credentials.is_some() {
        // The password goes to the clients' listener, whose certificate is not verified.
        for at in [
            wanted.admin.address(),
            reachable(config.listen.clients.address),
        ] {
            if !is_on_this_machine(at.ip()) {
                return Err(format!(
                    "{at} is no address of this machine, and the password of --credentials goes to its own sidecar \
                     alone: run it beside the member"
                ));
            }
        }
    }
    if let Ok(status) = &sidecar
        && status.member != local
    {
        return Err(format!(
            "the sidecar that answers is {}, and the configuration is that of {local}: name the right one by --admin, \
             --config or --member",
            crate::shard::text::foreign_name(&status.member)
        ));
    }
    let login = wanted.credentials.map(catalog::basic).transpose()?;
    let mut not_checked = Vec::new();
    let material = TlsFiles::of(config)
        .look(UnixTime::now(), &Lapsed::Refused)
        .material
        .map_err(|faults| faults.to_string());
    let mut facts = Facts {
        config,
        local,
        now: now(),
        certificates: certificates(config, &sidecar, &material, &mut not_checked),
        sidecar,
        replica_fault: None,
        exposed_at: Vec::new(),
        peers: Vec::new(),
        stored: None,
        replicas,
        stores_elsewhere: Vec::new(),
        not_checked,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(ask(&mut facts, &material, wanted.write, login))?;
    if facts.replicas.is_empty() {
        facts.not_checked.push(NotChecked {
            what: "the replica's configuration".to_owned(),
            why: "name it by --registry-config".to_owned(),
        });
    }
    Ok(facts)
}

async fn ask(
    facts: &mut Facts<'_>,
    material: &Result<TlsMaterial, String>,
    write: bool,
    login: Option<String>,
) -> Result<(), String> {
    let config = facts.config;
    let credentials = material.as_ref().ok().and_then(|material| {
        let (authority, pair) = material.cluster.as_ref()?;
        Some(Credentials::new(authority, pair))
    });
    let trust = Arc::new(Trust::new(credentials));
    let members = config.view.members();
    let registry_authority =
        crate::tls::replica_authority(&config.registry).map_err(|error| error.to_string())?;
    let registry = (&config.registry, registry_authority.as_ref());
    let upstreams = Upstreams::new(registry, members, &config.timeouts, &trust, None)
        .map_err(|error| error.to_string())?;
    let questions = Arc::new(Questions {
        view: (*config.view).clone(),
        upstreams,
    });
    facts.replica_fault = reach::replica_fault(&questions, &config.registry.address).await;
    reach::look_around(&questions, facts).await;
    match material {
        Ok(_) => facts.peers = peers::ask_all(&questions).await,
        Err(error) => facts.not_checked.push(NotChecked {
            what: "peers, their views and clocks".to_owned(),
            why: format!("they take questions by the member's certificate alone, and {error}"),
        }),
    }
    if let Some(coordination) = &config.coordination {
        facts.stored = leases::read(coordination, &mut facts.not_checked).await;
    }
    store::compare(&questions, facts, write, login).await;
    Ok(())
}

fn is_on_this_machine(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let mut ours = if_addrs::get_if_addrs().unwrap_or_default().into_iter();
    ip.is_loopback() || ours.any(|interface| interface.ip() == ip)
}

/// A way to this machine, where nothing is verified, and nothing needs to be.
fn nearby(at: SocketAddr, tls: bool) -> Result<Route, String> {
    let anybody = tls.then(crate::tls::caller_of_anybody).transpose();
    let anybody = anybody.map_err(|error| error.to_string())?;
    let tls = anybody.map(|anybody| (at.ip().to_string(), anybody));
    Ok(Route::aside(Place::Address(at), tls))
}

fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Those that are shown, by the sidecar that shows them, else by their files; and the authority.
fn certificates(
    config: &Config,
    sidecar: &Result<Status, String>,
    material: &Result<TlsMaterial, String>,
    not_checked: &mut Vec<NotChecked>,
) -> Vec<Certificate> {
    let files = TlsFiles::of(config);
    let shown = |name: &str, file: Option<&std::path::PathBuf>| match file {
        Some(file) => format!("{name} ({})", file.display()),
        None => name.to_owned(),
    };
    let cluster = files.cluster.as_ref();
    let named = |name: &str| match name {
        "clients" => shown(
            "certificate for clients",
            files.client.as_ref().map(|(cert, _)| cert),
        ),
        "member" => shown(
            "certificate of the member",
            cluster.map(|(_, cert, _)| cert),
        ),
        other => format!("certificate {other}"),
    };
    let in_use = sidecar
        .as_ref()
        .map(|status| status.certificates.as_slice());
    let mut found: Vec<Certificate> = in_use
        .unwrap_or_default()
        .iter()
        .map(|certificate| Certificate {
            name: named(&certificate.name),
            expires: certificate.expires_unix,
        })
        .collect();
    match material {
        Err(error) => not_checked.push(NotChecked {
            what: "the files of the certificates".to_owned(),
            why: error.clone(),
        }),
        Ok(material) => {
            let pair = |name: &str, pair: &crate::tls::KeyPair| Certificate {
                name: named(name),
                expires: pair.not_after(),
            };
            if sidecar.is_err() {
                let clients = material.client.as_ref();
                found.extend(clients.map(|clients| pair("clients", clients)));
                let member = material.cluster.as_ref();
                found.extend(member.map(|(_, member)| pair("member", member)));
            }
            let authority = material.cluster.as_ref().map(|(authority, _)| authority);
            let ends = authority.and_then(crate::tls::Authority::not_after);
            found.extend(ends.map(|expires| Certificate {
                name: shown("authority of the members", cluster.map(|(ca, _, _)| ca)),
                expires,
            }));
        }
    }
    found
}
