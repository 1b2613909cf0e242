//! A connection of the pool, while a call uses it.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool_postgres::{Client, Object, Pool, PoolError};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// A connection in the middle of a call. Unless it is given back, the caller has given up: the server may still be waiting, and
/// whoever used the connection next would wait with it.
pub(super) struct PooledConnection {
    client: Option<Client>,
    on_abandon: OnAbandon,
}

/// What becomes of a connection whose call was given up.
#[derive(Clone, Copy)]
pub(super) enum OnAbandon {
    /// The pool makes another.
    Close,
    /// Back to the pool once the server has answered: whoever hangs up in the middle of a login shall not cost the host a connection.
    /// After [`ABANDON_TIMEOUT`] without an answer it is closed.
    CloseIfBusy,
}

const ABANDON_TIMEOUT: Duration = Duration::from_secs(1);

impl PooledConnection {
    pub(super) async fn of(
        pool: &Pool,
        on_abandon: OnAbandon,
    ) -> Result<PooledConnection, PoolError> {
        Ok(PooledConnection { client: Some(pool.get().await?), on_abandon })
    }

    pub(super) fn give_back(mut self) {
        drop(self.client.take());
    }

    pub(super) fn close(mut self) {
        self.on_abandon = OnAbandon::Close;
    }

    /// Answers come in the order of the questions.
    async fn give_back_once_it_answers(self) {
        if matches!(timeout(ABANDON_TIMEOUT, self.simple_query("")).await, Ok(Ok(_))) {
            self.give_back();
        }
    }
}

impl Deref for PooledConnection {
    type Target = Client;

    #[expect(clippy::expect_used, reason = "to give it back is the end of this")]
    fn deref(&self) -> &Client {
        self.client.as_ref().expect("there until it is given back")
    }
}

impl DerefMut for PooledConnection {
    #[expect(clippy::expect_used, reason = "to give it back is the end of this")]
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
                let connection =
                    PooledConnection { client: Some(client), on_abandon: OnAbandon::Close };
                drop(runtime.spawn(connection.give_back_once_it_answers()));
            }
            _ => drop(Object::take(client)),
        }
    }
}
