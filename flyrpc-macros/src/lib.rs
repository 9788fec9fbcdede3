//! The attribute macro of flyrpc, documented at `flyrpc::fly_rpc`.
//!
//! | module | what it does |
//! |---|---|
//! | `driver` | the pipeline: parse, check, then expand, or report errors beside a fallback |
//! | `ast`, `attr` | read what the user wrote |
//! | `check` | turns a trait into a `model`, or reports every rule it breaks |
//! | `model` | a service that passed every check, so that expansion cannot fail |
//! | `expand` | turns a model into code |
//! | `fallback` | items emitted beside errors, so that rustc adds no errors of its own |
//! | `names`, `types` | derived identifiers, types as text, and what type names imply |
//! | `errors` | collects errors |

mod ast;
mod attr;
mod check;
mod driver;
mod errors;
mod expand;
mod fallback;
mod model;
mod names;
#[cfg(test)]
mod tests;
mod types;

// Documented at its re-export: rustdoc would append any documentation here to that.
#[allow(missing_docs)]
#[proc_macro_attribute]
pub fn fly_rpc(
    arguments: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    driver::fly_rpc(arguments.into(), item.into()).into()
}
