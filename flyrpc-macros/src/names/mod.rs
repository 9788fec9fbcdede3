//! Derives identifiers, and formats types as text.

mod items;
mod parameters;
mod type_text;
mod variants;

pub(crate) use self::{
    items::{RESERVED, ServiceNames, Used, generated, generated_span},
    parameters::{ParameterNames, has_ident},
    type_text::type_text,
    variants::variants,
};
