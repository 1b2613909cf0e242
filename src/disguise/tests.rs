use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

const ONE: &str = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
const TWO: &str = "my_app_token_6vv60yekqn27kb1na9pvr3cxd1c053b84sjm6r2m6f57t";

fn prefixes() -> [Prefix; 2] {
    [Prefix::new("acme").unwrap(), Prefix::new("my_app_token").unwrap()]
}

/// Returns each token in a text and in what is encoded there, with its place.
fn find(text: impl AsRef<[u8]>) -> Vec<(String, Range<usize>)> {
    let mut found = Vec::new();
    Layers::new(text.as_ref().len()).visit(text.as_ref(), &mut |layer, place| {
        tokens_in(layer, &prefixes(), |range, token| {
            found.push((token.expose_secret().to_owned(), place(range)));
        });
    });
    found
}

#[track_caller]
fn finds(token: &str, text: impl AsRef<[u8]>) {
    let found = find(&text);
    let text = String::from_utf8_lossy(text.as_ref());
    assert!(found.iter().any(|(secret, _)| secret == token), "{text:.2000}");
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a text with `escape` in the place of each `_`.
fn with(escape: &str) -> String {
    ONE.replace('_', escape)
}

fn wrapped(text: &str, width: usize, end: &str) -> String {
    let lines: Vec<_> = text.as_bytes().chunks(width).map(String::from_utf8_lossy).collect();
    lines.join(end)
}

#[test]
fn a_token_is_found_behind_every_usual_escape() {
    for escape in [
        "%5F",
        "%5f",
        "%255F",
        "%25255f",
        "%u005f",
        "\\u005f",
        "\\u005F",
        "\\\\u005f",
        "\\u{5f}",
        "\\U0000005f",
        "\\x5f",
        "\\137",
        "\\_",
        "\\\\_",
        "=5F",
        "&#95;",
        "&#x5f;",
        "&#X5F;",
        "&lowbar;",
        "&UnderBar;",
        "&amp;#95;",
        "&amp;amp;lowbar;",
    ] {
        finds(ONE, with(escape));
        finds(ONE, format!("key{}\"{}\"", with(escape), with(escape)));
        finds(TWO, TWO.replace('_', escape));
    }
    for each in ["%{:02x}", "=", "&#x", "\\u00", "\\x"] {
        let end = if each == "&#x" { ";" } else { "" };
        let each = each.replace("{:02x}", "");
        let escaped: String = ONE.bytes().map(|byte| format!("{each}{byte:02X}{end}")).collect();
        finds(ONE, escaped);
    }
}

#[test]
fn a_token_is_found_with_anything_but_letters_between_its_characters() {
    for filler in [
        " ",
        "-",
        "\n",
        "\r\n    ",
        "=\r\n",
        "=\n",
        "\\\n",
        "\\n",
        "\\r\\n",
        "%0D%0A",
        "=0D=0A=\r\n",
        "\" +\n  \"",
        "'\n > '",
        "\u{200B}",
        "\u{AD}",
        "\u{2060}",
        "\u{FEFF}",
        "\\u200b",
        "%C2%AD",
        "&shy;",
        "&#8203;",
        "&ZeroWidthSpace;",
        "<wbr>",
        "</b><b class=\"x\">",
        "\0",
        "\x1b[0m",
        "\x1b[01;31m\x1b[K",
        "\\x1b[31m",
        "\\u001b[1;31m",
        "\\e[0m",
        "\\033[0m",
        "%1B[0m",
        "\t",
        "\u{1b}[38;2;255;100;0m",
    ] {
        for at in [1, 4, 5, 6, 30, ONE.len() - 1] {
            finds(ONE, format!("x={}{filler}{}", &ONE[..at], &ONE[at..]));
        }
        finds(ONE, wrapped(ONE, 7, filler));
        finds(TWO, format!("y{filler}{}y", wrapped(TWO, 5, filler)));
    }
    let wide =
        |zeros: usize| ONE.bytes().flat_map(move |byte| [vec![byte], vec![0; zeros]].concat());
    finds(ONE, wide(1).collect::<Vec<u8>>());
    finds(ONE, wide(3).collect::<Vec<u8>>());
    finds(ONE, wrapped(ONE, 1, &"\u{1b}[1m".repeat(2)));
}

#[test]
fn a_token_is_found_in_what_programs_keep_their_logins_in() {
    let basic = STANDARD.encode(format!("demo:{ONE}"));
    let docker = format!("{{\"auths\":{{\"h\":{{\"auth\":\"{basic}\"}}}}}}");
    for text in [
        format!("Authorization: Basic {basic}"),
        docker.clone(),
        format!("token: {}", STANDARD.encode(ONE)),
        format!("_auth={basic}"),
        format!("//registry/:_auth = \"{basic}\""),
        format!("  .dockerconfigjson: {}", STANDARD.encode(&docker)),
        STANDARD.encode(format!("data:\n  .dockerconfigjson: {}", STANDARD.encode(&docker))),
        format!("jwt.{}.x", URL_SAFE_NO_PAD.encode(format!("{{\"t\":\"{ONE}\"}}"))),
        format!("data:text/plain;base64,{basic}"),
        wrapped(&STANDARD.encode(docker.repeat(9)), 76, "\r\n"),
        wrapped(&STANDARD.encode(docker.repeat(9)), 64, "\\n"),
        wrapped(&STANDARD.encode(docker.repeat(9)), 70, "\n      "),
        wrapped(&STANDARD.encode(docker.repeat(9)).replace('=', "=3D"), 75, "=\r\n"),
        format!("0x{}", hex(ONE)),
        format!("'\\x{}'::bytea", hex(ONE)),
        hex(ONE).to_uppercase(),
        hex(format!("a:{basic}")),
        STANDARD.encode(with("%5F")),
        STANDARD.encode(ONE.bytes().flat_map(|byte| [byte, 0]).collect::<Vec<_>>()),
        STANDARD.encode([ONE.as_bytes(), b"\xff\xfe"].concat()),
        STANDARD.encode([b"\xe9lise:", ONE.as_bytes(), b"\xe9"].concat()),
        basic.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"),
    ] {
        finds(ONE, &text);
    }
}

/// A user name that puts both signs of the alphabet beside the token's base64.
#[test]
fn the_signs_of_base64_are_read_in_both_alphabets_and_escaped() {
    let encoded = STANDARD.encode([b"\xfb\xff\xbf\xef:", ONE.as_bytes(), b"\xfb\xff"].concat());
    assert!(encoded.contains('+') && encoded.contains('/'));
    for (plus, slash) in [
        ("+", "/"),
        ("-", "_"),
        ("%2B", "%2F"),
        ("\\u002b", "\\/"),
        ("=2B", "=2F"),
        ("&#43;", "&#x2F;"),
        ("&plus;", "&sol;"),
    ] {
        finds(ONE, encoded.replace('+', plus).replace('/', slash));
        finds(ONE, format!("auth:{}", encoded.replace('/', slash).replace('+', plus)));
    }
}

#[test]
fn a_place_is_of_the_token_or_of_the_digits_that_hold_it() {
    let text = format!("é{ONE} x");
    assert_eq!(find(&text), [(ONE.into(), 2..2 + ONE.len())]);
    let text = format!("é{}", with("%5F"));
    assert_eq!(find(&text), [(ONE.into(), 2..text.len())]);

    let digits = STANDARD.encode(ONE);
    let digits = digits.trim_end_matches('=');
    let text = format!("Basic {}", STANDARD.encode(format!("abc:xy{ONE}")));
    let start = text.find(digits).unwrap();
    assert_eq!(find(&text), [(ONE.into(), start..start + digits.len())]);

    let text = format!("x {}", hex(format!("y{ONE}")));
    assert_eq!(find(&text), [(ONE.into(), 4..text.len())]);

    // The outermost digits of what is encoded twice.
    let twice = STANDARD.encode(format!("xyz{digits}"));
    assert_eq!(find(&twice), [(ONE.into(), 4..twice.trim_end_matches('=').len())]);
}

#[test]
fn what_is_no_token_is_not_found() {
    for text in [
        "",
        "_",
        "acme_",
        &ONE[..49],
        &ONE.replace('5', "6"),
        &with("-"),
        &with(""),
        &ONE[5..],
        &ONE.replace('5', "u"),
        &format!("{}_{}", &ONE[..20], &ONE[20..]),
        "Basic ====",
        "é_é_é",
        "\\",
        "%",
        "=",
        "&",
        "<",
        "\x1b",
        "\x1b[",
        "\\u",
        "\\u{",
        "%25",
        "&#",
        "&#;",
        "&amp;",
        "<a",
        &format!("globex{}", &ONE[4..]),
    ] {
        assert_eq!(find(text), [], "{text}");
        assert_eq!(find(STANDARD.encode(text)), [], "{text}");
    }
}

/// Escapes of each kind, with the numbers of an escape character and of letters.
const ESCAPED: [&str; 14] = [
    "\\u{1b}[31m",
    "\\u{5f}",
    "\\u{00005f}",
    "\\u001b[1m",
    "\\U0000001b[0m",
    "\\x1b[0m",
    "\\033[0m",
    "\\e[0m",
    "%1b[0m",
    "%25251b",
    "=1B[0m",
    "&#x1b;[0m",
    "&amp;amp;#27;[0m",
    "<span>\x1b[0m",
];

#[test]
fn an_escape_that_the_end_of_the_text_cuts_is_no_escape() {
    for escape in ESCAPED {
        for end in 0..=escape.len() {
            let cut = format!("{} {}", "a1".repeat(30), &escape[..end]);
            for text in [cut.clone(), cut[61..].to_owned(), cut.replace(' ', "")] {
                // A token before it, so that places are asked for.
                let text = format!("{ONE} {text}");
                for text in [text.clone(), STANDARD.encode(&text), hex(&text)] {
                    for (_, place) in find(&text) {
                        assert!(place.start < place.end && place.end <= text.len(), "{text}");
                    }
                    for byte in 0..text.len() {
                        let (_, next) = character(text.as_bytes(), byte);
                        assert!(byte < next && next <= text.len(), "{byte} of {text}");
                    }
                }
            }
        }
    }
    assert_eq!(find(format!("acme\\u{{5f{}", &ONE[5..])), [], "no brace closes the escape");
}

#[test]
fn a_number_too_great_for_a_character_is_none() {
    // The first two are `_` in 32 bits.
    for number in
        ["4294967391", "x10000005f", "99999999999", "xFFFFFFFFF", "x00000000000000000005f1"]
    {
        assert_eq!(find(format!("acme&#{number};{}", &ONE[5..])), [], "{number}");
    }
    finds(ONE, format!("acme&#x0000000000000000005f;{}", &ONE[5..]));
}

#[test]
fn what_is_spread_too_far_or_encoded_too_often_is_not_found() {
    let filler = " ".repeat(MAX_SPAN);
    assert_eq!(find(format!("{}{filler}{}", &ONE[..9], &ONE[9..])), []);
    let mut often = ONE.to_owned();
    for _ in 0..3 {
        often = STANDARD.encode(often);
        finds(ONE, &often);
    }
    assert_eq!(find(STANDARD.encode(often)), []);
}

#[test]
fn a_token_is_found_wherever_it_lies_in_a_long_row_of_digits() {
    for before in (0..9000).step_by(53) {
        let text = STANDARD.encode(format!("{}{ONE}{}", "x".repeat(before), "y".repeat(9000)));
        finds(ONE, &text);
        finds(ONE, STANDARD.encode(&text));
    }
}

/// Returns how many bytes are read for a text, in all layers.
fn work(text: &str) -> usize {
    let mut work = 0;
    Layers::new(text.len()).visit(text.as_bytes(), &mut |layer, _| work += layer.len());
    work
}

#[test]
fn a_hostile_text_makes_no_more_work_than_its_length_allows() {
    // A row of `V` decodes to a row of `U`, whichever bits are skipped.
    for unit in [
        "A", "V", "_", "acme_", "basic+", "Basic 20", "/", "=", "%25", "\\", "a ", "<a ", "&amp;",
        "61", "acme%5F", "\x1b[",
    ] {
        let text = unit.repeat(200_000 / unit.len());
        let work = work(&text);
        assert!(work <= 20 * text.len(), "{unit:?}: {work} for {}", text.len());
        assert_eq!(find(&text), [], "{unit:?}");
    }
    let nested = (0..3).fold("V".repeat(50_000), |text, _| STANDARD.encode(text));
    assert!(work(&nested) <= 30 * nested.len());
}

/// Returns what a program puts in the place of a character, or between two.
fn disguised(character: char, choice: u8) -> String {
    let code = u32::from(character);
    match choice {
        0 => format!("%{code:02X}"),
        1 => format!("\\u{code:04x}"),
        2 => format!("&#{code};"),
        3 => format!("={code:02X}"),
        4 => format!("\x1b[1m{character}"),
        5 => format!("{character}=\r\n"),
        6 => format!("{character}\u{200B}"),
        7 => format!("{character} "),
        8 => character.to_ascii_uppercase().to_string(),
        _ => character.to_string(),
    }
}

#[derive(Clone, Debug)]
enum Encoding {
    Base64,
    ForUrls,
    Hexadecimal,
    Wrapped(usize),
}

fn encoded(text: &[u8], before: &[u8], form: &Encoding) -> Vec<u8> {
    let inner = [before, text].concat();
    match form {
        Encoding::Base64 => STANDARD.encode(inner).into_bytes(),
        Encoding::ForUrls => URL_SAFE_NO_PAD.encode(inner).into_bytes(),
        Encoding::Hexadecimal => hex(inner).into_bytes(),
        Encoding::Wrapped(width) => wrapped(&STANDARD.encode(inner), *width, "\r\n").into_bytes(),
    }
}

proptest! {
    #[test]
    fn a_token_is_found_however_its_characters_are_mixed(
        choices in prop::collection::vec(0..14_u8, ONE.len()),
        before in "(?s).{0,20}", after in "(?s).{0,20}",
    ) {
        let characters = ONE.chars().zip(choices);
        let token: String = characters.map(|(c, choice)| disguised(c, choice)).collect();
        finds(ONE, format!("{before}{token}{after}"));
    }

    #[test]
    fn a_token_is_found_in_every_chain_of_encodings(
        forms in prop::collection::vec(
            prop_oneof![
                Just(Encoding::Base64), Just(Encoding::ForUrls), Just(Encoding::Hexadecimal),
                (20..80_usize).prop_map(Encoding::Wrapped),
            ],
            1..=3,
        ),
        before in prop::collection::vec(any::<u8>(), 0..100), around in "[ -~]{0,30}",
    ) {
        // Letters before the outermost digits are digits themselves.
        let plain = ONE.as_bytes().to_vec();
        let text = forms.iter().fold(plain, |text, form| encoded(&text, &before, form));
        finds(ONE, &text);
        finds(ONE, [around.as_bytes(), b" ", &text, b" ", around.as_bytes()].concat());
    }

    #[test]
    fn whatever_the_text_is_nothing_panics_and_every_place_is_within_it(
        text: Vec<u8>, escapes in "[\\\\%=&<>\\[;#{}uxUamp0-9a-f_]{0,60}", forms in 0..3_usize,
        end in prop::sample::select(&ESCAPED), cut in 0..14_usize,
    ) {
        let text = [escapes.as_bytes(), &text, escapes.as_bytes(), ONE.as_bytes(), b" "].concat();
        let text = [&text, &end.as_bytes()[..cut.min(end.len())]].concat();
        let text = (0..forms).fold(text, |text, _| encoded(&text, b"", &Encoding::Base64));
        for (_, place) in find(&text) {
            prop_assert!(place.start < place.end && place.end <= text.len());
        }
        finds(ONE, &text);
    }
}
