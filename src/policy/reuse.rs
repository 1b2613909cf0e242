//! What happens to a superseded token that comes back: [`Reuse`].

/// States what happens if a superseded token is presented with its right secret.
///
/// Either a second holder has the token, or its client missed the rotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Reuse {
    /// An event reports it.
    #[default]
    #[cfg_attr(feature = "serde", serde(rename = "report"))]
    Report,
    /// An event reports it, and the token's line is revoked (RFC 9700, section 4.14.2).
    #[cfg_attr(feature = "serde", serde(rename = "revoke family"))]
    RevokeFamily,
}
