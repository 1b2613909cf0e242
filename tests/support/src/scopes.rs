//! The scopes of a host.

use app_tokens::access::ScopeName;

#[derive(Clone, Copy)]
pub enum Files {
    Read,
    Write,
}

impl ScopeName for Files {
    fn name(&self) -> &'static str {
        match self {
            Files::Read => "files:read",
            Files::Write => "files:write",
        }
    }
    fn implied_by(&self) -> &'static [&'static str] {
        match self {
            Files::Read => &["files:write"],
            Files::Write => &[],
        }
    }
}
