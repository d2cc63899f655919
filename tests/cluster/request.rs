//! HTTP/1 requests, written as the test wants them.

use std::fmt::Write;

/// A request to be sent.
#[derive(Clone)]
pub struct Request {
    pub(super) method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        let fields = vec![("Host".to_owned(), "registry.example:5000".to_owned())];
        Self {
            method: method.into(),
            target: target.into(),
            fields,
            body: Vec::new(),
        }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// Adds a field.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// A body with Content-Length.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.field("Content-Length", &length)
    }

    /// A body in chunks of this size, with trailers if there are any.
    pub fn chunked(mut self, body: &[u8], size: usize, trailers: &str) -> Self {
        for chunk in body.chunks(size) {
            self.body
                .extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            self.body.extend_from_slice(chunk);
            self.body.extend_from_slice(b"\r\n");
        }
        self.body
            .extend(format!("0\r\n{trailers}\r\n").into_bytes());
        self.field("Transfer-Encoding", "chunked")
    }

    /// The head alone.
    pub fn head_bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.fields {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head += "\r\n";
        head.into_bytes()
    }

    /// Head and body.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}
