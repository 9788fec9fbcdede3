//! What several of this package's targets share: randomized fault testing. The tests themselves are
//! in `it/` (behaviour) and `ui/` (diagnostics).

pub mod chaos;
