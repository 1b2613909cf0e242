//! What `dav-server` 0.11 must not see. It would calculate beyond the largest number, look beyond
//! the end of a text, call itself too often, or remove what it is to copy.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header::{CONTENT_RANGE, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use dav_server::davpath::DavPath;
use tokio::task::block_in_place;
use xml::reader::{EventReader, XmlEvent};

use crate::Folder;
use crate::locks::MAX_REQUEST;

/// A status, and a line for the client.
type Refused = (StatusCode, &'static str);

/// COPY or MOVE would leave this server, or this space of it.
pub(crate) const ELSEWHERE: Refused = (
    StatusCode::BAD_GATEWAY,
    "the destination is elsewhere; copy within this server and this space\n",
);
const TOO_LARGE: Refused = (StatusCode::PAYLOAD_TOO_LARGE, "the XML is too large\n");
const UNREADABLE: Refused =
    (StatusCode::BAD_REQUEST, "the destination can't be read; send one path or URL\n");

/// Lets through what `dav-server` can work with, and refuses the rest.
pub(crate) async fn guard(
    mut request: Request,
    prefix: &str,
    folder: &Folder,
) -> Result<Request, Refused> {
    ranges(request.headers_mut())?;
    if !conditions_are_whole(request.headers()) {
        let reason = "a condition can't be read; look at If, If-Match, If-None-Match, If-Range\n";
        return Err((StatusCode::BAD_REQUEST, reason));
    }
    if matches!(request.method().as_str(), "COPY" | "MOVE") {
        block_in_place(|| destination(&mut request, prefix, folder))?;
    }
    shallow(request).await
}

/// Checks the numbers of byte ranges: ends and lengths are calculated from them.
fn ranges(headers: &mut HeaderMap) -> Result<(), Refused> {
    // A server may answer with the whole file instead (RFC 9110, 14.2). It does so for several
    // ranges, too: a thousand of them would send a file a thousand times.
    let is_simple = |range: &HeaderValue| fits(range) && !range.as_bytes().contains(&b',');
    if headers.get(RANGE).is_some_and(|range| !is_simple(range)) {
        headers.remove(RANGE);
    }
    let parts = [headers.get(CONTENT_RANGE), headers.get("x-update-range")];
    match parts.into_iter().flatten().all(fits) {
        true => Ok(()),
        false => Err((StatusCode::RANGE_NOT_SATISFIABLE, "no file is that long\n")),
    }
}

/// Returns whether each number in a text is one that a file may have as its length.
fn fits(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty());
    numbers.map(str::parse::<i64>).all(|number| number.is_ok())
}

/// Returns whether what is opened in a condition is closed, too.
fn conditions_are_whole(headers: &HeaderMap) -> bool {
    let mut conditions = headers.get_all("if").iter();
    let is_whole = conditions.next().is_none_or(|value| brackets_are_closed(value.as_bytes()));
    let etags = [IF_MATCH, IF_NONE_MATCH, IF_RANGE];
    let mut etags = etags.iter().flat_map(|name| headers.get_all(name));
    let is_half = |value: &HeaderValue| {
        let mut pieces = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        pieces.any(|piece| matches!(piece, b"\"" | b"W/\""))
    };
    // More than one `If` would count as none.
    is_whole && conditions.next().is_none() && !etags.any(is_half)
}

/// Follows `<…>` and `[…]` as `dav-server` does: no space inside, and a quote hides the end.
fn brackets_are_closed(condition: &[u8]) -> bool {
    let (mut end, mut is_quoted) = (None, false);
    for byte in condition {
        match (end, byte) {
            (None, b'<') => end = Some(b'>'),
            (None, b'[') => end = Some(b']'),
            (None, _) => {}
            (Some(_), byte) if byte.is_ascii_whitespace() => return false,
            (Some(_), b'"') => is_quoted = !is_quoted,
            (Some(close), byte) if !is_quoted && *byte == close => end = None,
            (Some(_), _) => {}
        }
    }
    end.is_none()
}

/// Checks where COPY or MOVE leads, and writes it so that `dav-server` reads the same.
///
/// What is there is removed first. So it must not be the source, or hold it (RFC 4918, 9.8.5 and
/// 9.9.4). The root of a space holds everything.
fn destination(request: &mut Request, prefix: &str, folder: &Folder) -> Result<(), Refused> {
    let mut values = request.headers().get_all("destination").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(UNREADABLE);
    };
    // As it may name a server, it is a URL. `//dav/` would then be a server, but is a path here.
    let path = value.to_str().ok().and_then(|text| match text.starts_with('/') {
        true => Some(text.to_owned()),
        false => Some(text.parse::<Uri>().ok()?.path().to_owned()),
    });
    let read = |path: &str| DavPath::new(path).map_err(|_| UNREADABLE);
    let target = read(&path.unwrap_or_default())?;
    let source = read(request.uri().path())?;
    let (to, from) = (target.as_rel_ospath(), source.as_rel_ospath());
    let prefix = prefix.trim_start_matches('/');
    let Ok(to_below) = to.strip_prefix(prefix) else { return Err(ELSEWHERE) };
    if from.starts_with(to) {
        let reason = "the destination holds what is copied or moved; choose another\n";
        return Err((StatusCode::FORBIDDEN, reason));
    }
    if request.method().as_str() == "MOVE" && to.starts_with(from) {
        let reason = "a folder can't be moved into itself; choose another destination\n";
        return Err((StatusCode::FORBIDDEN, reason));
    }
    // Before what is there is removed.
    if from.strip_prefix(prefix).is_ok_and(|from| folder.is_too_deep(from, to_below)) {
        let reason = "the folders would lie too deep in each other; choose a higher destination\n";
        return Err((StatusCode::URI_TOO_LONG, reason));
    }
    let written = HeaderValue::try_from(target.as_url_string());
    let written = written.map_err(|_| UNREADABLE)?;
    request.headers_mut().insert("destination", written);
    Ok(())
}

/// Reads the XML of a request first. `dav-server` calls itself for each element within another, so
/// thousands of them would end the process.
async fn shallow(request: Request) -> Result<Request, Refused> {
    if matches!(*request.method(), Method::PUT | Method::PATCH) {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 64 * 1024).await.map_err(|_| TOO_LARGE)?;
    let mut depth = 0_u32;
    for event in EventReader::new(&*body) {
        match event {
            Ok(XmlEvent::StartElement { .. }) => depth += 1,
            Ok(XmlEvent::EndElement { .. }) => depth -= 1,
            Ok(_) => {}
            // What can't be read is for `dav-server` to refuse. It reads no further, either.
            Err(_) => break,
        }
        if depth > MAX_DEPTH {
            return Err((StatusCode::BAD_REQUEST, "the XML is nested too deep\n"));
        }
    }
    if parts.method.as_str() == "LOCK" && body.len() > MAX_REQUEST {
        return Err(TOO_LARGE);
    }
    Ok(Request::from_parts(parts, body.into()))
}

/// How deep elements may lie in each other. Clients need less than ten.
const MAX_DEPTH: u32 = 32;
