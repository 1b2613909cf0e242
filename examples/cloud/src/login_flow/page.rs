//! The page of the login flow: who asks, and for what.

use super::Asks;
use crate::html::{escape, problem};

/// Makes the page that asks. Nothing that a program says about itself is shown as a fact.
pub fn question(asks: &Asks, mistake: &str) -> String {
    let problem = if mistake.is_empty() { String::new() } else { problem(mistake) };
    let minutes = asks.at.elapsed().as_secs() / 60;
    let age = match minutes {
        0 => "just now".to_owned(),
        1 => "a minute ago".to_owned(),
        minutes => format!("{minutes} minutes ago"),
    };
    let address = asks.address.map_or("an unknown address".into(), |address| address.to_string());
    let program = escape(&asks.program);
    format!(include_str!("question.html"), problem, program, address, age)
}

pub const GRANTED: &str = "<h2>Connected</h2><p>Go back to the device. You find it among your app \
                           passwords, and can revoke it there.</p>";
pub const DENIED: &str = "<h2>Denied</h2><p>The device gets no access.</p>";
pub const GONE: &str = "<h2>Nobody asks here</h2><p>This link was used, or is older than 20 \
                        minutes. Begin again on the device.</p>";
