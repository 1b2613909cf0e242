use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

const ONE: &str = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
const TWO: &str = "acme_2wwcysr5s4j36knjaay3s1vpv6sbaa4t6h2vpe0n92zve";
const GROUPED: &str = "ACME_ASKGA-GKERA-541E8-5KRHX-FCABP-G2244-EM9E3-F3P37-Q4H92";

/// Where the tokens of a text stand, by their ids, and where to go on.
fn look(text: &str) -> (Vec<(String, Range<usize>)>, Option<usize>) {
    let prefixes = [Prefix::new("acme").unwrap()];
    let mut scan = LeakScan::new(text.as_bytes(), &prefixes);
    let mut found = Vec::new();
    while let Some(tokens) = scan.next_piece() {
        let named = |token: Found| (token.presented.id().to_string(), token.position);
        found.extend(tokens.into_iter().map(named));
    }
    (found, scan.rest())
}

/// Goes on until the end, as a host does.
fn look_to_the_end(text: &str) -> Vec<(String, Range<usize>)> {
    let (mut found, mut passed) = (Vec::new(), 0);
    loop {
        let (more, rest) = look(&text[passed..]);
        assert!(more.len() <= LeakReport::MAX_LEAKS);
        found.extend(more.into_iter().map(|(id, at)| (id, passed + at.start..passed + at.end)));
        let Some(rest) = rest else {
            return found;
        };
        assert!(rest > 0, "it gets on");
        passed += rest;
    }
}

/// So many different tokens.
fn tokens(count: usize) -> Vec<String> {
    let mut source = crate::random::tests::Counting(1);
    let mut draw = || {
        let secret = crate::random::Secret::draw(&mut source).unwrap();
        let token = Token::compose(Prefix::new("acme").unwrap(), &secret);
        token.expose_secret().to_owned()
    };
    std::iter::repeat_with(&mut draw).take(count).collect()
}

/// That just these tokens were found, in this order.
#[track_caller]
fn are(found: &[(String, Range<usize>)], tokens: &[String]) {
    for (number, ((id, at), token)) in found.iter().zip(tokens).enumerate() {
        assert_eq!(id, &token[5..15], "number {number}, at {at:?}");
    }
    assert_eq!(found.len(), tokens.len());
}

#[test]
fn tokens_are_found_in_the_order_of_the_text_and_each_once() {
    let text = format!("APP={ONE}\n\"{TWO}\", {GROUPED} and again {ONE}.");
    let (found, rest) = look(&text);
    assert_eq!(found, [("askgagkera".into(), 4..54), ("2wwcysr5s4".into(), 56..106)]);
    assert_eq!(rest, None);
    let text = format!("{} {ONE} {TWO}", STANDARD.encode(TWO));
    assert_eq!(look(&text).0[0].0, "2wwcysr5s4");
    assert_eq!(look(&text).0.len(), 2);
}

#[test]
fn a_long_text_is_looked_through_whole_in_pieces() {
    let all = tokens(40);
    let gap = "é".repeat(LeakScan::PIECE / 40);
    let text = all.join(&gap);
    let (found, rest) = look(&text);
    assert_eq!(rest, None);
    are(&found, &all);
}

#[test]
fn a_text_with_too_many_tokens_is_looked_through_when_gone_on_with() {
    let all = tokens(2 * LeakReport::MAX_LEAKS + 7);
    let (found, rest) = look(&all.join("\n"));
    assert_eq!(found.len(), LeakReport::MAX_LEAKS);
    assert_eq!(rest, Some(LeakReport::MAX_LEAKS * 51));
    // In base64 the cut is between two tokens of one row of digits.
    for text in [all.join("\n"), STANDARD.encode(all.join(":")), STANDARD.encode(all.concat())] {
        are(&look_to_the_end(&text), &all);
    }
}

#[test]
fn a_text_that_is_too_long_is_gone_on_with_where_it_was_cut() {
    // The token begins before the cut, or right behind it.
    for (before, found_at_once) in [(48, 1), (0, 0)] {
        let text = "é".repeat((LeakReport::MAX_TEXT - before) / 2) + ONE;
        let (found, rest) = look(&text);
        assert_eq!((found.len(), rest), (found_at_once, Some(LeakReport::MAX_TEXT)));
        let (found, rest) = look(&text[LeakReport::MAX_TEXT - before..]);
        assert_eq!((found.len(), rest), (1, None));
    }
    // In the middle of a character of three bytes.
    let text = "€".repeat(LeakReport::MAX_TEXT / 3 + 1) + ONE;
    assert_eq!(look(&text), (Vec::new(), Some(LeakReport::MAX_TEXT - 1)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Also across the ends of pieces, and of the rows of digits that are decoded at once.
    #[test]
    fn no_token_is_lost_wherever_it_lies(
        gaps in prop::collection::vec(0..3 * LeakScan::PIECE / 2, 1..4),
        filler in "[ .a-zA-Z=]", is_encoded: bool, indent in 0..4_usize,
    ) {
        let all = tokens(gaps.len());
        let mut text = String::new();
        for (gap, token) in gaps.iter().zip(&all) {
            text += &filler.repeat(*gap);
            text.push(' ');
            text += token;
        }
        let text = if is_encoded { STANDARD.encode(text) } else { text };
        let found = look_to_the_end(&(" ".repeat(indent) + &text));
        are(&found, &all);
    }
}
