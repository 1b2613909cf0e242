//! The example of a host with passwords of its own does what its page promises.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

#[allow(dead_code, reason = "its main prints what to try, and serves")]
#[path = "../examples/hyper_passwords.rs"]
mod host;

const PASSWORD: &str = "alice:correct horse";

struct Client {
    address: std::net::SocketAddr,
}

impl Client {
    async fn new() -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(host::serve(listener));
        Client { address }
    }

    /// Sends the whole request, then reads the whole answer.
    async fn send(&self, line: &str, login: &str, more: &str, body: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let login = match login {
            "" => String::new(),
            login => format!("Authorization: Basic {}\r\n", STANDARD.encode(login)),
        };
        let length = if more.contains("Content-Length") {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let head =
            format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{login}{length}{more}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        Reply(reply)
    }

    async fn token(&self) -> String {
        let made = self.send("POST /tokens", PASSWORD, "", b"").await;
        made.is(201);
        format!("alice:{}", made.body().trim_end())
    }
}

struct Reply(String);

impl Reply {
    #[track_caller]
    fn is(&self, status: u16) {
        assert!(self.0.starts_with(&format!("HTTP/1.1 {status} ")), "{}", self.0);
    }

    fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").unwrap().1
    }

    fn challenges(&self) -> usize {
        self.0.matches("www-authenticate: ").count()
    }
}

#[tokio::test]
async fn a_password_makes_a_token_and_a_token_does_not() {
    let client = Client::new().await;
    let token = client.token().await;
    client.send("POST /tokens", &token, "", b"").await.is(403);
    for wrong in ["alice:wrong", "bob:correct horse", "alice:", &format!("{token}x"), ""] {
        client.send("POST /tokens", wrong, "", b"").await.is(401);
    }
}

#[tokio::test]
async fn a_token_for_reading_can_not_write_or_copy() {
    let client = Client::new().await;
    let token = client.token().await;
    client.send("PUT /a", PASSWORD, "", b"text").await.is(201);
    let read = client.send("GET /a", &token, "", b"").await;
    read.is(200);
    assert_eq!(read.body(), "text");
    client.send("PUT /a", &token, "", b"other").await.is(403);
    client.send("COPY /a", &token, "Destination: /b\r\n", b"").await.is(403);
    client.send("GET /b", PASSWORD, "", b"").await.is(404);
    client.send("COPY /a", PASSWORD, "Destination: /b\r\n", b"").await.is(201);
    assert_eq!(client.send("GET /b", &token, "", b"").await.body(), "text");
}

#[tokio::test]
async fn a_401_challenges_a_page_by_basic_and_a_script_not_at_all() {
    let client = Client::new().await;
    let page = client.send("GET /a", "", "Sec-Fetch-Mode: navigate\r\n", b"").await;
    page.is(401);
    assert!(page.0.contains("www-authenticate: Basic ") && page.challenges() == 1);
    let script = client.send("GET /a", "", "Sec-Fetch-Mode: cors\r\n", b"").await;
    script.is(401);
    assert_eq!(script.challenges(), 0);
}

/// Fault 25.
#[tokio::test]
async fn an_upload_that_is_refused_midway_still_gets_its_answer() {
    let client = Client::new().await;
    let token = client.token().await;
    let file = vec![0; 1_000_000];
    client.send("PUT /a", "alice:revoked", "", &file).await.is(401);
    client.send("PUT /a", &token, "", &file).await.is(403);
    client.send("PUT /a", PASSWORD, "", &file).await.is(201);
}

#[tokio::test]
async fn a_client_that_waits_is_refused_before_it_sends_the_body() {
    let client = Client::new().await;
    let token = client.token().await;
    let waits = "Content-Length: 1000000\r\nExpect: 100-continue\r\n";
    // No `100 Continue` comes first, and no body was sent.
    client.send("PUT /a", &token, waits, b"").await.is(403);
    client.send("PUT /a", "alice:revoked", waits, b"").await.is(401);
}
