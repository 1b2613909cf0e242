//! Guides: how a host does the larger things, step by step.
//!
//! Their examples are tests of this crate. In reading order:
//!
//! | guide | answers |
//! |---|---|
//! | [`from_passwords`] | How do I add app tokens to a server that has passwords? |
//! | [`access`] | How do I say what a token may do, on what, and from where? |
//! | [`rotation`] | How does a client get a new secret without a gap? |
//! | [`keys_and_backups`] | How do I keep, change and lose keys, and what does a restore bring back? |
//! | [`move_from_nextcloud`] | How do I take over app passwords of Nextcloud (SHA-512)? |
//! | [`move_from_forgejo`] | How do I take over tokens of Gitea and Forgejo (PBKDF2)? |
//! | [`move_from_sanctum`] | How do I take over tokens of Laravel Sanctum (SHA-256)? |
//! | [`move_from_sha256`] | How do I take over tokens of my own that are kept as SHA-256? |
//! | [`move_from_plaintext`] | How do I take over tokens that were kept in clear? |
//! | [`move_from_argon2`] | How do I take over app passwords kept as Argon2id, bcrypt or PBKDF2? |
//! | [`move_from_jwt`] | How do I take over signed JWTs of PowerShell Universal? |
//! | [`write_a_store`] | How do I keep tokens in my own database? |
//! | [`sizing`] | What do a million and ten million tokens cost, and what comes after one database? |

#[doc = include_str!("guide/from_passwords.md")]
pub mod from_passwords {}

#[doc = include_str!("guide/access.md")]
pub mod access {}

#[doc = include_str!("guide/rotation.md")]
pub mod rotation {}

#[doc = include_str!("guide/keys_and_backups.md")]
pub mod keys_and_backups {}

#[doc = include_str!("guide/move_from_nextcloud.md")]
pub mod move_from_nextcloud {}

#[doc = include_str!("guide/move_from_forgejo.md")]
pub mod move_from_forgejo {}

#[doc = include_str!("guide/move_from_sanctum.md")]
pub mod move_from_sanctum {}

#[doc = include_str!("guide/move_from_sha256.md")]
pub mod move_from_sha256 {}

#[doc = include_str!("guide/move_from_plaintext.md")]
pub mod move_from_plaintext {}

#[doc = include_str!("guide/move_from_argon2.md")]
pub mod move_from_argon2 {}

#[doc = include_str!("guide/move_from_jwt.md")]
pub mod move_from_jwt {}

#[doc = include_str!("guide/write_a_store.md")]
pub mod write_a_store {}

#[doc = include_str!("guide/sizing.md")]
pub mod sizing {}
