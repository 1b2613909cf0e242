//! The contract of `TokenStore`, on every store of the crate; and that the suite catches stores that break it.

use app_tokens::store::conformance;

#[path = "conformance/wrong_store.rs"]
mod wrong_store;

mod memory {
    use app_tokens::MemoryStore;
    super::conformance::tests!(make = || async { MemoryStore::new() });
}

mod dyn_over_memory {
    use app_tokens::MemoryStore;
    use app_tokens::store::DynStore;
    super::conformance::tests!(make = || async { DynStore::new(MemoryStore::new()) });
}

/// The runner, the damage and the wrapper of the wrong stores, on a store that is right.
mod with_damage_on_tokio {
    use std::sync::{Arc, LazyLock};

    use super::conformance::Task;
    use super::wrong_store::{How, Wrapped};
    use app_tokens::TokenId;
    use tokio::runtime::Runtime;

    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

    fn on_tokio(task: Task) {
        RUNTIME.block_on(task);
    }

    async fn damage(store: Arc<Wrapped>, id: TokenId) {
        store.damage(id);
    }

    super::conformance::tests!(
        make = || async { Wrapped::new(How::Right) },
        runner = on_tokio,
        damage = damage,
    );
}

/// A function that is written and not in the macro would never run.
#[test]
fn the_macro_has_every_clause_and_every_clause_has_a_function() {
    let source = include_str!("../src/store/conformance.rs");
    let (the_macro, functions) = source.split_once("// -- every method").unwrap();
    let mut functions_seen = 0;
    let mut clauses = std::collections::BTreeSet::new();
    for (before, after) in
        functions.match_indices("pub async fn ").map(|(at, _)| functions.split_at(at))
    {
        let name = after["pub async fn ".len()..].split(['<', '(']).next().unwrap();
        let in_macro = the_macro.lines().any(|line| line.trim() == name);
        assert!(in_macro, "{name} is not in the macro");
        functions_seen += 1;
        let doc = before.rsplit("\n\n").next().unwrap();
        let numbers = doc.lines().take_while(|line| line.starts_with("///"));
        for number in numbers.flat_map(|line| line.split(|c: char| !c.is_ascii_digit())) {
            clauses.extend(number.parse::<u8>());
        }
        // "Clauses 4 to 10" names those between, too, and each of them is named elsewhere by itself.
    }
    assert!(functions_seen > 40, "only {functions_seen} functions were found");
    assert!(
        (1..=21).all(|clause| clauses.contains(&clause)),
        "not every clause is tested: {clauses:?}"
    );
}
