//! Large bodies on several streams at a time.

use std::rc::Rc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::task::spawn_local;

use crate::client::{Failure, LARGE, Request, Target};
use crate::gets::join;
use crate::usage::Watch;

pub(crate) struct Bodies {
    pub(crate) request: Request,
    /// Length of each answer's body.
    pub(crate) expected: u64,
    /// Bytes of each request or answer.
    pub(crate) bytes: u64,
    pub(crate) streams: usize,
    pub(crate) count: u32,
}

impl Bodies {
    pub(crate) async fn move_all(self, target: &Target, watch: Watch) -> Result<Value, Failure> {
        let mut connections = Vec::new();
        for _ in 0..self.streams {
            connections.push(target.connect(LARGE).await?);
        }
        let (before, since) = (watch.cpu_time()?, Instant::now());
        let bodies = Rc::new(self);
        let stream = |mut connection: crate::client::Connection| {
            let bodies = bodies.clone();
            spawn_local(async move {
                for _ in 0..bodies.count {
                    let length = connection.ask(&bodies.request).await;
                    let length = length.map_err(|error| error.to_string())?;
                    if length != bodies.expected {
                        return Err(format!("{length} bytes instead of {}", bodies.expected));
                    }
                }
                Ok(())
            })
        };
        join(connections.into_iter().map(stream).collect()).await?;
        Ok(json!({
            "bytes": bodies.bytes * u64::from(bodies.count) * bodies.streams as u64,
            "seconds": since.elapsed().as_secs_f64(),
            "cpu_seconds": (watch.cpu_time()? - before).as_secs_f64(),
        }))
    }
}
