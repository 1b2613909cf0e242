//! What `SqliteStore` promises beyond the contract.

#[path = "sqlite/concurrent.rs"]
mod concurrent;
#[path = "sqlite/damage.rs"]
mod damage;
#[path = "common/file.rs"]
mod file;
#[path = "sqlite/handles.rs"]
mod handles;
#[path = "sqlite/names.rs"]
mod names;
#[path = "sqlite/reference.rs"]
mod reference;
#[path = "common/vectors.rs"]
mod vectors;
#[path = "sqlite/vectors.rs"]
mod vectors_in_a_file;
