//! A proxy to the server. It counts round trips, and can cut a connection before or after the
//! server received a request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::Config;

use crate::postgres::Database;

/// Listens until the runtime ends.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    round_trips: AtomicU64,
    cut: Mutex<Option<Cut>>,
}

/// The one place where a connection is cut.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// How many more round trips are let through.
    pub after: u64,
    /// Whether the server still receives the next request, and answers it.
    pub heard: bool,
}

impl Proxy {
    /// Starts a proxy to a database's server.
    pub async fn start(database: &Database<'_>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<State>::default();
        let (server, shared) = (database.server.port(), state.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = shared.clone();
                tokio::spawn(async move {
                    let server = TcpStream::connect(("127.0.0.1", server)).await?;
                    connect(client, server, &state).await
                });
            }
        });
        Proxy { port, state }
    }

    /// Says how to connect through the proxy.
    pub fn config(&self, database: &Database<'_>) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user("postgres").dbname(&database.name);
        config
    }

    /// Returns how often clients have waited for the server so far.
    pub fn round_trips(&self) -> u64 {
        self.state.round_trips.load(Ordering::SeqCst)
    }

    pub fn cut(&self, cut: Cut) {
        *self.state.cut.lock().unwrap() = Some(cut);
    }

    /// Whether the last cut was made. If not, it is taken back.
    pub fn was_cut(&self) -> bool {
        self.state.cut.lock().unwrap().take().is_none()
    }
}

impl State {
    /// Counts a round trip. Returns the cut if it is to be made here.
    fn round_trip(&self) -> Option<Cut> {
        self.round_trips.fetch_add(1, Ordering::SeqCst);
        let mut cut = self.cut.lock().unwrap();
        match cut.as_mut()? {
            Cut { after: 0, .. } => cut.take(),
            Cut { after, .. } => {
                *after -= 1;
                None
            }
        }
    }
}

/// Sync and Query. After each, the client waits until the server is ready.
const ENDS_OF_REQUESTS: [u8; 2] = *b"SQ";
const READY: u8 = b'Z';

async fn connect(
    mut client: TcpStream,
    mut server: TcpStream,
    state: &State,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    // The first message has no type.
    let mut is_first = true;
    loop {
        tokio::select! {
            read = client.read_buf(&mut asked) => if read? == 0 { return Ok(()) },
            read = server.read_buf(&mut answered) => if read? == 0 { return Ok(()) },
        }
        client.write_all(&answered).await?;
        answered.clear();
        while let Some(message) = take_message(&mut asked, is_first) {
            let ends = !is_first && ENDS_OF_REQUESTS.contains(&message[0]);
            is_first = false;
            match ends.then(|| state.round_trip()).flatten() {
                None => server.write_all(&message).await?,
                Some(Cut { heard: false, .. }) => return Ok(()),
                Some(Cut { heard: true, .. }) => {
                    server.write_all(&message).await?;
                    while !is_ready(&mut answered) {
                        server.read_buf(&mut answered).await?;
                    }
                    return Ok(());
                }
            }
        }
    }
}

fn take_message(bytes: &mut Vec<u8>, is_first: bool) -> Option<Vec<u8>> {
    let start = usize::from(!is_first);
    let length = bytes.get(start..start + 4)?;
    let length = start + u32::from_be_bytes(length.try_into().ok()?) as usize;
    (bytes.len() >= length).then(|| bytes.drain(..length).collect())
}

fn is_ready(answered: &mut Vec<u8>) -> bool {
    std::iter::from_fn(|| take_message(answered, false)).any(|message| message[0] == READY)
}
