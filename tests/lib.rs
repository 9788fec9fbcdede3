//! Holds no code: the tests of this package are in `it/` (behaviour) and `ui/` (diagnostics).
