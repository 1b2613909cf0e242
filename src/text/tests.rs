use super::*;
use proptest::prelude::*;

/// Returns what is wrong with a text as each kind of text that a host hands in.
fn problems(text: &str) -> [(&'static str, Option<TextProblem>); 4] {
    let problem = |made: Option<InvalidText>| made.map(|invalid| invalid.problem);
    [
        ("owner", problem(Owner::new(text).err())),
        ("label", problem(Label::new(text).err())),
        ("operator", problem(Operator::new(text).err())),
        ("reason", problem(Reason::new(text).err())),
    ]
}

#[track_caller]
fn refused_by_all(text: &str, expected: &TextProblem) {
    for (what, problem) in problems(text) {
        assert_eq!(problem.as_ref(), Some(expected), "{what} {text:?}");
    }
}

#[track_caller]
fn taken_by_all(text: &str) {
    for (what, problem) in problems(text) {
        assert_eq!(problem, None, "{what} {text:?}");
    }
}

#[test]
fn a_text_without_a_visible_character_is_refused() {
    for invisible in [
        "\u{200B}",
        "\u{3164}",
        "\u{2800}",
        "\u{AD}",
        "\u{FEFF}",
        "\u{2060}",
        "\u{E0041}",
        "\u{115F}",
        "\u{1160}",
        "\u{FFA0}",
        "\u{34F}",
        "\u{17B4}",
        "\u{180E}",
        "\u{200C}",
        "\u{200D}",
        "\u{200E}",
        "\u{200F}",
        "\u{61C}",
        "\u{2061}",
        "\u{206F}",
        "\u{FE0F}",
        "\u{E0100}",
        "\u{1D159}",
        "\u{1D173}",
        "\u{FFF9}",
        "\u{200B} \u{AD}",
    ] {
        refused_by_all(invisible, &TextProblem::Invisible);
        refused_by_all(&invisible.repeat(20), &TextProblem::Invisible);
        taken_by_all(&format!("a{invisible}"));
    }
    for blank in ["\u{A0}", "\u{3000}", "\u{1680}", "\u{2003}", "\u{202F}", "\u{205F}"] {
        refused_by_all(blank, &TextProblem::Empty);
    }
    assert_eq!(
        Label::new("\u{200B}").unwrap_err().to_string(),
        "the label has no visible character"
    );
}

#[test]
fn marks_that_scripts_need_are_allowed() {
    for name in [
        "שרה\u{200F} (עבודה)",           // a right-to-left mark
        "\u{200E}+49 30 1234",           // a left-to-right mark
        "می\u{200C}خواهم",               // a zero-width non-joiner
        "क्\u{200D}ष",                    // a zero-width joiner
        "👩\u{200D}💻",                  // the same in an emoji
        "\u{61C}رقم 5",                  // an Arabic letter mark
        "❤\u{FE0F}",                     // a variation selector
        "🏴\u{E0067}\u{E0062}\u{E007F}", // tags in a flag
    ] {
        taken_by_all(name);
    }
}

#[test]
fn what_makes_the_rest_of_a_line_read_as_something_else_is_refused() {
    let forbidden = TextProblem::ForbiddenCharacter { position: 1 };
    let overrides = ('\u{202A}'..='\u{202E}').chain('\u{2066}'..='\u{2069}');
    for c in overrides.chain(['\u{2028}', '\u{2029}', '\u{1B}', '\n', '\u{85}']) {
        refused_by_all(&format!("a{c}b"), &forbidden);
    }
}

#[test]
fn labels_differ_if_any_byte_of_them_differs() {
    for (one, other) in [("Phone", "phone"), ("é", "e\u{301}"), ("Phone", "Phone\u{200E}")] {
        assert_ne!(Label::new(one).unwrap(), Label::new(other).unwrap());
    }
}

#[test]
fn a_clients_name_is_cleaned_of_what_would_act_on_a_terminal_or_a_list() {
    for (name, clean) in [
        ("rclone/1.66", "rclone/1.66"),
        ("\u{1B}[31mred\u{7F}\u{9B}", "[31mred"),
        ("a\r\nHTTP/1.1 200 OK", "aHTTP/1.1 200 OK"),
        ("a\u{2028}b\u{2029}c", "abc"),
        ("\u{202A}\u{202B}\u{202C}\u{202D}\u{202E}a", "a"),
        ("\u{2066}\u{2067}\u{2068}\u{2069}b", "b"),
        ("Zoë\u{200F} 日本", "Zoë\u{200F} 日本"),
        ("\0", ""),
    ] {
        assert_eq!(clean_client(name), clean, "{name:?}");
    }
    assert!(matches!(clean_client("rclone/1.66"), Cow::Borrowed(_)));
    assert_eq!(clean_client(&"é".repeat(100_000)), "é".repeat(MAX_CLIENT_CHARS));
    assert_eq!(clean_client(&"\0x".repeat(100_000)), "x".repeat(MAX_CLIENT_CHARS));
}

fn strange_text() -> impl Strategy<Value = String> {
    let strange = "[\u{0}-\u{20}\u{7F}-\u{A0}\u{AD}\u{200B}-\u{206F}\u{E0000}-\u{E0080}]";
    prop::collection::vec(prop_oneof!["[a-zé]", strange], 0..8).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn whatever_is_taken_can_be_seen_and_acts_on_nothing(text in strange_text()) {
        for (what, problem) in problems(&text) {
            if problem.is_none() {
                prop_assert!(text.chars().any(is_visible), "{what}");
                prop_assert!(!text.trim().contains(is_forbidden), "{what}");
            }
        }
    }

    #[test]
    fn a_cleaned_name_is_short_and_clean_and_stays_as_it_is(
        name in prop_oneof![strange_text(), "(?s).{190,300}"],
    ) {
        let clean = clean_client(&name);
        prop_assert!(clean.chars().count() <= MAX_CLIENT_CHARS);
        prop_assert!(!clean.contains(is_forbidden));
        prop_assert_eq!(clean_client(&clean), clean.clone());
        let kept: String = name.chars().filter(|c| !is_forbidden(*c)).collect();
        prop_assert!(kept.starts_with(&*clean));
    }
}

#[test]
fn empty_blank_long_and_control_texts_are_refused() {
    assert_eq!(Label::new("").unwrap_err().problem(), &TextProblem::Empty);
    assert_eq!(Label::new(" \u{a0} ").unwrap_err().problem(), &TextProblem::Empty);
    assert_eq!(Owner::new("  ").unwrap_err().problem(), &TextProblem::Empty);
    let too_long = TextProblem::TooLong { max: 128 };
    assert_eq!(Label::new("é".repeat(129)).unwrap_err().problem(), &too_long);
    assert_eq!(Label::new("x".repeat(10_000_000)).unwrap_err().problem(), &too_long);
    for bad in ["a\0b", "a\nb", "a\u{7f}b", "a\u{85}b", "a\u{202e}b", "a\u{2028}b"] {
        let forbidden = TextProblem::ForbiddenCharacter { position: 1 };
        assert_eq!(Label::new(bad).unwrap_err().problem(), &forbidden, "{bad:?}");
        assert_eq!(Owner::new(bad).unwrap_err().problem(), &forbidden, "{bad:?}");
    }
}

#[test]
fn the_longest_text_is_taken_and_white_space_around_a_label_is_cut() {
    assert_eq!(Label::new("é".repeat(128)).unwrap().as_str().chars().count(), 128);
    assert_eq!(Label::new("  My phone\t").unwrap().as_str(), "My phone");
    assert_eq!(Owner::new(" a ").unwrap().as_str(), " a ", "an owner is an id, not a text to tidy");
}

#[test]
fn an_error_does_not_repeat_the_text() {
    let error = Label::new("acme_secret\0").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the label has a forbidden character, number 12 from its beginning; remove it"
    );
    assert!(!format!("{error:?}").contains("acme"));
}
