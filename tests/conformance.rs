//! The contract of `TokenStore` on every store of the crate. The suite must also catch stores that
//! break it.

use std::collections::BTreeSet;

use app_tokens::store::conformance;

#[path = "conformance/caught.rs"]
mod caught;
#[path = "conformance/sqlite.rs"]
mod sqlite;
#[path = "conformance/wrong_store.rs"]
mod wrong_store;

mod memory {
    use app_tokens::store::MemoryStore;
    super::conformance::tests!(make = || async { MemoryStore::new() });
}

mod dyn_over_memory {
    use app_tokens::store::{DynStore, MemoryStore};
    super::conformance::tests!(make = || async { DynStore::new(MemoryStore::new()) });
}

/// Tries the macro's options on a right store: the runner, the damage and the wrapper.
mod with_damage_on_tokio {
    use std::sync::{Arc, LazyLock};

    use super::conformance::Task;
    use super::wrong_store::{How, WrongStore};
    use app_tokens::TokenId;
    use tokio::runtime::Runtime;

    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

    fn on_tokio(task: Task) {
        RUNTIME.block_on(task);
    }

    async fn damage(store: Arc<WrongStore>, id: TokenId) {
        store.damage(id);
    }

    async fn damage_owner(store: Arc<WrongStore>, id: TokenId) {
        store.damage_owner(id);
    }

    super::conformance::tests!(
        make = || async { WrongStore::new(How::Right) },
        runner = on_tokio,
        damage = damage,
        damage_owner = damage_owner,
    );
}

/// A clause's function that the macro doesn't name would never run.
#[test]
fn the_macro_has_every_clause_and_every_clause_has_a_function() {
    let the_macro = include_str!("../src/store/conformance.rs");
    let files = [
        include_str!("../src/store/conformance/any_call.rs"),
        include_str!("../src/store/conformance/insert.rs"),
        include_str!("../src/store/conformance/supersede.rs"),
        include_str!("../src/store/conformance/find_and_list.rs"),
        include_str!("../src/store/conformance/replace.rs"),
        include_str!("../src/store/conformance/revoke.rs"),
        include_str!("../src/store/conformance/touch.rs"),
        include_str!("../src/store/conformance/purge.rs"),
        include_str!("../src/store/conformance/keys.rs"),
        include_str!("../src/store/conformance/damaged.rs"),
    ];
    let mut clauses = BTreeSet::new();
    let mut count = 0;
    for (file, at) in files
        .iter()
        .flat_map(|file| file.match_indices("pub async fn ").map(move |(at, _)| (file, at)))
    {
        let (before, after) = file.split_at(at);
        let name = after["pub async fn ".len()..].split(['<', '(']).next().unwrap();
        let in_macro = the_macro.lines().any(|line| line.trim() == name);
        assert!(in_macro, "{name} is not in the macro");
        count += 1;
        let doc = before.rsplit("\n\n").next().unwrap();
        clauses.extend(doc.split(|c: char| !c.is_ascii_digit()).flat_map(str::parse::<u8>));
    }
    assert!(count > 40, "only {count} functions were found");
    assert!(
        (1..=22).all(|clause| clauses.contains(&clause)),
        "not every clause is tested: {clauses:?}"
    );
}
