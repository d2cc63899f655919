//! A pull as docker makes it, once it needs no token: `/v2/`, the manifest by HEAD and by GET, then the configuration
//! and the layers on three connections at a time. Nothing is kept for the next pull.

use clap::Args;

use crate::client::{Connection, Failure, LARGE, Request, Target};
use crate::gets::Work;

/// Layers that docker fetches at a time, unless it is told otherwise.
const AT_A_TIME: usize = 3;

/// Paths of one image.
#[derive(Args)]
pub(crate) struct Image {
    #[arg(long)]
    manifest: String,
    #[arg(long)]
    config: String,
    #[arg(long = "layer")]
    layers: Vec<String>,
}

pub(crate) struct Pull {
    target: Target,
    first: Vec<Request>,
    blobs: [Vec<Request>; AT_A_TIME],
}

impl Pull {
    pub(crate) fn new(target: Target, image: &Image) -> Self {
        let first = vec![
            Request::get("/v2/"),
            Request::head(&image.manifest),
            Request::get(&image.manifest),
        ];
        let mut blobs = [const { Vec::new() }; AT_A_TIME];
        let paths = [&image.config].into_iter().chain(&image.layers);
        for (number, path) in paths.enumerate() {
            blobs[number % AT_A_TIME].push(Request::get(path));
        }
        Self {
            target,
            first,
            blobs,
        }
    }

    async fn on_new_connection(&self, requests: &[Request]) -> Result<(), Failure> {
        let mut connection = self.target.connect(LARGE).await?;
        ask_all(&mut connection, requests).await
    }
}

impl Work for Pull {
    type Kept = ();

    async fn prepare(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn once(&self, (): &mut ()) -> Result<(), Failure> {
        let mut connection = self.target.connect(LARGE).await?;
        ask_all(&mut connection, &self.first).await?;
        let [here, second, third] = &self.blobs;
        tokio::try_join!(
            ask_all(&mut connection, here),
            self.on_new_connection(second),
            self.on_new_connection(third),
        )?;
        Ok(())
    }
}

async fn ask_all(connection: &mut Connection, requests: &[Request]) -> Result<(), Failure> {
    for request in requests {
        connection.ask(request).await?;
    }
    Ok(())
}
