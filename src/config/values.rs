//! Parsers of single values. Each says what it expects, in words that end "expected …".

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::IpNet;

use super::findings::Wrong;
use super::schema::nearest;
use super::settings::{Collector, ProbePath, Sample};
use crate::shard::members::AddressError;

/// Units of sizes, in bytes.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// A whole number of bytes with its unit, `64KiB` or `10MB`, within bounds.
pub(super) fn size(range: RangeInclusive<u64>) -> impl FnOnce(&str) -> Result<u64, Wrong> {
    move |text| {
        let bytes = bytes(text)?;
        if range.contains(&bytes) {
            return Ok(bytes);
        }
        let (from, to) = (spelled_size(*range.start()), spelled_size(*range.end()));
        Err(Wrong::expected(format!("a size from {from} to {to}")))
    }
}

fn bytes(text: &str) -> Result<u64, Wrong> {
    let expected = || Wrong::expected("a size such as `64KiB`, `1MiB` or `10MB`");
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text[digits.len()..].trim_start();
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(expected());
    }
    let known = SIZE_UNITS.map(|(name, _)| name);
    if unit.is_empty() {
        let help = format!(
            "write the unit: `{digits}KiB`? Units are {}",
            known.join(", ")
        );
        return Err(expected().help(help));
    }
    let Some((_, factor)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
        let alike = known
            .into_iter()
            .find(|name| name.eq_ignore_ascii_case(unit));
        let help = match alike.or_else(|| nearest(unit, known)) {
            Some(name) => format!("did you mean `{digits}{name}`?"),
            None => format!("units are {}", known.join(", ")),
        };
        return Err(expected().help(help));
    };
    let number = digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*factor));
    number.ok_or_else(|| Wrong::expected("a smaller number"))
}

fn spelled_size(bytes: u64) -> String {
    let mut units = SIZE_UNITS[..4].iter().rev();
    let whole = units.find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    whole.map_or_else(
        || format!("{bytes}B"),
        |(name, factor)| format!("{}{name}", bytes / factor),
    )
}

/// A whole number within bounds; `10_000` may be written so.
pub(super) fn number<T>(range: RangeInclusive<T>) -> impl FnOnce(&str) -> Result<T, Wrong>
where
    T: FromStr + PartialOrd + Display,
{
    move |text| {
        let expected = || {
            Wrong::expected(format!(
                "a whole number from {} to {}",
                range.start(),
                range.end()
            ))
        };
        let plain = text.replace('_', "");
        if !text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(expected());
        }
        let number = plain.parse::<T>().map_err(|_| expected())?;
        if range.contains(&number) {
            Ok(number)
        } else {
            Err(expected())
        }
    }
}

/// `true` or `false`.
pub(super) fn boolean(text: &str) -> Result<bool, Wrong> {
    choice(&[("true", true), ("false", false)])(text)
}

/// One of a few words.
pub(super) fn choice<T: Copy>(
    words: &[(&'static str, T)],
) -> impl FnOnce(&str) -> Result<T, Wrong> {
    move |text| {
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        let quoted: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let wrong = Wrong::expected(quoted.join(" or "));
        Err(match nearest(text, words.iter().map(|(word, _)| *word)) {
            Some(word) => wrong.help(format!("did you mean `{word}`?")),
            None => wrong,
        })
    }
}

/// Where to listen: an IP address and a port.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, Wrong> {
    text.parse().map_err(|_| {
        let wrong =
            Wrong::expected("an IP address and a port, such as `0.0.0.0:5000` or `[::]:5000`");
        match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
            Ok(port) => wrong.help(format!(
                "to listen on all addresses, write `0.0.0.0:{port}`"
            )),
            Err(_) if text.starts_with("localhost:") => {
                wrong.help("write `127.0.0.1` for `localhost`")
            }
            Err(_) => wrong,
        }
    })
}

/// A network, or one address of it.
pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    let address = || text.parse::<IpAddr>().map(IpNet::from).map_err(drop);
    let wrong = || Wrong::expected("a network such as `10.0.0.0/8`, or an address");
    let net = text.parse::<IpNet>().or_else(|_| address());
    let net = net.map_err(|()| wrong())?;
    // Who writes `10.0.0.1/8` has meant one address or a network of it, and they differ by millions.
    if net.trunc() != net {
        let help = format!(
            "write `{}` for the network, or `{}` for the address",
            net.trunc(),
            net.addr()
        );
        return Err(wrong().help(help));
    }
    Ok(net)
}

/// The base of an OTLP collector's URLs.
pub(super) fn collector(text: &str) -> Result<Collector, Wrong> {
    let wrong = || Wrong::expected("the base of a URL such as `http://collector:4318`");
    if text.starts_with("https://") {
        let help = "run a collector (an agent) beside the member, and let that one speak TLS";
        return Err(wrong().help(help.to_owned()));
    }
    let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
    let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    if !path.bytes().all(is_plain) {
        return Err(wrong());
    }
    let address = address
        .parse()
        .map_err(|error: AddressError| wrong().help(error.to_string()))?;
    let path = format!("{}/v1/traces", path.trim_end_matches('/'));
    Ok(Collector { address, path })
}

/// A share of all requests.
pub(super) fn sample(text: &str) -> Result<Sample, Wrong> {
    let is_decimal = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let share = text.parse().ok().filter(|_| is_decimal);
    share
        .and_then(Sample::new)
        .ok_or_else(|| Wrong::expected("a share from 0 to 1, such as `0.01`"))
}

/// A type of the core, by its own grammar.
pub(super) fn parsed<T>(expected: &'static str) -> impl FnOnce(&str) -> Result<T, Wrong>
where
    T: FromStr,
    T::Err: Display,
{
    move |text| {
        text.parse().map_err(|error: T::Err| {
            let wrong = Wrong::expected(expected);
            if text.is_empty() {
                wrong
            } else {
                wrong.help(error.to_string())
            }
        })
    }
}

/// A path, not empty.
pub(super) fn path(text: &str) -> Result<String, Wrong> {
    if text.is_empty() || text.contains('\0') {
        return Err(Wrong::expected("the path of a file"));
    }
    Ok(text.to_owned())
}

/// A path of a URL, without a query, of characters that need no escape.
pub(super) fn url_path(text: &str) -> Result<String, Wrong> {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"/-._~!$&'()*+,=:@".contains(&c);
    if text.starts_with('/') && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err(Wrong::expected(
        "a path that starts with `/`, such as `/v2/`",
    ))
}

/// What the local replica is asked: `auto`, or a path.
pub(super) fn probe_path(text: &str) -> Result<ProbePath, Wrong> {
    if text == "auto" {
        return Ok(ProbePath::Auto);
    }
    url_path(text).map(ProbePath::Fixed).map_err(|_| {
        let wrong = Wrong::expected("`auto`, or a path that starts with `/`, such as `/v2/`");
        match nearest(text, ["auto"]) {
            Some(_) => wrong.help("did you mean `auto`?"),
            None => wrong,
        }
    })
}

/// The name of a cookie: a token (RFC 6265 §4.1.1).
pub(super) fn token(text: &str) -> Result<String, Wrong> {
    let legal = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
    if !text.is_empty() && text.bytes().all(legal) {
        return Ok(text.to_owned());
    }
    Err(Wrong::expected(
        "the name of a cookie: letters, digits, `-`, `_`, `.`",
    ))
}

/// A log filter: levels and `target=level`, by commas.
pub(super) fn log_filter(text: &str) -> Result<String, Wrong> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for part in text.split(',') {
        let (target, level) = part.rsplit_once('=').unwrap_or(("", part));
        let named = target
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b':');
        if LEVELS.contains(&level) && named && (!target.is_empty() || !part.starts_with('=')) {
            continue;
        }
        let wrong = Wrong::expected(format!(
            "a level ({}), or a list such as `warn,shardlet=debug`",
            LEVELS.join(", ")
        ));
        return Err(match nearest(level, LEVELS) {
            Some(near) if near != level => wrong.help(format!("did you mean `{near}`?")),
            Some(_) | None => wrong,
        });
    }
    Ok(text.to_owned())
}
