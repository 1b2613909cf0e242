//! The words of five systems that have such a page.

use super::{Acts, Column, EndQuestion, FormPlace, Wording};

impl Wording {
    /// OpenCloud's "App Tokens": a name and an expiration date; deleted by one button.
    pub const OPENCLOUD: Wording = Wording {
        product: "OpenCloud",
        title: "App Tokens",
        lead: "Connect external apps, such as WebDAV clients, without your main password. Make one \
               for each app, with an expiration date.",
        one: "App Token",
        many: "App Tokens",
        in_use: "Your App Tokens",
        empty: "Create one for each app that asks for a user name and a password.",
        new: "New App Token",
        new_lead: "It takes the place of your main password in one app.",
        create: "Confirm",
        name_hint: "",
        revoke: "Delete",
        revoked: "deleted",
        stays: "your files and your other App Tokens stay",
        ends: "Expires",
        columns: &[Column::Created, Column::Ends],
        form: FormPlace::BelowList,
        end: EndQuestion::Day,
        acts: Acts { change: false, replace: false, select: false, others: false },
        ..Wording::APP_PASSWORDS
    };

    /// Nextcloud's "Devices & sessions": only a name; created at the bottom.
    pub const NEXTCLOUD: Wording = Wording {
        product: "Nextcloud",
        title: "Devices & sessions",
        lead: "Web, desktop and mobile clients that are signed in to your account now. Revoke what \
               you don't recognise.",
        in_use: "Devices",
        empty: "Create one for each device: your phone, your laptop, your tablet.",
        new: "Create new app password",
        new_lead: "For a device or app that asks for a user name and a password.",
        create: "Create new app password",
        name: "App name",
        name_hint: "",
        columns: &[Column::Access("May do"), Column::LastUsed("Last activity")],
        form: FormPlace::BelowList,
        end: EndQuestion::Nothing,
        acts: Acts { change: true, replace: false, select: false, others: true },
        ..Wording::APP_PASSWORDS
    };

    /// Forgejo's "Manage access tokens", as on Codeberg: permissions, no end; deleted in a popup.
    pub const FORGEJO: Wording = Wording {
        product: "Forgejo",
        title: "Manage access tokens",
        lead: "They grant access to your account through the API and by Git over HTTPS.",
        one: "access token",
        many: "access tokens",
        in_use: "Access tokens",
        empty: "Generate one for each application.",
        new: "Generate new token",
        new_lead: "One for each application. Delete it when you no longer use it.",
        create: "Generate token",
        name: "Token name",
        name_hint: "",
        revoke: "Delete",
        popup: Some("Yes"),
        revoked: "deleted",
        stays: "your repositories and your other access tokens stay",
        replace: "Regenerate",
        replaced: "regenerated",
        columns: &[Column::Access("Permissions"), Column::LastUsed("Last used")],
        form: FormPlace::BelowList,
        end: EndQuestion::Never,
        acts: Acts { change: false, replace: true, select: false, others: false },
        lists_sessions: false,
        ..Wording::APP_PASSWORDS
    };

    /// PowerShell Universal's "App Tokens": a role and an expiration, granted by administrators.
    pub const POWERSHELL_UNIVERSAL: Wording = Wording {
        product: "PowerShell Universal",
        title: "App Tokens",
        lead: "For the management API and your own endpoints.",
        one: "App Token",
        many: "App Tokens",
        in_use: "App Tokens",
        empty: "Grant one for each script or service.",
        new: "Add New App Token",
        new_lead: "Its text is shown once, after this.",
        create: "Grant App Token",
        name_hint: "",
        stays: "your other App Tokens stay",
        ends: "Expires",
        columns: &[Column::Access("Role"), Column::Created, Column::Ends],
        form: FormPlace::BelowList,
        end: EndQuestion::Day,
        acts: Acts { change: false, replace: true, select: true, others: false },
        lists_sessions: false,
        ..Wording::APP_PASSWORDS
    };

    /// Nuxeo's "My Tokens": only a name, no end; a selection is revoked, one is regenerated.
    pub const NUXEO: Wording = Wording {
        product: "Nuxeo",
        title: "My Tokens",
        lead: "For command-line tools and APIs, in place of your password. In the browser you sign \
               in as before.",
        one: "token",
        many: "tokens",
        in_use: "Tokens",
        empty: "Create one for each tool or service.",
        new: "Create a token",
        new_lead: "Use a different token for every tool or service.",
        create: "Create token",
        name_hint: "",
        stays: "your projects and your other tokens stay",
        replace: "Regenerate",
        replaced: "regenerated",
        columns: &[Column::Created, Column::LastUsed("Last used")],
        form: FormPlace::BelowList,
        end: EndQuestion::Never,
        acts: Acts { change: false, replace: true, select: true, others: false },
        lists_sessions: false,
        ..Wording::APP_PASSWORDS
    };
}
