//! What an app password may be limited to.

use app_tokens::access::ScopeName;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    FilesRead,
    FilesWrite,
    CalendarRead,
    CalendarWrite,
    ContactsRead,
    ContactsWrite,
}

impl Scope {
    pub const ALL: [Scope; 6] = [
        Scope::CalendarRead,
        Scope::CalendarWrite,
        Scope::ContactsRead,
        Scope::ContactsWrite,
        Scope::FilesRead,
        Scope::FilesWrite,
    ];
}

impl ScopeName for Scope {
    fn name(&self) -> &'static str {
        match self {
            Scope::FilesRead => "files:read",
            Scope::FilesWrite => "files:write",
            Scope::CalendarRead => "calendar:read",
            Scope::CalendarWrite => "calendar:write",
            Scope::ContactsRead => "contacts:read",
            Scope::ContactsWrite => "contacts:write",
        }
    }

    fn implied_by(&self) -> &'static [&'static str] {
        match self {
            Scope::FilesRead => &["files:write"],
            Scope::CalendarRead => &["calendar:write"],
            Scope::ContactsRead => &["contacts:write"],
            _ => &[],
        }
    }
}
