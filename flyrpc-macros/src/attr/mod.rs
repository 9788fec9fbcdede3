//! Parses the options in `#[fly_rpc(…)]` and `#[rpc(…)]`.

mod options;
mod values;

pub(crate) use self::{
    options::{MethodOptions, argument_options, method_options, service_options},
    values::{Hedge, Micros},
};
