//! Every message of `admin`, in one file. Those of `shared` are in that package's list.

use std::path::Path;

use support::messages::{assert_listed, in_sources};

#[test]
fn every_message_is_in_the_list_that_reviewers_read() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let messages = in_sources(&package.join("src"), &["options.rs", "options/import.rs"]);
    let list = package.join("tests/messages.txt");
    assert_listed(&list, messages, "cargo test -p admin --test messages");
}
