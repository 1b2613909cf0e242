//! [`PooledConnection`]: a connection of the pool, while a call uses it.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool_postgres::{Client, Object, Pool, PoolError};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// A connection of the pool during a call.
///
/// If it is dropped without [`give_back`](PooledConnection::give_back), the call was abandoned: its
/// future was dropped, or it failed. The server may still be busy then, and the next user of the
/// connection would wait for it, or write into its open transaction.
pub(super) struct PooledConnection {
    /// `None` once it is given back.
    client: Option<Client>,
    on_abandon: OnAbandon,
}

/// Says what happens to a connection after its call was abandoned.
#[derive(Clone, Copy)]
pub(super) enum OnAbandon {
    /// It is closed, and the pool makes another.
    Close,
    /// It goes back to the pool once the server has answered, or is closed after
    /// [`ABANDON_TIMEOUT`]. For reads: a client that disconnects during a login must not cost the
    /// host a connection.
    CloseIfBusy,
}

const ABANDON_TIMEOUT: Duration = Duration::from_secs(1);

impl PooledConnection {
    /// Takes a connection from the pool.
    pub(super) async fn of(
        pool: &Pool,
        on_abandon: OnAbandon,
    ) -> Result<PooledConnection, PoolError> {
        Ok(PooledConnection { client: Some(pool.get().await?), on_abandon })
    }

    /// Returns the connection to the pool.
    pub(super) fn give_back(mut self) {
        drop(self.client.take());
    }

    /// Closes the connection. The pool makes another when it needs one.
    pub(super) fn close(mut self) {
        self.on_abandon = OnAbandon::Close;
    }

    /// Returns the connection to the pool once the server is done with the abandoned call.
    ///
    /// The server answers in order, so it is done when it answers an empty query. If it does not
    /// answer in time, the connection is closed when it is dropped here.
    async fn give_back_once_it_answers(self) {
        if matches!(timeout(ABANDON_TIMEOUT, self.simple_query("")).await, Ok(Ok(_))) {
            self.give_back();
        }
    }
}

impl Deref for PooledConnection {
    type Target = Client;

    #[expect(clippy::expect_used, reason = "giving it back consumes it")]
    fn deref(&self) -> &Client {
        self.client.as_ref().expect("there until it is given back")
    }
}

impl DerefMut for PooledConnection {
    #[expect(clippy::expect_used, reason = "giving it back consumes it")]
    fn deref_mut(&mut self) -> &mut Client {
        self.client.as_mut().expect("there until it is given back")
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else {
            return;
        };
        match (self.on_abandon, Handle::try_current()) {
            (OnAbandon::CloseIfBusy, Ok(runtime)) => {
                let (client, on_abandon) = (Some(client), OnAbandon::Close);
                let connection = PooledConnection { client, on_abandon };
                drop(runtime.spawn(connection.give_back_once_it_answers()));
            }
            // Outside a runtime nothing can wait for the server. `take` removes the connection from
            // the pool's count, so that the pool may open another.
            _ => drop(Object::take(client)),
        }
    }
}
