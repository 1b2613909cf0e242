//! Limits a scheme to texts of a form: [`OnlyTexts`].

use super::{Foreign, ForeignText, InvalidKept, Lookup};

/// Limits a scheme to texts of a form. Others cost nothing.
///
/// Use it for a scheme that finds tokens by their owner if hosts also accept main passwords.
/// Otherwise each login by a password computes the slow hashes of all tokens that still wait. The
/// brake then holds that owner back.
///
/// ```
/// use app_tokens::import::{Import, OnlyTexts};
/// # use app_tokens::import::Plain;
/// # let argon2 = Plain::of_unknown_strength();
/// // OpenCloud's generator `diceware` writes six words in lower case, with a space between them.
/// let is_diceware = |text: &str| {
///     text.split(' ').count() == 6
///         && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'-' | b' '))
/// };
/// let import = Import::new().scheme(OnlyTexts::of(argon2, is_diceware));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct OnlyTexts<F> {
    scheme: F,
    may_be: fn(&str) -> bool,
}

impl<F: Foreign> OnlyTexts<F> {
    /// Takes the scheme, and what says whether a text may be one of its tokens.
    pub fn of(scheme: F, may_be: fn(&str) -> bool) -> OnlyTexts<F> {
        OnlyTexts { scheme, may_be }
    }
}

/// Each method is the scheme's own, except that other texts are not looked up.
impl<F: Foreign> Foreign for OnlyTexts<F> {
    fn name(&self) -> &str {
        self.scheme.name()
    }

    fn lookups(&self, presented: &ForeignText<'_>) -> Vec<Lookup> {
        if (self.may_be)(presented.expose_secret()) {
            self.scheme.lookups(presented)
        } else {
            Vec::new()
        }
    }

    fn verify(&self, kept: &[u8], text: &str) -> Result<bool, InvalidKept> {
        self.scheme.verify(kept, text)
    }

    fn secret_part<'t>(&self, text: &'t str) -> &'t str {
        self.scheme.secret_part(text)
    }

    fn is_slow(&self) -> bool {
        self.scheme.is_slow()
    }

    fn guarantees_112_bits(&self) -> bool {
        self.scheme.guarantees_112_bits()
    }

    fn needs_owner(&self) -> bool {
        self.scheme.needs_owner()
    }
}
