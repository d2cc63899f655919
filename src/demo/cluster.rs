//! Three members in one process, each beside its replica, started as `shardlet run` starts one.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::certificates::Authority;
use super::configuration::{self, MemberAddresses};
use super::folder::Folder;
use super::log::Named;
use super::ports::{self, Wishes};
use super::registry::{Replica, Store};
use super::{DemoError, Options};
use crate::observe::telemetry::{Format, LineWriter};
use crate::run::{Loader, Server, StartError};
use crate::shard::{Health, Repository};

/// Enough for "any client, any member, one owner" to mean something.
const MEMBERS: u16 = 3;
/// How often other ports are tried when somebody takes the chosen ones before we bind them.
const ATTEMPTS: usize = 10;
/// How long the members may take to find each other; they need two probes at most.
const SETTLE: Duration = Duration::from_secs(10);
/// How often that is looked at.
const SETTLE_STEP: Duration = Duration::from_millis(10);
/// How long log lines may take to be written.
const FLUSH: Duration = Duration::from_secs(1);

/// A running cluster. End it with [`Cluster::end`].
pub(super) struct Cluster {
    members: Vec<Member>,
    replicas: Vec<Replica>,
    wishes: Vec<Wishes>,
}

struct Member {
    place: MemberAddresses,
    file: PathBuf,
    /// None once it has ended.
    server: Option<Server>,
    log: Option<LineWriter>,
}

impl Cluster {
    /// Starts replicas, then members.
    pub(super) async fn start(options: &Options, folder: &Folder) -> Result<Self, DemoError> {
        write_certificates(folder)?;
        let store = Store::new();
        let wishes: Vec<Wishes> = (0..MEMBERS)
            .map(|index| Wishes::of(index, options.port))
            .collect();
        let replicas = wishes
            .iter()
            .map(|wish| store.replica(wish.replica))
            .collect::<Result<Vec<_>, _>>()
            .map_err(DemoError::Port)?;

        let mut attempt = 1;
        loop {
            match start_members(options, folder, &wishes, &replicas).await {
                Ok(members) => {
                    return Ok(Self {
                        members,
                        replicas,
                        wishes,
                    });
                }
                // Somebody was faster: there are more ports.
                Err(DemoError::Start {
                    error: StartError::Bind { .. },
                    ..
                }) if attempt < ATTEMPTS => {}
                Err(error) => return Err(error),
            }
            attempt += 1;
        }
    }

    /// Where the members are.
    pub(super) fn places(&self) -> Vec<MemberAddresses> {
        self.members
            .iter()
            .map(|member| member.place.clone())
            .collect()
    }

    /// Ports that were wished for and that somebody else has.
    pub(super) fn taken_ports(&self) -> Vec<u16> {
        let members = self.wishes.iter().zip(&self.members);
        members
            .flat_map(|(wish, member)| wish.missed(&member.place))
            .collect()
    }

    /// The configuration of a member.
    pub(super) fn file(&self, index: usize) -> Option<&Path> {
        self.members.get(index).map(|member| &*member.file)
    }

    /// Ends a member at once and tells nobody, as a crash does. Its registry goes on.
    pub(super) async fn kill(&mut self, index: usize) {
        let server = self
            .members
            .get_mut(index)
            .and_then(|member| member.server.take());
        if let Some(server) = server {
            server.abandon().await;
        }
    }

    /// Starts a member that was killed.
    pub(super) async fn restart(&mut self, index: usize) -> Result<(), DemoError> {
        let member = self.members.get_mut(index).ok_or(DemoError::NoMembers)?;
        let server = serve(&member.place.id, &member.file, member.log.as_ref()).await?;
        member.server = Some(server);
        self.settled().await
    }

    /// Drains members that are told to, one after the other, and says so. Never ends.
    pub(super) async fn obey(&mut self, say: impl Fn(&str)) {
        let mut told = JoinSet::new();
        for (index, member) in self.members.iter().enumerate() {
            if let Some(server) = &member.server {
                let state = server.state().clone();
                told.spawn(async move {
                    state.drain_asked().await;
                    index
                });
            }
        }
        while let Some(index) = told.join_next().await {
            let member = index.ok().and_then(|index| self.members.get_mut(index));
            if let Some(member) = member
                && let Some(server) = member.server.take()
            {
                server.drain().await;
                say(&member.place.id);
            }
        }
        std::future::pending().await
    }

    /// Waits until every member knows every peer and its own replica to be up.
    pub(super) async fn settled(&self) -> Result<(), DemoError> {
        let deadline = Instant::now() + SETTLE;
        while let Some((member, other)) = self.unsettled() {
            if Instant::now() > deadline {
                return Err(DemoError::NotUp { member, other });
            }
            tokio::time::sleep(SETTLE_STEP).await;
        }
        Ok(())
    }

    /// A member, and whom it does not know to be up.
    fn unsettled(&self) -> Option<(String, String)> {
        self.members
            .iter()
            .find_map(|Member { place, server, .. }| {
                let generation = server.as_ref()?.state().generation();
                let mut others = generation.view.members().iter();
                let (_, other) =
                    others.find(|(index, _)| generation.health_of(*index) != Health::Up)?;
                Some((place.id.clone(), other.id.to_string()))
            })
    }

    /// The id of a repository's owner, on which all members agree.
    pub(super) fn owner(&self, repository: &str) -> Result<String, DemoError> {
        let repository = Repository::parse(repository).map_err(DemoError::Name)?;
        let mut servers = self
            .members
            .iter()
            .filter_map(|member| member.server.as_ref());
        let first = servers.next().ok_or(DemoError::NoMembers)?;
        let view = &first.state().generation().view;
        Ok(view.members().get(view.owner(&repository)).id.to_string())
    }

    /// Repositories with the ids of their owners.
    pub(super) fn owners(
        &self,
        repositories: &[&'static str],
    ) -> Result<Vec<(&'static str, String)>, DemoError> {
        repositories
            .iter()
            .map(|name| Ok((*name, self.owner(name)?)))
            .collect()
    }

    /// How many requests for a repository each member's replica got, by its own account.
    pub(super) fn requests(&self, repository: &str) -> Vec<(String, u64)> {
        let counts = self
            .replicas
            .iter()
            .map(|replica| replica.requests(repository));
        let ids = self.members.iter().map(|member| member.place.id.clone());
        ids.zip(counts).collect()
    }

    /// Waits until all access log lines so far are written.
    pub(super) fn flush_logs(&self) {
        for log in self.members.iter().filter_map(|member| member.log.as_ref()) {
            log.flush(FLUSH);
        }
    }

    /// Drains all members at once, then lets everything go.
    pub(super) async fn end(self) {
        let mut drains = JoinSet::new();
        let mut logs = Vec::new();
        for Member {
            place: _,
            file: _,
            server,
            log,
        } in self.members
        {
            if let Some(server) = server {
                drains.spawn(server.drain());
            }
            logs.push(log);
        }
        while drains.join_next().await.is_some() {}
        drop(logs);
    }
}

/// The files that do not depend on ports.
fn write_certificates(folder: &Folder) -> Result<(), DemoError> {
    let authority = Authority::new().map_err(DemoError::Certificate)?;
    folder.write(configuration::AUTHORITY, &authority.pem())?;
    folder.write_secret(configuration::HASH_KEY_FILE, configuration::HASH_KEY)?;
    for id in (0..MEMBERS).map(id) {
        let signed = authority
            .sign(&id, Ipv4Addr::LOCALHOST.into())
            .map_err(DemoError::Certificate)?;
        folder.write(
            &format!("{id}/{}", configuration::CERTIFICATE),
            &signed.certificate,
        )?;
        folder.write_secret(&format!("{id}/{}", configuration::KEY), &signed.key)?;
    }
    Ok(())
}

async fn start_members(
    options: &Options,
    folder: &Folder,
    wishes: &[Wishes],
    replicas: &[Replica],
) -> Result<Vec<Member>, DemoError> {
    let ports = ports::choose(wishes).map_err(DemoError::Port)?;
    let places: Vec<MemberAddresses> = (0..MEMBERS)
        .zip(ports)
        .zip(replicas)
        .map(|((index, ports), replica)| MemberAddresses::new(id(index), ports, replica.address()))
        .collect();
    let mut members = Vec::with_capacity(places.len());
    for place in &places {
        members.push(start_member(options, folder, place, &places).await?);
    }
    Ok(members)
}

async fn start_member(
    options: &Options,
    folder: &Folder,
    place: &MemberAddresses,
    places: &[MemberAddresses],
) -> Result<Member, DemoError> {
    let text = configuration::render(place, places);
    let file = folder.write(&format!("{}/{}", place.id, configuration::FILE), &text)?;
    let log = if options.quiet {
        None
    } else {
        let out = Named::new(&place.id, std::io::stderr());
        Some(LineWriter::start(out).map_err(DemoError::Log)?)
    };
    let server = serve(&place.id, &file, log.as_ref()).await?;
    Ok(Member {
        place: place.clone(),
        file,
        server: Some(server),
        log,
    })
}

async fn serve(id: &str, file: &Path, log: Option<&LineWriter>) -> Result<Server, DemoError> {
    let config = configuration::load(file).map_err(DemoError::Configuration)?;
    let output = log.map(|log| (log.sender(), Format::Text));
    let again = file.to_owned();
    let loader: Loader = Arc::new(move || configuration::load(&again));
    let started = Server::start(config, output, Some(loader)).await;
    started.map_err(|error| DemoError::Start {
        member: id.to_owned(),
        error,
    })
}

fn id(index: u16) -> String {
    format!("member-{}", index + 1)
}
