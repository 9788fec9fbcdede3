//! The settings of a node: their defaults, the environment variables that set them, and the values that
//! they may have. No other module reads environment variables, and this module reads them only on
//! request.

mod check;
mod keyring;
mod label;
mod seed;
mod settings;
mod vars;

#[cfg(test)]
mod tests;

pub use self::keyring::{InvalidKeyring, Keyring};
pub(crate) use self::{
    check::parse_seeds,
    keyring::{KEY_LEN, Key, MAX_KEYS},
    seed::Seed,
    settings::{Config, Sealing},
};
