//! Every message of `admin` and of the library that it shares with `cloud`, in one file.

use std::path::Path;

use support::messages::{assert_listed, in_sources};

#[test]
fn every_message_is_in_the_list_that_reviewers_read() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = in_sources(&package.join("../shared/src"), &[]);
    let messages = in_sources(&package.join("src"), &["options.rs"])
        .into_iter()
        .chain(shared.into_iter().map(|text| format!("shared/{text}")));
    let list = package.join("tests/messages.txt");
    assert_listed(&list, messages, "cargo test -p admin --test messages");
}
