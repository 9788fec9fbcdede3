//! Parses the options in `#[fly_rpc(…)]` and `#[rpc(…)]`.

mod options;
mod values;

pub(crate) use self::{
    options::{
        MethodOptions, TestOptions, argument_options, method_options, service_options, test_options,
    },
    values::{Hedge, Micros},
};
