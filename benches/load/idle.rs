//! Connections that have been answered once, and then are silent.

use std::io::{BufRead as _, stdin};

use serde_json::{Value, json};

use crate::client::{Connection, Failure, Request, SMALL, Target};

/// Follows the numbers on stdin until it is closed. Between two lines nothing happens here.
pub(crate) async fn hold(target: &Target, request: &Request) -> Result<Value, Failure> {
    let mut open: Vec<Connection> = Vec::new();
    for line in stdin().lock().lines() {
        let wanted: usize = line?.trim().parse()?;
        while open.len() < wanted {
            let mut connection = target.connect(SMALL).await?;
            connection.ask(request).await?;
            open.push(connection);
        }
        println!("{}", json!({ "open": open.len() }));
    }
    Ok(json!({ "closed": open.len() }))
}
