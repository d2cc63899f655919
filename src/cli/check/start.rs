//! What a start with a configuration would meet: certificates, addresses, folders.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use rustls::pki_types::UnixTime;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{Config, Location, Problem, Severity, SourceName};
use crate::tls::{Lapsed, TlsFault, TlsFiles, replica_authority};

/// Problems first.
pub(super) fn findings(config: &Config, source: &SourceName, elsewhere: bool) -> Vec<Problem> {
    let mut found = certificates(config, elsewhere);
    // Another machine has other addresses and folders.
    if !elsewhere {
        let whole = |message| {
            let source = source.to_string();
            finding(Severity::Problem, source, message)
        };
        found.extend(addresses(config).map(whole));
        found.extend(config.state.as_deref().and_then(folder).map(whole));
    }
    found.sort_by_key(|finding| finding.severity == Severity::Remark);
    found
}

fn certificates(config: &Config, elsewhere: bool) -> Vec<Problem> {
    let look = TlsFiles::of(config).look(UnixTime::now(), &Lapsed::Refused);
    let faults = look.material.err().unwrap_or_default().0;
    let faults = faults
        .into_iter()
        .chain(replica_authority(&config.registry).err());
    let named = |severity, fault: TlsFault| {
        let file = fault.path().display().to_string();
        finding(severity, file, fault.fault().to_owned())
    };
    let problems = faults.map(|fault| {
        if elsewhere && fault.is_missing() {
            named(Severity::Remark, fault)
        } else {
            named(Severity::Problem, fault)
        }
    });
    let remarks = look.remarks.into_iter();
    let remarks = remarks.map(|remark| named(Severity::Remark, remark));
    problems.chain(remarks).collect()
}

fn finding(severity: Severity, source: String, message: String) -> Problem {
    Problem {
        severity,
        place: Location::Whole { source },
        message,
        excerpt: None,
        help: None,
    }
}

/// Addresses that this machine does not have, or that this user may not listen on.
fn addresses(config: &Config) -> impl Iterator<Item = String> {
    let listen = &config.listen;
    let all = [
        ("clients", listen.clients.address),
        ("peers", listen.peers.address),
        ("admin", listen.admin.address),
    ];
    all.into_iter().filter_map(|(listener, address)| {
        let error = bind(address).err()?;
        Some(format!(
            "cannot listen on {address} (listen.{listener}.address): {error}"
        ))
    })
}

/// Takes the address and lets it go. One that is in use is most likely in use by the member itself.
fn bind(address: SocketAddr) -> io::Result<()> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // Nobody else's listener is disturbed: this one never listens.
    socket.set_reuse_address(true)?;
    match socket.bind(&address.into()) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Why no folder can be there: something else is, or is on its way.
fn folder(folder: &Path) -> Option<String> {
    let there = folder.ancestors().find(|path| path.exists())?;
    (!there.is_dir()).then(|| {
        format!(
            "cannot use {} (cluster.state): {} is no folder",
            folder.display(),
            there.display()
        )
    })
}
