//! `try_enter`: which requests it hands on to the host's own passwords.

use super::*;

/// Returns what `try_enter` says about a request, without its secrets.
async fn tried(world: &World, headers: &[(&str, &str)]) -> Result<String, Refusal> {
    let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
    Ok(match world.login.try_enter(headers, Origin::unknown()).await? {
        Entry::Token(token) => format!("a token of {}", token.record().owner()),
        Entry::NotOurs(sent) => format!("{:?} {:?}", sent.user(), sent.expose_secret()),
        Entry::OtherScheme => String::from("another scheme"),
        Entry::Nothing => String::from("nothing"),
    })
}

fn basic(user: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{secret}")))
}

#[tokio::test]
async fn a_token_a_password_and_nothing_are_told_apart() {
    let world = World::new();
    let good = basic("Alice", world.text());
    let is = async |value: &str, said: &str| {
        assert_eq!(tried(&world, &[("authorization", value)]).await.unwrap(), said);
    };
    is(&good, "a token of u1").await;
    is("", "nothing").await;
    is("Negotiate YIIZ", "another scheme").await;
    is(
        "Digest username=\"Alice\", response=\"6629fae49393a05397450978507c4ef1\"",
        "another scheme",
    )
    .await;
    assert_eq!(tried(&world, &[]).await.unwrap(), "nothing");
    assert!(world.told().is_empty());
}

#[tokio::test]
async fn a_password_is_handed_on_exactly_as_sent() {
    let world = World::new();
    for (user, password) in [("Alice", "hunter2\r\n"), ("Alice", " p:ä \u{a0}"), ("DOM\\bob", "x=")]
    {
        let said = tried(&world, &[("authorization", &basic(user, password))]).await.unwrap();
        assert_eq!(said, format!("{:?} {password:?}", Some(user)));
    }
    let said = tried(&world, &[("authorization", "Bearer of.another/service")]).await.unwrap();
    assert_eq!(said, "None \"of.another/service\"");
    assert!(world.asked().is_empty() && world.told().is_empty());
}

#[tokio::test]
async fn an_empty_password_is_never_handed_on() {
    let world = World::new();
    for (user, blank) in [("Alice", ""), ("", ""), ("anonymous", " "), ("Alice", "\r\n")] {
        let outcome = tried(&world, &[("authorization", &basic(user, blank))]).await;
        assert!(matches!(outcome, Err(Refusal::NotOurs)), "{outcome:?}");
        let outcome = world.login.enter_with(Some(user), blank, Origin::unknown()).await;
        assert!(matches!(outcome, Err(Refusal::NoCredentials)), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_no_good_is_final_and_never_handed_on() {
    let world = World::new();
    let text = world.text();
    let mistyped = format!("{}u{}", &text[..20], &text[21..]);
    let foreign = World::new();
    for value in [
        basic("Bob", text),
        basic("Alice", &mistyped),
        basic("Alice", foreign.text()),
        basic(text, "x"),
        format!("Bearer {mistyped}"),
        String::from("Basic !!"),
        String::from("Bearer a b"),
    ] {
        let outcome = tried(&world, &[("authorization", &value)]).await;
        assert!(outcome.is_err(), "{value}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_token_in_a_foreign_scheme_is_final_in_every_form() {
    let world = World::new();
    let text = world.text();
    let mistyped = format!("{}u{}", &text[..20], &text[21..]);
    for token in [text, &mistyped, &text.to_uppercase()] {
        let encoded = STANDARD.encode(format!("Alice:{token}"));
        for value in [
            format!("ApiKey {token}"),
            format!("Digest username=\"{token}\", realm=\"acme\""),
            format!("Digest username=\"Alice\",response=\"{token}\""),
            format!("Token\t{token}"),
            format!("Basicx {encoded}"),
            format!("Basic:{encoded}"),
            format!("Negotiate key={encoded}"),
            format!("Negotiate {}", STANDARD.encode(&encoded)),
            format!("Negotiate {}", STANDARD.encode(format!("\u{3ff}\u{3ff}{token}\u{3ff}"))),
            format!("Hex {}", token.bytes().map(|byte| format!("{byte:02x}")).collect::<String>()),
            String::from(token),
        ] {
            let outcome = tried(&world, &[("authorization", &value)]).await;
            let expected =
                Err::<String, _>(Refusal::Credentials(CredentialsError::TokenInOtherScheme));
            assert_eq!(format!("{outcome:?}"), format!("{expected:?}"), "{value}");
        }
    }
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn a_token_enters_by_the_hosts_own_header_and_another_beside_it_does_not() {
    let mut world = World::new();
    let (text, other) = (world.text().to_owned(), World::new().text().to_owned());
    world.login = world.login.with_token_header("X-Acme-Token").unwrap();
    let of_the_proxy = basic("proxy", "password");
    for headers in [
        vec![("x-acme-token", &*text)],
        vec![("authorization", &of_the_proxy), ("x-acme-token", &text)],
        vec![("authorization", &*basic("Alice", &text))],
    ] {
        assert_eq!(tried(&world, &headers).await.unwrap(), "a token of u1");
    }
    let two = [("authorization", &*format!("Bearer {other}")), ("x-acme-token", &*text)];
    let outcome = tried(&world, &two).await;
    assert!(matches!(outcome, Err(Refusal::Credentials(CredentialsError::TwoTokens))));
    for bad in ["", "x token", "x:", "é"] {
        assert!(World::new().login.with_token_header(bad).is_err(), "{bad:?}");
    }
}
