//! The arguments of a call: a map from name to value.

mod absent;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use self::{absent::is_optional, writer::AcceptedArgs};
pub use self::{
    reader::ArgsReader,
    writer::{ArgsWriter, ArgumentError},
};
