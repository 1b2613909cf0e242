//! A connection of the pool, while a call uses it.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool_postgres::{Client, Object, Pool, PoolError};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// A connection in the middle of a call. Unless it is given back, the caller has given up: the server may still be waiting, and
/// whoever used the connection next would wait with it.
pub(super) struct Lent {
    client: Option<Client>,
    given_up: GivenUp,
}

/// What becomes of a connection whose call was given up.
#[derive(Clone, Copy)]
pub(super) enum GivenUp {
    /// The pool makes another.
    Closed,
    /// Back to the pool once the server has answered: whoever hangs up in the middle of a login shall not cost the host a connection.
    /// After [`A_MOMENT`] without an answer it is closed.
    ClosedIfBusy,
}

const A_MOMENT: Duration = Duration::from_secs(1);

impl Lent {
    pub(super) async fn of(pool: &Pool, given_up: GivenUp) -> Result<Lent, PoolError> {
        Ok(Lent { client: Some(pool.get().await?), given_up })
    }

    pub(super) fn give_back(mut self) {
        drop(self.client.take());
    }

    pub(super) fn close(mut self) {
        self.given_up = GivenUp::Closed;
    }

    /// Answers come in the order of the questions.
    async fn give_back_once_it_answers(self) {
        if matches!(timeout(A_MOMENT, self.simple_query("")).await, Ok(Ok(_))) {
            self.give_back();
        }
    }
}

impl Deref for Lent {
    type Target = Client;

    #[expect(clippy::expect_used, reason = "to give it back is the end of this")]
    fn deref(&self) -> &Client {
        self.client.as_ref().expect("there until it is given back")
    }
}

impl DerefMut for Lent {
    #[expect(clippy::expect_used, reason = "to give it back is the end of this")]
    fn deref_mut(&mut self) -> &mut Client {
        self.client.as_mut().expect("there until it is given back")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else {
            return;
        };
        match (self.given_up, Handle::try_current()) {
            (GivenUp::ClosedIfBusy, Ok(runtime)) => {
                let lent = Lent { client: Some(client), given_up: GivenUp::Closed };
                drop(runtime.spawn(lent.give_back_once_it_answers()));
            }
            _ => drop(Object::take(client)),
        }
    }
}
