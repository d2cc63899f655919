//! A small OCI image, made here: one gzip layer with one file, a config and a manifest
//! (OCI image specification, version 1.1).

use ring::digest::{SHA256, digest};
use serde_json::json;

/// Media type of the manifest.
pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Images with the same content shall have the same digest.
const CREATED: &str = "1970-01-01T00:00:00Z";
/// The one file of the layer.
const FILE_NAME: &str = "hello.txt";
const FILE_TEXT: &[u8] =
    b"Pushed through one member, stored by its owner, pulled through another.\n";
/// What tar files are made of, in bytes.
const TAR_BLOCK: usize = 512;

/// Content and its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) digest: String,
    pub(super) bytes: Vec<u8>,
}

/// A whole image.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) layer: Blob,
    pub(super) config: Blob,
    pub(super) manifest: Blob,
}

impl Blob {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self {
            digest: sha256(&bytes),
            bytes,
        }
    }
}

impl Image {
    pub(super) fn new() -> Self {
        let tar = tar(FILE_NAME, FILE_TEXT);
        let layer = Blob::new(gzip(&tar));
        let config = json!({
            "created": CREATED,
            "architecture": architecture(),
            "os": "linux",
            "config": { "Cmd": [format!("/{FILE_NAME}")] },
            "rootfs": { "type": "layers", "diff_ids": [sha256(&tar)] },
            "history": [{ "created": CREATED, "created_by": "shardlet demo" }],
        });
        let config = Blob::new(config.to_string().into_bytes());
        let descriptor = |kind: &str, blob: &Blob| json!({ "mediaType": kind, "digest": blob.digest, "size": blob.bytes.len() });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor(CONFIG_TYPE, &config),
            "layers": [descriptor(LAYER_TYPE, &layer)],
        });
        Self {
            layer,
            config,
            manifest: Blob::new(manifest.to_string().into_bytes()),
        }
    }

    /// The digest that the image goes by.
    pub(super) fn digest(&self) -> &str {
        &self.manifest.digest
    }
}

fn sha256(bytes: &[u8]) -> String {
    let hex: String = digest(&SHA256, bytes)
        .as_ref()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// This machine's architecture, as images name it: docker warns of any other.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// One regular file in the ustar format (POSIX.1-1988).
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; TAR_BLOCK];
    let mut put = |at: usize, field: &[u8]| header[at..at + field.len()].copy_from_slice(field);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0"); // owner
    put(116, b"0000000\0"); // group
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000\0"); // modified at the generation
    put(148, b"        "); // the checksum counts as spaces in itself
    put(156, b"0");
    put(257, b"ustar\x0000");
    let checksum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{checksum:06o}\0 ").as_bytes());

    let mut tar = header.to_vec();
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(TAR_BLOCK), 0);
    // Two empty blocks end it.
    tar.resize(tar.len() + 2 * TAR_BLOCK, 0);
    tar
}

/// Gzip (RFC 1952) of stored blocks (RFC 1951, 3.2.4): valid for every client, and nothing to
/// depend on for a layer of two kilobytes.
fn gzip(content: &[u8]) -> Vec<u8> {
    // Magic, deflate, no flags, no time, no hint, unknown system.
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = content.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        // Chunks are no longer than that.
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(blocks.peek().is_none()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend_from_slice(&crc32(content).to_le_bytes());
    // The length modulo 2^32.
    out.extend_from_slice(&(content.len() as u32).to_le_bytes());
    out
}

/// CRC-32 as of RFC 1952, 8.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn checksums_are_the_known_ones() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(
            sha256(b""),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn the_parts_name_each_other() {
        let image = Image::new();
        let manifest: Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
        assert_eq!(manifest["config"]["digest"], image.config.digest);
        assert_eq!(manifest["config"]["size"], image.config.bytes.len());
        assert_eq!(manifest["layers"][0]["digest"], image.layer.digest);
        assert_eq!(manifest["layers"][0]["size"], image.layer.bytes.len());
        let config: Value = serde_json::from_slice(&image.config.bytes).unwrap();
        let tar = tar(FILE_NAME, FILE_TEXT);
        assert_eq!(config["rootfs"]["diff_ids"], json!([sha256(&tar)]));
        assert_eq!(Image::new().digest(), image.digest());
    }

    #[test]
    fn other_tools_can_read_the_layer() {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let mut reader = Command::new("tar")
            .args(["-xzOf", "-", FILE_NAME])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        reader
            .stdin
            .take()
            .unwrap()
            .write_all(&Image::new().layer.bytes)
            .unwrap();
        let read = reader.wait_with_output().unwrap();
        assert!(read.status.success());
        assert_eq!(read.stdout, FILE_TEXT);
    }
}
