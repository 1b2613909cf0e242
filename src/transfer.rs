//! Moves tokens to another store or another host: out into one file, and in from it.
//!
//! Holders keep their tokens: the texts stay as they are. Owners, labels, access, ends, lines of
//! rotations, revocations and last uses move along. The keys of the ring stay where they are. The
//! file is sealed as a whole under a one-time [`TransferKey`]. The other host seals each row anew,
//! under its own ring and for its own realm.
//!
//! ```
//! use std::io::Cursor;
//! use app_tokens::transfer::{TransferFile, TransferKey};
//! use app_tokens::{Access, NewToken, Operator, Requirement, TokenAuthority};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (old, new) = (TokenAuthority::in_memory("acme")?, TokenAuthority::in_memory("acme")?);
//! let issued = old.issue(NewToken::new("alice", "My phone", Access::full())).await?;
//! let root = Operator::new("root")?;
//!
//! let (key, mut file) = (TransferKey::draw()?, Vec::new());
//! old.move_out(&root, None, &key, &mut file, |_| {}).await?;
//!
//! let mut file = TransferFile::open(Cursor::new(file), &key)?;
//! let report = new.move_in(&root, &mut file, |_| {}).await?;
//! assert!(report.is_complete());
//! let authenticated = new.authenticate(issued.expose_secret()).await?;
//! assert_eq!(authenticated.require(Requirement::ANY_VALID_TOKEN)?.owner().as_str(), "alice");
//! # Ok(())
//! # }
//! ```
//!
//! # What moves
//!
//! - A row without a revocation moves if the source finds its seal right. Whether it has expired,
//!   is idle or was superseded does not matter.
//! - A revoked row has no seal, so its facts are unproven. It moves as a revoked one, without what
//!   only a good token needs: access, attributes, and who issued it. It lets nobody in, so a forged
//!   one gains nothing. It must move: otherwise an older file could bring the token back.
//! - A row that the source can't prove stays behind, and so does a token that another system
//!   issued: see [`LeftBehind`]. Both reports name them.
//! - A damaged row stays behind even if it is revoked. If an earlier run moved its token, that may
//!   live on at the other host: revoke it there.
//!
//! # The order of a move
//!
//! A file is no snapshot: the source may be in use while it is written. So:
//!
//! 1. Move while the source runs, as often as you like, and try the tokens on the other host.
//! 2. Stop the source. Its last uses are written then.
//! 3. Move once more. This run carries over what happened in between: new tokens, revocations,
//!    rotations and last uses.
//! 4. Start the other host.
//!
//! A run changes little of a token that is there already. It may revoke or supersede the token, and
//! note a later use. These can't be undone on either host, so the order of runs does not matter.
//! Anything else stays as it is on the other host. If the token may do more there than in the file,
//! the report says so ([`KeptAsIs::MayDoMore`]). A run may be stopped and started again.
//!
//! If a line of rotations was revoked on the other host, its new tokens come in revoked. So do
//! tokens that the source issued under it. If the source revoked a superseded token alone, what it
//! then still finds good stays. What only the other host issued under that line ends, and so does
//! what it rotated that token to. The same holds for an unused token that a second rotation
//! replaced at the source, if the other host rotated it.
//!
//! If the source rotated a token, what only the other host issued under its line ends, too. A thief
//! may have issued it. It stays if the file shows that the rotation spares it. Then there was an
//! overlap, and the new token is good and may do as much for as long.
//!
//! What only the other host issued includes what it rotated a token of the source's to, if that was
//! issued under the line. It ends even if the source finds the older token good.
//!
//! What was forgotten or purged on the other host comes back by a later run: forget it at the
//! source first. With [`Policy::with_open_import`](crate::Policy::with_open_import), the other host
//! purges nothing until the last run.
//! What is forgotten or purged at the source after the first run stays alive on the other host.
//! Forget it there, too.
//!
//! The policy's limits of tokens and labels don't apply to moved tokens, and they keep their ends.
//! [`Policy::conflicts_with`](crate::Policy::conflicts_with) says which ones the new host would not
//! issue. Owners stay, too: both hosts must mean the same account by the same owner.
//!
//! # What the file reveals, and to whom it is dangerous
//!
//! It is sealed and not encrypted. It shows owners, labels, access, attributes, times and, if the
//! policy records them, addresses and clients. It also holds digests, from which no token of ours
//! can be found: each has 140 random bits. Treat it like a backup of the table.
//!
//! **Anyone who has the transfer key can write a file that makes tokens of any owner**, if your
//! operator takes it in. So carry the key by another way than the file, and delete both afterwards.
//!
//! # The bytes
//!
//! Each line is a text, a space, and a seal in base64 without padding. The seal is the HMAC-SHA-256
//! of the texts of this line and of all lines before, each with a line feed. Its key is the
//! HMAC-SHA-256 of the four bytes `att1` under the transfer key. The texts are:
//!
//! | line | text |
//! |---|---|
//! | first | `app-tokens-transfer 1`, when it was begun, the prefixes with commas, the realm |
//! | a row | `row`, the id, [`Row::to_bytes`](crate::store::Row::to_bytes) in base64 |
//! | a token that stays behind | `left`, the id, the reason |
//! | last | `end`, the number of rows, the number of tokens that stay behind |

mod error;
mod file;
mod key;
mod report;

pub use self::error::TransferError;
pub use self::file::TransferFile;
pub(crate) use self::file::{Line, Writer};
pub use self::key::{InvalidTransferKey, TransferKey};
pub use self::report::{KeptAsIs, LeftBehind, MoveInReport, MoveOutReport, MoveProgress, Source};
