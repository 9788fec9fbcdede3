//! The attribute macros of flyrpc and flyrpc-testkit, documented at `flyrpc::fly_rpc` and `flyrpc_testkit::test`.
//!
//! | module | what it does |
//! |---|---|
//! | `driver` | the pipeline: parse, check, then expand, or report errors together with a fallback |
//! | `ast`, `attr` | read the syntax of the trait and its options |
//! | `check` | turns a trait into a `model`, or reports every rule it breaks |
//! | `model` | a service that passed every check, so that expansion cannot fail |
//! | `expand` | turns a model into code |
//! | `fallback` | items emitted together with errors, so that rustc reports no further errors |
//! | `names`, `types` | derived identifiers, types as text, and what type names imply |
//! | `errors` | collects errors |
//! | `sim_test` | the attribute for tests of flyrpc-testkit |

mod ast;
mod attr;
mod check;
mod driver;
mod errors;
mod expand;
mod fallback;
mod model;
mod names;
mod sim_test;
#[cfg(test)]
mod tests;
mod types;

// Documented at its re-export in flyrpc. rustdoc would append documentation written here to the text there.
#[allow(missing_docs)]
#[proc_macro_attribute]
pub fn fly_rpc(
    arguments: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    driver::fly_rpc(arguments.into(), item.into()).into()
}

// Documented at its re-export in flyrpc-testkit.
#[allow(missing_docs)]
#[proc_macro_attribute]
pub fn sim_test(
    arguments: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    sim_test::expand(arguments.into(), item.into()).into()
}
