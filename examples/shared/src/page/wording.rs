//! What a system's users call things, and which of them they may do.

mod systems;

use std::time::Duration;

/// The words of one system, and the acts that its page offers.
///
/// A host takes one of the constants, and changes what its system says otherwise.
#[derive(Clone, Debug)]
pub struct Wording {
    /// The product's name, in the bar and in each title.
    pub product: &'static str,
    /// The list's heading.
    pub title: &'static str,
    /// The sentence below it.
    pub lead: &'static str,
    /// A token, in a sentence: "app password".
    pub one: &'static str,
    /// Tokens, in a sentence: "app passwords".
    pub many: &'static str,
    /// The heading over the tokens in use.
    pub in_use: &'static str,
    /// What an empty list says.
    pub empty: &'static str,
    /// The link to the form, and its heading.
    pub new: &'static str,
    /// The sentence below that heading.
    pub new_lead: &'static str,
    /// The form's button.
    pub create: &'static str,
    /// The label of the name's field.
    pub name: &'static str,
    /// The hint at that field; empty for none.
    pub name_hint: &'static str,
    /// The button that revokes: "Revoke", "Delete".
    pub revoke: &'static str,
    /// The button in a popup that does it: "Yes". If `None`, a page asks, and there is no popup.
    pub popup: Option<&'static str>,
    /// What was done then, in a sentence: "revoked", "deleted".
    pub revoked: &'static str,
    /// What else stays when one is revoked.
    pub stays: &'static str,
    /// The button that replaces the text: "Replace", "Regenerate".
    pub replace: &'static str,
    /// What was done then, in a sentence.
    pub replaced: &'static str,
    /// The column's head for the end, and the beginning of "Ends soon".
    pub ends: &'static str,
    /// The columns between the name and the buttons.
    pub columns: &'static [Column],
    /// Where the form stands.
    pub form: FormPlace,
    /// What the form asks about the end.
    pub end: EndQuestion,
    /// What a person may do beside creating and revoking.
    pub acts: Acts,
    /// Whether browser sessions are listed, too.
    pub lists_sessions: bool,
}

/// A column of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// What the token may do, under this head.
    Access(&'static str),
    /// When it was made.
    Created,
    /// When it was last used, under this head.
    LastUsed(&'static str),
    /// When it ends.
    Ends,
}

/// Where the form for a new token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormPlace {
    /// On a page of its own.
    OwnPage,
    /// Below the list.
    BelowList,
}

/// What the form asks about the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndQuestion {
    /// A few lengths of time, a day, or none where the policy allows it.
    Choices,
    /// A day.
    Day,
    /// Nothing: the policy's default holds.
    Nothing,
    /// Nothing: it never ends. The policy must allow it.
    Never,
}

/// What a person may do beside creating and revoking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acts {
    /// Change the name, and take access away.
    pub change: bool,
    /// Replace the text by another.
    pub replace: bool,
    /// Select several and revoke them.
    pub select: bool,
    /// Revoke all but one.
    pub others: bool,
}

/// A line for a program's user, on the page that shows a token. `{url}`, `{host}` and `{user}` are
/// filled in. It never holds the token: the program asks for it.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The program.
    pub program: &'static str,
    /// What to do beside; empty for nothing.
    pub hint: &'static str,
    /// The line.
    pub line: &'static str,
}

impl Wording {
    /// The words of a cloud with app passwords, all acts included.
    pub const APP_PASSWORDS: Wording = Wording {
        product: "Cloud",
        title: "App passwords",
        lead: "Let an app or a device in without your main password. Give each its own: then you \
               can revoke one, and the others go on.",
        one: "app password",
        many: "app passwords",
        in_use: "In use",
        empty: "Create one for each app that asks for a password: your phone's calendar, a sync \
                client, a backup.",
        new: "New app password",
        new_lead: "One for each app or device.",
        create: "Create app password",
        name: "Name",
        name_hint: "Where you'll use it, such as “Kitchen tablet”. Only you see it.",
        revoke: "Revoke",
        popup: None,
        revoked: "revoked",
        stays: "your files and your other app passwords stay",
        replace: "Replace",
        replaced: "replaced",
        ends: "Ends",
        columns: &[Column::Access("May do"), Column::LastUsed("Last used"), Column::Ends],
        form: FormPlace::OwnPage,
        end: EndQuestion::Choices,
        acts: Acts { change: true, replace: true, select: true, others: true },
        lists_sessions: true,
    };
}

/// A token that ends within this time is pointed out.
pub const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How many rows a page of a list has.
pub const ROWS: usize = 25;
