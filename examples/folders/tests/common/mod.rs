//! A folder that answers requests, in this process.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use folders::{Holds, Place, Served};
use tempfile::TempDir;

/// The folder of one user, at `/dav`.
pub struct Host {
    pub home: TempDir,
    served: Served,
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Host {
    pub fn new() -> Host {
        let home = tempfile::tempdir().unwrap();
        let served = Served::open(home.path(), "files", "", Holds::Files, "alice").unwrap();
        Host { home, served }
    }

    /// Returns what answers requests to the folder.
    pub fn place(&self) -> Place {
        Place { served: self.served.clone(), prefix: "/dav".into(), authority: None }
    }

    pub async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let (parts, body) = self.place().answer(request).await.unwrap().into_parts();
        let body = to_bytes(body, 1_000_000).await.unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Makes a file that holds its path.
    #[track_caller]
    pub fn file(&self, path: &str) {
        std::fs::write(self.home.path().join("files").join(path), path).unwrap();
    }

    pub fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.home.path().join("files").join(path)).ok()
    }

    /// Asks for a lock, and returns the answer's status and the lock's token.
    pub async fn lock(&self, path: &str, headers: &[(&str, &str)], scope: &str) -> (u16, String) {
        let answer = self.call("LOCK", path, headers, &lock_info(scope, "")).await;
        let token = answer.headers.get("lock-token").map_or("", |token| token.to_str().unwrap());
        (answer.status, token.to_owned())
    }
}

/// The body of a request for a lock.
pub fn lock_info(scope: &str, owner: &str) -> String {
    format!(
        "<D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:{scope}/></D:lockscope>\
         <D:locktype><D:write/></D:locktype><D:owner>{owner}</D:owner></D:lockinfo>"
    )
}
