//! Reads characters with their escapes undone, and skips colours and markup.

/// Stands for what is no character: a colour, a tag, an escaped line end.
pub(super) const NOTHING: u8 = 0;

/// The characters that an escape for a letter begins with.
pub(super) const ESCAPES: [u8; 4] = [b'\\', b'%', b'=', b'&'];

const ESCAPE: u8 = 0x1B;

/// How often an escape may itself be escaped, as in JSON within JSON.
const MAX_NESTED: usize = 16;
/// The longest tag or colour, in bytes.
const MAX_MARKUP: usize = 128;

/// Reads the character that begins at `at`, and returns where it ends. A byte outside ASCII is
/// [`NOTHING`].
///
/// The caller tries every place as a start. So an escape that is read where none was meant does no
/// harm: the plain reading begins one byte later.
pub(super) fn character(text: &[u8], at: usize) -> (u8, usize) {
    let rest = &text[at..];
    let (found, length) = match rest[0] {
        b'\\' => backslash(rest),
        b'%' => percent(rest),
        b'=' => quoted_printable(rest),
        b'&' => entity(rest),
        b'<' => tag(rest),
        plain => (plain, 1),
    };
    match found {
        ESCAPE => (NOTHING, at + length + control_sequence(&rest[length..])),
        0x80.. => (NOTHING, at + length),
        _ => (found, at + length),
    }
}

/// Reads an escape of C, JSON, Rust, Markdown or a shell: `\n`, `\_`, `\x5f`, `\137`, `\u005f`,
/// `\u{5f}`, `\U0000005f`, `\e`.
fn backslash(rest: &[u8]) -> (u8, usize) {
    // Each nesting doubles the backslashes. Reading them all at once undoes every level.
    let doubled = rest.iter().take(MAX_NESTED).take_while(|byte| **byte == b'\\').count();
    let after = &rest[doubled..];
    let (found, length) = match after {
        [b'u', b'{', digits @ ..] => {
            let length = digits.iter().take(8).take_while(|byte| **byte != b'}').count();
            // Only with its brace: at the end of a text it would reach beyond the text.
            let is_closed = digits.get(length) == Some(&b'}');
            (number(digits, length, 16).filter(|_| is_closed), 3 + length)
        }
        [b'u', digits @ ..] => (number(digits, 4, 16), 5),
        [b'U', digits @ ..] => (number(digits, 8, 16), 9),
        [b'x', digits @ ..] => (number(digits, 2, 16), 3),
        // ASCII ends at octal 177, so no other digit begins one.
        [b'0' | b'1', ..] => (number(after, 3, 8), 3),
        [b'e', b'[', ..] => (Some(ESCAPE), 1),
        [b'n' | b'r' | b't' | b'f' | b'v' | b'b', ..] => (Some(NOTHING), 1),
        _ => (None, 0),
    };
    match found {
        Some(found) => (found, doubled + length),
        None => (NOTHING, doubled),
    }
}

/// Reads `%5F`, `%255F`, `%u005f`. `%25` is an escaped `%`.
fn percent(rest: &[u8]) -> (u8, usize) {
    let mut length = 1;
    while rest[length..].starts_with(b"25") && length < 2 * MAX_NESTED {
        length += 2;
    }
    let after = &rest[length..];
    let found = match after {
        [b'u', digits @ ..] => number(digits, 4, 16).map(|found| (found, length + 5)),
        _ => number(after, 2, 16).map(|found| (found, length + 2)),
    };
    found.unwrap_or((b'%', length))
}

/// Reads `=5F`, and a line end that mail inserted (RFC 2045, section 6.7).
fn quoted_printable(rest: &[u8]) -> (u8, usize) {
    match rest {
        [_, b'\n', ..] => (NOTHING, 2),
        [_, b'\r', b'\n', ..] => (NOTHING, 3),
        _ => number(&rest[1..], 2, 16).map_or((b'=', 1), |found| (found, 3)),
    }
}

/// Reads `&#95;`, `&#x5f;`, `&lowbar;`, `&amp;#95;`. Most names are [`NOTHING`], such as `&shy;`.
fn entity(rest: &[u8]) -> (u8, usize) {
    let mut length = 1;
    while rest[length..].starts_with(b"amp;") && length < 4 * MAX_NESTED {
        length += 4;
    }
    let after = &rest[length..];
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'#';
    let end = after.iter().take(24).take_while(|byte| is_name(byte)).count();
    if after.get(end) != Some(&b';') {
        return (b'&', 1);
    }
    let found = match &after[..end] {
        [b'#', b'x' | b'X', digits @ ..] => number(digits, digits.len(), 16),
        [b'#', digits @ ..] => number(digits, digits.len(), 10),
        b"lowbar" | b"UnderBar" => Some(b'_'),
        b"plus" => Some(b'+'),
        b"sol" => Some(b'/'),
        name => (!name.contains(&b'#')).then_some(NOTHING),
    };
    found.map_or((b'&', 1), |found| (found, length + end + 1))
}

/// Skips a tag, such as `<wbr>` or `</span>`, unless it holds a `_`: a token could begin there.
fn tag(rest: &[u8]) -> (u8, usize) {
    let is_tag = matches!(rest, [_, b'a'..=b'z' | b'A'..=b'Z' | b'/' | b'!', ..]);
    let end = rest[1..].iter().take(MAX_MARKUP).position(|byte| matches!(byte, b'<' | b'>' | b'_'));
    match end {
        Some(end) if is_tag && rest[end + 1] == b'>' => (NOTHING, end + 2),
        _ => (b'<', 1),
    }
}

/// Returns the length of a control sequence, such as a colour, without its escape character
/// (ECMA-48, 5.4). Zero if there is none.
fn control_sequence(after: &[u8]) -> usize {
    let [b'[', rest @ ..] = after else {
        return 0;
    };
    let parameters = rest.iter().take(MAX_MARKUP).take_while(|byte| (0x20..0x40).contains(*byte));
    let length = 1 + parameters.count();
    length + usize::from(after.get(length).is_some_and(|last| (0x40..0x7F).contains(last)))
}

/// Reads a number of `length` digits. [`NOTHING`] if it is over 255, however great it is. `None` if
/// one is not a digit.
fn number(digits: &[u8], length: usize, radix: u32) -> Option<u8> {
    let digits = digits.get(..length).filter(|digits| !digits.is_empty())?;
    let digits = digits.iter().map(|digit| char::from(*digit).to_digit(radix));
    // Saturating, as a number that wraps could become a character again.
    let append = |number: u32, digit: u32| number.saturating_mul(radix).saturating_add(digit);
    let number = digits.reduce(|number, digit| Some(append(number?, digit?)))??;
    Some(u8::try_from(number).unwrap_or(NOTHING))
}
