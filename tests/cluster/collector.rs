//! An OTLP collector that keeps the spans it is sent.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::message::{read_body, read_head};
use super::within;

/// Listens until it is dropped.
pub struct Collector {
    pub address: SocketAddr,
    spans: watch::Receiver<Vec<Span>>,
    _accepting: JoinSet<()>,
}

/// One span, with the member that sent it.
#[derive(Debug, Clone)]
pub struct Span {
    pub member: String,
    pub trace: String,
    pub id: String,
    pub parent: Option<String>,
    json: Value,
}

impl Span {
    /// An attribute as text.
    pub fn attribute(&self, key: &str) -> Option<String> {
        attribute(&self.json, key)
    }

    /// Everything about it.
    pub fn text(&self) -> String {
        self.json.to_string()
    }
}

fn attribute(of: &Value, key: &str) -> Option<String> {
    let all = of["attributes"].as_array().unwrap();
    let found = all.iter().find(|one| one["key"] == key)?;
    let (_, value) = found["value"].as_object().unwrap().iter().next().unwrap();
    Some(
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned),
    )
}

fn spans(export: &Value) -> Vec<Span> {
    let mut all = Vec::new();
    for resource in export["resourceSpans"].as_array().unwrap() {
        let member = attribute(&resource["resource"], "service.instance.id").unwrap();
        for scope in resource["scopeSpans"].as_array().unwrap() {
            for span in scope["spans"].as_array().unwrap() {
                let text = |key: &str| span[key].as_str().map(str::to_owned);
                all.push(Span {
                    member: member.clone(),
                    trace: text("traceId").unwrap(),
                    id: text("spanId").unwrap(),
                    parent: text("parentSpanId"),
                    json: span.clone(),
                });
            }
        }
    }
    all
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (keep, spans) = watch::channel(Vec::new());
        let keep = Arc::new(keep);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                serving.spawn(serve(stream, keep.clone()));
            }
        });
        Self {
            address,
            spans,
            _accepting: accepting,
        }
    }

    /// The inside of `telemetry` that sends spans here.
    pub fn telemetry(&self, sample: f64) -> String {
        let address = self.address;
        format!("traces: {{ endpoint: 'http://{address}', sample: {sample} }}")
    }

    /// Waits for so many spans.
    pub async fn until(&self, count: usize) -> Vec<Span> {
        let mut spans = self.spans.clone();
        let come = spans.wait_for(|spans| spans.len() >= count);
        let spans = within(&format!("{count} spans"), come).await.unwrap();
        spans.clone()
    }
}

async fn serve(stream: TcpStream, keep: Arc<watch::Sender<Vec<Span>>>) {
    let mut stream = BufReader::new(stream);
    while let Ok(Some(head)) = read_head(&mut stream).await {
        assert_eq!(head.start, "POST /v1/traces HTTP/1.1");
        assert_eq!(head.one("content-type"), Some("application/json"));
        let body = read_body(&mut stream, head.framing().unwrap(), true).await;
        let export = serde_json::from_slice(&body.bytes).unwrap();
        keep.send_modify(|kept| kept.extend(spans(&export)));
        let taken = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        stream.get_mut().write_all(taken.as_bytes()).await.unwrap();
    }
}
