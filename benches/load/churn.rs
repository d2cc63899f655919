//! A new connection, and with TLS a whole handshake, for each request.

use crate::client::{Failure, Request, SMALL, Target};
use crate::gets::Work;

pub(crate) struct Churn {
    target: Target,
    request: Request,
}

impl Churn {
    pub(crate) fn new(target: Target, request: Request) -> Self {
        Self { target, request }
    }
}

impl Work for Churn {
    type Kept = ();

    async fn prepare(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn once(&self, (): &mut ()) -> Result<(), Failure> {
        let mut connection = self.target.connect(SMALL).await?;
        connection.ask(&self.request).await.map(drop)
    }
}
