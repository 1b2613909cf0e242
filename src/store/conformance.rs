//! The contract of [`TokenStore`](super::TokenStore), clause by clause, as tests that any store can run.
